#import "mock/commands.h"

#include <stdlib.h>
#include <string.h>

static NSMutableArray *committed;       /* command buffers that have not run, by commit */

/* Runs one of those that may; NO: there is none. */
static BOOL run_one(void);

/* As a GPU that is ahead of its host: now and then. */
static void run_others(void);

@implementation MockEncoder
- (struct encoded *)append
{
    mock_check(!has_ended, "encoding after the encoder's end");
    command->encoded =
        realloc(command->encoded, (command->n_encoded + 1) * sizeof *command->encoded);
    return &command->encoded[command->n_encoded++];
}
- (void)setComputePipelineState:(id<MTLComputePipelineState>)state
{
    next.pipeline = (MockPipeline *)state;
}
- (void)setBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset atIndex:(NSUInteger)index
{
    mock_check(index < MAX_INDEX, "a buffer index beyond 30");
    MockBuffer *b = (MockBuffer *)buffer;
    if (offset % 4) next.wrong = "a buffer offset is no multiple of 4";
    if (b && offset >= b->n_bytes) next.wrong = "a buffer offset lies beyond its buffer";
    next.bound[index].buffer = b;
    next.bound[index].offset = offset;
    next.n_bytes[index] = 0;
}
- (void)setBytes:(const void *)bytes length:(NSUInteger)length atIndex:(NSUInteger)index
{
    mock_check(index < MAX_INDEX, "a buffer index beyond 30");
    if (length > MAX_BYTES) next.wrong = "setBytes of more than 4096 bytes";
    emu_memory_give(next.bytes[index]);     /* set again before a dispatch: the last counts */
    next.bytes[index] = emu_memory_take(length);
    memcpy(next.bytes[index], bytes, length);
    next.n_bytes[index] = length;
}
- (void)setThreadgroupMemoryLength:(NSUInteger)length atIndex:(NSUInteger)index
{
    if (length % 16) next.wrong = "a threadgroup length is no multiple of 16";
    next.shared[index] = length;
}
- (void)dispatchThreadgroups:(MTLSize)groups threadsPerThreadgroup:(MTLSize)threads
{
    next.groups = groups;
    next.threads = threads;
    *[self append] = next;
    memset(next.bytes, 0, sizeof next.bytes);       /* the dispatch's now; set again for the next */
    memset(next.n_bytes, 0, sizeof next.n_bytes);
}
- (void)memoryBarrierWithScope:(MTLBarrierScope)scope
{
    mock_check(scope == MTLBarrierScopeBuffers, "a barrier of another scope than buffers");
    *[self append] = (struct encoded){ .is_barrier = YES };
}
- (void)endEncoding
{
    mock_check(!has_ended, "the encoder has ended before");
    has_ended = YES;
    command->is_encoding = NO;
}
- (void)dealloc
{
    mock_check(has_ended, "an encoder is released before its end");
    for (int i = 0; i < MAX_INDEX; i++) emu_memory_give(next.bytes[i]);
    [super dealloc];
}
@end

@implementation MockCommandBuffer
- (id<MTLComputeCommandEncoder>)computeCommandEncoderWithDispatchType:(MTLDispatchType)type
{
    mock_check(type == MTLDispatchTypeConcurrent && !is_encoding,
               "one concurrent encoder at a time");
    MockEncoder *e = [[[MockEncoder alloc] init] autorelease];
    e->command = self;
    is_encoding = YES;
    return e;
}
- (void)encodeWaitForEvent:(id<MTLEvent>)event value:(uint64_t)value
{
    mock_check(!n_encoded && !is_encoding && !wait.event,
               "a wait behind other work, or a second one");
    wait.event = (MockEvent *)event;
    wait.value = value;
}
- (void)encodeSignalEvent:(id<MTLEvent>)event value:(uint64_t)value
{
    mock_check(!is_encoding && !signal.event, "a signal amid other work, or a second one");
    signal.event = (MockEvent *)event;
    signal.value = value;
}
- (void)commit
{
    mock_check(!is_encoding && state == MTLCommandBufferStatusNotEnqueued,
               "committed twice or too early");
    state = MTLCommandBufferStatusCommitted;
    if (!committed) committed = [[NSMutableArray alloc] init];
    [committed addObject:self];
    if ([committed count] > knobs.most_in_flight) knobs.most_in_flight = [committed count];
}
- (BOOL)mayRun
{
    return knobs.is_deaf || !wait.event || wait.event->value >= wait.value;
}
- (BOOL)isResident:(MockBuffer *)buffer
{
    for (MockResidencySet *set in residency)
        if ([set->resident containsObject:buffer]) return YES;
    return NO;
}
- (const char *)refusalOf:(const struct encoded *)d
{
    const NSUInteger n_threads = d->threads.width * d->threads.height * d->threads.depth;
    if (d->wrong) return d->wrong;
    if (!d->pipeline) return "a dispatch without a pipeline";
    if (!d->groups.width || !d->groups.height || !d->groups.depth || !n_threads)
        return "a dispatch of an empty grid";
    if (n_threads > EMU_MAX_THREADS) return "more threads than a threadgroup may have";
    if (d->pipeline->wants_whole_simdgroups && n_threads % 32)
        return "threads are no multiple of a simdgroup, as the pipeline was promised";
    for (int i = 0; i < MAX_INDEX; i++)
        if (!knobs.is_macos_14 && d->bound[i].buffer && !d->n_bytes[i] &&
            ![self isResident:d->bound[i].buffer])
            return "a buffer that is not in a committed residency set of the queue";
    return NULL;
}
- (BOOL)run:(const struct encoded *)d
{
    char text[512];
    const char *refusal = [self refusalOf:d];
    if (!refusal) {
        struct emu_dispatch e = {
            .kernel = d->pipeline->function->kernel,
            .n_groups = { d->groups.width, d->groups.height, d->groups.depth },
            .n_threads = { d->threads.width, d->threads.height, d->threads.depth },
        };
        e.constants_set = d->pipeline->function->constants.set;
        memcpy(e.constant, d->pipeline->function->constants.value, sizeof e.constant);
        for (int i = 0; i < MAX_INDEX; i++) {
            MockBuffer *b = d->bound[i].buffer;
            e.buffer[i].at = d->n_bytes[i] ? d->bytes[i] : b ? b->bytes + d->bound[i].offset : NULL;
            e.buffer[i].n_bytes = d->n_bytes[i] ? d->n_bytes[i]
                                  : b           ? b->n_bytes - d->bound[i].offset
                                                : 0;
            e.shared_bytes[i] = d->shared[i];
        }
        if (!emu_run(&e, text, sizeof text)) refusal = text;
    }
    if (refusal) failure = [mock_error(refusal) retain];
    return refusal == NULL;
}
/* Encoded commands [first, last), which nothing orders. */
- (BOOL)runFrom:(NSUInteger)first to:(NSUInteger)last random:(struct rng *)r
{
    struct encoded *all = encoded + first;
    for (NSUInteger i = last - first; knobs.shuffle_seed && i > 1; i--) {
        const NSUInteger other = rng_below(r, i);
        const struct encoded one = all[i - 1];
        all[i - 1] = all[other];
        all[other] = one;
    }
    for (NSUInteger i = 0; i < last - first; i++)
        if (![self run:&all[i]]) return NO;
    return YES;
}
/* By the GPU's clock, of the first n that are encoded. */
- (uint64_t)nsOf:(NSUInteger)n
{
    uint64_t n_threads = 0;
    for (NSUInteger i = 0; i < n; i++) {
        const MTLSize g = encoded[i].groups, t = encoded[i].threads;
        n_threads += (uint64_t)g.width * g.height * g.depth * t.width * t.height * t.depth;
    }
    return n_threads * knobs.ns_per_thread;
}
/* Of what is to run, how much before it ends in an error; all: it does not. */
- (NSUInteger)lastBeforeFailure
{
    static const char killed[] = "Impacting Interactivity (0000000e:"
                                 "kIOGPUCommandBufferCallbackErrorImpactingInteractivity)";
    if (knobs.fail_after && --knobs.fail_after == 0) {
        knobs.fail_after = --knobs.fail_times > 0;
        failure = [mock_error(knobs.is_kill ? killed : "planted failure") retain];
        return knobs.is_kill ? n_encoded / 2 : 0;
    }
    if (knobs.most_ns && [self nsOf:n_encoded] > knobs.most_ns) {
        failure = [mock_error(killed) retain];
        return n_encoded / 2;
    }
    return n_encoded;
}
- (void)runAll
{
    struct rng r;
    NSUInteger first = 0;
    rng_seed(&r, knobs.shuffle_seed += knobs.shuffle_seed != 0);
    const NSUInteger n = [self lastBeforeFailure];
    knobs.n_commands++;
    for (MockResidencySet *set in residency) {
        knobs.n_waited += set->let_go != knobs.n_let_go;
        set->let_go = (uint32_t)knobs.n_let_go;
    }
    start_ns = knobs.now_ns;
    for (NSUInteger i = 0; i <= n; i++) {
        if (i < n && !encoded[i].is_barrier) continue;
        if (![self runFrom:first to:i random:&r]) break;
        first = i + 1;
    }
    knobs.now_ns += knobs.most_ns && failure ? knobs.most_ns : [self nsOf:n];
    end_ns = knobs.now_ns;
    const BOOL is_well = failure == nil;
    state = is_well ? MTLCommandBufferStatusCompleted : MTLCommandBufferStatusError;
    if (signal.event && (is_well || knobs.failed_signal) && signal.event->value < signal.value)
        signal.event->value = signal.value;
}
- (void)waitUntilCompleted
{
    mock_check(state != MTLCommandBufferStatusNotEnqueued, "waiting for what was not committed");
    while (state == MTLCommandBufferStatusCommitted)
        mock_check(run_one(), "waiting for a command buffer that waits for ever");
    run_others();
}
- (MTLCommandBufferStatus)status
{
    return state;
}
- (NSError *)error
{
    return failure;
}
- (double)GPUStartTime
{
    return start_ns * 1e-9;
}
- (double)GPUEndTime
{
    return end_ns * 1e-9;
}
- (void)dealloc
{
    for (NSUInteger i = 0; i < n_encoded; i++)
        for (int k = 0; k < MAX_INDEX; k++) emu_memory_give(encoded[i].bytes[k]);
    free(encoded);
    [failure release];
    [residency release];
    [super dealloc];
}
@end

static BOOL run_one(void)
{
    NSMutableArray *ready = [NSMutableArray array];
    for (MockCommandBuffer *c in committed)
        if ([c mayRun]) [ready addObject:c];
    const NSUInteger n = [ready count];
    if (!n) return NO;
    const NSUInteger at = knobs.shuffle_seed ? rng_below(&knobs.schedule, n) : 0;
    MockCommandBuffer *c = [[[ready objectAtIndex:at] retain] autorelease];
    [committed removeObject:c];
    [c runAll];
    return YES;
}

static void run_others(void)
{
    while (knobs.shuffle_seed && rng_below(&knobs.schedule, 2) && run_one())
        ;
}

@implementation MockEvent
- (uint64_t)signaledValue
{
    return value;
}
- (void)setSignaledValue:(uint64_t)to
{
    mock_check(to >= value, "an event's value is set back");
    value = to;
}
- (BOOL)waitUntilSignaledValue:(uint64_t)wanted timeoutMS:(uint64_t)timeout
{
    (void)timeout;      /* time passes when nothing can run any more */
    while (value < wanted && run_one())
        ;
    if (value >= wanted) run_others();
    return value >= wanted;
}
@end

@implementation MockQueue
- (id)init
{
    residency = [[NSMutableArray alloc] init];
    return [super init];
}
- (void)addResidencySet:(id<MTLResidencySet>)set
{
    [residency addObject:set];
}
- (id<MTLCommandBuffer>)commandBufferWithDescriptor:(MTLCommandBufferDescriptor *)descriptor
{
    (void)descriptor;
    MockCommandBuffer *c = [[[MockCommandBuffer alloc] init] autorelease];
    c->residency = [residency retain];
    return c;
}
- (void)dealloc
{
    [residency release];
    [super dealloc];
}
@end

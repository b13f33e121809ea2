/* See mock.h. Classes carry the names of Metal's protocols with Mock for MTL. Metal's own
 * classes, which only hold values, keep them in the room that make_sdk.py gave them. */
#import <Foundation/Foundation.h>
#import <Metal/Metal.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "mock/mock.h"

static uint32_t n_objects, fail_after, fail_times, most_in_flight, n_queues;
static enum emu_build build_of_libraries = EMU_RUN;
static uint64_t shuffle_seed = 1, working_set_bytes;
static bool failed_signal, is_deaf, has_tensors;
static struct rng schedule = { { 1, 2, 3, 4 } };    /* which command buffer runs next */

void mock_set_build(enum emu_build build)
{
    build_of_libraries = build;
}

void mock_set_shuffle(uint64_t seed)
{
    shuffle_seed = seed;
    rng_seed(&schedule, seed);
}

void mock_set_failed_signal(bool do_signal)
{
    failed_signal = do_signal;
}

void mock_set_tensors(bool has)
{
    has_tensors = has;
}

void mock_set_deaf(bool deaf)
{
    is_deaf = deaf;
}

void mock_fail_command(uint32_t n, uint32_t times)
{
    fail_after = n;
    fail_times = times;
}

void mock_set_working_set(uint64_t n_bytes)
{
    working_set_bytes = n_bytes;
}

uint32_t mock_most_in_flight(void)
{
    const uint32_t most = most_in_flight;
    most_in_flight = 0;
    return most;
}

uint32_t mock_n_queues(void)
{
    return n_queues;
}

uint32_t mock_n_objects(void)
{
    return n_objects;
}

/* What Metal's validation ends a program for. */
static void check(BOOL is_right, const char *what)
{
    if (is_right) return;
    fprintf(stderr, "metal mock: %s\n", what);
    abort();
}

static NSError *new_error(const char *text)
{
    NSString *words = [NSString stringWithUTF8String:text];
    return [NSError errorWithDomain:@"MockMetal"
                               code:1
                           userInfo:[NSDictionary dictionaryWithObject:words
                                                                forKey:NSLocalizedDescriptionKey]];
}

static void put_error(NSError **to, const char *text)
{
    if (to) *to = new_error(text);
}

@interface MockObject : NSObject
@end

@implementation MockObject
- (id)init
{
    n_objects++;
    return [super init];
}
- (void)dealloc
{
    n_objects--;
    [super dealloc];
}
@end

/* ---- holders of values ---------------------------------------------------------------------- */

@implementation MTLCompileOptions
- (void)setLanguageVersion:(MTLLanguageVersion)version
{
    check(version <= MTLLanguageVersion3_1 || (has_tensors && version == MTLLanguageVersion4_0),
          "a language version that the system does not have");
}
- (void)setMathMode:(MTLMathMode)mode
{
    mock[0] = (void *)(uintptr_t)(mode == MTLMathModeSafe);
}
- (void)setFastMathEnabled:(BOOL)is_fast
{
    mock[0] = (void *)(uintptr_t)!is_fast;
}
@end

@implementation MTLCommandBufferDescriptor
- (void)setRetainedReferences:(BOOL)are_retained
{
    mock[0] = (void *)(uintptr_t)are_retained;
}
- (void)setErrorOptions:(MTLCommandBufferErrorOption)options
{
    mock[1] = (void *)(uintptr_t)options;
}
@end

@implementation MTLResidencySetDescriptor
@end

@implementation MTLBinaryArchiveDescriptor
- (void)setUrl:(NSURL *)url
{
    [url retain];
    [(NSURL *)mock[0] release];
    mock[0] = url;
}
- (NSURL *)url
{
    return mock[0];
}
- (void)dealloc
{
    [(NSURL *)mock[0] release];
    [super dealloc];
}
@end

@implementation MTLComputePipelineDescriptor
- (void)setComputeFunction:(id<MTLFunction>)function
{
    mock[0] = function;     /* the caller keeps it as long as the descriptor */
}
- (id<MTLFunction>)computeFunction
{
    return mock[0];
}
- (void)setThreadGroupSizeIsMultipleOfThreadExecutionWidth:(BOOL)is_multiple
{
    mock[1] = (void *)(uintptr_t)is_multiple;
}
- (BOOL)threadGroupSizeIsMultipleOfThreadExecutionWidth
{
    return mock[1] != NULL;
}
- (void)setBinaryArchives:(NSArray *)archives
{
    mock[2] = archives;
}
@end

/* Values of 32 bits by index. */
struct constants {
    uint64_t set;
    uint32_t value[EMU_MAX_CONSTANTS];
};

@implementation MTLFunctionConstantValues
- (void)setConstantValue:(const void *)value type:(MTLDataType)type atIndex:(NSUInteger)index
{
    struct constants *c = mock[0];
    check(type == MTLDataTypeInt && index < EMU_MAX_CONSTANTS,
          "a function constant that is no integer");
    if (!c) mock[0] = c = calloc(1, sizeof *c);
    memcpy(&c->value[index], value, sizeof c->value[index]);
    c->set |= 1ull << index;
}
- (void)dealloc
{
    free(mock[0]);
    [super dealloc];
}
@end

/* ---- memory --------------------------------------------------------------------------------- */

@interface MockBuffer : MockObject <MTLBuffer> {
@public
    uint8_t *bytes;
    NSUInteger n_bytes;
    BOOL is_wrapped;            /* the bytes are somebody else's */
}
@end

@implementation MockBuffer
- (void *)contents
{
    return bytes;
}
- (NSUInteger)length
{
    return n_bytes;
}
- (void)dealloc
{
    if (!is_wrapped) emu_memory_give(bytes);
    [super dealloc];
}
@end

@interface MockResidencySet : MockObject <MTLResidencySet> {
@public
    NSMutableSet *added, *resident;
}
@end

@implementation MockResidencySet
- (id)init
{
    added = [[NSMutableSet alloc] init];
    resident = [[NSMutableSet alloc] init];
    return [super init];
}
- (void)addAllocation:(id<MTLAllocation>)allocation
{
    [added addObject:allocation];
}
- (void)commit
{
    [resident unionSet:added];
}
- (void)requestResidency
{
}
- (void)dealloc
{
    [added release];
    [resident release];
    [super dealloc];
}
@end

/* ---- kernels -------------------------------------------------------------------------------- */

@interface MockLibrary : MockObject <MTLLibrary> {
@public
    struct emu_library *library;
}
@end

@interface MockFunction : MockObject <MTLFunction> {
@public
    const struct emu_kernel *kernel;
    struct constants constants;
}
@end

@implementation MockFunction
@end

@implementation MockLibrary
- (id<MTLFunction>)newFunctionWithName:(NSString *)name
{
    const struct emu_kernel *kernel = emu_kernel_find(library, [name UTF8String]);
    if (!kernel) return nil;
    MockFunction *f = [[MockFunction alloc] init];
    f->kernel = kernel;
    return f;
}
- (id<MTLFunction>)newFunctionWithName:(NSString *)name
                        constantValues:(MTLFunctionConstantValues *)values
                                 error:(NSError **)error
{
    MockFunction *f = (MockFunction *)[self newFunctionWithName:name];
    if (!f) put_error(error, "the library has no function of this name");
    else if (values->mock[0]) f->constants = *(struct constants *)values->mock[0];
    return f;
}
- (void)dealloc
{
    emu_library_close(library);
    [super dealloc];
}
@end

@interface MockPipeline : MockObject <MTLComputePipelineState> {
@public
    MockFunction *function;
    BOOL wants_whole_simdgroups;
}
@end

@implementation MockPipeline
- (NSUInteger)maxTotalThreadsPerThreadgroup
{
    return EMU_MAX_THREADS;
}
- (void)dealloc
{
    [function release];
    [super dealloc];
}
@end

/* A list of names in a file. */
@interface MockArchive : MockObject <MTLBinaryArchive> {
@public
    NSMutableArray *names;
}
@end

static NSString *const archive_head = @"mock archive";

@implementation MockArchive
- (BOOL)addComputePipelineFunctionsWithDescriptor:(MTLComputePipelineDescriptor *)descriptor
                                            error:(NSError **)error
{
    (void)error;
    MockFunction *f = (MockFunction *)[descriptor computeFunction];
    NSString *name = [NSString stringWithUTF8String:emu_kernel_name(f->kernel)];
    if (![names containsObject:name]) [names addObject:name];
    return YES;
}
- (BOOL)serializeToURL:(NSURL *)url error:(NSError **)error
{
    NSString *text = [NSString stringWithFormat:@"%@\n%@\n", archive_head,
                                                [names componentsJoinedByString:@"\n"]];
    return [text writeToFile:[url path] atomically:NO encoding:NSUTF8StringEncoding error:error];
}
- (void)dealloc
{
    [names release];
    [super dealloc];
}
@end

/* ---- commands ------------------------------------------------------------------------------- */

static NSMutableArray *committed;       /* command buffers that have not run, by commit */

/* Runs one of those that may; NO: there is none. */
static BOOL run_one(void);

/* As a GPU that is ahead of its host: now and then. */
static void run_others(void);

enum { MAX_BYTES = 4096, MAX_INDEX = EMU_MAX_BUFFERS };

/* A dispatch as it was encoded, or a barrier. */
struct encoded {
    BOOL is_barrier;
    MockPipeline *pipeline;
    struct {
        MockBuffer *buffer;
        NSUInteger offset;
    } bound[MAX_INDEX];
    uint8_t *bytes[MAX_INDEX];      /* of setBytes; owned */
    NSUInteger n_bytes[MAX_INDEX];
    NSUInteger shared[MAX_INDEX];
    MTLSize groups, threads;
    const char *wrong;              /* found while encoding */
};

@interface MockEvent : MockObject <MTLSharedEvent> {
@public
    uint64_t value;
}
@end

@interface MockCommandBuffer : MockObject <MTLCommandBuffer> {
@public
    struct {
        MockEvent *event;       /* the caller keeps it */
        uint64_t value;
    } wait, signal;             /* before the first encoder, after the last */
    NSArray *residency;             /* the queue's */
    struct encoded *encoded;
    NSUInteger n_encoded;
    BOOL is_encoding;
    MTLCommandBufferStatus state;
    NSError *failure;
    uint64_t start_ns, end_ns;
}
@end

@interface MockEncoder : MockObject <MTLComputeCommandEncoder> {
@public
    MockCommandBuffer *command;
    struct encoded next;
    BOOL has_ended;
}
@end

@implementation MockEncoder
- (struct encoded *)append
{
    check(!has_ended, "encoding after the encoder's end");
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
    check(index < MAX_INDEX, "a buffer index beyond 30");
    MockBuffer *b = (MockBuffer *)buffer;
    if (offset % 4) next.wrong = "a buffer offset is no multiple of 4";
    if (b && offset >= b->n_bytes) next.wrong = "a buffer offset lies beyond its buffer";
    next.bound[index].buffer = b;
    next.bound[index].offset = offset;
    next.n_bytes[index] = 0;
}
- (void)setBytes:(const void *)bytes length:(NSUInteger)length atIndex:(NSUInteger)index
{
    check(index < MAX_INDEX, "a buffer index beyond 30");
    if (length > MAX_BYTES) next.wrong = "setBytes of more than 4096 bytes";
    free(next.bytes[index]);
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
    check(scope == MTLBarrierScopeBuffers, "a barrier of another scope than buffers");
    *[self append] = (struct encoded){ .is_barrier = YES };
}
- (void)endEncoding
{
    check(!has_ended, "the encoder has ended before");
    has_ended = YES;
    command->is_encoding = NO;
}
- (void)dealloc
{
    check(has_ended, "an encoder is released before its end");
    for (int i = 0; i < MAX_INDEX; i++) emu_memory_give(next.bytes[i]);
    [super dealloc];
}
@end

@implementation MockCommandBuffer
- (id<MTLComputeCommandEncoder>)computeCommandEncoderWithDispatchType:(MTLDispatchType)type
{
    check(type == MTLDispatchTypeConcurrent && !is_encoding, "one concurrent encoder at a time");
    MockEncoder *e = [[[MockEncoder alloc] init] autorelease];
    e->command = self;
    is_encoding = YES;
    return e;
}
- (void)encodeWaitForEvent:(id<MTLEvent>)event value:(uint64_t)value
{
    check(!n_encoded && !is_encoding && !wait.event, "a wait behind other work, or a second one");
    wait.event = (MockEvent *)event;
    wait.value = value;
}
- (void)encodeSignalEvent:(id<MTLEvent>)event value:(uint64_t)value
{
    check(!is_encoding && !signal.event, "a signal amid other work, or a second one");
    signal.event = (MockEvent *)event;
    signal.value = value;
}
- (void)commit
{
    check(!is_encoding && state == MTLCommandBufferStatusNotEnqueued,
          "committed twice or too early");
    state = MTLCommandBufferStatusCommitted;
    if (!committed) committed = [[NSMutableArray alloc] init];
    [committed addObject:self];
    if ([committed count] > most_in_flight) most_in_flight = [committed count];
}
- (BOOL)mayRun
{
    return is_deaf || !wait.event || wait.event->value >= wait.value;
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
        if (d->bound[i].buffer && !d->n_bytes[i] && ![self isResident:d->bound[i].buffer])
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
    if (refusal) failure = [new_error(refusal) retain];
    return refusal == NULL;
}
/* Encoded commands [first, last), which nothing orders. */
- (BOOL)runFrom:(NSUInteger)first to:(NSUInteger)last random:(struct rng *)r
{
    struct encoded *all = encoded + first;
    for (NSUInteger i = last - first; shuffle_seed && i > 1; i--) {
        const NSUInteger other = rng_below(r, i);
        const struct encoded one = all[i - 1];
        all[i - 1] = all[other];
        all[other] = one;
    }
    for (NSUInteger i = 0; i < last - first; i++)
        if (![self run:&all[i]]) return NO;
    return YES;
}
- (void)runAll
{
    struct rng r;
    NSUInteger first = 0;
    BOOL is_well = YES;
    rng_seed(&r, shuffle_seed += shuffle_seed != 0);
    start_ns = clock_ns();
    if (fail_after && --fail_after == 0) {
        fail_after = --fail_times > 0;
        failure = [new_error("planted failure") retain];
        is_well = NO;
    }
    for (NSUInteger i = 0; i <= n_encoded && is_well; i++) {
        if (i < n_encoded && !encoded[i].is_barrier) continue;
        is_well = [self runFrom:first to:i random:&r];
        first = i + 1;
    }
    end_ns = clock_ns();
    state = is_well ? MTLCommandBufferStatusCompleted : MTLCommandBufferStatusError;
    if (signal.event && (is_well || failed_signal) && signal.event->value < signal.value)
        signal.event->value = signal.value;
}
- (void)waitUntilCompleted
{
    check(state != MTLCommandBufferStatusNotEnqueued, "waiting for what was not committed");
    while (state == MTLCommandBufferStatusCommitted)
        check(run_one(), "waiting for a command buffer that waits for ever");
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
    MockCommandBuffer *c =
        [[[ready objectAtIndex:shuffle_seed ? rng_below(&schedule, n) : 0] retain] autorelease];
    [committed removeObject:c];
    [c runAll];
    return YES;
}

static void run_others(void)
{
    while (shuffle_seed && rng_below(&schedule, 2) && run_one())
        ;
}

@implementation MockEvent
- (uint64_t)signaledValue
{
    return value;
}
- (void)setSignaledValue:(uint64_t)to
{
    check(to >= value, "an event's value is set back");
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

@interface MockQueue : MockObject <MTLCommandQueue> {
@public
    NSMutableArray *residency;
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

/* ---- the device ----------------------------------------------------------------------------- */

@interface MockDevice : MockObject <MTLDevice>
@end

@implementation MockDevice
- (NSString *)name
{
    return @"emulated GPU";
}
- (BOOL)supportsFamily:(MTLGPUFamily)family
{
    if (family == (MTLGPUFamily)MTLGPUFamilyMetal4) return has_tensors;
    return family <= (MTLGPUFamily)(has_tensors ? MTLGPUFamilyApple10 : MTLGPUFamilyApple7);
}
- (uint64_t)recommendedMaxWorkingSetSize
{
    return working_set_bytes ? working_set_bytes : 8ull << 30;
}
- (NSUInteger)maxBufferLength
{
    return 4ull << 30;
}
- (id<MTLCommandQueue>)newCommandQueue
{
    n_queues++;
    return [[MockQueue alloc] init];
}
- (id<MTLSharedEvent>)newSharedEvent
{
    return [[MockEvent alloc] init];
}
- (id<MTLLibrary>)newLibraryWithSource:(NSString *)source
                               options:(MTLCompileOptions *)options
                                 error:(NSError **)error
{
    char *log;
    check(options->mock[0] != NULL, "mathMode was not chosen");
    struct emu_library *library = emu_compile([source UTF8String], build_of_libraries, &log);
    if (!library) {
        put_error(error, log);
        free(log);
        return nil;
    }
    MockLibrary *l = [[MockLibrary alloc] init];
    l->library = library;
    return l;
}
- (id<MTLBuffer>)newBufferWithLength:(NSUInteger)length options:(MTLResourceOptions)options
{
    check(length > 0, "a buffer of 0 bytes");
    check((options & (0xful << MTLResourceStorageModeShift)) == MTLResourceStorageModeShared,
          "a buffer that the host cannot see");
    uint8_t *bytes = emu_memory_take(length);
    if (!bytes) return nil;
    MockBuffer *b = [[MockBuffer alloc] init];
    b->bytes = bytes;
    b->n_bytes = length;
    return b;
}
- (id<MTLBuffer>)newBufferWithBytesNoCopy:(void *)bytes
                                   length:(NSUInteger)length
                                  options:(MTLResourceOptions)options
                              deallocator:(void (^)(void *, NSUInteger))deallocator
{
    const uintptr_t page = (uintptr_t)getpagesize();
    check(length > 0 && length % page == 0 && (uintptr_t)bytes % page == 0,
          "a buffer of foreign memory that is not whole pages");
    check((options & (0xful << MTLResourceStorageModeShift)) == MTLResourceStorageModeShared &&
              !deallocator, "a buffer of foreign memory in another way than is known here");
    MockBuffer *b = [[MockBuffer alloc] init];
    b->bytes = bytes;
    b->n_bytes = length;
    b->is_wrapped = YES;
    return b;
}
- (id<MTLResidencySet>)newResidencySetWithDescriptor:(MTLResidencySetDescriptor *)descriptor
                                               error:(NSError **)error
{
    (void)descriptor;
    (void)error;
    return [[MockResidencySet alloc] init];
}
- (id<MTLComputePipelineState>)
    newComputePipelineStateWithDescriptor:(MTLComputePipelineDescriptor *)descriptor
                                  options:(MTLPipelineOption)options
                               reflection:(void *)reflection
                                    error:(NSError **)error
{
    (void)options;
    (void)reflection;
    (void)error;
    MockPipeline *p = [[MockPipeline alloc] init];
    p->function = [(MockFunction *)[descriptor computeFunction] retain];
    p->wants_whole_simdgroups = [descriptor threadGroupSizeIsMultipleOfThreadExecutionWidth];
    return p;
}
- (id<MTLBinaryArchive>)newBinaryArchiveWithDescriptor:(MTLBinaryArchiveDescriptor *)descriptor
                                                 error:(NSError **)error
{
    NSMutableArray *names = [NSMutableArray array];
    if ([descriptor url]) {
        NSString *text = [NSString stringWithContentsOfFile:[[descriptor url] path]
                                                   encoding:NSUTF8StringEncoding
                                                      error:NULL];
        if (![text hasPrefix:archive_head]) {
            put_error(error, "the file is no archive");
            return nil;
        }
        [names addObjectsFromArray:[text componentsSeparatedByString:@"\n"]];
    }
    MockArchive *a = [[MockArchive alloc] init];
    a->names = [names retain];
    return a;
}
@end

id<MTLDevice> MTLCreateSystemDefaultDevice(void)
{
    return [[MockDevice alloc] init];
}

/* Recording of work, handing it over, and waiting for it.
 *
 * All work of a step is one command buffer with one concurrent encoder, or several where one would
 * keep the GPU too long. Its resources are untracked and outlive it, so a command buffer retains
 * none of them. Order within it is by barriers alone. Between command buffers it is by a shared
 * event: untracked as their buffers are, Metal may let two of one queue overlap, so each waits on
 * the GPU for the value that the one before signals at its end. The host sleeps on the same values.
 * Whether a failed command buffer still signals is not documented: so a value says when to look,
 * and the status of the command buffer says how it went. */
#include "backend/metal/device_internal.h"

#include <string.h>

#include "base/log.h"

pl_status metal_fail_with(pl_err *err, pl_status st, const char *what, NSError *error)
{
    const char *words = error ? [[error localizedDescription] UTF8String] : "no reason given";
    return pl_fail(err, st, "%s: %.180s", what, words);
}

bool metal_make_queue(struct metal_device *d)
{
    [d->queue release];
    d->queue = [d->device newCommandQueue];
#if HAS_SDK_15
    if (d->residency) [d->queue addResidencySet:d->residency];
#endif
    return d->queue != nil;
}

/* ---- recording ------------------------------------------------------------------------------ */

/* The i-th that was committed, the oldest first; i = n_committed: the one being recorded. */
static struct work *work_at(struct metal_device *d, uint32_t i)
{
    return &d->work[(d->oldest + i) % (METAL_MAX_COMMITTED + 1)];
}

static struct part *part_at(struct metal_device *d, uint32_t i)
{
    return &d->part[(d->oldest_part + i) % METAL_MAX_PARTS];
}

/* Waits for the oldest command buffer. */
static void end_oldest_part(struct metal_device *d);

static void begin_part(struct metal_device *d)
{
    if (d->n_parts == METAL_MAX_PARTS) end_oldest_part(d);
    struct part *p = part_at(d, d->n_parts);
    @autoreleasepool {
        MTLCommandBufferDescriptor *descriptor = [[MTLCommandBufferDescriptor alloc] init];
        [descriptor setRetainedReferences:NO];
        p->buffer = [[d->queue commandBufferWithDescriptor:descriptor] retain];
        [descriptor release];
        [p->buffer encodeWaitForEvent:d->event value:d->last_value];
        d->encoder =
            [[p->buffer computeCommandEncoderWithDispatchType:MTLDispatchTypeConcurrent] retain];
    }
    p->value = ++d->last_value;
    p->work = work_at(d, d->n_committed);
    p->work->n_parts++;
    p->expected_ns = 0;
    p->is_empty = true;
    d->shared_bytes = 0;
}

static void commit_part(struct metal_device *d)
{
    const struct part *p = part_at(d, d->n_parts++);
    @autoreleasepool {
        [d->encoder endEncoding];
        [d->encoder release];
        d->encoder = nil;
        [p->buffer encodeSignalEvent:d->event value:p->value];
        [p->buffer commit];
    }
}

void metal_begin(struct metal_device *d)
{
    struct work *w = work_at(d, d->n_committed);
    if (d->keeper) keep_alive_use(d->keeper);
    *w = (struct work){ .n_parts = 0 };
    if (d->n_committed) {   /* whose failure may be known here and not yet to who waits */
        const struct work *before = work_at(d, d->n_committed - 1);
        w->is_spoilt = before->is_spoilt || before->failure.status;
    }
    begin_part(d);
}

/* The command buffer that has room for the dispatch. */
static void make_room(struct metal_device *d, const struct metal_dispatch *what)
{
    const double ns = pace_expected_ns(what->n_macs, what->n_read_bytes);
    const struct part *now = part_at(d, d->n_parts);
    if (!now->is_empty && !pace_has_room(&d->pace, now->expected_ns, ns)) {
        commit_part(d);
        begin_part(d);
    }
    struct part *p = part_at(d, d->n_parts);
    p->expected_ns += ns;
    p->is_empty = false;
}

void metal_dispatch(struct metal_device *d, const struct metal_dispatch *what)
{
    make_room(d, what);
    id<MTLComputeCommandEncoder> e = d->encoder;
    [e setComputePipelineState:what->pipeline->state];
    for (uint32_t i = 0; i < what->n_buffers; i++)
        if (what->buffer[i].buffer)
            [e setBuffer:(id<MTLBuffer>)what->buffer[i].buffer->object
                  offset:what->buffer[i].buffer->object_offset + what->buffer[i].offset
                 atIndex:i];
    [e setBytes:what->args length:what->args_bytes atIndex:what->n_buffers];
    /* a length stays with the encoder, and counts for kernels that do not ask for any */
    if (what->shared_bytes != d->shared_bytes)
        [e setThreadgroupMemoryLength:what->shared_bytes ? what->shared_bytes : 16 atIndex:0];
    d->shared_bytes = what->shared_bytes;
    [e dispatchThreadgroups:MTLSizeMake(what->n_groups[0], what->n_groups[1], what->n_groups[2])
        threadsPerThreadgroup:MTLSizeMake(what->n_threads, 1, 1)];
}

void metal_barrier(struct metal_device *d)
{
    [d->encoder memoryBarrierWithScope:MTLBarrierScopeBuffers];
}

void metal_commit(struct metal_device *d)
{
    commit_part(d);
    d->n_committed++;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Whether the system ended it, for taking too long or because another program's work failed, and
 * not for what it did. The system says which in words alone:
 * "Impacting Interactivity (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)". */
static bool was_interrupted(NSError *error)
{
    static const char *const words[] = { "0000000e", "ImpactingInteractivity", "00000002:",
                                         "ErrorTimeout", "00000005:", "InnocentVictim" };
    const char *text = [[error localizedDescription] UTF8String];
    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
        if (strstr(text, words[i])) return true;
    return [error code] == MTLCommandBufferErrorTimeout;
}

/* Those that wait for it on the GPU may go on, and are spoilt. A queue that keeps failing is made
 * anew. */
static void tell_failure(struct metal_device *d, const struct part *p)
{
    NSError *error = [p->buffer error];
    const bool is_interruption = was_interrupted(error);
    struct work *w = p->work;
    if (!w->failure.status && !w->is_spoilt)
        metal_fail_with(&w->failure, is_interruption ? PL_E_INTERRUPTED : PL_E_INTERNAL,
                        "the GPU failed a step", error);
    for (uint32_t i = d->n_committed; work_at(d, i) != w; i--) work_at(d, i)->is_spoilt = true;
    if ([d->event signaledValue] < p->value) [d->event setSignaledValue:p->value];
    if (is_interruption) {
        pace_halve(&d->pace);
        PL_LOG(WARN, "metal", "the system ended a command buffer: %s; the next ones are to take %u "
               "ms at most", [[error localizedDescription] UTF8String],
               (unsigned)(d->pace.budget_ns / 1000000));
    }
    if (++d->n_failures < METAL_MAX_FAILURES) return;
    PL_LOG(ERROR, "metal", "%u command buffers failed in a row: the command queue is made anew",
           d->n_failures);
    d->n_failures = 0;
    metal_make_queue(d);
}

/* Until the command buffer is over, well or not. What its value does not tell, the status does: it
 * may fail without a signal, and be signalled a moment before its status is known. */
static MTLCommandBufferStatus wait_until_over(struct metal_device *d, const struct part *p)
{
    enum { LOOK_EVERY_MS = 100 };
    while (![d->event waitUntilSignaledValue:p->value timeoutMS:LOOK_EVERY_MS])
        if ([p->buffer status] >= MTLCommandBufferStatusCompleted) break;
    if ([p->buffer status] < MTLCommandBufferStatusCompleted) [p->buffer waitUntilCompleted];
    return [p->buffer status];
}

/* It may have begun by waiting for the one before. */
static uint64_t busy_ns(struct metal_device *d, const struct part *p)
{
    const double start_s = [p->buffer GPUStartTime], end_s = [p->buffer GPUEndTime];
    const double from_s = start_s > d->last_end_s ? start_s : d->last_end_s;
    if (end_s > d->last_end_s) d->last_end_s = end_s;
    return end_s > from_s ? (uint64_t)((end_s - from_s) * 1e9) : 0;
}

static void end_oldest_part(struct metal_device *d)
{
    struct part *p = part_at(d, 0);
    @autoreleasepool {
        const MTLCommandBufferStatus status = wait_until_over(d, p);
        const uint64_t ns = busy_ns(d, p);
        p->work->gpu_ns += ns;
        pace_learn(&d->pace, p->expected_ns, ns);
        if (status == MTLCommandBufferStatusError) tell_failure(d, p);
        else d->n_failures = 0;
        [p->buffer release];
        p->buffer = nil;
    }
    p->work->n_parts--;
    d->oldest_part = (d->oldest_part + 1) % METAL_MAX_PARTS;
    d->n_parts--;
}

pl_status metal_wait(struct metal_device *d, uint64_t *gpu_ns, pl_err *err)
{
    const struct work *w = work_at(d, 0);
    while (w->n_parts) end_oldest_part(d);
    d->oldest = (d->oldest + 1) % (METAL_MAX_COMMITTED + 1);
    d->n_committed--;
    if (gpu_ns) *gpu_ns = w->gpu_ns;
    if (w->failure.status) *err = w->failure;
    else if (w->is_spoilt) return pl_fail(err, PL_E_INTERNAL, "the GPU failed the step before");
    return w->failure.status;
}

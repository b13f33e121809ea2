/* Recording of work, handing it over, and waiting for it.
 *
 * All work of a step is one command buffer with one concurrent encoder. Its resources are untracked
 * and outlive it, so the command buffer retains none of them. Order within it is by barriers alone.
 * Between command buffers it is by a shared event: untracked as their buffers are, Metal may let
 * two of one queue overlap, so each waits on the GPU for the value that the one before signals at
 * its end. The host sleeps on the same values. Whether a failed command buffer still signals is not
 * documented: so a value says when to look, and the status of the command buffer says how it went.
 */
#include "backend/metal/device_internal.h"

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

/* The i-th committed command buffer, the oldest first; i = n_committed: the one being recorded. */
static struct command *command_at(struct metal_device *d, uint32_t i)
{
    return &d->command[(d->oldest + i) % (METAL_MAX_COMMITTED + 1)];
}

void metal_begin(struct metal_device *d)
{
    struct command *c = command_at(d, d->n_committed);
    @autoreleasepool {
        MTLCommandBufferDescriptor *descriptor = [[MTLCommandBufferDescriptor alloc] init];
        [descriptor setRetainedReferences:NO];
        [descriptor setErrorOptions:MTLCommandBufferErrorOptionEncoderExecutionStatus];
        c->buffer = [[d->queue commandBufferWithDescriptor:descriptor] retain];
        [descriptor release];
        [c->buffer encodeWaitForEvent:d->event value:d->last_value];
        c->value = ++d->last_value;
        c->is_spoilt = false;
        d->shared_bytes = 0;
        d->encoder =
            [[c->buffer computeCommandEncoderWithDispatchType:MTLDispatchTypeConcurrent] retain];
    }
}

void metal_dispatch(struct metal_device *d, const struct metal_dispatch *what)
{
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
    const struct command *c = command_at(d, d->n_committed++);
    @autoreleasepool {
        [d->encoder endEncoding];
        [d->encoder release];
        d->encoder = nil;
        [c->buffer encodeSignalEvent:d->event value:c->value];
        [c->buffer commit];
    }
}

/* Those that wait for it on the GPU may go on, and are spoilt. A queue that keeps failing is made
 * anew. */
static pl_status tell_failure(struct metal_device *d, const struct command *c, pl_err *err)
{
    const pl_status st =
        metal_fail_with(err, PL_E_INTERNAL, "the GPU failed a step", [c->buffer error]);
    if ([d->event signaledValue] < c->value) [d->event setSignaledValue:c->value];
    if (++d->n_failures < METAL_MAX_FAILURES) return st;
    PL_LOG(ERROR, "metal", "%u steps failed in a row: the command queue is made anew",
           d->n_failures);
    d->n_failures = 0;
    metal_make_queue(d);
    return st;
}

/* Until the command buffer is over, well or not. What its value does not tell, the status does: it
 * may fail without a signal, and be signalled a moment before its status is known. */
static MTLCommandBufferStatus wait_until_over(struct metal_device *d, const struct command *c)
{
    enum { LOOK_EVERY_MS = 100 };
    while (![d->event waitUntilSignaledValue:c->value timeoutMS:LOOK_EVERY_MS])
        if ([c->buffer status] >= MTLCommandBufferStatusCompleted) break;
    if ([c->buffer status] < MTLCommandBufferStatusCompleted) [c->buffer waitUntilCompleted];
    return [c->buffer status];
}

pl_status metal_wait(struct metal_device *d, uint64_t *gpu_ns, pl_err *err)
{
    struct command *c = command_at(d, 0);
    pl_status st = PL_OK;
    @autoreleasepool {
        const MTLCommandBufferStatus status = wait_until_over(d, c);
        if (gpu_ns)
            *gpu_ns = (uint64_t)(([c->buffer GPUEndTime] - [c->buffer GPUStartTime]) * 1e9);
        if (status == MTLCommandBufferStatusError) st = tell_failure(d, c, err);
        else if (c->is_spoilt) st = pl_fail(err, PL_E_INTERNAL, "the GPU failed the step before");
        else d->n_failures = 0;
        for (uint32_t i = 1; i < d->n_committed && st; i++) command_at(d, i)->is_spoilt = true;
        [c->buffer release];
        c->buffer = nil;
    }
    d->oldest = (d->oldest + 1) % (METAL_MAX_COMMITTED + 1);
    d->n_committed--;
    return st;
}

#include "backend/metal/recorder.h"

void metal_record(struct metal_backend *b, const struct metal_pipeline *pipeline,
                  const struct metal_buffer *const *buffer, uint32_t n_buffers, const void *args,
                  uint32_t args_bytes, uint32_t n_x, uint32_t n_y, uint32_t n_threads)
{
    struct metal_dispatch d = {
        .pipeline = pipeline, .n_buffers = n_buffers, .args = args, .args_bytes = args_bytes,
        .n_groups = { n_x, n_y, 1 }, .n_threads = n_threads,
    };
    for (uint32_t i = 0; i < n_buffers; i++) d.buffer[i].buffer = buffer[i];
    metal_dispatch(b->device, &d);
}

/* ---- waiting -------------------------------------------------------------------------------- */

void metal_wait_for(struct metal_backend *b, struct metal_step *step, uint64_t *gpu_ns)
{
    pl_err err;
    if (metal_wait(b->device, gpu_ns, &err) && !step->has_failed) {
        step->has_failed = true;
        step->failure = err;
    }
}

void metal_wait_until_over(struct metal_backend *b, struct metal_step *step)
{
    if (!step->is_over) metal_wait_for(b, step, NULL);
    step->is_over = true;
}

uint64_t metal_run_so_far(struct metal_backend *b)
{
    struct metal_step *recorded = &b->step[b->at];
    if (b->n_started) metal_wait_until_over(b, &b->step[(b->at + 1) % METAL_STEPS]);
    uint64_t ns = 0;
    metal_commit(b->device);
    metal_wait_for(b, recorded, &ns);
    metal_begin(b->device);
    return ns;
}

/* ---- timing --------------------------------------------------------------------------------- */

/* Timed, an operation is a command buffer of its own: slower, but the GPU says how long it took. */
void metal_end_operation(struct metal_backend *b, const char *name)
{
    if (b->timings.is_on) op_timings_add(&b->timings, name, metal_run_so_far(b));
    else metal_barrier(b->device);
}

void metal_timing(struct backend *base, bool on)
{
    op_timings_set(&((struct metal_backend *)base)->timings, on);
}

uint32_t metal_timings(struct backend *base, const char **name, uint64_t *ns, uint32_t max)
{
    return op_timings_take(&((struct metal_backend *)base)->timings, name, ns, max);
}

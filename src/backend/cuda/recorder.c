/* Time by operation, and waiting. */
#include <math.h>

#include "backend/cuda/cuda_internal.h"

/* Times are between marks on the stream: mark i ends operation i, the first mark begins. */
static void take_times(struct cuda_backend *b)
{
    for (uint32_t i = 1; i < b->n_marks; i++) {
        const float ms = b->api->ms_between(b->device, i - 1, i);
        if (b->mark_name[i]) op_timings_add(&b->timings, b->mark_name[i], (uint64_t)llround(ms * 1e6));
    }
    b->n_marks = 0;
}

void cuda_end_operation(struct cuda_backend *b, const char *name)
{
    char text[CUDA_TEXT_BYTES];
    if (!b->timings.is_on) return;
    if (b->n_marks == CUDA_TIMED_MARKS) {
        if (!b->api->wait_mark(b->device, b->n_marks - 1, text)) take_times(b);
        else b->n_marks = 0;
    }
    b->mark_name[b->n_marks] = b->n_marks ? name : NULL;
    b->api->mark(b->device, b->n_marks++);
}

pl_status cuda_wait(struct cuda_backend *b, pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    if (b->api->wait(b->device, text)) {
        b->n_marks = 0;
        return pl_fail(err, PL_E_INTERNAL, "%s", text);
    }
    take_times(b);
    return PL_OK;
}

pl_status cuda_wait_step(struct cuda_backend *b, uint32_t step, pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    if (!b->api->wait_mark(b->device, STEP_MARK + step, text)) return PL_OK;
    return pl_fail(err, PL_E_INTERNAL, "%s", text);
}

void cuda_timing(struct backend *base, bool on)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    op_timings_set(&b->timings, on);
    b->n_marks = 0;
}

uint32_t cuda_timings(struct backend *base, const char **name, uint64_t *ns, uint32_t max)
{
    return op_timings_take(&((struct cuda_backend *)base)->timings, name, ns, max);
}

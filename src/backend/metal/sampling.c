#include "backend/metal/sampling.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_WANTED = 2 * METAL_STEPS + 1 };

struct metal_sampling {
    struct metal_pipeline *pick_tokens;
    struct metal_buffer pick[METAL_STEPS];      /* (max_outs) struct row_pick */
    struct metal_buffer token[METAL_STEPS];     /* (max_outs) int32 */
    struct metal_buffer block_sum;      /* (max_outs, n_logit_blocks) f32 */
};

static uint32_t list_wanted(struct metal_sampling *s, const struct backend_params *p,
                            struct metal_wanted out[MAX_WANTED])
{
    const uint64_t outs = p->max_outs;
    const uint64_t n_blocks = (p->dims.n_vocab + LOGIT_BLOCK - 1) / LOGIT_BLOCK;
    uint32_t n = 0;
    for (int at = 0; at < METAL_STEPS; at++) {
        out[n++] =
            (struct metal_wanted){ "sampling", outs * sizeof(struct row_pick), &s->pick[at] };
        out[n++] = (struct metal_wanted){ "sampling", outs * 4, &s->token[at] };
    }
    out[n++] = (struct metal_wanted){ "sampling", outs * n_blocks * 4, &s->block_sum };
    return n;
}

uint64_t metal_sampling_bytes(const struct backend_params *params)
{
    struct metal_sampling s;
    struct metal_wanted list[MAX_WANTED];
    return metal_wanted_bytes(list, list_wanted(&s, params, list));
}

pl_status metal_sampling_open(struct metal_backend *b, pl_err *err)
{
    struct metal_sampling *s = b->sampling = calloc(1, sizeof *s);
    struct metal_wanted list[MAX_WANTED];
    if (!s) return pl_fail(err, PL_E_MEMORY, "no memory for the sampler's records");
    pl_status st = metal_take_all(b, list, list_wanted(s, &b->params, list), err);
    if (!st) st = metal_pipeline_get(b->device, "pick_tokens", NULL, 0, &s->pick_tokens, err);
    if (!st && metal_pipeline_max_threads(s->pick_tokens) < SAMPLING_THREADS)
        st = pl_fail(err, PL_E_UNSUPPORTED, "pick_tokens runs in %" PRIu32 " threads on this GPU; "
                     "%d are wanted", metal_pipeline_max_threads(s->pick_tokens), SAMPLING_THREADS);
    return st;
}

void metal_sampling_close(struct metal_backend *b)
{
    free(b->sampling);
    b->sampling = NULL;
}

/* The logarithm is the host's, so that min-p has the same border as on the CPU. */
static struct row_pick row_pick_of(const struct pick *p, uint32_t n_vocab)
{
    const bool has_top_k = p->top_k && p->top_k < n_vocab;
    struct row_pick r = { .kind = PICK_BY_HOST, .top_p = 1, .log_min_p = -FLT_MAX };
    if (!p->is_by_backend) return r;
    r.kind = PICK_LARGEST;
    if (p->temperature == 0 || p->top_k == 1) return r;
    r.kind = has_top_k || p->top_p < 1 || p->min_p > 0 ? PICK_FROM_BEST : PICK_FROM_ALL;
    r.unit = fminf((float)p->unit, 0x1.fffffep-1f);
    r.scale = 1 / p->temperature;
    if (has_top_k) r.top_k = p->top_k;
    if (p->top_p < 1) r.top_p = p->top_p;
    if (p->min_p > 0) r.log_min_p = logf(p->min_p);
    return r;
}

void metal_sampling_record(struct metal_backend *b, const struct pick *pick, uint32_t n,
                           uint32_t at)
{
    struct metal_sampling *s = b->sampling;
    struct row_pick *to = s->pick[at].bytes;
    const struct sampling_args args = { b->params.dims.n_vocab, b->ld_vocab, b->n_logit_blocks };
    const struct metal_buffer *buffers[] = { &b->logit_rows, &b->largest, &s->pick[at],
                                             &s->block_sum, &s->token[at] };
    bool is_any = false;
    for (uint32_t i = 0; i < n; i++) {
        to[i] = row_pick_of(&pick[i], args.n_vocab);
        is_any |= to[i].kind != PICK_BY_HOST;
    }
    if (!is_any) return;
    metal_record(b, s->pick_tokens, buffers, 5, &args, sizeof args, n, 1, SAMPLING_THREADS);
    metal_end_operation(b, "sample");
}

const struct metal_buffer *metal_sampling_tokens(const struct metal_backend *b, uint32_t at)
{
    return &b->sampling->token[at];
}

#include "backend/metal/sampling.h"

#include <math.h>
#include <stdlib.h>

/* What host and GPU hand each other for a step: twice, as all that a step in flight may be reading.
 */
struct metal_sampling {
    struct metal_pipeline *pick;
    struct metal_buffer picks[METAL_STEPS];     /* (max_outs) struct pick_args */
    struct metal_buffer tokens[METAL_STEPS];    /* (max_outs) int32_t */
};

enum { MAX_WANTED = 2 * METAL_STEPS };

static uint32_t list_wanted(struct metal_sampling *s, const struct backend_params *p,
                            struct metal_wanted out[MAX_WANTED])
{
    uint32_t n = 0;
    for (int i = 0; i < METAL_STEPS; i++) {
        out[n++] = (struct metal_wanted){ "sampling", p->max_outs * sizeof(struct pick_args),
                                          &s->picks[i] };
        out[n++] = (struct metal_wanted){ "sampling", p->max_outs * sizeof(int32_t),
                                          &s->tokens[i] };
    }
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
    if (!s) return pl_fail(err, PL_E_MEMORY, "no memory for the sampler's records");
    struct metal_wanted list[MAX_WANTED];
    const pl_status st = metal_take_all(b, list, list_wanted(s, &b->params, list), err);
    return st ? st : metal_pipeline_get(b->device, "pick", NULL, 0, &s->pick, err);
}

void metal_sampling_close(struct metal_backend *b)
{
    free(b->sampling);
    b->sampling = NULL;
}

/* The GPU draws with 24 bits; rounding up must not make them 1. */
static struct pick_args args_of(const struct pick *p)
{
    const float most = 1 - 0x1p-24f;
    return (struct pick_args){
        .is_wanted = p->is_by_backend,
        .is_greedy = p->temperature == 0,
        .scale = 1 / p->temperature,
        .top_k = p->top_k,
        .top_p = p->top_p,
        .min_distance = p->min_p > 0 ? -logf(p->min_p) : INFINITY,
        .unit = fminf((float)p->unit, most),
    };
}

void metal_sampling_record(struct metal_backend *b, const struct pick *pick, uint32_t n)
{
    const struct metal_sampling *s = b->sampling;
    const struct metal_buffer *buffers[] = { &b->logit_rows, &b->largest, &s->picks[b->at],
                                             &s->tokens[b->at] };
    const struct sample_args args = { b->params.dims.n_vocab, b->n_logit_blocks, b->ld_vocab };
    for (uint32_t i = 0; i < n; i++)
        ((struct pick_args *)s->picks[b->at].bytes)[i] = args_of(&pick[i]);
    metal_record(b, s->pick, buffers, 4, &args, sizeof args, n, 1, PICK_THREADS);
}

const struct metal_buffer *metal_sampling_tokens(const struct metal_backend *b, uint32_t at)
{
    return &b->sampling->tokens[at];
}

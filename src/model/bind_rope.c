/* What positions do: RoPE's tables, and the scale of queries. */
#include <inttypes.h>
#include <math.h>

#include "base/memory.h"
#include "model/bind.h"
#include "model/rope.h"
#include "quant/quant.h"

static pl_status load_rope(struct binder *k, const struct rope_params *r, const float *factors,
                           struct rope **out, pl_err *err)
{
    k->plan.weights_bytes += (uint64_t)k->ctx_tokens * r->n_rot * sizeof(float);
    if (!k->b) return PL_OK;
    rope_table(r, factors, k->ctx_tokens, k->scratch);
    const struct rope_view view = { k->scratch, k->ctx_tokens, r->n_rot,
                                    k->h->arch->rope_interleaved };
    return k->ops->load_rope(k->b, &view, out, err);
}

/* What frequencies are divided by, a factor a pair: Llama-3's scaling has one list, longrope one
 * for contexts up to the original and one for longer ones. Which of these, the context decides that
 * was asked for: keys that were turned by the other would be of no use. */
static pl_status read_factors(struct binder *k, float factors[BACKEND_MAX_D_HEAD / 2],
                              bool *has_any, pl_err *err)
{
    const struct rope_params *r = &k->h->rope[0];
    const uint32_t n_pairs = r->n_rot / 2;
    const struct gguf_tensor *of_long = find_tensor(k, "rope_factors_long.weight");
    const struct gguf_tensor *of_short = find_tensor(k, "rope_factors_short.weight");
    const struct gguf_tensor *t = find_tensor(k, "rope_freqs.weight");
    const char *name = "rope_freqs.weight";
    if (of_long && of_short) {
        const uint32_t wanted = k->h->rope_ctx_tokens ? k->h->rope_ctx_tokens : k->ctx_tokens;
        const bool is_long = wanted > r->original_ctx && k->h->ctx_tokens > r->original_ctx;
        t = is_long ? of_long : of_short;
        name = is_long ? "rope_factors_long.weight" : "rope_factors_short.weight";
    }
    *has_any = t != NULL;
    if (!t && r->has_factors) return missing_tensor(k, "rope_factors_long.weight", err);
    if (!t) return PL_OK;
    if (!has_shape(t, n_pairs, 1, 1))
        return pl_fail(err, PL_E_FORMAT, "%s: %s has %" PRIu64 " values; %" PRIu32 " are wanted",
                       k->g->part[0].path, name, t->dim[0], n_pairs);
    quant_dequantise(t->type, t->data, factors, n_pairs);
    for (uint32_t i = 0; i < n_pairs; i++)
        if (!(factors[i] > 0))
            return pl_fail(err, PL_E_FORMAT, "%s: %s[%" PRIu32 "] is %g; more than 0 is wanted",
                           k->g->part[0].path, name, i, (double)factors[i]);
    return PL_OK;
}

/* A table for each kind of turning that the plan knows. */
pl_status bind_ropes(struct binder *k, struct layer *layers, uint32_t first, uint32_t end,
                     pl_err *err)
{
    const struct hparams *h = k->h;
    struct rope *rope[MAX_ROPES] = { NULL };
    float factors[BACKEND_MAX_D_HEAD / 2];
    bool has_factors;

    pl_status st = read_factors(k, factors, &has_factors, err);
    for (uint32_t i = 0; !st && i < h->n_ropes; i++)
        st = load_rope(k, &h->rope[i], i == 0 && has_factors ? factors : NULL, &rope[i], err);
    for (uint32_t i = first; !st && layers && i < end; i++)
        if (h->layer[i].rope != NO_ROPE) layers[i].attention.rope = rope[h->layer[i].rope];
    return st;
}

/* What queries are scaled by at every position, for all layers. */
pl_status bind_temperature(struct binder *k, struct layer *layers, uint32_t first, uint32_t end,
                           pl_err *err)
{
    const struct hparams *h = k->h;
    struct vector *scales = NULL;
    if (h->temperature == 0) return PL_OK;
    k->plan.weights_bytes += memory_rounded((uint64_t)k->ctx_tokens * sizeof(float));
    if (!k->b) return PL_OK;
    const double ctx = h->temperature_ctx ? h->temperature_ctx : h->rope[0].original_ctx;
    for (uint32_t pos = 0; pos < k->ctx_tokens; pos++)
        k->scratch[pos] =
            1 + h->temperature * (float)log(1 + floor((pos + h->temperature_from) / ctx));
    const pl_status st = k->ops->load_vector(k->b, k->scratch, k->ctx_tokens, &scales, err);
    for (uint32_t i = first; i < end && !st; i++)
        if (!h->cools_unturned || h->layer[i].rope == NO_ROPE)
            layers[i].attention.q_scales = scales;
    return st;
}

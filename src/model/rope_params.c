/* RoPE out of a file's keys. What the keys mean, and what a missing one does, is as llama.cpp has
 * it: a factor without a type is linear, a factor or base of 0 is not set, "none" scales nothing,
 * and the older rope.scale_linear counts where there is no rope.scaling.factor. */
#include "model/hparams_read.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool equals(struct gguf_string s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.bytes, text, s.n);
}

/* The scaling's type, as the two numbers in which the types differ: the factor, and the part of
 * YaRN's ramp. */
static pl_status read_type(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct rope_params *r = &h->rope[0];
    const struct key key = key_of(h, "rope.scaling.type");
    struct gguf_string type = { "linear", 6 };
    pl_status st = gguf_has(g, key.text) ? gguf_string(g, key.text, &type, err) : PL_OK;
    if (st) return st;
    const bool is_yarn = equals(type, "yarn");
    const bool is_longrope = equals(type, "longrope");
    if (!is_yarn && !is_longrope && !equals(type, "linear") && !equals(type, "none"))
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: RoPE scaling \"%.*s\"; none, linear, yarn and "
                       "longrope are run (--rope-scaling chooses)", g->part[0].path,
                       type.n > 20 ? 20 : (int)type.n, type.bytes);
    if (equals(type, "none") || is_longrope) r->factor = 1;
    r->has_factors = is_longrope;
    st = read_f32_or(h, g, "rope.scaling.yarn_ext_factor", -1, &r->yarn_ext_factor, err);
    if (!st && r->yarn_ext_factor < 0) r->yarn_ext_factor = is_yarn;
    return st;
}

static pl_status read_factor(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const char *suffix = gguf_has(g, key_of(h, "rope.scaling.factor").text) ? "rope.scaling.factor"
                                                                            : "rope.scale_linear";
    const pl_status st = read_f32_or(h, g, suffix, 0, &h->rope[0].factor, err);
    if (!st && h->rope[0].factor == 0) h->rope[0].factor = 1;
    return st;
}

static pl_status read_yarn(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct rope_params *r = &h->rope[0];
    float factor = 1;
    pl_status st =
        read_u32_or(h, g, "rope.scaling.original_context_length", 0, &r->original_ctx, err);
    if (!st) st = read_f32_or(h, g, "rope.scaling.yarn_beta_fast", 32, &r->yarn_beta_fast, err);
    if (!st) st = read_f32_or(h, g, "rope.scaling.yarn_beta_slow", 1, &r->yarn_beta_slow, err);
    if (!st) st = read_f32_or(h, g, "rope.scaling.attn_factor", 1, &r->attn_factor, err);
    if (!st) st = read_f32_or(h, g, "rope.scaling.yarn_attn_factor", 1, &factor, err);
    if (!st)
        st = read_f32_or(h, g, "rope.scaling.yarn_log_multiplier", 0, &r->yarn_log_multiplier, err);
    if (!st)
        st = gguf_bool_or(g, key_of(h, "rope.scaling.yarn_truncate").text,
                          !h->arch->yarn_is_unrounded, &r->is_ramp_rounded, err);
    if (!st) st = read_f32_or(h, g, "attention.temperature_scale", 0, &h->temperature, err);
    if (!r->original_ctx) r->original_ctx = h->ctx_tokens;
    r->attn_factor *= factor;
    return st;
}

static pl_status check(const struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct rope_params *r = &h->rope[0];
    if (!r->n_rot || r->n_rot > h->dims.d_head || r->n_rot % 2)
        return pl_fail(err, PL_E_FORMAT, "%s: rope.dimension_count is %" PRIu32 " of heads of %"
                       PRIu32 "; pairs, no more than a head has, are wanted", g->part[0].path,
                       r->n_rot, h->dims.d_head);
    if (!(r->base > 1) || !(r->factor > 0))
        return pl_fail(err, PL_E_FORMAT, "%s: RoPE base %g and factor %g; base > 1 and factor > 0 "
                       "are wanted", g->part[0].path, (double)r->base, (double)r->factor);
    if (!(r->yarn_log_multiplier >= 0) || !isfinite(r->yarn_log_multiplier) ||
        !isfinite(h->temperature))
        return pl_fail(err, PL_E_FORMAT,
                       "%s: YaRN's multiplier %g and attention's temperature %g; a "
                       "finite number, of 0 or more, and a finite one are wanted",
                       g->part[0].path, (double)r->yarn_log_multiplier, (double)h->temperature);
    if (!(r->yarn_beta_fast > 0) || !(r->yarn_beta_slow > 0) || !(r->attn_factor > 0))
        return pl_fail(err, PL_E_FORMAT, "%s: YaRN's betas %g, %g and factor of attention %g; more "
                       "than 0 is wanted", g->part[0].path, (double)r->yarn_beta_fast,
                       (double)r->yarn_beta_slow, (double)r->attn_factor);
    return PL_OK;
}

pl_status rope_params_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct rope_params *r = &h->rope[0];
    h->n_ropes = 1;
    pl_status st = read_of_layers_or(h, g, "rope.dimension_count", h->dims.d_head, &r->n_rot, err);
    if (!st) st = read_f32_or(h, g, "rope.freq_base", 0, &r->base, err);
    if (!st && r->base == 0) r->base = 10000;
    if (!st) st = read_factor(h, g, err);
    if (!st) st = read_type(h, g, err);
    if (!st) st = read_yarn(h, g, err);
    return st ? st : check(h, g, err);
}

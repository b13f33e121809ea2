#include "engine/overrides.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARCH_BYTES = 40 };

/* What is set, and of which architecture's keys. */
struct setting {
    struct gguf *g;
    char arch[MAX_ARCH_BYTES + 1];
};

static void key_of(const struct setting *s, const char *suffix, char key[128])
{
    snprintf(key, 128, "%s.%s", s->arch, suffix);
}

static pl_status set_text(const struct setting *s, const char *suffix, enum gguf_kind kind,
                          const char *value, pl_err *err)
{
    char key[128];
    key_of(s, suffix, key);
    return gguf_override_key(s->g, key, kind, value, err);
}

/* 0 is not set. */
static pl_status set_float(const struct setting *s, const char *suffix, double value, pl_err *err)
{
    char text[40];
    if (value == 0) return PL_OK;
    snprintf(text, sizeof text, "%.9g", value);
    return set_text(s, suffix, GGUF_F64, text, err);
}

static pl_status set_count(const struct setting *s, const char *suffix, uint64_t value, pl_err *err)
{
    char text[40];
    if (value == 0) return PL_OK;
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return set_text(s, suffix, GGUF_I64, text, err);
}

/* How many times the original context a model is to have: then its own is so much longer, and the
 * original one is written down where it was the model's own. */
static pl_status set_scale(const struct setting *s, const pl_rope *r, pl_err *err)
{
    const double scale = r->scale != 0 ? (double)r->scale
                         : r->freq_scale != 0 ? 1 / (double)r->freq_scale : 0;
    char key[128];
    uint32_t ctx = 0, original = r->yarn_orig_ctx;
    if (scale == 0) return PL_OK;
    key_of(s, "context_length", key);
    pl_status st = gguf_u32(s->g, key, &ctx, err);
    key_of(s, "rope.scaling.original_context_length", key);
    if (!st && !original) st = gguf_u32_or(s->g, key, ctx, &original, err);
    if (!st) st = set_float(s, "rope.scaling.factor", scale, err);
    if (!st) st = set_count(s, "rope.scaling.original_context_length", original, err);
    const double longer = fmin(floor(original * scale), 1 << 24);
    return st || longer <= ctx ? st : set_count(s, "context_length", (uint64_t)longer, err);
}

static bool is_number(const char *text)
{
    char *end;
    const double v = strtod(text, &end);
    return end != text && !*end && isfinite(v);
}

/* A negative number is not set, as llama-server has it. */
static pl_status set_ext_factor(const struct setting *s, const char *text, pl_err *err)
{
    if (!text) return PL_OK;
    if (!is_number(text))
        return pl_fail(err, PL_E_PARAM, "yarn_ext_factor (--yarn-ext-factor): found \"%.20s\", "
                       "a number is wanted", text);
    if (strtod(text, NULL) < 0) return PL_OK;
    return set_text(s, "rope.scaling.yarn_ext_factor", GGUF_F64, text, err);
}

static float positive(float value)
{
    return value > 0 ? value : 0;
}

static pl_status set_rope(const struct setting *s, const pl_rope *r, pl_err *err)
{
    pl_status st = PL_OK;
    if (r->scaling) st = set_text(s, "rope.scaling.type", GGUF_STRING, r->scaling, err);
    if (!st) st = set_scale(s, r, err);
    if (!st) st = set_float(s, "rope.freq_base", r->freq_base, err);
    if (!st) st = set_count(s, "rope.scaling.original_context_length", r->yarn_orig_ctx, err);
    if (!st) st = set_ext_factor(s, r->yarn_ext_factor, err);
    if (!st)
        st = set_float(s, "rope.scaling.yarn_attn_factor", positive(r->yarn_attn_factor), err);
    if (!st) st = set_float(s, "rope.scaling.yarn_beta_slow", positive(r->yarn_beta_slow), err);
    if (!st) st = set_float(s, "rope.scaling.yarn_beta_fast", positive(r->yarn_beta_fast), err);
    return st;
}

pl_status overrides_apply(struct gguf *g, const pl_params *params, pl_err *err)
{
    static const pl_rope none;
    struct setting s = { .g = g };
    struct gguf_string arch;
    pl_status st = params->override_kv ? gguf_override(g, params->override_kv, err) : PL_OK;
    if (st || !memcmp(&params->rope, &none, sizeof none)) return st;
    st = gguf_string(g, "general.architecture", &arch, err);
    if (st) return st;
    snprintf(s.arch, sizeof s.arch, "%.*s", arch.n > MAX_ARCH_BYTES ? MAX_ARCH_BYTES : (int)arch.n,
             arch.bytes);
    return set_rope(&s, &params->rope, err);
}

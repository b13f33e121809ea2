/* The rules are llama.cpp's (llama_tensor_get_type, without an importance matrix): "more bits" for
 * attn_v and ffn_down of some layers, Q6_K for the head, another type where rows are no multiple of
 * 256. Perplexities: README of Qwen/Qwen2-0.5B-Instruct-GGUF, which has all sizes and types. */
#include "estimate/recipe.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static const struct {
    struct recipe_traits traits;
    enum quant_type base, more, head;
} recipes[N_RECIPES] = {
    [RECIPE_Q4_0] = { { "Q4_0", 8.19 }, QUANT_Q4_0, QUANT_Q4_0, QUANT_Q6_K },
    [RECIPE_Q4_K_M] = { { "Q4_K_M", 8.02 }, QUANT_Q4_K, QUANT_Q6_K, QUANT_Q6_K },
    [RECIPE_Q5_K_M] = { { "Q5_K_M", 7.97 }, QUANT_Q5_K, QUANT_Q6_K, QUANT_Q6_K },
    [RECIPE_Q6_K] = { { "Q6_K", 7.96 }, QUANT_Q6_K, QUANT_Q6_K, QUANT_Q6_K },
    [RECIPE_Q8_0] = { { "Q8_0", 7.94 }, QUANT_Q8_0, QUANT_Q8_0, QUANT_Q8_0 },
    [RECIPE_F16] = { { "F16", 7.93 }, QUANT_F16, QUANT_F16, QUANT_F16 },
};

const struct recipe_traits *recipe_traits(enum recipe recipe)
{
    return &recipes[recipe].traits;
}

bool recipe_find(const char *name, enum recipe *out)
{
    for (unsigned i = 0; i < N_RECIPES; i++)
        if (!strcasecmp(name, recipes[i].traits.name)) {
            *out = (enum recipe)i;
            return true;
        }
    return false;
}

/* Where a row is no multiple of the type's block. */
static enum quant_type fitting(enum quant_type type, uint32_t n_k)
{
    if (n_k % quant_traits(type)->block_weights == 0) return type;
    switch (type) {
    case QUANT_Q4_K: return QUANT_Q5_0;
    case QUANT_Q5_K: return QUANT_Q5_1;
    case QUANT_Q6_K: return QUANT_Q8_0;
    default: return QUANT_F16;
    }
}

struct sum {
    struct weights *out;
    enum recipe recipe;
};

enum use { EVERY_STEP, HEAD, EXPERTS, LOOKED_UP };

static struct type_weights *part_of(struct weights *w, uint32_t type)
{
    uint32_t i = 0;
    while (i < w->n_parts && w->part[i].type != type) i++;
    if (i == w->n_parts) {
        assert(i < MAX_WEIGHT_TYPES);   /* a recipe has three, and what each falls back to */
        w->part[w->n_parts++].type = type;
    }
    return &w->part[i];
}

/* n_rows x n_k weights in each of n_of matrices, of which a column uses n_used. */
static void add(struct sum *s, enum quant_type wanted, uint64_t n_rows, uint32_t n_k, uint32_t n_of,
                uint32_t n_used, enum use use)
{
    const enum quant_type type = fitting(wanted, n_k);
    const uint64_t n = n_of * n_rows * n_k, bytes = n_of * n_rows * quant_row_bytes(type, n_k);
    struct type_weights *part = part_of(s->out, type);
    *(use == EVERY_STEP ? &part->dense : use == HEAD ? &part->head
      : use == EXPERTS ? &part->experts : &part->looked_up) += n;
    s->out->n_parameters += n;
    s->out->bytes += bytes;
    if (use == EVERY_STEP || use == HEAD) s->out->step_bytes += bytes;
    if (use == EXPERTS) s->out->expert_bytes += bytes;
    if (use != LOOKED_UP) s->out->macs_per_token += n_used * n_rows * n_k;
}

static void add_floats(struct sum *s, uint64_t n)
{
    s->out->n_floats += n;
    s->out->n_parameters += n;
    s->out->bytes += n * sizeof(float);
    s->out->step_bytes += n * sizeof(float);
}

static bool has_more_bits(uint32_t layer, uint32_t n_layers)
{
    return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

static void add_mixture(struct sum *s, const struct shape *m, enum quant_type base,
                        enum quant_type more)
{
    const enum quant_type up = m->has_mxfp4_experts ? QUANT_MXFP4 : base;
    const enum quant_type down = m->has_mxfp4_experts ? QUANT_MXFP4 : more;
    add(s, up, 2 * m->d_expert, m->d_model, m->n_experts, m->n_experts_used, EXPERTS);
    add(s, down, m->d_model, m->d_expert, m->n_experts, m->n_experts_used, EXPERTS);
    if (m->d_shared) {
        add(s, base, 2 * m->d_shared, m->d_model, 1, 1, EVERY_STEP);
        add(s, more, m->d_model, m->d_shared, 1, 1, EVERY_STEP);
    }
    if (m->has_shared_router) add_floats(s, m->d_model);
    add_floats(s, (uint64_t)m->n_experts * m->d_model);
    if (m->has_choice_bias) add_floats(s, m->n_experts);
    if (m->has_all_biases)
        add_floats(s, (uint64_t)m->n_experts * (1 + 2 * m->d_expert + m->d_model));
}

static void add_delta_net(struct sum *s, const struct shape *m, enum quant_type base)
{
    enum { N_TAPS = 4 };
    const uint32_t n_value = m->n_delta_v * m->d_delta;
    const uint32_t n_channels = 2 * m->n_delta_k * m->d_delta + n_value;
    add(s, base, n_channels + n_value, m->d_model, 1, 1, EVERY_STEP);
    add(s, base, m->d_model, n_value, 1, 1, EVERY_STEP);
    add_floats(s, (uint64_t)2 * m->n_delta_v * m->d_model + N_TAPS * n_channels);
    add_floats(s, 2 * m->n_delta_v + m->d_delta);
}

static void add_attention(struct sum *s, const struct shape *m, enum quant_type base,
                          enum quant_type more)
{
    const uint32_t d_q = m->n_heads * m->d_head, d_kv = m->n_kv_heads * m->d_head;
    add(s, base, m->delta_period ? 2 * d_q : d_q, m->d_model, 1, 1, EVERY_STEP);
    add(s, base, d_kv, m->d_model, 1, 1, EVERY_STEP);
    add(s, more, d_kv, m->d_model, 1, 1, EVERY_STEP);
    add(s, base, m->d_model, d_q, 1, 1, EVERY_STEP);
    if (m->has_all_biases) add_floats(s, m->d_model + m->n_heads);
    add_floats(s, (m->has_qkv_bias ? d_q + 2 * d_kv : 0) + (m->has_qk_norm ? 2 * m->d_head : 0));
}

static void add_layer(struct sum *s, const struct shape *m, uint32_t layer)
{
    const enum quant_type base = recipes[s->recipe].base;
    const enum quant_type more =
        has_more_bits(layer, m->n_layers) ? recipes[s->recipe].more : base;

    if (m->delta_period && (layer + 1) % m->delta_period) add_delta_net(s, m, base);
    else add_attention(s, m, base, more);
    if (m->n_experts && layer >= m->n_dense_layers) {
        add_mixture(s, m, base, more);
    } else {
        add(s, base, 2 * m->d_ff, m->d_model, 1, 1, EVERY_STEP);
        add(s, more, m->d_model, m->d_ff, 1, 1, EVERY_STEP);
    }
    add_floats(s, (m->has_post_norms ? 4 : 2) * m->d_model);
}

void recipe_weights(const struct shape *m, enum recipe recipe, struct weights *out)
{
    struct sum s = { out, recipe };
    *out = (struct weights){ 0 };
    for (uint32_t i = 0; i < m->n_layers; i++) add_layer(&s, m, i);
    add_floats(&s, m->d_model);
    out->head_macs = (uint64_t)m->n_vocab * m->d_model;
    add(&s, recipes[recipe].head, m->n_vocab, m->d_model, 1, 1, HEAD);
    if (!m->is_tied) add(&s, recipes[recipe].base, m->n_vocab, m->d_model, 1, 1, LOOKED_UP);
}

struct packed_bytes weights_packed(const struct weights *w, enum estimate_backend backend)
{
    const double floats = (double)w->n_floats * sizeof(float);
    struct packed_bytes b = { floats, floats, 0 };
    for (uint32_t i = 0; i < w->n_parts; i++) {
        const struct type_weights *p = &w->part[i];
        const double each = estimate_bytes_a_weight(backend, p->type);
        b.all += each * (double)(p->dense + p->head + p->experts + p->looked_up);
        b.step += each * (double)(p->dense + p->head);
        b.experts += each * (double)p->experts;
    }
    return b;
}

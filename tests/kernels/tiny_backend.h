/* A small random model run directly through the operations of a backend: what the tests of the
 * backends share. Weights follow from a seed; streams have tokens and pages of their own, and
 * what a step computes lands in one table of logits by stream and position, so that two ways to run
 * the same streams are compared by memcmp. */
#ifndef TESTS_KERNELS_TINY_BACKEND_H
#define TESTS_KERNELS_TINY_BACKEND_H

#include "file_types.h"

#include "backend/backend.h"
#include "base/memory.h"

enum { TINY_LAYERS = 2, TINY_POSITIONS = 64, TINY_PAGES = TINY_POSITIONS / PAGE_TOKENS,
       TINY_STREAMS = 20, TINY_MATRICES = 15, TINY_BIASES = 7,
       TINY_KV_GROUPS = 2,      /* the second where layers have a window, and for these */
       TINY_POOL = 2 * TINY_STREAMS * TINY_PAGES };     /* pages of each */

#define TINY_EXPERT_SCALE 0.75f

/* Places in tiny_shape.type and tiny_layer.matrix */
enum { IN_Q, IN_K, IN_V, IN_O, IN_GATE, IN_UP, IN_DOWN, IN_EXPERT_GATE, IN_EXPERT_UP,
       IN_EXPERT_DOWN, IN_INPUT_GATE, IN_INPUT_DOWN, IN_LOW_DOWN, IN_LOW_UP,
       /* of latents IN_Q, IN_K and IN_V are q, absorb and value, IN_LOW_DOWN is kv */
       IN_Q_DOWN };

/* Places in tiny_layer.side: vectors of what only some shapes have. */
enum { SIDE_NORM_V, SIDE_DENSE_POST, SIDE_EXPERT_NORM, SIDE_EXPERT_POST, SIDE_ROUTER_NORM,
       SIDE_EXPERT_SCALES, SIDE_INPUT_POST, SIDE_TRACK_ROUTER, SIDE_TRACK_NORM, SIDE_PREDICT,
       SIDE_CORRECT, SIDE_TRACK_SCALE, SIDE_LOW_POST, SIDE_QUERY_NORM, SIDE_LATENT_NORM,
       TINY_SIDES };

struct tiny_shape {
    const char *name;
    uint32_t d_model, d_head, d_ff, n_heads, n_kv_heads, n_vocab;
    uint32_t window[TINY_LAYERS];
    bool has_post_norms, has_head_norms, has_biases, is_interleaved;
    enum activation activation;
    float embed_scale;
    const char *type[TINY_MATRICES], *embedding_type, *head_type;
    uint32_t n_experts, n_experts_used, d_expert;   /* 0: dense; d_ff is then the shared expert's */
    bool is_normalised;
    uint32_t n_rot;                 /* 0: all of a head turns */
    bool is_unturned[TINY_LAYERS];  /* layers without RoPE */
    bool counts_shared_whole;       /* the shared expert has no router */
    float score_cap, residual_scale, head_scale, head_cap;  /* scales: 0 for 1 */
    bool has_no_norms;              /* of what attention and feed-forward read */
    bool has_sinks, has_q_scales;
    bool has_row_norms;             /* norms of Q and K are of all heads together */
    bool windows_are_chunks;
    bool norms_turned;              /* norms of heads come after they are turned */
    bool has_expert_biases;
    struct router_params router;    /* what is not said above of it */
    bool has_choice_bias;
    bool has_centred_norms;         /* all of them */
    bool is_parallel;               /* feed-forward reads X as attention did */
    uint32_t d_dense;               /* of a mixture: d_ff of the first layer, which is dense; 0 */
    struct heads other;             /* of the second layer; n_heads 0: those of the first */
    bool shares_kv;                 /* the second layer reads the first's keys and values */
    bool norms_values;
    bool has_both_ffs;              /* d_ff is that of a dense part beside the experts */
    uint32_t d_input;
    float x_scale;
    uint32_t n_tracks, d_low;
    float cut;                      /* of gates; 0: none */
    struct latent_dims latent;
};

/* Between them: every panel format, every form of activations, rows that are no whole panels. */
static const struct tiny_shape tiny_shapes[] = {
    { "blocks of 256", 256, 64, 512, 4, 2, 100, { 0, 0 }, false, false, true, false,
      ACTIVATION_SILU, 16, { "Q4_K", "Q5_K", "Q6_K", "Q4_0", "Q4_K", "Q6_K", "Q5_0" }, "Q8_0",
      "Q6_K", .n_experts = 0 },
    { "blocks of 32", 96, 32, 160, 6, 2, 70, { 20, 0 }, true, true, false, true,
      ACTIVATION_GELU_TANH, 9.797959f, { "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_1" },
      "F32", "Q5_1", .n_experts = 0 },
    { "experts, one shared", 256, 32, 160, 4, 2, 100, { 0, 20 }, false, false, true, false,
      ACTIVATION_SILU, 16, { "Q4_K", "Q4_0", "Q6_K", "Q8_0", "Q8_0", "Q5_1", "Q4_0", "Q4_K", "Q8_0",
      "Q5_0" }, "Q8_0", "Q8_0", 9, 3, .d_expert = 96 },
    { "experts alone", 256, 32, 0, 4, 2, 100, { 0, 0 }, false, true, false, false,
      ACTIVATION_SILU, 16, { "Q8_0", "Q8_0", "Q8_0", "Q8_0", NULL, NULL, NULL, "Q6_K", "Q5_K",
      "Q4_K" }, "Q8_0", "Q6_K", 17, 4, 256, .is_normalised = true },
    { "floats", 96, 32, 160, 6, 2, 70, { 20, 0 }, false, false, true, false, ACTIVATION_SILU,
      9.797959f, { "F16", "BF16", "F32", "BF16", "F16", "BF16", "F32", "BF16", "F16", "BF16" },
      "BF16", "F16", 9, 3, 96, .is_normalised = true, .windows_are_chunks = true },
    { "scaled, capped, partly turned", 256, 96, 320, 4, 2, 100, { 0, 20 }, false, false, true,
      false, ACTIVATION_SILU, 16, { "Q4_K", "Q5_K", "Q6_K", "Q4_0", "Q4_K", "Q6_K", "Q5_0" },
      "Q8_0", "Q6_K", 0, 0, 0, false, .n_rot = 32, .is_unturned = { false, true }, .score_cap =
      1.5f, .residual_scale = 0.4f, .head_scale = 0.25f, .head_cap = 0.5f },
    { "scaled experts, pairs partly turned", 256, 64, 96, 4, 2, 100, { 0, 0 }, false, false, true,
      true, ACTIVATION_SILU, 16, { "Q8_0", "Q8_0", "Q8_0", "Q8_0", "Q8_0", "Q5_1", "Q4_0", "Q6_K",
      "Q5_K", "Q4_K" }, "Q8_0", "Q6_K", 9, 3, 256, true, .n_rot = 24, .counts_shared_whole = true,
      .residual_scale = 0.4f, .head_scale = 4 },
    { "norms behind, sinks, scales by position", 96, 32, 160, 6, 2, 70, { 20, 0 }, true, true,
      false, false, ACTIVATION_SILU, 0.5f, { "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_1"
      }, "F32", "Q5_1", .has_no_norms = true, .has_sinks = true, .has_q_scales = true },
    { "experts with sinks and no norms", 256, 32, 0, 4, 2, 100, { 0, 0 }, false, true, true,
      false, ACTIVATION_SILU, 0.05f, { "Q8_0", "Q8_0", "Q8_0", "Q8_0", NULL, NULL, NULL, "Q6_K",
      "Q5_K", "Q4_K" }, "Q8_0", "Q6_K", 17, 4, 256, true, .has_no_norms = true, .has_sinks = true },
    { "norms of all heads together", 96, 32, 160, 6, 2, 70, { 20, 0 }, true, true, true, false,
      ACTIVATION_SILU, 0.5f, { "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_1" }, "F32",
      "Q5_1", .has_no_norms = true, .has_row_norms = true },
    { "experts with biases, of four-bit floats", 96, 32, 0, 4, 2, 100, { 20, 0 }, false, false,
      true, false, ACTIVATION_SWIGLU_CLAMPED, 9.797959f, { "Q8_0", "Q8_0", "Q8_0", "Q8_0", NULL,
      NULL, NULL, "MXFP4", "MXFP4", "MXFP4" }, "Q8_0", "Q8_0", 9, 4, 96, true, .has_sinks = true,
      .has_expert_biases = true },
    { "one dense, experts in groups", 256, 32, 256, 4, 2, 100, { 0, 0 }, false, true, true, false,
      ACTIVATION_SILU, 32, { "Q4_K", "Q4_0", "Q6_K", "Q8_0", "Q8_0", "Q5_1", "Q6_K", "Q4_K", "Q8_0",
      "Q5_0" }, "Q8_0", "Q8_0", 12, 3, 96, true, .counts_shared_whole = true,
      .residual_scale = 0.4f,
      .router = { .score = ROUTER_SIGMOID, .n_groups = 4, .n_groups_used = 2 },
      .has_choice_bias = true, .d_dense = 512 },
    { "parallel, norms centred", 96, 32, 160, 6, 2, 70, { 20, 0 }, true, true, false, true,
      ACTIVATION_SILU, 0.5f, { "Q8_0", "Q8_0", "Q8_0", "Q5_0", "Q5_1", "Q8_0", "Q4_1" }, "F32",
      "Q5_1", .is_unturned = { false, true }, .has_centred_norms = true, .is_parallel = true },
    { "parallel experts, norms of all heads centred", 96, 32, 0, 4, 2, 100, { 0, 0 }, false, true,
      false, false, ACTIVATION_SILU, 9.797959f, { "Q8_0", "Q8_0", "Q8_0", "Q8_0", NULL, NULL, NULL,
      "Q8_0", "Q4_0", "Q8_0" }, "Q8_0", "Q8_0", 9, 4, 96, true, .has_row_norms = true,
      .has_centred_norms = true, .is_parallel = true },
    { "two kinds of heads, experts beside a dense part", 256, 64, 320, 4, 2, 100, { 0, 0 }, true,
      true, false, false, ACTIVATION_GELU_TANH, 16, { "Q4_K", "Q8_0", "Q8_0", "Q8_0", "Q8_0",
      "Q5_1", "Q5_0", "Q6_K", "Q8_0", "Q5_0" }, "Q8_0", "Q6_K", 9, 3, 96, true, .n_rot = 32,
      .other = { 6, 1, 96 }, .norms_values = true, .has_both_ffs = true, .x_scale = 0.8f },
    { "another layer's keys, inputs of each", 96, 32, 160, 2, 1, 70, { 20, 20 }, true, true,
      false, false, ACTIVATION_GELU_TANH, 9.797959f, { "Q8_0", "Q8_0", "Q8_0", "Q5_0", "Q5_1",
      "Q8_0", "Q4_1", NULL, NULL, NULL, "Q8_0", "Q5_0" }, "Q8_0", "Q5_1", .shares_kv = true,
      .norms_values = true, .d_input = 64, .x_scale = 1.3f },
    { "heads of 512, normed once turned", 96, 512, 160, 4, 2, 70, { 20, 0 }, false, true, false,
      false, ACTIVATION_SILU, 9.797959f, { "Q8_0", "Q8_0", "Q8_0", "Q5_0", "Q5_1", "Q8_0", "Q4_1" },
      "Q8_0", "Q5_1", .other = { 3, 1, 32 }, .n_rot = 32, .norms_turned = true },
};

/* How many of them are run: an emulated processor has time for the first few. */
#ifndef TINY_N_SHAPES
#define TINY_N_SHAPES COUNT(tiny_shapes)
#endif

/* Threads of a team at most. Emulated ones that wait at a barrier hold up the one they wait for. */
#ifndef TINY_MOST_THREADS
#define TINY_MOST_THREADS 8
#endif

/* More query heads over one KV head than a job of attention has rows. */
static const struct tiny_shape tiny_wide_group = {
    "300 heads over one", 96, 32, 160, 300, 1, 70, { 20, 0 }, false, false, true, false,
    ACTIVATION_SILU, 9.797959f, { "Q8_0", "Q4_0", "Q8_0", "Q8_0", "Q4_1", "Q8_0", "Q4_1" }, "F32",
    "Q8_0", .n_experts = 0,
};

/* Residuals side by side, which not every backend runs. */
static const struct tiny_shape tiny_tracks = {
    "residuals side by side", 96, 32, 160, 6, 2, 70, { 20, 20 }, true, true, false, false,
    ACTIVATION_GELU_TANH, 9.797959f, { "Q8_0", "Q8_0", "Q8_0", "Q5_0", "Q5_1", "Q8_0", "Q4_1",
    NULL, NULL, NULL, "Q8_0", "Q5_0", "Q8_0", "Q4_0" }, "Q8_0", "Q5_1", .shares_kv = true,
    .norms_values = true, .d_input = 64, .n_tracks = 3, .d_low = 32, .cut = 0.4f,
};

/* Keys that are latents, of V3's widths but for the number of heads; and narrow ones. */
static const struct tiny_shape tiny_latents[] = {
    { "latents", 96, 576, 160, 3, 1, 70, { 0, 0 }, false, false, false, true, ACTIVATION_SILU,
      9.797959f, { "Q8_0", "Q8_0", "Q8_0", "Q5_0", "Q5_1", "Q8_0", "Q4_1", NULL, NULL, NULL, NULL,
      NULL, "Q8_0", NULL, "Q8_0" }, "Q8_0", "Q5_1", .n_rot = 64,
      .latent = { 512, 64, 128, 128, 64 } },
    { "narrow latents, queries of H", 256, 64, 160, 4, 1, 70, { 0, 0 }, false, false, false, true,
      ACTIVATION_SILU, 9.797959f, { "Q4_K", "Q8_0", "Q4_0", "Q5_0", "Q5_1", "Q8_0", "Q4_1", NULL,
      NULL, NULL, NULL, NULL, "Q6_K" }, "Q8_0", "Q5_1", .n_rot = 16,
      .latent = { 32, 16, 64, 32, 0 } },
};

static const float tiny_eps = 1e-6f;

struct tiny_matrix {
    const struct file_type *type;
    uint8_t *rows;
    uint32_t n_rows, n_k;
    struct matrix *loaded;
};

struct tiny_vector {
    float *values;
    uint32_t n;
    struct vector *loaded;
};

struct tiny_layer {
    struct tiny_matrix matrix[TINY_MATRICES];
    struct tiny_vector norm, ff_norm, post_norm, post_ff_norm, norm_q, norm_k;
    struct tiny_vector bias[TINY_BIASES];   /* of matrix IN_Q to IN_DOWN */
    struct tiny_vector router, router_bias, choice_bias, shared_router, sinks, q_scales;
    struct tiny_vector expert_bias[3];      /* of matrix IN_EXPERT_GATE to IN_EXPERT_DOWN */
    struct tiny_vector side[TINY_SIDES];
    /* the same, as the operations get them */
    struct norm norm_in, norm_ff, norm_experts, norm_router;
    struct qkv_weights qkv;
    struct latent_weights latent;
    struct attention_params attention;
    struct linear output, gate, up, down, input_gate, input_down;
    struct linear low_down, low_up;
    struct norm low_post;
    struct track_layer tracks;
    struct residual residual, ff_residual, expert_residual, input_residual;
    struct expert_weights experts;
    struct ffn_params ffn;
};

struct tiny {
    const struct tiny_shape *shape;
    struct tiny_layer layer[TINY_LAYERS];
    struct tiny_matrix embedding, head;
    struct tiny_matrix input_embedding, input_project;
    struct tiny_vector input_norm;
    struct layer_inputs inputs;
    struct tiny_matrix track_in[MAX_TRACKS], track_out[MAX_TRACKS];
    struct track_ends tracks;
    struct tiny_vector head_norm;
    float cos_sin[TINY_POSITIONS * BACKEND_MAX_D_HEAD];
    struct head_params head_params;
    int32_t token[TINY_STREAMS][TINY_POSITIONS];

    struct backend_params params;
    const struct backend_ops *ops;
    void (*fill_kv)(struct backend *b, int byte);   /* all of the KV pool's bytes */
    struct backend *b;
    uint32_t page[TINY_KV_GROUPS][TINY_STREAMS][TINY_PAGES];
    float *logits;              /* (TINY_STREAMS, TINY_POSITIONS, n_vocab) */
    const struct span *span;    /* of the step being run */
    const struct output *output;
    const uint32_t *stream_of_span;
    struct tiny *heir;          /* the same model on another backend, which has all layers but the
                                 * first, and the head; NULL: this one has */
};

/* ---- weights -------------------------------------------------------------------------------- */

static inline const struct file_type *tiny_type(const char *name)
{
    for (size_t i = 0; i < COUNT(file_types); i++)
        if (!strcmp(file_types[i].name, name)) return &file_types[i];
    fail_msg("no type %s", name);
    return NULL;
}

/* Random quanta, with the scales that give weights a mean of about 0 and a variance of 1 / n_k. */
static inline struct tiny_matrix tiny_random_matrix(struct rng *r, const char *type_name,
                                                    uint32_t n_rows, uint32_t n_k)
{
    static const struct {
        const char *name;
        float spread, mean;     /* of a weight whose scale is 1; mean: in units of the minimum */
    } types[] = {
        { "Q4_K", 200, -7.5f }, { "Q5_K", 400, -15.5f }, { "Q6_K", 1366, 0 }, { "Q8_0", 74, 0 },
        { "Q4_0", 4.6f, 0 },    { "Q4_1", 4.6f, 7.5f },
        { "Q5_0", 9.2f, 0 },    { "Q5_1", 9.2f, 15.5f },  { "MXFP4", 5.9f, 0 },
    };
    struct tiny_matrix m = { tiny_type(type_name), NULL, n_rows, n_k, NULL };
    const size_t n_blocks = (size_t)n_rows * n_k / m.type->block_weights;

    m.rows = random_rows(r, m.type, n_rows, n_k, FILL_RANDOM);
    for (size_t i = 0; i < COUNT(types); i++) {
        if (strcmp(types[i].name, type_name)) continue;
        const float d = 1 / (types[i].spread * sqrtf((float)n_k));
        for (size_t b = 0; b < n_blocks; b++) {
            uint8_t *block = m.rows + b * m.type->block_bytes;
            if (m.type->type == QUANT_MXFP4) block[0] = (uint8_t)(128 + lrintf(log2f(d)));
            else put_half(block + m.type->half_at[0], f16_of_f32(d));
            if (m.type->half_at[1] >= 0)
                put_half(block + m.type->half_at[1], f16_of_f32(-types[i].mean * d));
        }
        return m;
    }
    for (size_t i = 0; i < (size_t)n_rows * n_k; i++)
        put_float(m.type->type, m.rows, i, random_normal(r) / sqrtf((float)n_k));
    return m;
}

static inline struct tiny_vector tiny_random_vector(struct rng *r, uint32_t n, float mean,
                                                    float spread)
{
    struct tiny_vector v = { malloc(n * sizeof(float)), n, NULL };
    assert_non_null(v.values);
    for (uint32_t i = 0; i < n; i++) v.values[i] = mean + spread * random_normal(r);
    return v;
}

/* Biases of the attention's output and of the feed-forward's matrices. */
static inline bool tiny_has_ff_biases(const struct tiny_shape *s)
{
    return !s->n_experts && (s->has_biases || s->has_post_norms);
}

static inline struct heads tiny_heads(const struct tiny_shape *s, bool is_first)
{
    const struct heads own = { s->n_heads, s->n_kv_heads, s->d_head };
    return is_first || !s->other.n_heads ? own : s->other;
}

static inline void tiny_make_sides(struct tiny_layer *l, const struct tiny_shape *s, struct rng *r,
                                   uint32_t d_head)
{
    const uint32_t n = s->d_model;
    if (s->norms_values) l->side[SIDE_NORM_V] = tiny_random_vector(r, d_head, 1, 0.2f);
    if (s->d_input) l->side[SIDE_INPUT_POST] = tiny_random_vector(r, n, 0.5f, 0.1f);
    const uint32_t k = s->n_tracks;
    if (s->latent.d_query)
        l->side[SIDE_QUERY_NORM] = tiny_random_vector(r, s->latent.d_query, 1, 0.2f);
    if (s->latent.d_latent)
        l->side[SIDE_LATENT_NORM] = tiny_random_vector(r, s->latent.d_latent, 1, 0.2f);
    if (k) {
        l->side[SIDE_TRACK_ROUTER] = tiny_random_vector(r, k * n, 0, 0.1f);
        l->side[SIDE_TRACK_NORM] = tiny_random_vector(r, n, 1, 0.2f);
        l->side[SIDE_PREDICT] = tiny_random_vector(r, k * k * k, 0, 0.3f);
        l->side[SIDE_CORRECT] = tiny_random_vector(r, k * k, 0, 0.3f);
        l->side[SIDE_TRACK_SCALE] = tiny_random_vector(r, n, 1, 0.2f);
        l->side[SIDE_LOW_POST] = tiny_random_vector(r, n, 0.5f, 0.1f);
    }
    if (!s->has_both_ffs) return;
    l->side[SIDE_DENSE_POST] = tiny_random_vector(r, n, 0.5f, 0.1f);
    l->side[SIDE_EXPERT_NORM] = tiny_random_vector(r, n, 1, 0.2f);
    l->side[SIDE_EXPERT_POST] = tiny_random_vector(r, n, 0.5f, 0.1f);
    l->side[SIDE_ROUTER_NORM] = tiny_random_vector(r, n, 1, 0.2f);
    l->side[SIDE_EXPERT_SCALES] = tiny_random_vector(r, s->n_experts, 1, 0.3f);
}

/* Of attention over latents: rows and columns of what differs. */
static inline void tiny_latent_sizes(const struct tiny_shape *s, uint32_t n_rows[TINY_MATRICES],
                                     uint32_t n_k[TINY_MATRICES])
{
    const struct latent_dims *l = &s->latent;
    if (!l->d_latent) return;
    n_rows[IN_Q] = s->n_heads * (l->d_plain + l->d_turned);
    n_k[IN_Q] = l->d_query ? l->d_query : s->d_model;
    n_rows[IN_K] = s->n_heads * l->d_latent;
    n_k[IN_K] = l->d_plain;
    n_rows[IN_V] = s->n_heads * l->d_value;
    n_k[IN_V] = l->d_latent;
    n_k[IN_O] = s->n_heads * l->d_value;
    n_rows[IN_LOW_DOWN] = l->d_latent + l->d_turned;
    n_rows[IN_Q_DOWN] = l->d_query;
    n_k[IN_Q_DOWN] = s->d_model;
}

static inline void tiny_make_layer(struct tiny_layer *l, const struct tiny_shape *s, struct rng *r,
                                   bool is_first)
{
    const bool is_dense = is_first && s->d_dense;
    const struct heads heads = tiny_heads(s, is_first);
    const uint32_t n_q = heads.n_heads * heads.d_head, n_kv = heads.n_kv_heads * heads.d_head;
    const bool has_kv = is_first || !s->shares_kv;
    const uint32_t n_of_experts = s->n_experts * s->d_expert;
    const uint32_t d_ff = is_dense ? s->d_dense : s->d_ff;
    uint32_t n_rows[TINY_MATRICES] = { n_q, n_kv, n_kv, s->d_model, d_ff, d_ff, s->d_model,
                                n_of_experts, n_of_experts, s->n_experts * s->d_model,
                                s->d_input, s->d_model, s->d_low, s->d_model };
    uint32_t n_k[TINY_MATRICES] = { s->d_model, s->d_model, s->d_model, n_q, s->d_model, s->d_model,
                             d_ff, s->d_model, s->d_model, s->d_expert, s->d_model, s->d_input,
                             s->d_model, s->d_low };
    tiny_latent_sizes(s, n_rows, n_k);
    const int n_matrices = is_dense ? IN_EXPERT_GATE : TINY_MATRICES;

    for (int i = 0; i < n_matrices; i++)
        if (s->type[i] && (has_kv || (i != IN_K && i != IN_V)))
            l->matrix[i] = tiny_random_matrix(r, s->type[i], n_rows[i], n_k[i]);
    if (s->n_experts && !is_dense) {        /* scores spread by 2: few columns are near a tie */
        l->router = tiny_random_vector(r, s->n_experts * s->d_model, 0,
                                       2 / sqrtf((float)s->d_model));
        if (s->d_ff && !s->counts_shared_whole && !s->has_both_ffs)
            l->shared_router = tiny_random_vector(r, s->d_model, 0, 0.1f);
    }
    if (s->has_choice_bias && !is_dense)
        l->choice_bias = tiny_random_vector(r, s->n_experts, 0, 0.6f);
    if (s->has_expert_biases) {
        l->router_bias = tiny_random_vector(r, s->n_experts, 0, 1);
        for (int i = 0; i < 3; i++)
            l->expert_bias[i] = tiny_random_vector(r, n_rows[IN_EXPERT_GATE + i], 0, 0.5f);
    }
    l->norm = tiny_random_vector(r, s->d_model, 1, 0.2f);
    l->ff_norm = tiny_random_vector(r, s->d_model, 1, 0.2f);
    if (s->has_post_norms) {
        l->post_norm = tiny_random_vector(r, s->d_model, 0.5f, 0.1f);
        l->post_ff_norm = tiny_random_vector(r, s->d_model, 0.5f, 0.1f);
    }
    if (s->has_head_norms) {
        l->norm_q = tiny_random_vector(r, s->has_row_norms ? n_q : heads.d_head, 1.5f, 0.2f);
        l->norm_k = tiny_random_vector(r, s->has_row_norms ? n_kv : heads.d_head, 1.5f, 0.2f);
    }
    if (s->has_sinks) l->sinks = tiny_random_vector(r, s->n_heads, 0, 1.5f);
    if (s->has_q_scales) l->q_scales = tiny_random_vector(r, TINY_POSITIONS, 1, 0.3f);
    for (int i = 0; i < 3 && s->has_biases; i++)
        l->bias[i] = tiny_random_vector(r, n_rows[i], 0, 0.5f);
    for (int i = 3; i < TINY_BIASES && tiny_has_ff_biases(s); i++)
        l->bias[i] = tiny_random_vector(r, n_rows[i], 0, 0.5f);
    tiny_make_sides(l, s, r, heads.d_head);
}

static inline uint32_t tiny_n_rot(const struct tiny_shape *s)
{
    return s->n_rot ? s->n_rot : s->d_head;
}

static inline struct kv_groups tiny_kv_groups(const struct tiny_shape *s, uint32_t n_pages)
{
    struct kv_groups kv = { .n = 1, .group = { { .n_pages = n_pages }, { .n_pages = n_pages } } };
    for (int i = 0; i < TINY_LAYERS; i++) {
        struct kv_group *group = &kv.group[s->window[i] != 0];
        if (s->window[i]) kv.n = TINY_KV_GROUPS;
        group->window = s->window[i];
        if (i && s->shares_kv) continue;
        group->n_layers++;
        group->n_other_layers += i && s->other.n_heads;
    }
    return kv;
}

/* fill_kv may be NULL: pages are then as they were opened. */
static inline struct tiny *tiny_make(const struct tiny_shape *s, const struct backend_ops *ops,
                                     void (*fill_kv)(struct backend *b, int byte))
{
    struct tiny *t = calloc(1, sizeof *t);
    struct rng r;

    assert_non_null(t);
    rng_seed(&r, 11);
    t->shape = s;
    t->ops = ops;
    t->fill_kv = fill_kv;
    for (int i = 0; i < TINY_LAYERS; i++) tiny_make_layer(&t->layer[i], s, &r, i == 0);
    t->embedding = tiny_random_matrix(&r, s->embedding_type, s->n_vocab, s->d_model);
    t->head = tiny_random_matrix(&r, s->head_type, s->n_vocab, s->d_model);
    t->head_norm = tiny_random_vector(&r, s->d_model, 1, 0.2f);
    if (s->d_input) {
        const uint32_t n = TINY_LAYERS * s->d_input;
        t->input_embedding = tiny_random_matrix(&r, "Q8_0", s->n_vocab, n);
        t->input_project = tiny_random_matrix(&r, "Q8_0", n, s->d_model);
        t->input_norm = tiny_random_vector(&r, s->d_input, 1, 0.2f);
    }
    for (uint32_t k = 1; k < s->n_tracks; k++) {
        t->track_in[k] = tiny_random_matrix(&r, "Q8_0", s->d_model, s->d_model);
        t->track_out[k] = tiny_random_matrix(&r, "Q4_0", s->d_model, s->d_model);
    }
    for (uint32_t pos = 0; pos < TINY_POSITIONS; pos++)
        for (uint32_t i = 0; i < tiny_n_rot(s) / 2; i++) {
            const double angle = pos * pow(1e4, -2.0 * i / tiny_n_rot(s));
            float *cs = t->cos_sin + (size_t)pos * tiny_n_rot(s) + 2 * i;
            cs[0] = (float)cos(angle);
            cs[1] = (float)sin(angle);
        }
    for (int i = 0; i < TINY_STREAMS; i++)
        for (int pos = 0; pos < TINY_POSITIONS; pos++)
            t->token[i][pos] = (int32_t)rng_below(&r, s->n_vocab);
    t->logits = calloc((size_t)TINY_STREAMS * TINY_POSITIONS * s->n_vocab, sizeof *t->logits);
    assert_non_null(t->logits);
    t->params = (struct backend_params){
        .dims = { .d_model = s->d_model, .d_head = s->d_head,
                  .d_ff = s->n_experts && !s->has_both_ffs ? s->d_dense : s->d_ff,
                  .n_heads = s->n_heads, .n_kv_heads = s->n_kv_heads, .n_layers = TINY_LAYERS,
                  .n_vocab = s->n_vocab, .n_experts = s->n_experts,
                  .n_experts_used = s->n_experts_used, .d_expert = s->d_expert,
                  .d_shared = s->n_experts && !s->has_both_ffs ? s->d_ff : 0,
                  .has_ff_biases = tiny_has_ff_biases(s),
                  .has_expert_biases = s->has_expert_biases, .other = s->other,
                  .has_ff_widths = s->d_input != 0, .has_both_ffs = s->has_both_ffs,
                  .d_input = s->d_input, .n_tracks = s->n_tracks, .d_low = s->d_low,
                  .latent = s->latent },
        .max_cols = 128, .max_outs = 30, .has_float_weights = true, .n_threads = 1,
        .kv = tiny_kv_groups(s, TINY_POOL),
    };
    return t;
}

static inline void tiny_free(struct tiny *t)
{
    for (int i = 0; i < TINY_LAYERS; i++) {
        struct tiny_layer *l = &t->layer[i];
        for (int k = 0; k < TINY_MATRICES; k++) free(l->matrix[k].rows);
        for (int k = 0; k < TINY_BIASES; k++) free(l->bias[k].values);
        free(l->norm.values), free(l->ff_norm.values);
        free(l->post_norm.values), free(l->post_ff_norm.values);
        free(l->norm_q.values), free(l->norm_k.values);
        free(l->router.values), free(l->shared_router.values), free(l->router_bias.values);
        free(l->choice_bias.values);
        for (int k = 0; k < 3; k++) free(l->expert_bias[k].values);
        free(l->sinks.values), free(l->q_scales.values);
        for (int k = 0; k < TINY_SIDES; k++) free(l->side[k].values);
    }
    for (int k = 0; k < MAX_TRACKS; k++) free(t->track_in[k].rows), free(t->track_out[k].rows);
    free(t->input_embedding.rows), free(t->input_project.rows), free(t->input_norm.values);
    free(t->embedding.rows), free(t->head.rows), free(t->head_norm.values), free(t->logits);
    free(t);
}

/* ---- an open backend ------------------------------------------------------------------------ */

static inline void tiny_load_matrix(struct tiny *t, struct tiny_matrix *m)
{
    pl_err err;
    if (!m->rows) return;       /* a shape without it */
    const struct weight_view view = { "weight", m->type->type, m->n_rows, m->n_k, m->rows };
    if (t->ops->load_matrix(t->b, &view, &m->loaded, &err)) fail_msg("%s", err.text);
}

static inline void tiny_load_vector(struct tiny *t, struct tiny_vector *v)
{
    pl_err err;
    v->loaded = NULL;
    if (v->values && t->ops->load_vector(t->b, v->values, v->n, &v->loaded, &err))
        fail_msg("%s", err.text);
}

static inline struct norm tiny_norm(const struct tiny_shape *s, const struct vector *weight)
{
    return (struct norm){ weight, tiny_eps, s->has_centred_norms };
}

/* What a mixture and its dense part get side by side. */
static inline void tiny_set_sides(struct tiny_layer *l, const struct tiny_shape *s)
{
    l->expert_residual = l->ff_residual;
    l->norm_experts = l->norm_router = l->norm_ff;
    if (!s->has_both_ffs) return;
    l->norm_experts = tiny_norm(s, l->side[SIDE_EXPERT_NORM].loaded);
    l->norm_router = tiny_norm(s, l->side[SIDE_ROUTER_NORM].loaded);
    l->expert_residual.takes_held = true;
    l->expert_residual.norm_held = l->ff_residual.norm;
    l->expert_residual.norm = tiny_norm(s, l->side[SIDE_EXPERT_POST].loaded);
    l->ff_residual.norm = tiny_norm(s, l->side[SIDE_DENSE_POST].loaded);
    l->ff_residual.is_held = true;
    l->experts.scales = l->side[SIDE_EXPERT_SCALES].loaded;
    l->experts.shared_gate = l->experts.shared_up = l->experts.shared_down =
        (struct linear){ NULL, NULL };
}

/* The last thing a layer does is what X is scaled by. */
static inline void tiny_set_end(struct tiny_layer *l, const struct tiny_shape *s)
{
    l->input_gate = (struct linear){ l->matrix[IN_INPUT_GATE].loaded, NULL };
    l->input_down = (struct linear){ l->matrix[IN_INPUT_DOWN].loaded, NULL };
    l->input_residual = (struct residual){
        .norm = tiny_norm(s, l->side[SIDE_INPUT_POST].loaded), .scale = 1 };
    l->input_residual.joins_tracks = s->n_tracks;
    struct residual *last = s->d_input ? &l->input_residual
                            : s->n_experts ? &l->expert_residual : &l->ff_residual;
    last->x_scale = s->x_scale;
}

static inline void tiny_set_tracks(struct tiny_layer *l, const struct tiny_shape *s)
{
    if (s->latent.d_latent)
        l->latent = (struct latent_weights){
            .q_down = { l->matrix[IN_Q_DOWN].loaded, NULL },
            .norm_q = tiny_norm(s, l->side[SIDE_QUERY_NORM].loaded),
            .q = { l->matrix[IN_Q].loaded, NULL }, .kv = { l->matrix[IN_LOW_DOWN].loaded, NULL },
            .norm_kv = tiny_norm(s, l->side[SIDE_LATENT_NORM].loaded),
            .absorb = { l->matrix[IN_K].loaded, NULL }, .value = { l->matrix[IN_V].loaded, NULL },
        };
    if (!s->n_tracks) return;
    l->low_down = (struct linear){ l->matrix[IN_LOW_DOWN].loaded, NULL };
    l->low_up = (struct linear){ l->matrix[IN_LOW_UP].loaded, NULL };
    l->low_post = tiny_norm(s, l->side[SIDE_LOW_POST].loaded);
    l->tracks = (struct track_layer){
        .router = l->side[SIDE_TRACK_ROUTER].loaded,
        .norm = tiny_norm(s, l->side[SIDE_TRACK_NORM].loaded),
        .predict = l->side[SIDE_PREDICT].loaded, .correct = l->side[SIDE_CORRECT].loaded,
        .scale = l->side[SIDE_TRACK_SCALE].loaded,
    };
    l->residual.takes_held = true;
    l->residual.x_scale = 0.7f;
}

/* What the operations of a layer get, its vectors and matrices being loaded. */
static inline void tiny_set_layer(struct tiny_layer *l, const struct tiny_shape *s, uint32_t i,
                                  const struct rope *rope)
{
    struct linear linear[TINY_BIASES];
    for (int k = 0; k < TINY_BIASES; k++)
        linear[k] = (struct linear){ l->matrix[k].loaded, l->bias[k].loaded };
    const float scale = s->residual_scale != 0 ? s->residual_scale : 1;
    l->norm_in = tiny_norm(s, s->has_no_norms ? NULL : l->norm.loaded);
    l->norm_ff = tiny_norm(s, s->has_no_norms ? NULL : l->ff_norm.loaded);
    l->qkv = (struct qkv_weights){
        .q = linear[IN_Q], .k = linear[IN_K], .v = linear[IN_V],
        .norm_q = tiny_norm(s, l->norm_q.loaded), .norm_k = tiny_norm(s, l->norm_k.loaded),
        .norms_turned = s->norms_turned,
        .sinks = l->sinks.loaded, .norm_v = tiny_norm(s, l->side[SIDE_NORM_V].loaded),
    };
    l->attention = (struct attention_params){
        .rope = s->is_unturned[i] ? NULL : rope, .q_scale = 1 / sqrtf((float)s->d_head),
        .q_scales = l->q_scales.loaded, .score_cap = s->score_cap, .window = s->window[i],
        .window_is_chunk = s->windows_are_chunks,
        .kv_group = s->window[i] != 0, .has_other_heads = i && s->other.n_heads,
    };
    for (uint32_t k = 0; k < i && !s->shares_kv && !s->other.n_heads; k++)
        l->attention.kv_layer += (s->window[k] != 0) == (s->window[i] != 0);
    l->output = linear[IN_O];
    l->gate = linear[IN_GATE];
    l->up = linear[IN_UP];
    l->down = linear[IN_DOWN];
    l->residual = (struct residual){ .norm = tiny_norm(s, l->post_norm.loaded), .scale = scale };
    l->ff_residual = (struct residual){ .norm = tiny_norm(s, l->post_ff_norm.loaded),
                                        .scale = scale };
    l->experts = (struct expert_weights){
        .router = l->router.loaded, .router_bias = l->router_bias.loaded,
        .choice_bias = l->choice_bias.loaded,
        .gate = { l->matrix[IN_EXPERT_GATE].loaded, l->expert_bias[0].loaded },
        .up = { l->matrix[IN_EXPERT_UP].loaded, l->expert_bias[1].loaded },
        .down = { l->matrix[IN_EXPERT_DOWN].loaded, l->expert_bias[2].loaded },
        .shared_gate = l->gate, .shared_up = l->up, .shared_down = l->down,
        .shared_router = l->shared_router.loaded,
    };
    l->ffn = (struct ffn_params){ .activation = s->activation, .router = s->router };
    l->ffn.router.is_normalised = s->is_normalised;
    l->ffn.router.scale = TINY_EXPERT_SCALE;
    tiny_set_sides(l, s);
    l->ffn.cut = s->cut;
    l->ffn.has_cut = s->cut != 0;
    tiny_set_end(l, s);
    tiny_set_tracks(l, s);
}

/* Opens for t->params and loads everything. */
static inline void tiny_open(struct tiny *t)
{
    const struct tiny_shape *s = t->shape;
    const struct rope_view view = { t->cos_sin, TINY_POSITIONS, tiny_n_rot(s), s->is_interleaved };
    struct rope *rope;
    pl_err err;

    if (t->ops->open(&t->b, &t->params, &err)) fail_msg("%s", err.text);
    assert_int_equal(t->ops->load_rope(t->b, &view, &rope, &err), PL_OK);
    for (uint32_t i = 0; i < TINY_LAYERS; i++) {
        struct tiny_layer *l = &t->layer[i];
        struct tiny_vector *vectors[] = { &l->norm, &l->ff_norm, &l->post_norm, &l->post_ff_norm,
                                          &l->norm_q, &l->norm_k, &l->router, &l->shared_router,
                                          &l->sinks, &l->q_scales, &l->router_bias,
                                          &l->choice_bias,
                                          &l->expert_bias[0], &l->expert_bias[1],
                                          &l->expert_bias[2] };
        for (int k = 0; k < TINY_MATRICES; k++) tiny_load_matrix(t, &l->matrix[k]);
        for (size_t k = 0; k < COUNT(vectors); k++) tiny_load_vector(t, vectors[k]);
        for (int k = 0; k < TINY_BIASES; k++) tiny_load_vector(t, &l->bias[k]);
        for (int k = 0; k < TINY_SIDES; k++) tiny_load_vector(t, &l->side[k]);
        tiny_set_layer(l, s, i, rope);
    }
    tiny_load_matrix(t, &t->embedding);
    tiny_load_matrix(t, &t->head);
    tiny_load_vector(t, &t->head_norm);
    tiny_load_matrix(t, &t->input_embedding);
    tiny_load_matrix(t, &t->input_project);
    tiny_load_vector(t, &t->input_norm);
    for (uint32_t k = 1; k < s->n_tracks; k++) {
        tiny_load_matrix(t, &t->track_in[k]);
        tiny_load_matrix(t, &t->track_out[k]);
        t->tracks.in[k].weight = t->track_in[k].loaded;
        t->tracks.out[k].weight = t->track_out[k].loaded;
    }
    t->inputs = (struct layer_inputs){
        .embedding = t->input_embedding.loaded, .project = { t->input_project.loaded, NULL },
        .norm = { t->input_norm.loaded, tiny_eps, false }, .embed_scale = 8,
        .project_scale = 0.1f, .scale = 0.7f,
    };
    t->head_params = (struct head_params){ tiny_norm(s, t->head_norm.loaded),
                                           s->head_scale != 0 ? s->head_scale : 1, s->head_cap };
}

/* Bytes of what tiny_open loads. */
static inline uint64_t tiny_weights_bytes(const struct tiny *t)
{
    enum { TINY_OTHERS = 4 + 2 * MAX_TRACKS };
    const struct tiny_matrix *all[TINY_LAYERS * TINY_MATRICES + TINY_OTHERS] = {
        &t->embedding, &t->head, &t->input_embedding, &t->input_project };
    for (int k = 0; k < MAX_TRACKS; k++) {
        all[4 + 2 * k] = &t->track_in[k];
        all[5 + 2 * k] = &t->track_out[k];
    }
    uint64_t n_bytes = memory_rounded(t->head_norm.n * sizeof(float)) +
                       memory_rounded(t->input_norm.n * sizeof(float)) +
                       (uint64_t)TINY_POSITIONS * tiny_n_rot(t->shape) * sizeof(float);

    for (int i = 0; i < TINY_LAYERS * TINY_MATRICES; i++)
        all[TINY_OTHERS + i] = &t->layer[i / TINY_MATRICES].matrix[i % TINY_MATRICES];
    for (size_t i = 0; i < COUNT(all); i++)
        if (all[i]->rows)
            n_bytes += t->ops->matrix_bytes(all[i]->type->type, all[i]->n_rows, all[i]->n_k);
    for (int i = 0; i < TINY_LAYERS; i++) {
        const struct tiny_layer *l = &t->layer[i];
        const struct tiny_vector *vectors[] = {
            &l->norm,   &l->ff_norm, &l->post_norm,     &l->post_ff_norm, &l->norm_q,
            &l->norm_k, &l->router,  &l->shared_router, &l->sinks,        &l->q_scales,
            &l->router_bias, &l->expert_bias[0], &l->expert_bias[1], &l->expert_bias[2],
            &l->choice_bias,
        };
        for (size_t k = 0; k < COUNT(vectors); k++)
            n_bytes += memory_rounded(vectors[k]->n * sizeof(float));
        for (int k = 0; k < TINY_BIASES; k++)
            n_bytes += memory_rounded(l->bias[k].n * sizeof(float));
        for (int k = 0; k < TINY_SIDES; k++)
            n_bytes += memory_rounded(l->side[k].n * sizeof(float));
    }
    return n_bytes;
}

static inline void tiny_close(struct tiny *t)
{
    t->ops->close(t->b);
    t->b = NULL;
}

/* Gives every stream pages at random places of the pool, whose bytes are garbage: as halves they
 * are NaN for 0xff. What the logits table held is forgotten too. */
static inline void tiny_start(struct tiny *t, uint64_t seed, int garbage)
{
    struct rng r;

    rng_seed(&r, seed);
    for (int g = 0; g < TINY_KV_GROUPS; g++) {
        uint32_t order[TINY_POOL];
        for (uint32_t i = 0; i < TINY_POOL; i++) {
            const uint32_t other = (uint32_t)rng_below(&r, i + 1);
            order[i] = order[other];
            order[other] = i;
        }
        memcpy(t->page[g], order, sizeof t->page[g]);
    }
    if (t->fill_kv) t->fill_kv(t->b, garbage);
    memset(t->logits, 0, (size_t)TINY_STREAMS * TINY_POSITIONS * t->shape->n_vocab * sizeof(float));
}

/* ---- steps ---------------------------------------------------------------------------------- */

/* Neighbouring positions of a stream, to be computed in one step. */
struct piece {
    uint32_t stream, first_pos, n_cols;
};

static inline void tiny_record_layer(const struct tiny *t, uint32_t i)
{
    const struct backend_ops *ops = t->ops;
    const struct tiny_layer *l = &t->layer[i];
    if (l->tracks.router) ops->tracks_predict(t->b, &l->tracks);
    ops->norm(t->b, &l->norm_in);
    if (l->latent.q.weight) ops->latent_qkv(t->b, &l->latent, &l->attention);
    else ops->qkv(t->b, &l->qkv, &l->attention);
    ops->attend(t->b, &l->qkv, &l->attention);
    if (l->latent.q.weight) ops->latent_values(t->b, &l->latent);
    if (l->low_down.weight) {
        ops->norm(t->b, &l->norm_in);
        ops->low_rank(t->b, &l->norm_in, &l->low_down, &l->low_up, &l->low_post);
    }
    if (!t->shape->is_parallel) ops->attention_add(t->b, &l->output, &l->residual);
    if (!l->experts.router || t->shape->has_both_ffs) {
        ops->norm(t->b, &l->norm_ff);
        ops->gate_up(t->b, &l->gate, &l->up, &l->ffn);
        ops->down_add(t->b, &l->down, &l->ff_residual);
    }
    if (l->experts.router) {
        ops->norm(t->b, &l->norm_experts);
        ops->experts_add(t->b, &l->norm_router, &l->experts, &l->ffn, &l->expert_residual);
    }
    if (l->tracks.router) ops->tracks_correct(t->b, &l->tracks);
    if (l->input_gate.weight) {
        static const struct norm none;
        ops->norm(t->b, &none);
        ops->gate_input(t->b, &l->input_gate, i, &l->ffn);
        ops->down_add(t->b, &l->input_down, &l->input_residual);
    }
    if (t->shape->is_parallel) ops->attention_add(t->b, &l->output, &l->residual);
}

/* X goes from one backend to the other. */
static inline void tiny_hand_over(struct tiny *from, struct tiny *to, const struct batch *batch)
{
    float *x = malloc(sizeof *x * batch->n_cols * from->shape->d_model);
    pl_err err;
    assert_non_null(x);
    if (from->ops->submit(from->b, &err)) fail_msg("%s", err.text);
    from->ops->take_x(from->b, x);
    to->ops->begin(to->b, batch);
    to->ops->put_x(to->b, x);
    free(x);
}

/* Returns whose backend has the logits. */
static inline struct tiny *tiny_record(struct tiny *t, const struct batch *batch)
{
    t->ops->begin(t->b, batch);
    t->ops->embed(t->b, t->embedding.loaded, t->shape->embed_scale);
    if (t->shape->d_input) t->ops->layer_inputs(t->b, &t->inputs);
    if (t->shape->n_tracks) t->ops->tracks_begin(t->b, &t->tracks);
    for (uint32_t i = 0; i < TINY_LAYERS; i++) {
        if (i == 1 && t->heir) {
            tiny_hand_over(t, t->heir, batch);
            t = t->heir;
        }
        tiny_record_layer(t, i);
    }
    if (t->shape->n_tracks) t->ops->tracks_end(t->b, &t->tracks);
    t->ops->logits(t->b, &t->head_params, t->head.loaded);
    return t;
}

static inline float *tiny_logits(const struct tiny *t, uint32_t stream, uint32_t pos)
{
    return t->logits + ((size_t)stream * TINY_POSITIONS + pos) * t->shape->n_vocab;
}

static inline void tiny_keep_row(struct tiny *t, const struct output *o, uint32_t i, float *logits,
                                 const float *largest)
{
    const size_t n = t->shape->n_vocab;
    const struct span *span = &t->span[o->span];
    const uint32_t at = o->first_col + i - span->first_col;
    float *to = tiny_logits(t, t->stream_of_span[o->span], span->first_pos + at);
    uint32_t n_found = 0;       /* a bit for each block whose largest stands in it */
    for (size_t k = 0; k < n; k++) to[k] += logits[k];  /* a second call would be seen */
    for (size_t k = 0; k < n; k++) {
        assert_true(!(logits[k] > largest[k / LOGIT_BLOCK]));
        if (logits[k] == largest[k / LOGIT_BLOCK]) n_found |= 1u << k / LOGIT_BLOCK;
    }
    assert_int_equal(n_found, (1u << (n + LOGIT_BLOCK - 1) / LOGIT_BLOCK) - 1);
}

/* The backend lets a sampler change the rows: this one does. */
static void tiny_keep_logits(void *arg, uint32_t output, const struct logit_rows *rows)
{
    struct tiny *t = arg;
    const struct output *o = &t->output[output];
    for (uint32_t i = 0; i < o->n_cols; i++) {
        float *logits = rows->logits + i * rows->ld_logits;
        tiny_keep_row(t, o, i, logits, rows->largest + i * rows->ld_largest);
        memset(logits, 0xff, t->shape->n_vocab * sizeof *logits);
    }
}

/* Outputs of the columns c where n_cols - 1 - c is a multiple of `every`; neighbours of a span are
 * one, as far as max_cols allows. Columns are in the opposite order of spans. */
static inline void tiny_outputs(struct batch *b, struct output *output, uint32_t every,
                                uint32_t max_cols)
{
    uint32_t span = b->n_spans - 1;
    for (uint32_t c = 0; every && c < b->n_cols; c++) {
        const bool is_first = c >= b->span[span].first_col + b->span[span].n_cols;
        struct output *last = &output[b->n_outputs - 1];
        if (is_first) span--;
        if ((b->n_cols - 1 - c) % every) continue;
        if (b->n_outputs && last->span == span && last->first_col + last->n_cols == c &&
            last->n_cols < max_cols)
            last->n_cols++;
        else
            output[b->n_outputs++] = (struct output){ OUTPUT_LOGITS, span, c, 1, b->n_rows };
        b->n_rows++;
    }
}

/* The page table of the group with a window, without what is behind it. */
static inline void tiny_window_table(const struct tiny *t, const struct piece *p,
                                     uint32_t table[TINY_PAGES])
{
    const uint32_t window = t->params.kv.group[1].window, chunk = t->ops->chunk_pages;
    const uint32_t first = p->first_pos < window ? 0 : p->first_pos - window + 1;
    for (uint32_t i = 0; i < TINY_PAGES; i++)
        table[i] = i < first / PAGE_TOKENS / chunk * chunk ? NO_PAGE : t->page[1][p->stream][i];
}

/* Computes the pieces in one step. Columns are laid out in the order given, spans listed in the
 * opposite one. Outputs: every out_every-th column, counted from the last; 0: none. */
static inline void tiny_step(struct tiny *t, const struct piece *piece, uint32_t n_pieces,
                             uint32_t out_every)
{
    enum { MAX_COLS = 128, MOST_IN_ONE = 5 };
    int32_t token[MAX_COLS];
    uint32_t pos[MAX_COLS], stream[TINY_STREAMS], table[TINY_STREAMS][TINY_PAGES];
    struct span span[TINY_STREAMS];
    struct output output[MAX_COLS];
    struct batch batch = { .n_spans = n_pieces, .token = token, .pos = pos, .span = span,
                           .output = output };

    for (uint32_t i = 0; i < n_pieces; i++) {
        const struct piece *p = &piece[i];
        stream[n_pieces - 1 - i] = p->stream;
        span[n_pieces - 1 - i] = (struct span){ .first_col = batch.n_cols, .n_cols = p->n_cols,
                                                .first_pos = p->first_pos,
                                                .page = { t->page[0][p->stream], table[i] } };
        tiny_window_table(t, p, table[i]);
        for (uint32_t c = 0; c < p->n_cols; c++) {
            token[batch.n_cols] = t->token[p->stream][p->first_pos + c];
            pos[batch.n_cols++] = p->first_pos + c;
        }
    }
    const uint32_t max_outs = t->params.max_outs;
    tiny_outputs(&batch, output, out_every, max_outs < MOST_IN_ONE ? max_outs : MOST_IN_ONE);
    t->span = span;
    t->stream_of_span = stream;
    t->output = output;
    pl_err err;
    const struct tiny *last = tiny_record(t, &batch);
    last->ops->sample(last->b, tiny_keep_logits, t);
    if (last->ops->submit(last->b, &err)) fail_msg("%s", err.text);
}

/* ---- rows of the head without a token ------------------------------------------------------- */

/* One block of logits with tokens, one of both kinds, one without. */
enum { PADDED_TOKENS = LOGIT_BLOCK + 44, PADDED_ROWS = 2 * LOGIT_BLOCK + 50 };

static inline struct tiny *tiny_make_padded(const struct backend_ops *ops)
{
    static struct tiny_shape shape;
    shape = tiny_shapes[1];
    shape.n_vocab = PADDED_ROWS;
    struct tiny *t = tiny_make(&shape, ops, NULL);
    t->params.n_tokens = PADDED_TOKENS;
    return t;
}

static void tiny_measured_are_tokens(void *arg, uint32_t output, const struct logit_rows *rows)
{
    uint32_t *n_beyond = arg;
    const float *logits = rows->logits, *largest = rows->largest;
    (void)output;
    for (uint32_t block = 0; block * LOGIT_BLOCK < PADDED_ROWS; block++) {
        const uint32_t first = block * LOGIT_BLOCK, end = first + LOGIT_BLOCK;
        float most = -INFINITY;
        for (uint32_t i = first; i < end && i < PADDED_ROWS; i++) {
            if (i < PADDED_TOKENS && logits[i] > most) most = logits[i];
            *n_beyond += i >= PADDED_TOKENS && logits[i] > largest[PADDED_TOKENS / LOGIT_BLOCK];
        }
        assert_true(largest[block] == most);
    }
}

/* The largest logits are of rows with a token alone. */
static inline void tiny_check_padded(const struct backend_ops *ops)
{
    struct tiny *t = tiny_make_padded(ops);
    tiny_open(t);
    const int32_t token[] = { 3 };
    const uint32_t pos[] = { 0 };
    const struct span span = { .n_cols = 1, .page = { t->page[0][0], t->page[1][0] } };
    const struct output output = { .n_cols = 1 };
    const struct batch batch = { .n_cols = 1, .n_spans = 1, .n_outputs = 1, .n_rows = 1,
                                 .token = token, .pos = pos, .span = &span, .output = &output };
    uint32_t n_beyond = 0;
    pl_err err;
    tiny_start(t, 1, 0);
    tiny_record(t, &batch);
    t->ops->sample(t->b, tiny_measured_are_tokens, &n_beyond);
    assert_int_equal(t->ops->submit(t->b, &err), PL_OK);
    assert_true(n_beyond > 0);      /* else what is looked at could not differ */
    tiny_close(t);
    tiny_free(t);
}

#endif

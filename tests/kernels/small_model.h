/* Two layers of random weights on an open backend, and steps over streams of tokens: what
 * test_backend.c plays with. The shapes take every turn the operations have between them. */
#ifndef TESTS_KERNELS_SMALL_MODEL_H
#define TESTS_KERNELS_SMALL_MODEL_H

#include "product_fixture.h"

#include "backend/cpu/cpu_internal.h"

enum { N_LAYERS = 2, MAX_COLS = 64, MAX_CONTEXT = 96, N_PAGES = 160, MAX_VECTORS = 64 };
enum { STREAM_PAGES = MAX_CONTEXT / PAGE_TOKENS, MAX_VOCAB = 1000 };

struct shape {
    const char *name;
    struct dims dims;
    uint32_t attn, v, ffn, down, embedding;     /* file types */
    uint32_t window;                            /* of the second layer */
    bool has_biases, has_head_norms, has_post_norms, is_interleaved;
    enum activation activation;
    float embed_scale;
};

/* Rows of the vocabulary, 1000, are no multiple of a panel's 16. */
static const struct shape shapes[] = {
    { "K-quants", { 256, 64, 512, 4, 2, N_LAYERS, 1000 }, QUANT_Q4_K, QUANT_Q6_K, QUANT_Q4_K,
      QUANT_Q6_K, QUANT_Q6_K, 0, false, false, false, true, ACTIVATION_SILU, 1 },
    { "blocks of 32, biases", { 96, 32, 160, 3, 1, N_LAYERS, 1000 }, QUANT_Q8_0, QUANT_Q4_0,
      QUANT_Q4_0, QUANT_Q8_0, QUANT_Q8_0, 0, true, false, false, false, ACTIVATION_SILU, 1 },
    { "norms of heads, post norms, window", { 256, 256, 288, 2, 1, N_LAYERS, 1000 }, QUANT_Q5_K,
      QUANT_Q6_K, QUANT_Q4_0, QUANT_Q5_0, QUANT_Q8_0, 24, false, true, true, false,
      ACTIVATION_GELU_TANH, 16 },
    { "every head its own KV", { 288, 96, 256, 7, 7, N_LAYERS, 1000 }, QUANT_Q5_1, QUANT_Q4_1,
      QUANT_Q5_0, QUANT_Q4_K, QUANT_Q4_0, 17, true, true, false, false, ACTIVATION_SILU, 1 },
};

struct layer {
    const struct vector *norm, *ffn_norm, *post_attn, *post_ffn;
    struct qkv_weights qkv;
    const struct matrix *out, *gate, *up, *down;
};

struct model {
    struct backend *b;
    const struct backend_ops *ops;
    const struct shape *shape;
    const struct matrix *embedding;
    const struct vector *out_norm;
    struct rope *rope;
    struct layer layer[N_LAYERS];
    uint64_t weight_bytes;          /* as planned */
    struct rng rng;                 /* of the weights */
};

static inline const struct file_type *file_type_of(uint32_t type)
{
    for (size_t i = 0; i < COUNT(file_types); i++)
        if (file_types[i].type == type) return &file_types[i];
    fail_msg("type %u is not in the fixture", type);
    return NULL;
}

static inline const struct matrix *random_matrix(struct model *m, uint32_t type, uint32_t n_rows,
                                                 uint32_t n_k)
{
    uint8_t *rows = random_rows(&m->rng, file_type_of(type), n_rows, n_k, FILL_RANDOM);
    const struct weight_view view = { "a random weight", type, n_rows, n_k, rows };
    struct matrix *matrix;
    pl_err err;

    if (m->ops->load_matrix(m->b, &view, &matrix, &err)) fail_msg("load_matrix fails");
    free(rows);
    m->weight_bytes += m->ops->matrix_bytes(type, n_rows, n_k);
    return matrix;
}

static inline const struct vector *random_vector(struct model *m, uint32_t n, float mean)
{
    float values[2048];
    struct vector *vector;
    pl_err err;

    assert_true(n <= COUNT(values));
    for (uint32_t i = 0; i < n; i++) values[i] = mean + 0.1f * random_normal(&m->rng);
    if (m->ops->load_vector(m->b, values, n, &vector, &err)) fail_msg("load_vector fails");
    m->weight_bytes += memory_rounded(4 * (uint64_t)n);
    return vector;
}

static inline void load_layer(struct model *m, struct layer *l)
{
    const struct shape *s = m->shape;
    const struct dims *d = &s->dims;
    const uint32_t n_q = d->n_heads * d->d_head, n_kv = d->n_kv_heads * d->d_head;

    l->norm = random_vector(m, d->d_model, 1);
    l->ffn_norm = random_vector(m, d->d_model, 1);
    l->qkv.q = random_matrix(m, s->attn, n_q, d->d_model);
    l->qkv.k = random_matrix(m, s->attn, n_kv, d->d_model);
    l->qkv.v = random_matrix(m, s->v, n_kv, d->d_model);
    l->out = random_matrix(m, QUANT_Q8_0, d->d_model, n_q);
    l->gate = random_matrix(m, s->ffn, d->d_ff, d->d_model);
    l->up = random_matrix(m, s->ffn, d->d_ff, d->d_model);
    l->down = random_matrix(m, s->down, d->d_model, d->d_ff);
    if (s->has_biases) {
        l->qkv.bias_q = random_vector(m, n_q, 0);
        l->qkv.bias_k = random_vector(m, n_kv, 0);
        l->qkv.bias_v = random_vector(m, n_kv, 0);
    }
    if (s->has_head_norms) {
        l->qkv.norm_q = random_vector(m, d->d_head, 1);
        l->qkv.norm_k = random_vector(m, d->d_head, 1);
    }
    if (s->has_post_norms) {
        l->post_attn = random_vector(m, d->d_model, 1);
        l->post_ffn = random_vector(m, d->d_model, 1);
    }
}

static inline void load_rope(struct model *m)
{
    const uint32_t d = m->shape->dims.d_head;
    float *cos_sin = malloc(MAX_CONTEXT * d * sizeof *cos_sin);
    pl_err err;

    assert_non_null(cos_sin);
    for (uint32_t pos = 0; pos < MAX_CONTEXT; pos++)
        for (uint32_t i = 0; i < d / 2; i++) {
            const double angle = pos * pow(10000, -2.0 * i / d);
            cos_sin[pos * d + 2 * i] = (float)cos(angle);
            cos_sin[pos * d + 2 * i + 1] = (float)sin(angle);
        }
    if (m->ops->load_rope(m->b, cos_sin, MAX_CONTEXT, m->shape->is_interleaved, &m->rope, &err))
        fail_msg("load_rope fails");
    free(cos_sin);
    m->weight_bytes += memory_rounded((uint64_t)MAX_CONTEXT * d * 4);
}

static inline struct backend_params params_of(const struct shape *s)
{
    return (struct backend_params){ .dims = s->dims, .max_cols = MAX_COLS, .max_outs = MAX_COLS,
                                    .n_pages = N_PAGES, .n_threads = 2 };
}

/* Close with m->ops->close(m->b). */
static inline struct model open_model(const struct shape *s, const struct backend_params *params)
{
    struct model m = { .ops = backend_find("cpu"), .shape = s };
    pl_err err;

    assert_non_null(m.ops);
    rng_seed(&m.rng, 5);
    if (m.ops->open(&m.b, params, &err)) fail_msg("%s: open fails", s->name);
    m.embedding = random_matrix(&m, s->embedding, s->dims.n_vocab, s->dims.d_model);
    m.out_norm = random_vector(&m, s->dims.d_model, 1);
    for (int i = 0; i < N_LAYERS; i++) load_layer(&m, &m.layer[i]);
    load_rope(&m);
    return m;
}

static inline void record_step(const struct model *m, const struct batch *batch, sample_fn *fn,
                               void *arg)
{
    const struct shape *s = m->shape;
    const float eps = 1e-6f, q_scale = 1 / sqrtf((float)s->dims.d_head);

    m->ops->begin(m->b, batch);
    m->ops->embed(m->b, m->embedding, s->embed_scale);
    for (uint32_t i = 0; i < N_LAYERS; i++) {
        const struct layer *l = &m->layer[i];
        m->ops->norm(m->b, l->norm, eps);
        m->ops->qkv(m->b, i, &l->qkv, m->rope, q_scale, eps);
        m->ops->attend(m->b, i, i == 1 ? s->window : 0);
        m->ops->attention_add(m->b, l->out, l->post_attn, eps);
        m->ops->norm(m->b, l->ffn_norm, eps);
        m->ops->gate_up(m->b, l->gate, l->up, s->activation);
        m->ops->down_add(m->b, l->down, l->post_ffn, eps);
    }
    m->ops->logits(m->b, m->out_norm, eps, m->embedding);
    m->ops->sample(m->b, fn, arg);
}

/* ---- streams and steps ---------------------------------------------------------------------- */

/* A sequence of tokens and the pages that hold it. */
struct sequence {
    int32_t token[MAX_CONTEXT];
    uint32_t page[STREAM_PAGES];
};

/* Columns of a step so far; zeroed is empty. */
struct step {
    int32_t token[MAX_COLS];
    uint32_t pos[MAX_COLS], out_col[MAX_COLS];
    struct span span[MAX_COLS];
    uint32_t n_cols, n_spans, n_outs;
};

/* Positions first .. first + n - 1 of a sequence; all of them outputs, or none. */
static inline void add_columns(struct step *s, const struct sequence *q, uint32_t first, uint32_t n,
                               bool is_output)
{
    s->span[s->n_spans++] = (struct span){ s->n_cols, n, first, q->page };
    for (uint32_t i = 0; i < n; i++) {
        assert_true(s->n_cols < MAX_COLS && first + i < MAX_CONTEXT);
        if (is_output) s->out_col[s->n_outs++] = s->n_cols;
        s->token[s->n_cols] = q->token[first + i];
        s->pos[s->n_cols++] = first + i;
    }
}

struct logits {
    uint32_t n_vocab;
    uint32_t n_calls[MAX_COLS];             /* of each output */
    float row[MAX_COLS][MAX_VOCAB];
};

static inline void keep_logits(void *arg, uint32_t out, float *logits)
{
    struct logits *to = arg;

    to->n_calls[out]++;
    memcpy(to->row[out], logits, to->n_vocab * sizeof *logits);
    memset(logits, 0xff, to->n_vocab * sizeof *logits);     /* it may be changed */
}

/* Runs the step; its outputs' logits lie in `to`, each given once. */
static inline void run_step(const struct model *m, const struct step *s, struct logits *to)
{
    const struct batch batch = { s->n_cols, s->n_spans, s->n_outs, s->token, s->pos, s->span,
                                 s->out_col };

    memset(to, 0, sizeof *to);
    to->n_vocab = m->shape->dims.n_vocab;
    record_step(m, &batch, keep_logits, to);
    m->ops->submit(m->b);
    for (uint32_t i = 0; i < MAX_COLS; i++) assert_int_equal(to->n_calls[i], i < s->n_outs);
}

#endif

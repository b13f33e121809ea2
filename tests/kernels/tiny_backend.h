/* A small random model run directly through the operations of a backend: what the tests of the
 * backends share. Weights follow from a seed; streams have tokens and pages of their own, and
 * what a step computes lands in one table of logits by stream and position, so that two ways to run the
 * same streams are compared by memcmp. */
#ifndef TESTS_KERNELS_TINY_BACKEND_H
#define TESTS_KERNELS_TINY_BACKEND_H

#include "product_fixture.h"

#include "backend/cpu/cpu_internal.h"

enum { TINY_LAYERS = 2, TINY_POSITIONS = 64, TINY_PAGES = TINY_POSITIONS / PAGE_TOKENS,
       TINY_STREAMS = 20, TINY_MATRICES = 10 };

/* Places in tiny_shape.type and tiny_layer.matrix */
enum { IN_Q, IN_K, IN_V, IN_O, IN_GATE, IN_UP, IN_DOWN, IN_EXPERT_GATE, IN_EXPERT_UP,
       IN_EXPERT_DOWN };

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
};

/* Between them: every panel format, every form of activations, rows that are no whole panels. */
static const struct tiny_shape tiny_shapes[] = {
    { "blocks of 256", 256, 64, 512, 4, 2, 100, { 0, 0 }, false, false, true, false,
      ACTIVATION_SILU, 16, { "Q4_K", "Q5_K", "Q6_K", "Q4_0", "Q4_K", "Q6_K", "Q5_0" }, "Q8_0",
      "Q6_K", 0, 0, 0, false },
    { "blocks of 32", 96, 32, 160, 6, 2, 70, { 20, 0 }, true, true, false, true,
      ACTIVATION_GELU_TANH, 9.797959f, { "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_1" },
      "F32", "Q5_1", 0, 0, 0, false },
    { "experts, one shared", 256, 32, 160, 4, 2, 100, { 0, 20 }, false, false, true, false,
      ACTIVATION_SILU, 16, { "Q4_K", "Q4_0", "Q6_K", "Q8_0", "Q8_0", "Q5_1", "Q4_0", "Q4_K", "Q8_0",
      "Q5_0" }, "Q8_0", "Q8_0", 9, 3, 96, false },
    { "experts alone", 256, 32, 0, 4, 2, 100, { 0, 0 }, false, true, false, false,
      ACTIVATION_SILU, 16, { "Q8_0", "Q8_0", "Q8_0", "Q8_0", NULL, NULL, NULL, "Q6_K", "Q5_K",
      "Q4_K" }, "Q8_0", "Q6_K", 17, 4, 256, true },
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
    struct tiny_vector norm, ff_norm, post_norm, post_ff_norm, norm_q, norm_k, bias[3];
    struct tiny_vector router, shared_router;
    struct qkv_weights qkv;
    struct expert_weights experts;
};

struct tiny {
    const struct tiny_shape *shape;
    struct tiny_layer layer[TINY_LAYERS];
    struct tiny_matrix embedding, head;
    struct tiny_vector head_norm;
    float cos_sin[TINY_POSITIONS * MAX_D_HEAD];
    struct rope *rope;
    int32_t token[TINY_STREAMS][TINY_POSITIONS];

    struct backend_params params;
    const struct backend_ops *ops;
    void (*fill_kv)(struct backend *b, int byte);   /* all of the KV pool's bytes */
    struct backend *b;
    uint32_t page[TINY_STREAMS][TINY_PAGES];
    float *logits;              /* (TINY_STREAMS, TINY_POSITIONS, n_vocab) */
    uint32_t n_spans;           /* of the step being run */
    const struct span *span;
    const uint32_t *out_col;
    const uint32_t *stream_of_span;
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
        { "Q5_0", 9.2f, 0 },    { "Q5_1", 9.2f, 15.5f },
    };
    struct tiny_matrix m = { tiny_type(type_name), NULL, n_rows, n_k, NULL };
    const size_t n_blocks = (size_t)n_rows * n_k / m.type->block_weights;

    m.rows = random_rows(r, m.type, n_rows, n_k, FILL_RANDOM);
    for (size_t i = 0; i < COUNT(types); i++) {
        if (strcmp(types[i].name, type_name)) continue;
        const float d = 1 / (types[i].spread * sqrtf((float)n_k));
        for (size_t b = 0; b < n_blocks; b++) {
            uint8_t *block = m.rows + b * m.type->block_bytes;
            put_half(block + m.type->half_at[0], f16_of_f32(d));
            if (m.type->half_at[1] >= 0)
                put_half(block + m.type->half_at[1], f16_of_f32(-types[i].mean * d));
        }
        return m;
    }
    for (size_t i = 0; i < (size_t)n_rows * n_k; i++) {     /* F32 */
        const float w = random_normal(r) / sqrtf((float)n_k);
        memcpy(m.rows + 4 * i, &w, sizeof w);
    }
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

static inline void tiny_make_layer(struct tiny_layer *l, const struct tiny_shape *s, struct rng *r)
{
    const uint32_t n_q = s->n_heads * s->d_head, n_kv = s->n_kv_heads * s->d_head;
    const uint32_t n_of_experts = s->n_experts * s->d_expert;
    const uint32_t n_rows[] = { n_q, n_kv, n_kv, s->d_model, s->d_ff, s->d_ff, s->d_model,
                                n_of_experts, n_of_experts, s->n_experts * s->d_model };
    const uint32_t n_k[] = { s->d_model, s->d_model, s->d_model, n_q, s->d_model, s->d_model,
                             s->d_ff, s->d_model, s->d_model, s->d_expert };

    for (int i = 0; i < TINY_MATRICES; i++)
        if (s->type[i]) l->matrix[i] = tiny_random_matrix(r, s->type[i], n_rows[i], n_k[i]);
    if (s->n_experts) {     /* scores spread by 2: few columns are near a tie */
        l->router = tiny_random_vector(r, s->n_experts * s->d_model, 0,
                                       2 / sqrtf((float)s->d_model));
        if (s->d_ff) l->shared_router = tiny_random_vector(r, s->d_model, 0, 0.1f);
    }
    l->norm = tiny_random_vector(r, s->d_model, 1, 0.2f);
    l->ff_norm = tiny_random_vector(r, s->d_model, 1, 0.2f);
    if (s->has_post_norms) {
        l->post_norm = tiny_random_vector(r, s->d_model, 0.5f, 0.1f);
        l->post_ff_norm = tiny_random_vector(r, s->d_model, 0.5f, 0.1f);
    }
    if (s->has_head_norms) {
        l->norm_q = tiny_random_vector(r, s->d_head, 1.5f, 0.2f);
        l->norm_k = tiny_random_vector(r, s->d_head, 1.5f, 0.2f);
    }
    for (int i = 0; i < 3 && s->has_biases; i++)
        l->bias[i] = tiny_random_vector(r, n_rows[i], 0, 0.5f);
}

static inline void tiny_fill_cpu_kv(struct backend *base, int byte)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    memset(b->kv, byte, b->params.n_pages * b->page_bytes);
}

static inline struct tiny *tiny_make(const struct tiny_shape *s)
{
    struct tiny *t = calloc(1, sizeof *t);
    struct rng r;

    assert_non_null(t);
    rng_seed(&r, 11);
    t->shape = s;
    t->ops = &backend_cpu;
    t->fill_kv = tiny_fill_cpu_kv;
    for (int i = 0; i < TINY_LAYERS; i++) tiny_make_layer(&t->layer[i], s, &r);
    t->embedding = tiny_random_matrix(&r, s->embedding_type, s->n_vocab, s->d_model);
    t->head = tiny_random_matrix(&r, s->head_type, s->n_vocab, s->d_model);
    t->head_norm = tiny_random_vector(&r, s->d_model, 1, 0.2f);
    for (uint32_t pos = 0; pos < TINY_POSITIONS; pos++)
        for (uint32_t i = 0; i < s->d_head / 2; i++) {
            const double angle = pos * pow(1e4, -2.0 * i / s->d_head);
            float *cs = t->cos_sin + (size_t)pos * s->d_head + 2 * i;
            cs[0] = (float)cos(angle);
            cs[1] = (float)sin(angle);
        }
    for (int i = 0; i < TINY_STREAMS; i++)
        for (int pos = 0; pos < TINY_POSITIONS; pos++)
            t->token[i][pos] = (int32_t)rng_below(&r, s->n_vocab);
    t->logits = calloc((size_t)TINY_STREAMS * TINY_POSITIONS * s->n_vocab, sizeof *t->logits);
    assert_non_null(t->logits);
    t->params = (struct backend_params){
        .dims = { s->d_model, s->d_head, s->d_ff, s->n_heads, s->n_kv_heads, TINY_LAYERS,
                  s->n_vocab, s->n_experts, s->n_experts_used, s->d_expert },
        .max_cols = 128, .max_outs = 30, .n_pages = 2 * TINY_STREAMS * TINY_PAGES, .n_threads = 1,
    };
    return t;
}

static inline void tiny_free(struct tiny *t)
{
    for (int i = 0; i < TINY_LAYERS; i++) {
        struct tiny_layer *l = &t->layer[i];
        for (int k = 0; k < TINY_MATRICES; k++) free(l->matrix[k].rows);
        for (int k = 0; k < 3; k++) free(l->bias[k].values);
        free(l->norm.values), free(l->ff_norm.values);
        free(l->post_norm.values), free(l->post_ff_norm.values);
        free(l->norm_q.values), free(l->norm_k.values);
        free(l->router.values), free(l->shared_router.values);
    }
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

/* Opens for t->params and loads everything. */
static inline void tiny_open(struct tiny *t)
{
    pl_err err;

    if (t->ops->open(&t->b, &t->params, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < TINY_LAYERS; i++) {
        struct tiny_layer *l = &t->layer[i];
        struct tiny_vector *vectors[] = { &l->norm, &l->ff_norm, &l->post_norm, &l->post_ff_norm,
                                          &l->norm_q, &l->norm_k, &l->bias[0], &l->bias[1],
                                          &l->bias[2], &l->router, &l->shared_router };
        for (int k = 0; k < TINY_MATRICES; k++) tiny_load_matrix(t, &l->matrix[k]);
        for (size_t k = 0; k < COUNT(vectors); k++) tiny_load_vector(t, vectors[k]);
        l->qkv = (struct qkv_weights){
            l->matrix[IN_Q].loaded, l->matrix[IN_K].loaded, l->matrix[IN_V].loaded,
            l->bias[0].loaded, l->bias[1].loaded, l->bias[2].loaded, l->norm_q.loaded,
            l->norm_k.loaded,
        };
        l->experts = (struct expert_weights){
            l->router.loaded, l->matrix[IN_EXPERT_GATE].loaded, l->matrix[IN_EXPERT_UP].loaded,
            l->matrix[IN_EXPERT_DOWN].loaded, t->shape->is_normalised, l->matrix[IN_GATE].loaded,
            l->matrix[IN_UP].loaded, l->matrix[IN_DOWN].loaded, l->shared_router.loaded,
        };
    }
    tiny_load_matrix(t, &t->embedding);
    tiny_load_matrix(t, &t->head);
    tiny_load_vector(t, &t->head_norm);
    assert_int_equal(t->ops->load_rope(t->b, t->cos_sin, TINY_POSITIONS,
                                           t->shape->is_interleaved, &t->rope, &err), PL_OK);
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
    const uint32_t n_pages = t->params.n_pages;
    uint32_t order[2 * TINY_STREAMS * TINY_PAGES];
    struct rng r;

    rng_seed(&r, seed);
    for (uint32_t i = 0; i < n_pages; i++) {
        const uint32_t other = (uint32_t)rng_below(&r, i + 1);
        order[i] = order[other];
        order[other] = i;
    }
    memcpy(t->page, order, sizeof t->page);
    t->fill_kv(t->b, garbage);
    memset(t->logits, 0, (size_t)TINY_STREAMS * TINY_POSITIONS * t->shape->n_vocab * sizeof(float));
}

/* ---- steps ---------------------------------------------------------------------------------- */

/* Neighbouring positions of a stream, to be computed in one step. */
struct piece {
    uint32_t stream, first_pos, n_cols;
};

static inline void tiny_record(struct tiny *t)
{
    const struct backend_ops *ops = t->ops;
    const struct tiny_shape *s = t->shape;

    ops->embed(t->b, t->embedding.loaded, s->embed_scale);
    for (uint32_t i = 0; i < TINY_LAYERS; i++) {
        const struct tiny_layer *l = &t->layer[i];
        ops->norm(t->b, l->norm.loaded, tiny_eps);
        ops->qkv(t->b, i, &l->qkv, t->rope, 1 / sqrtf((float)s->d_head), tiny_eps);
        ops->attend(t->b, i, s->window[i]);
        ops->attention_add(t->b, l->matrix[IN_O].loaded, l->post_norm.loaded, tiny_eps);
        ops->norm(t->b, l->ff_norm.loaded, tiny_eps);
        if (s->n_experts) {
            ops->experts_add(t->b, l->ff_norm.loaded, tiny_eps, &l->experts, s->activation);
            continue;
        }
        ops->gate_up(t->b, l->matrix[IN_GATE].loaded, l->matrix[IN_UP].loaded, s->activation);
        ops->down_add(t->b, l->matrix[IN_DOWN].loaded, l->post_ff_norm.loaded, tiny_eps);
    }
    ops->logits(t->b, t->head_norm.loaded, tiny_eps, t->head.loaded);
}

static inline float *tiny_logits(const struct tiny *t, uint32_t stream, uint32_t pos)
{
    return t->logits + ((size_t)stream * TINY_POSITIONS + pos) * t->shape->n_vocab;
}

/* The backend lets a sampler change the row: this one does. */
static void tiny_keep_logits(void *arg, uint32_t out, float *logits, float *largest)
{
    struct tiny *t = arg;
    const size_t n = t->shape->n_vocab;
    uint32_t n_found = 0;       /* a bit for each block whose largest stands in it */
    for (uint32_t i = 0; i < t->n_spans; i++) {
        const uint32_t at = t->out_col[out] - t->span[i].first_col;
        if (at >= t->span[i].n_cols) continue;
        float *to = tiny_logits(t, t->stream_of_span[i], t->span[i].first_pos + at);
        for (size_t k = 0; k < n; k++) to[k] += logits[k];  /* a second call would be seen */
    }
    for (size_t i = 0; i < n; i++) {
        assert_true(!(logits[i] > largest[i / LOGIT_BLOCK]));
        if (logits[i] == largest[i / LOGIT_BLOCK]) n_found |= 1u << i / LOGIT_BLOCK;
    }
    assert_int_equal(n_found, (1u << (n + LOGIT_BLOCK - 1) / LOGIT_BLOCK) - 1);
    memset(logits, 0xff, n * sizeof *logits);
}

/* Computes the pieces in one step. Columns are laid out in the order given, spans listed in the
 * opposite one. Outputs: every out_every-th column, counted from the last; 0: none. */
static inline void tiny_step(struct tiny *t, const struct piece *piece, uint32_t n_pieces,
                             uint32_t out_every)
{
    enum { MAX_COLS = 128 };
    int32_t token[MAX_COLS];
    uint32_t pos[MAX_COLS], out_col[MAX_COLS], stream[TINY_STREAMS];
    struct span span[TINY_STREAMS];
    struct batch batch = { .n_spans = n_pieces, .token = token, .pos = pos, .span = span,
                           .out_col = out_col };

    for (uint32_t i = 0; i < n_pieces; i++) {
        const struct piece *p = &piece[i];
        stream[n_pieces - 1 - i] = p->stream;
        span[n_pieces - 1 - i] = (struct span){ batch.n_cols, p->n_cols, p->first_pos,
                                                t->page[p->stream] };
        for (uint32_t c = 0; c < p->n_cols; c++) {
            token[batch.n_cols] = t->token[p->stream][p->first_pos + c];
            pos[batch.n_cols++] = p->first_pos + c;
        }
    }
    for (uint32_t c = 0; out_every && c < batch.n_cols; c++)
        if ((batch.n_cols - 1 - c) % out_every == 0) out_col[batch.n_outs++] = c;
    t->n_spans = n_pieces;
    t->span = span;
    t->stream_of_span = stream;
    t->out_col = out_col;
    pl_err err;
    t->ops->begin(t->b, &batch);
    tiny_record(t);
    t->ops->sample(t->b, tiny_keep_logits, t);
    if (t->ops->submit(t->b, &err)) fail_msg("%s", err.text);
}

#endif

#include "backend/self_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "quant/quant.h"

enum { D_MODEL = 256, D_HEAD = 64, N_HEADS = 4, N_KV_HEADS = 2, D_FF = 256, MAX_COLS = 128,
       PAGES_A_STREAM = (SELF_POSITIONS + PAGE_TOKENS - 1) / PAGE_TOKENS,
       N_PAGES = SELF_STREAMS * PAGES_A_STREAM };

static const float eps = 1e-6f;

enum { M_Q, M_K, M_V, M_O, M_GATE, M_UP, M_DOWN, N_MATRICES };
enum { V_NORM, V_FF_NORM, V_POST, V_FF_POST, V_NORM_Q, V_NORM_K, V_BIAS_Q, V_BIAS_K, V_BIAS_V,
       N_VECTORS };

struct self_model {
    const struct backend_ops *ops;
    struct self_params params;
    struct backend *b;
    struct {
        struct matrix *matrix[N_MATRICES];
        struct vector *vector[N_VECTORS];
        struct qkv_weights qkv;
    } layer[SELF_LAYERS];
    struct matrix *embedding, *head;
    struct vector *head_norm;
    struct rope *rope;
    int32_t token[SELF_STREAMS][SELF_POSITIONS];
    uint32_t page[SELF_STREAMS][PAGES_A_STREAM];
    float logits[SELF_STREAMS][SELF_POSITIONS][SELF_VOCAB];
    float *row[MAX_COLS];       /* where each output of the step goes */
};

/* ---- weights -------------------------------------------------------------------------------- */

static float random_normal(struct rng *r)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += rng_unit(r);
    return (float)(sum - 6);
}

/* Where a block's halves stand, and how widely its weights spread where they are 1; `min` is what
 * the second, of minima, is to be for a mean of 0. */
static const struct block_facts {
    uint32_t type;
    int half_at[2];
    float spread, min;
} facts[] = {
    { QUANT_Q4_K, { 0, 2 }, 200, 7.5f },     { QUANT_Q5_K, { 0, 2 }, 400, 15.5f },
    { QUANT_Q6_K, { 208, -1 }, 1366, 0 },    { QUANT_Q3_K, { 108, -1 }, 43, 0 },
    { QUANT_Q2_K, { 80, 82 }, 12, 1.5f },    { QUANT_Q8_0, { 0, -1 }, 74, 0 },
    { QUANT_Q4_0, { 0, -1 }, 4.6f, 0 },      { QUANT_Q4_1, { 0, 2 }, 4.6f, -7.5f },
    { QUANT_Q5_0, { 0, -1 }, 9.2f, 0 },      { QUANT_Q5_1, { 0, 2 }, 9.2f, -15.5f },
    { QUANT_IQ4_NL, { 0, -1 }, 66, 0 },      { QUANT_IQ4_XS, { 0, -1 }, 1220, 0 },
};

static void put_half(uint8_t *at, float x)
{
    const uint16_t half = f16_of_f32(x);
    memcpy(at, &half, sizeof half);
}

static void fill_floats(struct rng *r, uint32_t type, uint8_t *rows, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        const float x = scale * random_normal(r);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        const uint16_t upper = (uint16_t)(bits >> 16);
        if (type == QUANT_F32) memcpy(rows + 4 * i, &x, sizeof x);
        else if (type == QUANT_F16) put_half(rows + 2 * i, x);
        else memcpy(rows + 2 * i, &upper, sizeof upper);
    }
}

/* Random quanta, with scales that give weights a mean of about 0 and a variance of 1 / n_k. */
static void fill_rows(struct rng *r, uint32_t type, uint8_t *rows, uint32_t n_rows, uint32_t n_k)
{
    const struct quant_traits *t = quant_traits(type);
    const struct block_facts *f = NULL;
    const size_t n = (size_t)n_rows * n_k, n_blocks = n / t->block_weights;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (facts[i].type == type) f = &facts[i];
    if (!f) {
        fill_floats(r, type, rows, n, 1 / sqrtf((float)n_k));
        return;
    }
    const float d = 1 / (f->spread * sqrtf((float)n_k));
    for (size_t i = 0; i < n_blocks * t->block_bytes; i++) rows[i] = (uint8_t)rng_u64(r);
    for (size_t i = 0; i < n_blocks; i++) {
        put_half(rows + i * t->block_bytes + f->half_at[0], d);
        if (f->half_at[1] >= 0) put_half(rows + i * t->block_bytes + f->half_at[1], f->min * d);
    }
}

static pl_status load_matrix(struct self_model *m, struct rng *r, uint32_t n_rows, uint32_t n_k,
                             struct matrix **out, pl_err *err)
{
    uint8_t *rows = malloc(n_rows * quant_row_bytes(m->params.type, n_k));
    if (!rows) return pl_fail(err, PL_E_MEMORY, "no memory for the self-test's weights");
    fill_rows(r, m->params.type, rows, n_rows, n_k);
    const struct weight_view view = { "self-test", m->params.type, n_rows, n_k, rows };
    const pl_status st = m->ops->load_matrix(m->b, &view, out, err);
    free(rows);
    return st;
}

static pl_status load_vector(struct self_model *m, struct rng *r, uint32_t n, float mean,
                             float spread, struct vector **out, pl_err *err)
{
    float values[D_FF];
    for (uint32_t i = 0; i < n; i++) values[i] = mean + spread * random_normal(r);
    return m->ops->load_vector(m->b, values, n, out, err);
}

static pl_status load_layer(struct self_model *m, struct rng *r, uint32_t i, pl_err *err)
{
    enum { N_Q = N_HEADS * D_HEAD, N_KV = N_KV_HEADS * D_HEAD };
    static const uint32_t n_rows[] = { N_Q, N_KV, N_KV, D_MODEL, D_FF, D_FF, D_MODEL };
    static const uint32_t n_k[] = { D_MODEL, D_MODEL, D_MODEL, N_Q, D_MODEL, D_MODEL, D_FF };
    static const struct {
        uint32_t n;
        float mean, spread;
        bool of_biases, always;
    } vectors[N_VECTORS] = {
        [V_NORM] = { D_MODEL, 1, 0.2f, false, true },
        [V_FF_NORM] = { D_MODEL, 1, 0.2f, false, true },
        [V_POST] = { D_MODEL, 0.5f, 0.1f, false, false },
        [V_FF_POST] = { D_MODEL, 0.5f, 0.1f, false, false },
        [V_NORM_Q] = { D_HEAD, 1.5f, 0.2f, false, false },
        [V_NORM_K] = { D_HEAD, 1.5f, 0.2f, false, false },
        [V_BIAS_Q] = { N_Q, 0, 0.5f, true, false },
        [V_BIAS_K] = { N_KV, 0, 0.5f, true, false },
        [V_BIAS_V] = { N_KV, 0, 0.5f, true, false },
    };
    struct matrix **w = m->layer[i].matrix;
    struct vector **v = m->layer[i].vector;
    pl_status st = PL_OK;

    for (int k = 0; k < N_MATRICES && !st; k++)
        st = load_matrix(m, r, n_rows[k], n_k[k], &w[k], err);
    for (int k = 0; k < N_VECTORS && !st; k++)
        if (vectors[k].always || vectors[k].of_biases == m->params.has_biases)
            st = load_vector(m, r, vectors[k].n, vectors[k].mean, vectors[k].spread, &v[k], err);
    m->layer[i].qkv = (struct qkv_weights){ w[M_Q], w[M_K], w[M_V], v[V_BIAS_Q], v[V_BIAS_K],
                                            v[V_BIAS_V], v[V_NORM_Q], v[V_NORM_K] };
    return st;
}

static pl_status load_rope(struct self_model *m, pl_err *err)
{
    float cos_sin[SELF_POSITIONS * D_HEAD];
    for (uint32_t pos = 0; pos < SELF_POSITIONS; pos++)
        for (uint32_t i = 0; i < D_HEAD / 2; i++) {
            const double angle = pos * pow(1e4, -2.0 * i / D_HEAD);
            cos_sin[pos * D_HEAD + 2 * i] = (float)cos(angle);
            cos_sin[pos * D_HEAD + 2 * i + 1] = (float)sin(angle);
        }
    return m->ops->load_rope(m->b, cos_sin, SELF_POSITIONS, !m->params.has_biases, &m->rope, err);
}

static pl_status load(struct self_model *m, pl_err *err)
{
    struct rng r;
    rng_seed(&r, 20);
    pl_status st = PL_OK;
    for (uint32_t i = 0; i < SELF_LAYERS && !st; i++) st = load_layer(m, &r, i, err);
    if (!st) st = load_matrix(m, &r, SELF_VOCAB, D_MODEL, &m->embedding, err);
    if (!st) st = load_matrix(m, &r, SELF_VOCAB, D_MODEL, &m->head, err);
    if (!st) st = load_vector(m, &r, D_MODEL, 1, 0.2f, &m->head_norm, err);
    if (!st) st = load_rope(m, err);
    for (int s = 0; s < SELF_STREAMS; s++)
        for (int pos = 0; pos < SELF_POSITIONS; pos++)
            m->token[s][pos] = (int32_t)rng_below(&r, SELF_VOCAB);
    return st ? st : m->ops->load_done(m->b, err);
}

pl_status self_model_open(struct self_model **out, const struct backend_ops *ops,
                          const struct self_params *params, pl_err *err)
{
    *out = NULL;
    struct self_model *m = calloc(1, sizeof *m);
    if (!m) return pl_fail(err, PL_E_MEMORY, "no memory for the self-test's model");
    m->ops = ops;
    m->params = *params;
    const struct backend_params b = {
        .dims = { .d_model = D_MODEL, .d_head = D_HEAD, .d_ff = D_FF, .n_heads = N_HEADS,
                  .n_kv_heads = N_KV_HEADS, .n_layers = SELF_LAYERS, .n_vocab = SELF_VOCAB },
        .max_cols = MAX_COLS, .max_outs = 48, .n_pages = N_PAGES, .n_threads = 1,
        .k_type = params->k_type, .v_type = params->v_type, .isa = params->isa,
    };
    pl_status st = ops->open(&m->b, &b, err);
    if (!st) st = load(m, err);
    if (st) {
        self_model_close(m);
        return st;
    }
    self_model_start(m, 1);
    *out = m;
    return PL_OK;
}

void self_model_close(struct self_model *m)
{
    if (!m) return;
    if (m->b) m->ops->close(m->b);
    free(m);
}

/* ---- steps ---------------------------------------------------------------------------------- */

void self_model_start(struct self_model *m, uint64_t seed)
{
    uint32_t order[N_PAGES];
    struct rng r;
    rng_seed(&r, seed);
    for (uint32_t i = 0; i < N_PAGES; i++) {
        const uint32_t other = (uint32_t)rng_below(&r, i + 1);
        order[i] = order[other];
        order[other] = i;
    }
    memcpy(m->page, order, sizeof m->page);
    memset(m->logits, 0, sizeof m->logits);
}

const float *self_model_logits(const struct self_model *m, uint32_t stream, uint32_t pos)
{
    return m->logits[stream][pos];
}

static void keep(void *arg, uint32_t out, float *logits, float *largest)
{
    struct self_model *m = arg;
    (void)largest;
    memcpy(m->row[out], logits, SELF_VOCAB * sizeof *logits);
}

static void record(struct self_model *m, const struct batch *batch)
{
    const struct backend_ops *ops = m->ops;
    const enum activation activation =
        m->params.has_biases ? ACTIVATION_SILU : ACTIVATION_GELU_TANH;

    ops->begin(m->b, batch);
    ops->embed(m->b, m->embedding, 16);
    for (uint32_t i = 0; i < SELF_LAYERS; i++) {
        struct matrix *const *w = m->layer[i].matrix;
        struct vector *const *v = m->layer[i].vector;
        ops->norm(m->b, v[V_NORM], eps);
        ops->qkv(m->b, i, &m->layer[i].qkv, m->rope, 1 / sqrtf(D_HEAD), eps);
        ops->attend(m->b, i, i ? 0 : m->params.window);
        ops->attention_add(m->b, w[M_O], v[V_POST], eps);
        ops->norm(m->b, v[V_FF_NORM], eps);
        ops->gate_up(m->b, w[M_GATE], w[M_UP], activation);
        ops->down_add(m->b, w[M_DOWN], v[V_FF_POST], eps);
    }
    ops->logits(m->b, m->head_norm, eps, m->head);
    ops->sample(m->b, keep, m);
}

pl_status self_model_step(struct self_model *m, const struct self_piece *piece, uint32_t n_pieces,
                          pl_err *err)
{
    int32_t token[MAX_COLS];
    uint32_t pos[MAX_COLS], out_col[MAX_COLS];
    struct span span[MAX_COLS];
    struct batch batch = { .token = token, .pos = pos, .span = span, .out_col = out_col };

    for (uint32_t i = 0; i < n_pieces; i++) {
        const struct self_piece *p = &piece[i];
        if (batch.n_cols + p->n_cols > MAX_COLS) break;
        span[batch.n_spans++] =
            (struct span){ batch.n_cols, p->n_cols, p->first_pos, m->page[p->stream] };
        for (uint32_t c = 0; c < p->n_cols; c++) {
            const uint32_t col = batch.n_cols++;
            token[col] = m->token[p->stream][p->first_pos + c];
            pos[col] = p->first_pos + c;
            out_col[col] = col;
            m->row[col] = m->logits[p->stream][p->first_pos + c];
        }
    }
    batch.n_outs = batch.n_cols;
    record(m, &batch);
    return m->ops->submit(m->b, err);
}

/* ---- replies -------------------------------------------------------------------------------- */

const int32_t *self_model_tokens(const struct self_model *m, uint32_t stream)
{
    return m->token[stream];
}

/* Position `at` of all streams, as one step. */
static pl_status start_saying(struct self_model *m, const struct pick *pick, uint32_t n_streams,
                              uint32_t at, bool is_on_top, pl_err *err)
{
    int32_t token[SELF_STREAMS];
    uint32_t pos[SELF_STREAMS], out_col[SELF_STREAMS];
    struct span span[SELF_STREAMS];
    for (uint32_t s = 0; s < n_streams; s++) {
        token[s] = is_on_top ? -1 - (int32_t)s : m->token[s][at];
        pos[s] = at;
        out_col[s] = s;
        span[s] = (struct span){ s, 1, at, m->page[s] };
    }
    const struct batch batch = { n_streams, n_streams, n_streams, token, pos, span, out_col,
                                 pick + (size_t)at * n_streams };
    record(m, &batch);
    return m->ops->start(m->b, err);
}

/* The tokens that the oldest step picked, for the position after `at`. */
static pl_status finish_saying(struct self_model *m, uint32_t n_streams, uint32_t at, pl_err *err)
{
    const int32_t *picked;
    const pl_status st = m->ops->finish(m->b, &picked, err);
    for (uint32_t s = 0; s < n_streams && !st; s++) m->token[s][at + 1] = picked[s];
    return st;
}

pl_status self_model_say(struct self_model *m, const struct pick *pick, uint32_t n_streams,
                         uint32_t n, bool is_ahead, pl_err *err)
{
    uint32_t n_finished = 0;
    pl_status st = PL_OK;
    for (uint32_t at = 0; at < n && !st; at++) {
        st = start_saying(m, pick, n_streams, at, is_ahead && at, err);
        if (!st && at >= n_finished + is_ahead) st = finish_saying(m, n_streams, n_finished++, err);
    }
    while (n_finished < n && !st) st = finish_saying(m, n_streams, n_finished++, err);
    return st;
}

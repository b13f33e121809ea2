#include "backend/self_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "quant/quant.h"

enum { D_MODEL = 256, D_HEAD = 64, N_HEADS = 4, N_KV_HEADS = 2, D_FF = 256, MAX_COLS = 128,
       PAGES_A_STREAM = (SELF_POSITIONS + PAGE_TOKENS - 1) / PAGE_TOKENS,
       N_PAGES = SELF_STREAMS * PAGES_A_STREAM,
       N_KV_GROUPS = 2 };       /* the second for the first layer, where that has a window */

static const float eps = 1e-6f;

enum { M_Q, M_K, M_V, M_O, M_GATE, M_UP, M_DOWN, N_MATRICES };
enum { V_NORM, V_FF_NORM, V_POST, V_FF_POST, V_NORM_Q, V_NORM_K, V_BIAS_Q, V_BIAS_K, V_BIAS_V,
       V_BIAS_O, V_BIAS_GATE, V_BIAS_UP, V_BIAS_DOWN,
       N_VECTORS };

struct self_layer {
    struct norm norm, ff_norm;
    struct qkv_weights qkv;
    struct attention_params attention;
    struct linear output, gate, up, down;
    struct residual residual, ff_residual;
    struct ffn_params ffn;
};

struct self_model {
    const struct backend_ops *ops;
    struct self_params params;
    struct backend *b;
    struct {
        struct matrix *matrix[N_MATRICES];
        struct vector *vector[N_VECTORS];
        struct self_layer ops;      /* the same, as the operations get them */
    } layer[SELF_LAYERS];
    struct matrix *embedding, *head;
    struct vector *head_norm;
    struct head_params head_params;
    int32_t token[SELF_STREAMS][SELF_POSITIONS];
    float logprob[SELF_STREAMS][SELF_POSITIONS];
    uint32_t page[N_KV_GROUPS][SELF_STREAMS][PAGES_A_STREAM];
    float logits[SELF_STREAMS][SELF_POSITIONS][SELF_VOCAB];
    struct output output[MAX_COLS];     /* of the step */
    float *row[MAX_COLS];       /* where each of their rows goes */
};

/* ---- weights -------------------------------------------------------------------------------- */

static float random_normal(struct rng *r)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += rng_unit(r);
    return (float)(sum - 6);
}

/* Where a block's halves stand (of MXFP4 an exponent does, at 0), and how widely its weights spread
 * where they are 1; `min` is what the second, of minima, is to be for a mean of 0. */
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
    { QUANT_MXFP4, { -1, -1 }, 5.9f, 0 },
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
        uint8_t *block = rows + i * t->block_bytes;
        if (type == QUANT_MXFP4) block[0] = (uint8_t)(128 + lrintf(log2f(d)));
        if (f->half_at[0] >= 0) put_half(block + f->half_at[0], d);
        if (f->half_at[1] >= 0) put_half(block + f->half_at[1], f->min * d);
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

/* Biases that make gates so large that an exponential of them, or of their squares, leaves a
 * float. */
static pl_status load_large_gates(struct self_model *m, uint32_t n, struct vector **out,
                                  pl_err *err)
{
    static const float size[] = { 20, -20, 88, -88 };
    float values[D_FF];
    for (uint32_t i = 0; i < n; i++) values[i] = size[i % 4];
    return m->ops->load_vector(m->b, values, n, out, err);
}

/* What the operations of a layer get. */
static void set_layer(struct self_model *m, uint32_t i)
{
    struct matrix *const *w = m->layer[i].matrix;
    struct vector *const *v = m->layer[i].vector;
    struct self_layer *l = &m->layer[i].ops;
    *l = (struct self_layer){
        .norm = { v[V_NORM], eps, false }, .ff_norm = { v[V_FF_NORM], eps, false },
        .qkv = { .q = { w[M_Q], v[V_BIAS_Q] }, .k = { w[M_K], v[V_BIAS_K] },
                 .v = { w[M_V], v[V_BIAS_V] }, .norm_q = { v[V_NORM_Q], eps, false },
                 .norm_k = { v[V_NORM_K], eps, false }, .norm_v = { NULL, eps, false } },
        .attention = { .q_scale = 1 / sqrtf(D_HEAD), .window = i ? 0 : m->params.window,
                       .kv_group = !i && m->params.window, .kv_layer = i && !m->params.window },
        .output = { w[M_O], v[V_BIAS_O] }, .gate = { w[M_GATE], v[V_BIAS_GATE] },
        .up = { w[M_UP], v[V_BIAS_UP] }, .down = { w[M_DOWN], v[V_BIAS_DOWN] },
        .residual = { .norm = { v[V_POST], eps, false }, .scale = 1 },
        .ff_residual = { .norm = { v[V_FF_POST], eps, false }, .scale = 1 },
        .ffn = { .activation = m->params.has_biases && !m->params.has_large_gates
                                   ? ACTIVATION_SILU : ACTIVATION_GELU_TANH },
    };
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
        [V_BIAS_O] = { D_MODEL, 0, 0.5f, true, false },
        [V_BIAS_GATE] = { D_FF, 0, 0.5f, true, false },
        [V_BIAS_UP] = { D_FF, 0, 0.5f, true, false },
        [V_BIAS_DOWN] = { D_MODEL, 0, 0.5f, true, false },
    };
    struct matrix **w = m->layer[i].matrix;
    struct vector **v = m->layer[i].vector;
    pl_status st = PL_OK;

    for (int k = 0; k < N_MATRICES && !st; k++)
        st = load_matrix(m, r, n_rows[k], n_k[k], &w[k], err);
    for (int k = 0; k < N_VECTORS && !st; k++)
        if (k == V_BIAS_GATE && m->params.has_large_gates)
            st = load_large_gates(m, vectors[k].n, &v[k], err);
        else if (vectors[k].always || vectors[k].of_biases == m->params.has_biases)
            st = load_vector(m, r, vectors[k].n, vectors[k].mean, vectors[k].spread, &v[k], err);
    set_layer(m, i);
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
    const struct rope_view view = { cos_sin, SELF_POSITIONS, D_HEAD, !m->params.has_biases };
    struct rope *rope = NULL;
    const pl_status st = m->ops->load_rope(m->b, &view, &rope, err);
    for (int i = 0; i < SELF_LAYERS; i++) m->layer[i].ops.attention.rope = rope;
    return st;
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
    m->head_params = (struct head_params){ { m->head_norm, eps, false }, 1, 0 };
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
                  .n_kv_heads = N_KV_HEADS, .n_layers = SELF_LAYERS, .n_vocab = SELF_VOCAB,
                  .has_ff_biases = params->has_biases },
        .max_cols = MAX_COLS, .max_outs = 48, .n_threads = 1,
        .kv = { .n = params->window ? N_KV_GROUPS : 1,
                .group = { { .n_layers = params->window ? SELF_LAYERS - 1 : SELF_LAYERS,
                             .n_pages = N_PAGES },
                           { .window = params->window, .n_layers = 1, .n_pages = N_PAGES } } },
        .has_float_weights = true,
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
    struct rng r;
    rng_seed(&r, seed);
    for (int g = 0; g < N_KV_GROUPS; g++) {
        uint32_t *order = m->page[g][0];        /* (N_PAGES): the tables lie one after another */
        for (uint32_t i = 0; i < N_PAGES; i++) {
            const uint32_t other = (uint32_t)rng_below(&r, i + 1);
            order[i] = order[other];
            order[other] = i;
        }
    }
    memset(m->logits, 0, sizeof m->logits);
}

const float *self_model_logits(const struct self_model *m, uint32_t stream, uint32_t pos)
{
    return m->logits[stream][pos];
}

static void keep(void *arg, uint32_t output, const struct logit_rows *rows)
{
    struct self_model *m = arg;
    const struct output *o = &m->output[output];
    for (uint32_t i = 0; i < o->n_cols; i++)
        memcpy(m->row[o->first_row + i], rows->logits + i * rows->ld_logits,
               SELF_VOCAB * sizeof *rows->logits);
}

static void record(struct self_model *m, const struct batch *batch)
{
    const struct backend_ops *ops = m->ops;

    ops->begin(m->b, batch);
    ops->embed(m->b, m->embedding, 16);
    for (uint32_t i = 0; i < SELF_LAYERS; i++) {
        const struct self_layer *l = &m->layer[i].ops;
        ops->norm(m->b, &l->norm);
        ops->qkv(m->b, &l->qkv, &l->attention);
        ops->attend(m->b, &l->qkv, &l->attention);
        ops->attention_add(m->b, &l->output, &l->residual);
        ops->norm(m->b, &l->ff_norm);
        ops->gate_up(m->b, &l->gate, &l->up, &l->ffn);
        ops->down_add(m->b, &l->down, &l->ff_residual);
    }
    ops->logits(m->b, &m->head_params, m->head);
    ops->sample(m->b, keep, m);
}

static struct span span_of(const struct self_model *m, uint32_t stream, uint32_t first_col,
                           uint32_t first_pos, uint32_t n_cols)
{
    const uint32_t n_pages = (first_pos + n_cols + PAGE_TOKENS - 1) / PAGE_TOKENS;
    return (struct span){ .first_col = first_col, .n_cols = n_cols, .first_pos = first_pos,
                          .page = { m->page[0][stream], m->page[1][stream] }, .slot = stream,
                          .n_pages = n_pages, .n_new_pages = n_pages };
}

pl_status self_model_step(struct self_model *m, const struct self_piece *piece, uint32_t n_pieces,
                          pl_err *err)
{
    int32_t token[MAX_COLS];
    uint32_t pos[MAX_COLS];
    struct span span[MAX_COLS];
    struct batch batch = { .token = token, .pos = pos, .span = span, .output = m->output };

    for (uint32_t i = 0; i < n_pieces; i++) {
        const struct self_piece *p = &piece[i];
        if (batch.n_cols + p->n_cols > MAX_COLS) break;
        m->output[batch.n_outputs++] = (struct output){ OUTPUT_LOGITS, batch.n_spans, batch.n_cols,
                                                        p->n_cols, batch.n_cols };
        span[batch.n_spans++] = span_of(m, p->stream, batch.n_cols, p->first_pos, p->n_cols);
        for (uint32_t c = 0; c < p->n_cols; c++) {
            const uint32_t col = batch.n_cols++;
            token[col] = m->token[p->stream][p->first_pos + c];
            pos[col] = p->first_pos + c;
            m->row[col] = m->logits[p->stream][p->first_pos + c];
        }
    }
    batch.n_rows = batch.n_cols;
    record(m, &batch);
    return m->ops->submit(m->b, err);
}

/* ---- replies -------------------------------------------------------------------------------- */

const int32_t *self_model_tokens(const struct self_model *m, uint32_t stream)
{
    return m->token[stream];
}

const float *self_model_logprobs(const struct self_model *m, uint32_t stream)
{
    return m->logprob[stream];
}

/* Position `at` of all streams, as one step. */
static pl_status start_saying(struct self_model *m, struct pick *pick, uint32_t n_streams,
                              uint32_t at, bool is_on_top, pl_err *err)
{
    int32_t token[SELF_STREAMS];
    uint32_t pos[SELF_STREAMS];
    struct span span[SELF_STREAMS];
    for (uint32_t s = 0; s < n_streams; s++) {
        token[s] = is_on_top ? -1 - (int32_t)s : m->token[s][at];
        pos[s] = at;
        m->output[s] = (struct output){ OUTPUT_LOGITS, s, s, 1, s };    /* of all these steps */
        span[s] = span_of(m, s, s, at, 1);
        if (pick[s].last != NO_LAST) pick[s].last = token[s];
    }
    const struct batch batch = { n_streams, n_streams, n_streams, n_streams, token, pos, span,
                                 m->output, pick };
    record(m, &batch);
    return m->ops->start(m->b, err);
}

/* The tokens that the oldest step picked, for the position after `at`. */
static pl_status finish_saying(struct self_model *m, uint32_t n_streams, uint32_t at, pl_err *err)
{
    struct picked picked[SELF_STREAMS];
    const pl_status st = m->ops->finish(m->b, picked, err);
    for (uint32_t s = 0; s < n_streams && !st; s++) {
        m->token[s][at + 1] = picked[s].token;
        m->logprob[s][at + 1] = picked[s].logprob;
    }
    return st;
}

pl_status self_model_say(struct self_model *m, struct pick *pick, uint32_t n_streams,
                         uint32_t n, bool is_ahead, pl_err *err)
{
    uint32_t n_finished = 0;
    pl_status st = PL_OK;
    for (uint32_t at = 0; at < n && !st; at++) {
        st = start_saying(m, pick + (size_t)at * n_streams, n_streams, at, is_ahead && at, err);
        if (!st && at >= n_finished + is_ahead) st = finish_saying(m, n_streams, n_finished++, err);
    }
    while (n_finished < n && !st) st = finish_saying(m, n_streams, n_finished++, err);
    return st;
}

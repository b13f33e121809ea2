/* Attention of the Metal backend on the GPU that the build has: near double precision for every KV
 * type, and every bit of a column as it is alone, however its work is cut and whoever shares it.
 * Whatever no token was written to holds NaN. */
#include "../kernels/kv_types.h"

#include "backend/metal/attention.h"
#include "metal_fixture.h"

enum {
    MAX_D_HEAD = 512, N_KV_HEADS = 2, N_LAYERS = 3, LAYER = 1,
    MAX_POSITIONS = 416, MAX_STREAMS = 60, MAX_COLS = 424, POOL_PAGES = 900,
    PAGES_A_STREAM = MAX_POSITIONS / PAGE_TOKENS,
};

static const uint32_t head_sizes[] = { 32, 64, 96, 128, 256, 512 };
static const uint32_t group_sizes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 12 };

/* One position's K or V of one head: what a page holds of it and what attention is to see. */
struct token {
    uint16_t code[MAX_D_HEAD];
    float scale[MAX_D_HEAD / 32];       /* [0] alone, but for q8_0 */
    float seen[MAX_D_HEAD];
};

struct stream {
    uint32_t n_positions;
    struct token (*k)[N_KV_HEADS], (*v)[N_KV_HEADS];
    uint16_t *q, *alone;                /* (n_positions, ld) halves */
    uint32_t page[PAGES_A_STREAM];
};

struct bench {
    const struct kv_setup *setup;
    struct metal_backend *b;
    uint32_t d_head, n_group, ld;       /* ld: values of a column's queries */
    uint32_t n_rot;                     /* dimensions that turn: all, some or none */
    float score_cap;
    float sink_values[N_KV_HEADS * 32];
    struct vector *sinks;               /* NULL: none */
    struct rope *rope;
    struct vector *bias;
    float bias_values[N_KV_HEADS * MAX_D_HEAD], cos_sin[MAX_POSITIONS * MAX_D_HEAD];
    struct stream stream[MAX_STREAMS];
    uint32_t n_streams, order[POOL_PAGES], n_taken;
    bool is_extreme;                    /* some values are as large as is written */
    struct rng r;
};

/* ---- an open pool --------------------------------------------------------------------------- */

static void make_rope_and_bias(struct bench *t)
{
    const uint32_t half = t->n_rot / 2;
    pl_err err;
    for (uint32_t i = 0; i < N_KV_HEADS * t->d_head; i++)
        t->bias_values[i] = random_normal(&t->r) * (rng_below(&t->r, 16) ? 1 : 30);
    for (uint32_t pos = 0; pos < MAX_POSITIONS; pos++)
        for (uint32_t i = 0; i < half; i++) {
            const double angle = pos * pow(1e4, -2.0 * i / t->n_rot);
            t->cos_sin[pos * t->n_rot + 2 * i] = (float)(1.5 * cos(angle));
            t->cos_sin[pos * t->n_rot + 2 * i + 1] = (float)(1.5 * sin(angle));
        }
    const struct rope_view view = { t->cos_sin, MAX_POSITIONS, t->n_rot,
                                    t->setup->bias == BIAS_OF_NEIGHBOURS };
    for (uint32_t i = 0; i < N_KV_HEADS * t->n_group; i++)
        t->sink_values[i] = 3 * random_normal(&t->r);
    if (rng_below(&t->r, 3) == 0 &&
        backend_metal.load_vector(&t->b->base, t->sink_values, N_KV_HEADS * t->n_group, &t->sinks,
                                  &err))
        fail_msg("%s", err.text);
    if ((t->n_rot && backend_metal.load_rope(&t->b->base, &view, &t->rope, &err)) ||
        backend_metal.load_vector(&t->b->base, t->bias_values, N_KV_HEADS * t->d_head, &t->bias,
                                  &err) ||
        backend_metal.load_done(&t->b->base, &err))
        fail_msg("%s", err.text);
}

static struct bench *open_bench(const struct kv_setup *setup, uint32_t d_head, uint32_t n_group,
                                uint64_t seed)
{
    struct bench *t = calloc(1, sizeof *t);
    const struct backend_params params = {
        .dims = { .d_model = 64, .d_head = d_head, .d_ff = 64, .n_heads = N_KV_HEADS * n_group,
                  .n_kv_heads = N_KV_HEADS, .n_layers = N_LAYERS, .n_vocab = 64 },
        .max_cols = MAX_COLS, .max_outs = 8, .n_threads = 1,
        .kv = { .n = 2, .group = { { .n_layers = 1, .n_pages = POOL_PAGES },
                          { .window = MAX_POSITIONS, .n_layers = N_LAYERS,
                            .n_pages = POOL_PAGES } } },
        .k_type = setup->k, .v_type = setup->v,
    };
    assert_non_null(t);
    rng_seed(&t->r, seed);
    t->setup = setup;
    t->d_head = d_head;
    t->n_group = n_group;
    t->n_rot = rng_below(&t->r, 3) ? d_head : 32 * (uint32_t)rng_below(&t->r, 2);
    t->score_cap = rng_below(&t->r, 3) ? 0 : 1 + (float)rng_below(&t->r, 20);
    t->ld = N_KV_HEADS * n_group * d_head;
    t->b = fixture_open_as(&params);
    make_rope_and_bias(t);
    return t;
}

static void close_bench(struct bench *t)
{
    fixture_close(t->b);
    for (uint32_t i = 0; i < t->n_streams; i++) {
        free(t->stream[i].k), free(t->stream[i].v);
        free(t->stream[i].q), free(t->stream[i].alone);
    }
    free(t);
}

/* The bias of a position's key, turned. */
static void add_turned_bias(const struct bench *t, uint32_t pos, uint32_t head, float *key)
{
    const uint32_t half = t->n_rot / 2;
    const bool halves = t->setup->bias == BIAS_OF_HALVES;
    const float *bias = t->bias_values + head * t->d_head, *cs = t->cos_sin + pos * t->n_rot;
    for (uint32_t i = 0; i < half && t->setup->bias != NO_BIAS; i++) {
        const uint32_t a = halves ? i : 2 * i, b = halves ? i + half : 2 * i + 1;
        const double c = cs[2 * i], s = cs[2 * i + 1], x = bias[a], y = bias[b];
        key[a] = (float)(key[a] + x * c - y * s);
        key[b] = (float)(key[b] + x * s + y * c);
    }
    for (uint32_t d = t->n_rot; d < t->d_head && t->setup->bias != NO_BIAS; d++) key[d] += bias[d];
}

static void make_token(struct bench *t, enum kv_type type, uint32_t pos, uint32_t head, bool is_key,
                       struct token *out)
{
    const uint32_t together = kv_scaled_together(type, t->d_head);
    float x[MAX_D_HEAD];
    for (uint32_t d = 0; d < t->d_head; d++) {
        x[d] = random_normal(&t->r);
        if (t->is_extreme && rng_below(&t->r, 4) == 0) x[d] = x[d] < 0 ? -65504 : 65504;
    }
    for (uint32_t d = 0; d < t->d_head; d += together)
        out->scale[d / 32] = kv_quantise(type, x + d, together, out->code + d, out->seen + d);
    if (is_key) add_turned_bias(t, pos, head, out->seen);
    for (uint32_t d = 0; d < t->d_head; d++)    /* staged as halves, which may not overflow */
        out->seen[d] = f32_of_f16(f16_of_f32(kv_bounded(out->seen[d])));
}

/* q_scale: the size of scores, about */
static struct stream *add_stream(struct bench *t, uint32_t n_positions, float q_scale)
{
    struct stream *s = &t->stream[t->n_streams++];
    const size_t n = (size_t)n_positions * t->ld;
    assert_true(t->n_streams <= MAX_STREAMS && n_positions <= MAX_POSITIONS);
    s->n_positions = n_positions;
    s->k = calloc(n_positions, sizeof *s->k);
    s->v = calloc(n_positions, sizeof *s->v);
    s->q = calloc(n, sizeof *s->q);
    s->alone = calloc(n, sizeof *s->alone);
    assert_true(s->k && s->v && s->q && s->alone);
    for (uint32_t pos = 0; pos < n_positions; pos++)
        for (uint32_t head = 0; head < N_KV_HEADS; head++) {
            make_token(t, t->setup->k, pos, head, true, &s->k[pos][head]);
            make_token(t, t->setup->v, pos, head, false, &s->v[pos][head]);
        }
    for (size_t i = 0; i < n; i++)
        s->q[i] = f16_of_f32(random_normal(&t->r) * q_scale / sqrtf((float)t->d_head));
    return s;
}

/* ---- pages ---------------------------------------------------------------------------------- */

/* All pages hold NaN and are nobody's, in an order of their own. */
static void clear_pool(struct bench *t)
{
    memset(t->b->kv.bytes, 0xff, t->b->kv.n_bytes);
    t->n_taken = 0;
    for (uint32_t i = 0; i < POOL_PAGES; i++) {
        const uint32_t at = (uint32_t)rng_below(&t->r, i + 1);
        t->order[i] = t->order[at];
        t->order[at] = i;
    }
}

/* Gives a stream pages: those of `like` first, n_shared of them. */
static void take_pages(struct bench *t, struct stream *s, const struct stream *like,
                       uint32_t n_shared)
{
    for (uint32_t i = 0; i * PAGE_TOKENS < s->n_positions; i++) {
        if (i < n_shared) {
            s->page[i] = like->page[i];
            continue;
        }
        assert_true(t->n_taken < POOL_PAGES);
        s->page[i] = t->order[t->n_taken++];
    }
}

static void write_part(const struct bench *t, enum kv_type type, const struct token *token,
                       bool is_key, uint32_t at, uint8_t *part)
{
    const uint32_t blocks = t->d_head / 32;
    const uint32_t scales = type == KV_F8_E4M3 ? 64 : type == KV_Q8_0 ? blocks * 32 : 0;
    if (type == KV_F8_E4M3) memcpy(part + 4 * at, &token->scale[0], 4);
    for (uint32_t i = 0; i < blocks && type == KV_Q8_0; i++)
        put_half(part + 2 * (i * PAGE_TOKENS + at), f16_of_f32(token->scale[i]));
    for (uint32_t d = 0; d < t->d_head; d++)
        kv_put(part + scales, type, is_key ? d * PAGE_TOKENS + at : at * t->d_head + d,
               token->code[d]);
}

/* Positions [first, end) of a stream into its pages. */
static void write_tokens(struct bench *t, const struct stream *s, uint32_t first, uint32_t end)
{
    const struct metal_kv *kv = &t->b->kv_layout[0];
    for (uint32_t pos = first; pos < end; pos++)
        for (uint32_t head = 0; head < N_KV_HEADS; head++) {
            uint8_t *part = (uint8_t *)t->b->kv.bytes +
                            kv_place(&t->b->places, &(struct attention_params){ .kv_group = 1,
                                     .kv_layer = LAYER }, s->page[pos / PAGE_TOKENS]) +
                            head * kv->head_bytes;
            write_part(t, kv->k_type, &s->k[pos][head], true, pos % PAGE_TOKENS, part);
            write_part(t, kv->v_type, &s->v[pos][head], false, pos % PAGE_TOKENS, part + kv->v_at);
        }
}

/* ---- steps ---------------------------------------------------------------------------------- */

struct piece {
    struct stream *s;
    uint32_t first_pos, n_cols;
};

/* A column of ATT in the order of its values; until the next call. */
static const uint16_t *att_of(const struct bench *t, uint32_t col)
{
    static uint16_t row[1 << 16];
    assert_true(t->b->ld_q <= sizeof row / sizeof *row);
    for (uint32_t k = 0; k < t->b->ld_q; k++)
        row[k] = ((const uint16_t *)t->b->att.bytes)[fragment_half_at(col, k, t->b->ld_q)];
    return row;
}

/* Attention of the pieces' columns for each of the windows in turn, as layers of one step; the last
 * one's result stays. Spans are listed backwards. */
static void run(struct bench *t, const struct piece *piece, uint32_t n_pieces,
                const uint32_t *window, uint32_t n_windows)
{
    struct metal_backend *b = t->b;
    struct span span[MAX_STREAMS];
    uint32_t n_cols = 0;
    memset(b->att.bytes, 0xff, b->att.n_bytes);
    memset(b->q_half.bytes, 0xff, b->q_half.n_bytes);
    for (uint32_t i = 0; i < n_pieces; i++) {
        const struct piece *p = &piece[i];
        span[n_pieces - 1 - i] = (struct span){ .first_col = n_cols, .n_cols = p->n_cols,
                                                .first_pos = p->first_pos,
                                                .page = { p->s->page, p->s->page } };
        for (uint32_t c = 0; c < p->n_cols; c++, n_cols++)
            memcpy((uint16_t *)b->q_half.bytes + (size_t)n_cols * b->ld_q,
                   p->s->q + (size_t)(p->first_pos + c) * t->ld, t->ld * sizeof *p->s->q);
    }
    assert_true(n_cols <= MAX_COLS);
    b->batch = (struct batch){ .n_cols = n_cols, .n_spans = n_pieces, .span = span };
    metal_attention_begin(b);
    metal_begin(b->device);
    const struct qkv_weights w = { .k.bias = t->setup->bias == NO_BIAS ? NULL : t->bias,
                                   .sinks = t->sinks };
    for (uint32_t i = 0; i < n_windows; i++)
        metal_attend(&b->base, &w,
                     &(struct attention_params){ .rope = t->rope, .window = window[i],
                                                 .kv_group = 1, .kv_layer = LAYER,
                                                 .score_cap = t->score_cap / (float)LOG2_E });
    fixture_finish(b);
    assert_false(b->step[b->at].has_failed);
    for (uint32_t col = n_cols; col < b->att.n_bytes / 2 / b->ld_q; col++) {    /* nobody's */
        const uint16_t *row = att_of(t, col);
        for (uint32_t k = 0; k < b->ld_q; k++)
            if (row[k] != 0xffff) fail_msg("column %u [%u] was written", col, k);
    }
}

/* ---- double precision ----------------------------------------------------------------------- */

static uint32_t first_seen(uint32_t pos, uint32_t window)
{
    return window && pos + 1 > window ? pos + 1 - window : 0;
}

/* A row's attention, its weights rounded to halves relative to the largest of their split, as P is.
 * *bound: the largest |v|; *reach: the largest |q| . |k|, which the rounding of scores follows. */
static void exact_row(const struct bench *t, const struct stream *s, uint32_t pos, uint32_t head,
                      uint32_t window, double *out, double *bound, double *reach)
{
    const uint16_t *q = s->q + (size_t)pos * t->ld + head * t->d_head;
    const uint32_t kv_head = head / t->n_group, first = first_seen(pos, window);
    const double sink = t->sinks ? t->sink_values[head] * (double)LOG2_E : -INFINITY;
    double score[MAX_POSITIONS], largest = sink, total = 0;

    *bound = *reach = 0;
    for (uint32_t p = first; p <= pos; p++) {
        double size = 0;
        score[p] = 0;
        for (uint32_t d = 0; d < t->d_head; d++) {
            const double term = (double)f32_of_f16(q[d]) * s->k[p][kv_head].seen[d];
            score[p] += term;
            size += fabs(term);
            *bound = fmax(*bound, fabs((double)s->v[p][kv_head].seen[d]));
        }
        if (t->score_cap != 0)
            score[p] = (double)t->score_cap * tanh(score[p] / (double)t->score_cap);
        largest = fmax(largest, score[p]);
        *reach = fmax(*reach, size);
    }
    memset(out, 0, t->d_head * sizeof *out);
    total = exp2(sink - largest);
    for (uint32_t begin = first / SPLIT * SPLIT; begin <= pos; begin += SPLIT) {
        double most = -INFINITY;
        for (uint32_t p = begin < first ? first : begin; p <= pos && p < begin + SPLIT; p++)
            most = fmax(most, score[p]);
        for (uint32_t p = begin < first ? first : begin; p <= pos && p < begin + SPLIT; p++) {
            const double weight =
                f32_of_f16(f16_of_f32((float)exp2(score[p] - most))) * exp2(most - largest);
            total += weight;
            for (uint32_t d = 0; d < t->d_head; d++) out[d] += weight * s->v[p][kv_head].seen[d];
        }
    }
    for (uint32_t d = 0; d < t->d_head; d++) out[d] /= total;
}

/* The result is a half: 2^-11 of itself. Now and then a weight or a key that a bias was added to
 * falls to the other side of a half's rounding. */
static void check_near(const struct bench *t, const struct piece *piece, uint32_t n_pieces,
                       uint32_t window)
{
    double want[MAX_D_HEAD], bound, reach;
    uint32_t col = 0;
    for (uint32_t i = 0; i < n_pieces; i++)
        for (uint32_t c = 0; c < piece[i].n_cols; c++, col++)
            for (uint32_t head = 0; head < N_KV_HEADS * t->n_group; head++) {
                const uint32_t pos = piece[i].first_pos + c;
                const uint16_t *got = att_of(t, col) + head * t->d_head;
                exact_row(t, piece[i].s, pos, head, window, want, &bound, &reach);
                for (uint32_t d = 0; d < t->d_head; d++) {
                    const double is = f32_of_f16(got[d]);
                    const double most =
                        fabs(want[d]) / 2000 + (2e-4 + 1e-6 * reach) * bound + 1e-7;
                    if (!(fabs(is - want[d]) <= most))
                        fail_msg("K %s V %s d_head=%u group=%u window=%u position %u head %u [%u]: "
                                 "%.9g, exact %.9g, tolerance %.3g", kv_type_name(t->setup->k),
                                 kv_type_name(t->setup->v), t->d_head, t->n_group, window, pos,
                                 head, d, is, want[d], most);
                }
            }
}

/* Contexts of one position up to four splits, decoding, a few columns, a prompt's piece. */
static void check_setup(const struct kv_setup *setup, uint32_t d_head, uint32_t n_group,
                        uint64_t seed)
{
    static const float q_scales[] = { 1, 8 };
    static const uint32_t n_cols[] = { 1, 3, 11, 1 };
    struct bench *t = open_bench(setup, d_head, n_group, seed);
    struct piece piece[COUNT(n_cols)];
    const uint32_t windows[] = { 0, 1 + (uint32_t)rng_below(&t->r, 300) };

    clear_pool(t);
    for (size_t i = 0; i < COUNT(n_cols); i++) {
        const uint32_t first = i == 3 ? 0 : (uint32_t)rng_below(&t->r, MAX_POSITIONS - n_cols[i]);
        struct stream *s = add_stream(t, first + n_cols[i], q_scales[i % COUNT(q_scales)]);
        take_pages(t, s, NULL, 0);
        write_tokens(t, s, 0, first + n_cols[i]);
        piece[i] = (struct piece){ s, first, n_cols[i] };
    }
    for (size_t i = 0; i < COUNT(windows); i++) {
        run(t, piece, COUNT(n_cols), &windows[i], 1);
        check_near(t, piece, COUNT(n_cols), windows[i]);
    }
    close_bench(t);
}

static void attention_is_near_exact(void **state)
{
    (void)state;
    uint64_t n = 0;
    for (int layout = 0; layout < FIXTURE_LAYOUTS; layout++)
        for (size_t i = fixture_first; i < COUNT(kv_setups); i += fixture_step)
            for (size_t d = 0; d < COUNT(head_sizes); d++, n++) {
                if (layout && d != i % COUNT(head_sizes)) continue;
                fixture_set_layout(layout);
                check_setup(&kv_setups[i], head_sizes[d], group_sizes[n % COUNT(group_sizes)], n);
            }
    fixture_set_layout(0);
}

/* bf16 and q8_0 round the largest half up to what is none: it must not become infinite. */
static void the_largest_values_stay_finite(void **state)
{
    (void)state;
    const uint32_t window = 0;
    for (size_t i = fixture_first; i < COUNT(kv_setups); i += fixture_step) {
        struct bench *t = open_bench(&kv_setups[i], 64, 2, 30 + i);
        t->is_extreme = true;
        struct stream *s = add_stream(t, 200, 1e-4f);
        const struct piece piece = { s, 190, 10 };
        clear_pool(t);
        take_pages(t, s, NULL, 0);
        write_tokens(t, s, 0, 200);
        run(t, &piece, 1, &window, 1);
        check_near(t, &piece, 1, window);
        close_bench(t);
    }
}

/* ---- every bit as alone --------------------------------------------------------------------- */

/* A position by itself in a pool that holds no more than it may see. */
static void run_alone(struct bench *t, struct stream *s, uint32_t pos, uint32_t window)
{
    const struct piece piece = { s, pos, 1 };
    clear_pool(t);
    take_pages(t, s, NULL, 0);
    write_tokens(t, s, 0, pos + 1);
    run(t, &piece, 1, &window, 1);
    memcpy(s->alone + (size_t)pos * t->ld, att_of(t, 0), t->ld * sizeof *s->alone);
}

static void check_same(const struct bench *t, const struct piece *piece, uint32_t n_pieces,
                       uint32_t window, const char *what)
{
    uint32_t col = 0;
    for (uint32_t i = 0; i < n_pieces; i++)
        for (uint32_t c = 0; c < piece[i].n_cols; c++, col++) {
            const uint32_t pos = piece[i].first_pos + c;
            if (memcmp(att_of(t, col), piece[i].s->alone + (size_t)pos * t->ld, t->ld * 2))
                fail_msg("%s: K %s V %s d_head=%u group=%u window=%u: position %u differs from "
                         "itself alone", what, kv_type_name(t->setup->k), kv_type_name(t->setup->v),
                         t->d_head, t->n_group, window, pos);
        }
}

/* The last n_cols positions of a stream in pieces of at most `most`, each a step. */
static void check_pieces(struct bench *t, struct stream *s, uint32_t n_cols, uint32_t most,
                         uint32_t window)
{
    clear_pool(t);
    take_pages(t, s, NULL, 0);
    write_tokens(t, s, 0, s->n_positions - n_cols);
    for (uint32_t pos = s->n_positions - n_cols; pos < s->n_positions;) {
        const uint32_t left = s->n_positions - pos;
        const struct piece piece = { s, pos, left < most ? left : most };
        write_tokens(t, s, pos, pos + piece.n_cols);
        run(t, &piece, 1, &window, 1);
        check_same(t, &piece, 1, window, "in pieces");
        pos += piece.n_cols;
    }
}

/* Alone a position's splits are items of their own and are combined; a piece of 8 columns or more
 * walks through them; tiles are of 8 or 16 rows. */
static void pieces_are_as_alone(void **state)
{
    (void)state;
    static const uint32_t most[] = { 2, 7, 8, 20 };
    for (size_t i = fixture_first; i < COUNT(kv_setups); i += fixture_step) {
        enum { N_COLS = 20 };
        const uint32_t d_head = head_sizes[i % COUNT(head_sizes)];
        struct bench *t = open_bench(&kv_setups[i], d_head, group_sizes[i], 40 + i);
        struct stream *s = add_stream(t, 250 + (uint32_t)rng_below(&t->r, 150), 4);
        const uint32_t window = i % 2 ? 100 + (uint32_t)rng_below(&t->r, 100) : 0;
        for (uint32_t pos = s->n_positions - N_COLS; pos < s->n_positions; pos++)
            run_alone(t, s, pos, window);
        for (size_t k = 0; k < COUNT(most); k++) check_pieces(t, s, N_COLS, most[k], window);
        close_bench(t);
    }
}

/* Makes the first n positions of a stream those of another. */
static void begin_like(struct stream *s, const struct stream *like, uint32_t n)
{
    memcpy(s->k, like->k, n * sizeof *s->k);
    memcpy(s->v, like->v, n * sizeof *s->v);
}

/* Streams that begin with the same pages: some for one split, some for two and for a part of a
 * third that all have complete, in a step where one column and several come together. */
static void shared_prefixes_are_as_alone(void **state)
{
    (void)state;
    enum { N = 7 };
    static const uint32_t n_shared[N] = { 0, 300, 128, 0, 300, 260, 130 };  /* with stream 0 */
    static const uint32_t n_cols[N] = { 1, 1, 3, 1, 1, 2, 9 };
    for (size_t i = fixture_first; i < COUNT(kv_setups); i += fixture_step) {
        const uint32_t d_head = head_sizes[(i + 2) % COUNT(head_sizes)];
        struct bench *t = open_bench(&kv_setups[i], d_head, group_sizes[(i + 3) % 9], 60 + i);
        const uint32_t window = i % 3 == 2 ? 200 : 0;
        struct piece piece[N];
        for (uint32_t k = 0; k < N; k++) {
            struct stream *s = add_stream(t, 388 + 4 * k, 4);
            begin_like(s, &t->stream[0], n_shared[k]);
            piece[k] = (struct piece){ s, s->n_positions - n_cols[k], n_cols[k] };
            for (uint32_t c = 0; c < n_cols[k]; c++)
                run_alone(t, s, piece[k].first_pos + c, window);
        }
        clear_pool(t);
        for (uint32_t k = 0; k < N; k++) {
            take_pages(t, piece[k].s, &t->stream[0], n_shared[k] / PAGE_TOKENS);
            write_tokens(t, piece[k].s, 0, piece[k].s->n_positions);
        }
        run(t, piece, N, &window, 1);
        check_same(t, piece, N, window, "shared prefixes");
        close_bench(t);
    }
}

/* More rows times splits than there is room for partial results: the last streams walk. */
static void walking_for_want_of_room_is_as_alone(void **state)
{
    (void)state;
    enum { N = MAX_STREAMS, N_COLS = 7, N_GROUP = 12 };
    struct bench *t = open_bench(&kv_setups[0], 32, N_GROUP, 80);
    struct piece piece[N];
    const uint32_t window = 0;
    struct stream *s = add_stream(t, 400, 4);

    for (uint32_t c = 0; c < N_COLS; c++) run_alone(t, s, 400 - N_COLS + c, window);
    clear_pool(t);
    take_pages(t, s, NULL, 0);
    write_tokens(t, s, 0, 400);
    for (uint32_t i = 0; i < N; i++) piece[i] = (struct piece){ s, 400 - N_COLS, N_COLS };
    assert_true(N * N_COLS * N_GROUP * 4 > 16384);
    run(t, piece, N, &window, 1);
    check_same(t, piece, N, window, "no room for partial results");
    close_bench(t);
}

/* Layers of more distinct windows than lists are kept of, in one step. */
static void many_windows_are_as_one(void **state)
{
    (void)state;
    static const uint32_t orders[][5] = {
        { 0, 60, 200, 0, 0 }, { 0, 60, 200, 60, 60 }, { 200, 0, 60, 130, 200 },
    };
    struct bench *t = open_bench(&kv_setups[2], 64, 3, 90);
    struct stream *s = add_stream(t, 300, 4);
    const struct piece piece = { s, 298, 2 };

    for (size_t i = 0; i < COUNT(orders); i++) {
        const uint32_t last = orders[i][4];
        run_alone(t, s, 298, last);
        run_alone(t, s, 299, last);
        clear_pool(t);
        take_pages(t, s, NULL, 0);
        write_tokens(t, s, 0, 300);
        run(t, &piece, 1, orders[i], 5);
        check_same(t, &piece, 1, last, "many windows");
    }
    close_bench(t);
}

int main(int argc, char **argv)
{
    fixture_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_near_exact),
        cmocka_unit_test(the_largest_values_stay_finite),
        cmocka_unit_test(pieces_are_as_alone),
        cmocka_unit_test(shared_prefixes_are_as_alone),
        cmocka_unit_test(walking_for_want_of_room_is_as_alone),
        cmocka_unit_test(many_windows_are_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Attention of every instruction set this machine has: near double precision, and the same bytes
 * for a row however its neighbours, its pages, the cut of its prompt and what lies around them are
 * chosen. */
#include "product_fixture.h"

enum { MAX_TOKENS = 96, MAX_GROUP = 12, MAX_PAGES = MAX_TOKENS / PAGE_TOKENS, POOL_PAGES = 12 };

static const int nan_byte = 0x7e;     /* 0x7e7e is a half that is no number */

static const uint32_t head_sizes[] = { 32, 64, 96, 128, 256 };
static const uint32_t group_sizes[] = { 1, 2, 3, 4, 6, 7, 8, 12 };

/* One stream of one KV head: what it stored, what it asks, what each column gets when alone. */
struct stream {
    uint32_t d_head, n_group, n_tokens, window;
    size_t ld;
    float k[MAX_TOKENS][MAX_D_HEAD], v[MAX_TOKENS][MAX_D_HEAD];     /* halves, as floats */
    float q[MAX_TOKENS * (MAX_GROUP * MAX_D_HEAD + 16)];            /* (n_tokens, ld) */
    float alone[MAX_TOKENS * (MAX_GROUP * MAX_D_HEAD + 16)];
};

/* Pages of some memory, among them those of the stream. */
struct pool {
    uint8_t *memory;
    size_t page_stride;
    uint32_t page[MAX_PAGES];
};

static struct stream stream;
static float out[MAX_TOKENS * (MAX_GROUP * MAX_D_HEAD + 16)];

static float half(float x)
{
    return f32_of_f16(f16_of_f32(x));
}

/* q_scale: the size of scores, about */
static void make_stream(struct stream *s, struct rng *r, uint32_t d_head, uint32_t n_group,
                        float q_scale)
{
    s->d_head = d_head;
    s->n_group = n_group;
    s->n_tokens = 1 + (uint32_t)rng_below(r, MAX_TOKENS);
    s->window = rng_below(r, 2) ? 0 : 1 + (uint32_t)rng_below(r, s->n_tokens);
    s->ld = (size_t)n_group * d_head + 16;
    for (uint32_t t = 0; t < s->n_tokens; t++) {
        for (uint32_t d = 0; d < d_head; d++) {
            s->k[t][d] = half(random_normal(r));
            s->v[t][d] = half(random_normal(r));
        }
        for (size_t i = 0; i < s->ld; i++)
            s->q[t * s->ld + i] = random_normal(r) * q_scale / sqrtf((float)d_head);
    }
}

/* Pages in an order of their own. Those of other streams hold NaN. Behind the stream's first
 * n_tokens lies what finished requests left: any finite half. */
static struct pool make_pool(const struct cpu_kernels *k, const struct stream *s, struct rng *r,
                             uint32_t n_tokens)
{
    struct pool p = { .page_stride = kv_head_bytes(s->d_head) * (1 + rng_below(r, 3)) };
    uint32_t order[POOL_PAGES];

    p.memory = aligned_alloc(64, POOL_PAGES * p.page_stride);
    assert_non_null(p.memory);
    memset(p.memory, nan_byte, POOL_PAGES * p.page_stride);
    for (uint32_t i = 0; i < POOL_PAGES; i++) {
        const uint32_t at = (uint32_t)rng_below(r, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (uint32_t i = 0; i < MAX_PAGES; i++) {
        uint8_t *page = p.memory + order[i] * p.page_stride;
        p.page[i] = order[i];
        if (i * PAGE_TOKENS >= n_tokens) continue;
        for (size_t at = 0; at < kv_head_bytes(s->d_head) && n_tokens < (i + 1) * PAGE_TOKENS;
             at += 2) {
            uint16_t left = (uint16_t)rng_u64(r);
            if ((left & 0x7c00) == 0x7c00) left = (left & 0x8000) | 0x7bff;
            put_half(page + at, left);
        }
        for (uint32_t t = i * PAGE_TOKENS; t < n_tokens && t < (i + 1) * PAGE_TOKENS; t++)
            k->kv_write(page, s->d_head, t % PAGE_TOKENS, s->k[t], s->v[t]);
    }
    return p;
}

static struct attend_job job_of(const struct stream *s, const struct pool *p, uint32_t first,
                                uint32_t n_cols)
{
    return (struct attend_job){
        .d_head = s->d_head, .n_group = s->n_group, .n_cols = n_cols, .first_pos = first,
        .window = s->window, .kv = p->memory, .page_stride = p->page_stride, .page = p->page,
        .q = s->q + first * s->ld, .out = out + first * s->ld, .ld_q = s->ld, .ld_out = s->ld,
    };
}

/* Each column by itself, in a pool that holds no more than what it may see. */
static void attend_alone(const struct cpu_kernels *k, struct stream *s, struct rng *r)
{
    const size_t n_bytes = s->n_group * s->d_head * sizeof(float);

    for (uint32_t t = 0; t < s->n_tokens; t++) {
        const struct pool p = make_pool(k, s, r, t + 1);
        const struct attend_job job = job_of(s, &p, t, 1);
        k->attend(&job);
        memcpy(s->alone + t * s->ld, out + t * s->ld, n_bytes);
        free(p.memory);
    }
}

typedef void check_fn(const struct cpu_kernels *k, struct rng *r);

static void for_each_isa(check_fn *check)
{
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));

    assert_true(n >= 1 && n <= COUNT(names));
    for (uint32_t i = 0; i < n; i++) {
        const struct cpu_kernels k = kernels_of(names[i]);
        struct rng r;
        rng_seed(&r, 11);
        check(&k, &r);
    }
}

/* ---- near double precision ------------------------------------------------------------------ */

/* The row's softmax(q k) v. *largest: the largest |q| . |k|, which the rounding of scores follows;
 * *bound: the largest |v|. */
static void exact_row(const struct stream *s, uint32_t col, uint32_t head, double *want,
                      double *largest, double *bound)
{
    const float *q = s->q + col * s->ld + head * s->d_head;
    const uint32_t first = s->window && col + 1 > s->window ? col + 1 - s->window : 0;
    double score[MAX_TOKENS], max = -INFINITY, total = 0;

    *largest = *bound = 0;
    for (uint32_t t = first; t <= col; t++) {
        double magnitude = 0;
        score[t] = 0;
        for (uint32_t d = 0; d < s->d_head; d++) {
            score[t] += (double)q[d] * s->k[t][d];
            magnitude += fabs((double)q[d] * s->k[t][d]);
            *bound = fmax(*bound, fabs(s->v[t][d]));
        }
        max = fmax(max, score[t]);
        *largest = fmax(*largest, magnitude);
    }
    memset(want, 0, s->d_head * sizeof *want);
    for (uint32_t t = first; t <= col; t++) {
        const double p = exp2(score[t] - max);
        total += p;
        for (uint32_t d = 0; d < s->d_head; d++) want[d] += p * s->v[t][d];
    }
    for (uint32_t d = 0; d < s->d_head; d++) want[d] /= total;
}

static void check_against_doubles(const struct cpu_kernels *k, const struct stream *s,
                                  const char *what)
{
    double want[MAX_D_HEAD], largest, bound;

    for (uint32_t col = 0; col < s->n_tokens; col++)
        for (uint32_t head = 0; head < s->n_group; head++) {
            const float *got = out + col * s->ld + head * s->d_head;
            exact_row(s, col, head, want, &largest, &bound);
            const double tolerance = (2e-6 + 3e-7 * largest) * bound;
            for (uint32_t d = 0; d < s->d_head; d++)
                if (!(fabs(got[d] - want[d]) <= tolerance))
                    fail_msg("isa=%s %s d_head=%u n_group=%u window=%u column %u head %u [%u]: "
                             "%.9g, exact %.9g, tolerance %.3g", k->isa, what, s->d_head,
                             s->n_group, s->window, col, head, d, (double)got[d], want[d],
                             tolerance);
        }
}

static void attend_all(const struct cpu_kernels *k, const struct stream *s, struct rng *r)
{
    const struct pool p = make_pool(k, s, r, s->n_tokens);
    const struct attend_job job = job_of(s, &p, 0, s->n_tokens);

    k->attend(&job);
    free(p.memory);
}

static void check_near(const struct cpu_kernels *k, struct rng *r)
{
    static const float scales[] = { 1, 8, 300 };

    for (size_t d = 0; d < COUNT(head_sizes); d++)
        for (size_t g = 0; g < COUNT(group_sizes); g += 3)
            for (size_t i = 0; i < COUNT(scales); i++) {
                make_stream(&stream, r, head_sizes[d], group_sizes[g], scales[i]);
                attend_all(k, &stream, r);
                check_against_doubles(k, &stream, "random");
            }
}

static void each_isa_is_near_exact(void **state)
{
    (void)state;
    for_each_isa(check_near);
}

/* Scores that are all equal, and scores far from 0 of one sign: only their differences count. */
static void check_extremes(const struct cpu_kernels *k, struct rng *r)
{
    static const float sizes[] = { 0, 1, -1, 1000, -1000, 60000, -60000 };

    for (size_t d = 0; d < COUNT(head_sizes); d++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            make_stream(&stream, r, head_sizes[d], 3, 1);
            for (uint32_t t = 0; t < stream.n_tokens; t++) {
                for (uint32_t j = 0; j < stream.d_head; j++) stream.k[t][j] = half(sizes[i]);
                for (size_t j = 0; j < stream.ld; j++) stream.q[t * stream.ld + j] = 1;
            }
            attend_all(k, &stream, r);
            for (uint32_t t = 0; t < stream.n_tokens; t++) {    /* the mean of the values seen */
                const uint32_t w = stream.window;
                const uint32_t first = w && t + 1 > w ? t + 1 - w : 0;
                for (uint32_t j = 0; j < stream.d_head; j++) {
                    double sum = 0;
                    for (uint32_t seen = first; seen <= t; seen++) sum += stream.v[seen][j];
                    const double mean = sum / (t - first + 1);
                    for (uint32_t head = 0; head < stream.n_group; head++)
                        assert_true(fabs(out[t * stream.ld + head * stream.d_head + j] - mean) <
                                    4e-6);
                }
            }
        }
}

static void equal_scores_give_the_mean(void **state)
{
    (void)state;
    for_each_isa(check_extremes);
}

/* One token outweighs all others by more than a float can tell: the answer is its very value. */
static void check_winner(const struct cpu_kernels *k, struct rng *r)
{
    for (size_t d = 0; d < COUNT(head_sizes); d++)
        for (int trial = 0; trial < 8; trial++) {
            make_stream(&stream, r, head_sizes[d], 2, 1);
            stream.window = 0;
            const uint32_t winner = (uint32_t)rng_below(r, stream.n_tokens);
            for (uint32_t t = 0; t < stream.n_tokens; t++) {
                for (uint32_t j = 0; j < stream.d_head; j++)
                    stream.k[t][j] = t == winner ? 65504 : -65504;
                for (size_t j = 0; j < stream.ld; j++) stream.q[t * stream.ld + j] = 30000;
            }
            attend_all(k, &stream, r);
            for (uint32_t t = winner; t < stream.n_tokens; t++)
                for (uint32_t j = 0; j < stream.d_head; j++)
                    assert_true(out[t * stream.ld + j] == stream.v[winner][j]);
        }
}

static void one_huge_score_wins(void **state)
{
    (void)state;
    for_each_isa(check_winner);
}

/* ---- the same bytes ------------------------------------------------------------------------- */

static void check_same(const struct cpu_kernels *k, const struct stream *s, uint32_t first,
                       uint32_t n_cols, const char *what)
{
    const size_t n_bytes = s->n_group * s->d_head * sizeof(float);

    for (uint32_t t = first; t < first + n_cols; t++)
        if (memcmp(out + t * s->ld, s->alone + t * s->ld, n_bytes))
            fail_msg("isa=%s %s d_head=%u n_group=%u window=%u: column %u of %u from %u on differs "
                     "from itself alone", k->isa, what, s->d_head, s->n_group, s->window, t - first,
                     n_cols, first);
}

/* A prompt cut at random places, each piece in pages of its own, with or without another job to
 * fetch for. Pages that lie before the window belong to others. */
static void check_cuts(const struct cpu_kernels *k, const struct stream *s, struct rng *r)
{
    for (uint32_t first = 0; first < s->n_tokens;) {
        const uint32_t left = s->n_tokens - first;
        const uint32_t n = 1 + (uint32_t)rng_below(r, left < 20 ? left : 20);
        struct pool p = make_pool(k, s, r, first + n);
        struct attend_job next = job_of(s, &p, (uint32_t)rng_below(r, first + n), 1);
        struct attend_job job = job_of(s, &p, first, n);
        const uint32_t seen = s->window && first + 1 > s->window ? first + 1 - s->window : 0;
        for (uint32_t i = 0; i < seen / (2 * PAGE_TOKENS) * 2; i++)
            memset(p.memory + p.page[i] * p.page_stride, nan_byte, kv_head_bytes(s->d_head));
        job.next = rng_below(r, 2) ? &next : NULL;
        k->attend(&job);
        check_same(k, s, first, n, "cut prompt");
        free(p.memory);
        first += n;
    }
}

static void check_bytes(const struct cpu_kernels *k, struct rng *r)
{
    for (size_t d = 0; d < COUNT(head_sizes); d++)
        for (size_t g = 0; g < COUNT(group_sizes); g++)
            for (int windowed = 0; windowed < 2; windowed++) {
                make_stream(&stream, r, head_sizes[d], group_sizes[g], 8);
                if (!windowed) stream.window = 0;
                attend_alone(k, &stream, r);
                check_cuts(k, &stream, r);
                attend_all(k, &stream, r);
                check_same(k, &stream, 0, stream.n_tokens, "whole prompt");
            }
}

static void columns_are_the_same_alone_and_among_others(void **state)
{
    (void)state;
    for_each_isa(check_bytes);
}

/* A negative value times a weight so small that nothing but the sign is left, then a negative zero:
 * a sum of -0, which adding a later column's value times 0 would make +0. */
static void check_zeros_of(const struct cpu_kernels *k, struct rng *r, uint32_t n_group)
{
    do make_stream(&stream, r, 64, n_group, 1);
    while (stream.n_tokens < 20);
    stream.window = 0;
    memset(stream.q, 0, sizeof stream.q);
    for (uint32_t t = 0; t < stream.n_tokens; t++) {
        stream.k[t][0] = t == 0 ? -135 : 0;
        for (uint32_t head = 0; head < stream.n_group; head++)
            stream.q[t * stream.ld + head * stream.d_head] = 1;
        for (uint32_t d = 0; d < stream.d_head; d++)
            stream.v[t][d] = t == 0 ? -0x1p-24f : t == 1 ? -0.0f : 1;
    }
    attend_alone(k, &stream, r);
    attend_all(k, &stream, r);
    check_same(k, &stream, 0, stream.n_tokens, "vanishing values");
}

static void check_zeros(const struct cpu_kernels *k, struct rng *r)
{
    for (uint32_t n_group = 1; n_group <= 5; n_group++) check_zeros_of(k, r, n_group);
}

static void vanishing_values_are_the_same(void **state)
{
    (void)state;
    for_each_isa(check_zeros);
}

/* A row whose query is not a number leaves all other rows as they are. */
static void check_bad_row(const struct cpu_kernels *k, struct rng *r)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY, 3e38f };

    for (size_t g = 0; g < COUNT(group_sizes); g++)
        for (size_t i = 0; i < COUNT(bad); i++) {
            make_stream(&stream, r, 96, group_sizes[g], 1);
            attend_all(k, &stream, r);
            memcpy(stream.alone, out, sizeof out);
            const uint32_t col = (uint32_t)rng_below(r, stream.n_tokens);
            const uint32_t head = (uint32_t)rng_below(r, stream.n_group);
            float *q = stream.q + col * stream.ld + head * stream.d_head;
            for (uint32_t d = 0; d < stream.d_head; d += 5) q[d] = bad[i];
            attend_all(k, &stream, r);
            float *of_row = out + col * stream.ld + head * stream.d_head;
            memcpy(stream.alone + (of_row - out), of_row, stream.d_head * sizeof *of_row);
            check_same(k, &stream, 0, stream.n_tokens, "beside a bad row");
        }
}

static void a_bad_row_stays_alone(void **state)
{
    (void)state;
    for_each_isa(check_bad_row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_isa_is_near_exact),
        cmocka_unit_test(equal_scores_give_the_mean),
        cmocka_unit_test(one_huge_score_wins),
        cmocka_unit_test(columns_are_the_same_alone_and_among_others),
        cmocka_unit_test(vanishing_values_are_the_same),
        cmocka_unit_test(a_bad_row_stays_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

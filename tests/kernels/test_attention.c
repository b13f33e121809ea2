/* Attention of every instruction set this machine has: near double precision, and the same bytes
 * for a row however its neighbours, its pages, the cut of its prompt and what lies around them are
 * chosen. */
#include "kv_reference.h"

#include "backend/cpu/attend.h"

enum { MAX_TOKENS = 96, MAX_GROUP = 12, MAX_PAGES = MAX_TOKENS / PAGE_TOKENS, POOL_PAGES = 12 };

/* 0xffff is no number as half, bf16 and f32, 0xff none as f8 */
static const int nan_byte = 0xff;

static const uint32_t head_sizes[] = { 32, 64, 96, 128, 256, 512 };
static const uint32_t group_sizes[] = { 1, 2, 3, 4, 6, 7, 8, 12 };

/* One stream of one KV head: what it stored, what it asks, what each column gets when alone. */
struct stream {
    const struct kv_setup *setup;
    struct kv_layout layout;
    uint32_t d_head, n_group, n_tokens, window, n_rot;
    float score_cap;
    size_t ld;
    float k[MAX_TOKENS][MAX_D_HEAD], v[MAX_TOKENS][MAX_D_HEAD];     /* as given to kv_write */
    float sink[MAX_GROUP];
    bool has_sinks;
    float bias[MAX_D_HEAD], cos_sin[MAX_TOKENS * MAX_D_HEAD], turn[MAX_D_HEAD * PAGE_TOKENS];
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
static double key_seen[MAX_TOKENS][MAX_D_HEAD];     /* what attention is to see of `stream` */
static float value_seen[MAX_TOKENS][MAX_D_HEAD];
static struct attend_state state_room[MAX_JOB_ROWS];
static float out[MAX_TOKENS * (MAX_GROUP * MAX_D_HEAD + 16)];

/* A bias that is far larger than the keys in some dimensions. Turns are those of RoPE, made 1.5
 * times as long, as some models' tables are. */
static void make_bias(struct stream *s, struct rng *r)
{
    for (uint32_t i = 0; i < s->d_head; i++)
        s->bias[i] = random_normal(r) * (rng_below(r, 16) ? 1 : 30);
    for (uint32_t t = 0; t < MAX_TOKENS; t++)
        for (uint32_t i = 0; i < s->n_rot / 2; i++) {
            const double angle = t * pow(1e4, -2.0 * i / s->n_rot);
            s->cos_sin[t * s->n_rot + 2 * i] = (float)(1.5 * cos(angle));
            s->cos_sin[t * s->n_rot + 2 * i + 1] = (float)(1.5 * sin(angle));
            if (t >= PAGE_TOKENS) continue;
            s->turn[2 * i * PAGE_TOKENS + t] = (float)cos(angle);
            s->turn[(2 * i + 1) * PAGE_TOKENS + t] = (float)sin(angle);
        }
}

/* q_scale: the size of scores, about */
static void make_stream(struct stream *s, struct rng *r, const struct kv_setup *setup,
                        uint32_t d_head, uint32_t n_group, float q_scale)
{
    s->setup = setup;
    s->layout = kv_layout_of(d_head, setup->k, setup->v);
    s->d_head = d_head;
    s->n_group = n_group;
    s->n_tokens = 1 + (uint32_t)rng_below(r, MAX_TOKENS);
    s->window = rng_below(r, 2) ? 0 : 1 + (uint32_t)rng_below(r, s->n_tokens);
    s->score_cap = rng_below(r, 3) ? 0 : 1 + (float)rng_below(r, 40);
    s->n_rot = rng_below(r, 3) ? d_head : 32 * (uint32_t)rng_below(r, 2);   /* all, some, none */
    s->has_sinks = rng_below(r, 3) == 0;
    for (uint32_t i = 0; i < n_group; i++) s->sink[i] = 3 * random_normal(r);
    s->ld = (size_t)n_group * d_head + 16;
    for (uint32_t t = 0; t < s->n_tokens; t++) {
        for (uint32_t d = 0; d < d_head; d++) {
            s->k[t][d] = random_normal(r);
            s->v[t][d] = random_normal(r);
        }
        for (size_t i = 0; i < s->ld; i++)
            s->q[t * s->ld + i] = random_normal(r) * q_scale / sqrtf((float)d_head);
    }
    make_bias(s, r);
}

/* Key t as attention is to see it. */
static void exact_key(const struct stream *s, uint32_t t, double *key)
{
    const uint32_t half = s->n_rot / 2, together = kv_scaled_together(s->setup->k, s->d_head);
    const bool halves = s->setup->bias == BIAS_OF_HALVES;
    uint16_t codes[MAX_D_HEAD];
    float values[MAX_D_HEAD];

    for (uint32_t d = 0; d < s->d_head; d += together)
        kv_quantise(s->setup->k, s->k[t] + d, together, codes + d, values + d);
    for (uint32_t d = 0; d < s->d_head; d++) key[d] = (double)values[d];
    for (uint32_t i = 0; i < half && s->setup->bias != NO_BIAS; i++) {
        const uint32_t a = halves ? i : 2 * i, b = halves ? i + half : 2 * i + 1;
        const double c = (double)s->cos_sin[t * s->n_rot + 2 * i];
        const double n = (double)s->cos_sin[t * s->n_rot + 2 * i + 1];
        key[a] += (double)s->bias[a] * c - (double)s->bias[b] * n;
        key[b] += (double)s->bias[a] * n + (double)s->bias[b] * c;
    }
    for (uint32_t d = s->n_rot; d < s->d_head && s->setup->bias != NO_BIAS; d++)
        key[d] += (double)s->bias[d];
}

static void exact_value(const struct stream *s, uint32_t t, float *value)
{
    const uint32_t together = kv_scaled_together(s->setup->v, s->d_head);
    uint16_t codes[MAX_D_HEAD];
    for (uint32_t d = 0; d < s->d_head; d += together)
        kv_quantise(s->setup->v, s->v[t] + d, together, codes + d, value + d);
}

static void settle(const struct stream *s)
{
    for (uint32_t t = 0; t < s->n_tokens; t++) {
        exact_key(s, t, key_seen[t]);
        exact_value(s, t, value_seen[t]);
    }
}

/* What finished requests left in a page: any finite values. */
static void make_stale(const struct cpu_kernels *k, const struct stream *s, struct rng *r,
                       uint8_t *page)
{
    float key[MAX_D_HEAD], value[MAX_D_HEAD];
    for (uint32_t t = 0; t < PAGE_TOKENS; t++) {
        for (uint32_t d = 0; d < s->d_head; d++) {
            key[d] = random_normal(r) * 6e4f;
            value[d] = random_normal(r) * 6e4f;
        }
        k->kv_write(page, &s->layout, t, key, value);
    }
}

/* Pages in an order of their own. Those of other streams hold NaN. Behind the stream's first
 * n_tokens lies what finished requests left. */
static struct pool make_pool(const struct cpu_kernels *k, const struct stream *s, struct rng *r,
                             uint32_t n_tokens)
{
    struct pool p = { .page_stride = s->layout.n_bytes * (1 + rng_below(r, 3)) };
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
        if (n_tokens < (i + 1) * PAGE_TOKENS) make_stale(k, s, r, page);
        for (uint32_t t = i * PAGE_TOKENS; t < n_tokens && t < (i + 1) * PAGE_TOKENS; t++)
            k->kv_write(page, &s->layout, t % PAGE_TOKENS, s->k[t], s->v[t]);
    }
    return p;
}

static struct attend_part part_of(const struct stream *s, const struct pool *p, uint32_t first,
                                  uint32_t n_cols)
{
    return (struct attend_part){ p->page, first, n_cols, s->q + first * s->ld,
                                 out + first * s->ld };
}

static struct attend_job job_of(const struct stream *s, const struct pool *p, uint32_t first,
                                uint32_t n_cols)
{
    struct attend_job job = {
        .layout = &s->layout, .kv = p->memory, .page_stride = p->page_stride, .ld = s->ld,
        .window = s->window, .score_cap = s->score_cap, .n_heads = s->n_group, .n_parts = 1,
        .part = { part_of(s, p, first, n_cols) },
        .sinks = s->has_sinks ? s->sink : NULL,
    };
    if (s->setup->bias != NO_BIAS)
        job.key_bias = (struct key_bias){ s->bias, s->cos_sin, s->turn, s->n_rot,
                                          s->setup->bias == BIAS_OF_NEIGHBOURS };
    return job;
}

static void attend_jobs(const struct cpu_kernels *k, const struct attend_job *job, uint32_t n)
{
    struct attend_runner runner = attend_begin(k, state_room);
    for (uint32_t i = 0; i < n; i++) attend_run(&runner, &job[i]);
    attend_end(&runner);
}

/* Each column by itself, in a pool that holds no more than what it may see. */
static void attend_alone(const struct cpu_kernels *k, struct stream *s, struct rng *r)
{
    const size_t n_bytes = s->n_group * s->d_head * sizeof(float);

    for (uint32_t t = 0; t < s->n_tokens; t++) {
        const struct pool p = make_pool(k, s, r, t + 1);
        const struct attend_job job = job_of(s, &p, t, 1);
        attend_jobs(k, &job, 1);
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
    const double sink = s->has_sinks ? (double)s->sink[head] * 1.4426950408889634 : -INFINITY;
    double score[MAX_TOKENS], max = sink, total = 0;

    *largest = *bound = 0;
    for (uint32_t t = first; t <= col; t++) {
        double magnitude = 0;
        score[t] = 0;
        for (uint32_t d = 0; d < s->d_head; d++) {
            score[t] += (double)q[d] * key_seen[t][d];
            magnitude += fabs((double)q[d] * key_seen[t][d]);
            *bound = fmax(*bound, fabs((double)value_seen[t][d]));
        }
        if (s->score_cap != 0)
            score[t] = (double)s->score_cap * tanh(score[t] / (double)s->score_cap);
        max = fmax(max, score[t]);
        *largest = fmax(*largest, magnitude);
    }
    memset(want, 0, s->d_head * sizeof *want);
    total = exp2(sink - max);
    for (uint32_t t = first; t <= col; t++) {
        const double p = exp2(score[t] - max);
        total += p;
        for (uint32_t d = 0; d < s->d_head; d++) want[d] += p * (double)value_seen[t][d];
    }
    for (uint32_t d = 0; d < s->d_head; d++) want[d] /= total;
}

static void check_against_doubles(const struct cpu_kernels *k, const struct stream *s,
                                  const char *what)
{
    double want[MAX_D_HEAD], largest, bound;

    settle(s);
    for (uint32_t col = 0; col < s->n_tokens; col++)
        for (uint32_t head = 0; head < s->n_group; head++) {
            const float *got = out + col * s->ld + head * s->d_head;
            exact_row(s, col, head, want, &largest, &bound);
            const double tolerance =
                (2e-6 + 3e-7 * (largest + (double)s->score_cap)) * bound;
            for (uint32_t d = 0; d < s->d_head; d++)
                if (!(fabs(got[d] - want[d]) <= tolerance))
                    fail_msg("isa=%s K %s V %s %s d_head=%u n_group=%u window=%u column %u head %u "
                             "[%u]: %.9g, exact %.9g, tolerance %.3g", k->isa,
                             kv_type_name(s->setup->k), kv_type_name(s->setup->v), what, s->d_head,
                             s->n_group, s->window, col, head, d, (double)got[d], want[d],
                             tolerance);
        }
}

static void attend_all(const struct cpu_kernels *k, const struct stream *s, struct rng *r)
{
    const struct pool p = make_pool(k, s, r, s->n_tokens);
    uint32_t most = MAX_JOB_ROWS / s->n_group;

    for (uint32_t first = 0; first < s->n_tokens; first += most) {
        const uint32_t left = s->n_tokens - first;
        const struct attend_job job = job_of(s, &p, first, left < most ? left : most);
        attend_jobs(k, &job, 1);
    }
    free(p.memory);
}

static void check_near(const struct cpu_kernels *k, struct rng *r)
{
    static const float scales[] = { 1, 8, 300 };

    for (size_t t = 0; t < COUNT(kv_setups); t++)
        for (size_t d = 0; d < COUNT(head_sizes); d++)
            for (size_t i = 0; i < COUNT(scales); i++) {
                const uint32_t n_group = group_sizes[rng_below(r, COUNT(group_sizes))];
                make_stream(&stream, r, &kv_setups[t], head_sizes[d], n_group, scales[i]);
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

    for (size_t n = 0; n < COUNT(head_sizes) * COUNT(sizes) * 2; n++) {
        const struct kv_setup *setup = &kv_setups[rng_below(r, 5)];     /* without a bias */
        make_stream(&stream, r, setup, head_sizes[n % COUNT(head_sizes)], 3, 1);
        stream.has_sinks = false;
        for (uint32_t t = 0; t < stream.n_tokens; t++) {
            for (uint32_t j = 0; j < stream.d_head; j++) stream.k[t][j] = sizes[n % COUNT(sizes)];
            for (size_t j = 0; j < stream.ld; j++) stream.q[t * stream.ld + j] = 1;
        }
        attend_all(k, &stream, r);
        double sum[MAX_TOKENS + 1][MAX_D_HEAD] = { 0 };     /* of the values before a position */
        settle(&stream);
        for (uint32_t t = 0; t < stream.n_tokens; t++) {    /* the mean of the values seen */
            const uint32_t w = stream.window, first = w && t + 1 > w ? t + 1 - w : 0;
            for (uint32_t j = 0; j < stream.d_head; j++) {
                sum[t + 1][j] = sum[t][j] + (double)value_seen[t][j];
                const double mean = (sum[t + 1][j] - sum[first][j]) / (t - first + 1);
                for (uint32_t head = 0; head < stream.n_group; head++)
                    assert_true(fabs((double)out[t * stream.ld + head * stream.d_head + j] - mean) <
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
    for (size_t n = 0; n < COUNT(head_sizes) * 16; n++) {
        make_stream(&stream, r, &kv_setups[rng_below(r, COUNT(kv_setups))],
                    head_sizes[n % COUNT(head_sizes)], 2, 1);
        stream.window = 0;
        stream.score_cap = 0;
        stream.has_sinks = false;
        const uint32_t winner = (uint32_t)rng_below(r, stream.n_tokens);
        for (uint32_t t = 0; t < stream.n_tokens; t++) {
            for (uint32_t j = 0; j < stream.d_head; j++)
                stream.k[t][j] = t == winner ? 65504 : -65504;
            for (size_t j = 0; j < stream.ld; j++) stream.q[t * stream.ld + j] = 30000;
        }
        attend_all(k, &stream, r);
        settle(&stream);
        for (uint32_t t = winner; t < stream.n_tokens; t++)
            for (uint32_t j = 0; j < stream.d_head; j++)
                assert_true(out[t * stream.ld + j] == value_seen[winner][j]);
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
            fail_msg("isa=%s K %s V %s %s d_head=%u n_group=%u window=%u: column %u of %u from %u "
                     "on differs from itself alone", k->isa, kv_type_name(s->setup->k),
                     kv_type_name(s->setup->v), what, s->d_head, s->n_group, s->window, t - first,
                     n_cols, first);
}

/* A prompt cut at random places, each piece in pages of its own, with or without another job to
 * fetch for, its first pages walked tile by tile or not. Pages that lie before the window belong to
 * others. */
static void check_cuts(const struct cpu_kernels *k, const struct stream *s, struct rng *r)
{
    for (uint32_t first = 0; first < s->n_tokens;) {
        const uint32_t left = s->n_tokens - first;
        const uint32_t n = 1 + (uint32_t)rng_below(r, left < 20 ? left : 20);
        struct pool p = make_pool(k, s, r, first + n);
        struct attend_job jobs[] = {
            job_of(s, &p, first, n), job_of(s, &p, (uint32_t)rng_below(r, first + n), 1),
        };
        const uint32_t seen = s->window && first + 1 > s->window ? first + 1 - s->window : 0;
        const bool is_alone = rng_below(r, 2);
        if (is_alone)
            for (uint32_t i = 0; i < seen / (2 * PAGE_TOKENS) * 2; i++)
                memset(p.memory + p.page[i] * p.page_stride, nan_byte, s->layout.n_bytes);
        if (rng_below(r, 2)) jobs[0].n_shared = first / PAGE_TOKENS / 2 * 2;
        attend_jobs(k, jobs, is_alone ? 1 : 2);
        check_same(k, s, first, n, "cut prompt");
        free(p.memory);
        first += n;
    }
}

/* Several streams that share their first pages and go on with pages of their own, which happen to
 * hold the same: columns at any positions behind the shared ones, or those of one stream only. */
static void check_shared(const struct cpu_kernels *k, const struct stream *s, struct rng *r)
{
    const struct pool p = make_pool(k, s, r, s->n_tokens);
    uint32_t copy[MAX_PAGES], n_full = (s->n_tokens - 1) / PAGE_TOKENS;
    const uint32_t n_shared = (uint32_t)rng_below(r, n_full / 2 + 1) * 2;

    if (!n_shared) {
        free(p.memory);
        return;
    }
    struct attend_job job = job_of(s, &p, 0, 1);
    job.n_shared = n_shared;
    job.n_parts = 0;
    memcpy(copy, p.page, sizeof copy);
    for (uint32_t i = n_shared, other = 0; i <= n_full; i++) {  /* free pages of the pool */
        for (bool is_taken = true; is_taken; other++) {
            is_taken = false;
            for (uint32_t n = 0; n < MAX_PAGES; n++) is_taken |= p.page[n] == other;
        }
        copy[i] = other - 1;
        memcpy(p.memory + copy[i] * p.page_stride, p.memory + p.page[i] * p.page_stride,
               s->layout.n_bytes);
    }
    uint32_t first_of[MAX_TOKENS], n_of[MAX_TOKENS];
    for (uint32_t pos = n_shared * PAGE_TOKENS, rows = 0; pos < s->n_tokens;) {
        const uint32_t left = s->n_tokens - pos;
        const uint32_t n = rng_below(r, 3) ? 1 : 1 + (uint32_t)rng_below(r, left < 5 ? left : 5);
        rows += n * s->n_group;
        if (rows > MAX_JOB_ROWS) break;
        first_of[job.n_parts] = pos;
        n_of[job.n_parts] = n;
        job.part[job.n_parts] = part_of(s, &p, pos, n);
        if (rng_below(r, 2)) job.part[job.n_parts].page = copy;
        job.n_parts++;
        pos += n + (uint32_t)rng_below(r, 4);
    }
    attend_jobs(k, &job, 1);
    for (uint32_t i = 0; i < job.n_parts; i++)
        check_same(k, s, first_of[i], n_of[i], "shared pages");
    free(p.memory);
}

static void check_bytes(const struct cpu_kernels *k, struct rng *r)
{
    for (size_t d = 0; d < COUNT(head_sizes); d++)
        for (size_t g = 0; g < COUNT(group_sizes); g++)
            for (int windowed = 0; windowed < 2; windowed++) {
                const struct kv_setup *setup = &kv_setups[rng_below(r, COUNT(kv_setups))];
                if (rng_below(r, 3) == 0) setup = &kv_setups[0];
                make_stream(&stream, r, setup, head_sizes[d], group_sizes[g], 8);
                if (!windowed) stream.window = 0;
                attend_alone(k, &stream, r);
                check_cuts(k, &stream, r);
                for (int i = 0; i < 3; i++) check_shared(k, &stream, r);
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
    do make_stream(&stream, r, &kv_setups[rng_below(r, 5)], 64, n_group, 1);
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
            make_stream(&stream, r, &kv_setups[i], 96, group_sizes[g], 1);
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

/* Attention over f16 pages for registers of LANES floats: 8 tokens of one K dimension or 8
 * dimensions of one V token with AVX2, 4 with NEON. The walk and its order are those of
 * attention_scalar.c, and as in attention_avx512.c up to MAX_ROWS rows (query heads of the KV head,
 * of one or more columns) share every load of K and V, each with arithmetic of its own: how rows
 * are put together does not change a bit of any.
 *
 * ACCUMULATORS registers are kept busy whatever the number of rows: fewer rows take more tokens of
 * K, and more dimensions of V, at once. The including file has included lanes_avx2.h or
 * lanes_neon.h. */
#include <math.h>

#include "backend/cpu/attention_walk.h"
#include "backend/cpu/lanes_math.h"

enum { MAX_ROWS = 4 };

struct rows {
    const float *q[MAX_ROWS];
    uint32_t first[MAX_ROWS], last[MAX_ROWS];       /* positions that the row sees */
    float max[MAX_ROWS];
    vf total[MAX_ROWS];
    float p[MAX_ROWS][CHUNK_TOKENS] __attribute__((aligned(64)));   /* scores, then weights */
    float out[MAX_ROWS][MAX_D_HEAD] __attribute__((aligned(64)));
};

/* Registers a row may keep: 1, 2 and 4 rows (3 count as 4) share n between them. */
INLINE int regs_of_row(const int n, const int n_rows, const int max)
{
    const int n_regs = n_rows == 1 ? n : n_rows == 2 ? n / 2 : n / 4;
    return n_regs < max ? n_regs : max;
}

/* q . k for n_regs registers of tokens: two chains a row (even and odd dimensions). k points at the
 * first of the tokens; p[i] + at receives row i's scores. */
INLINE void scores(struct rows *r, uint32_t at, const uint16_t *k, const uint8_t *ahead,
                   uint32_t d_head, const int n_regs, const int n_rows)
{
    vf even[MAX_ROWS][16 / LANES], odd[MAX_ROWS][16 / LANES];
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_regs; g++) even[i][g] = odd[i][g] = set1_f(0);
    for (uint32_t d = 0; d < d_head; d += 2, k += 2 * PAGE_TOKENS) {
        vf k0[16 / LANES], k1[16 / LANES];
        __builtin_prefetch(ahead + d * 32);
        UNROLL for (int g = 0; g < n_regs; g++) {
            k0[g] = load_f16(k + g * LANES);
            k1[g] = load_f16(k + PAGE_TOKENS + g * LANES);
        }
        UNROLL for (int i = 0; i < n_rows; i++) {
            const vf q0 = set1_f(r->q[i][d]), q1 = set1_f(r->q[i][d + 1]);
            UNROLL for (int g = 0; g < n_regs; g++) {
                even[i][g] = fma_f(k0[g], q0, even[i][g]);
                odd[i][g] = fma_f(k1[g], q1, odd[i][g]);
            }
        }
    }
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_regs; g++)
            store_f(r->p[i] + at + g * LANES, add_f(even[i][g], odd[i][g]));
}

/* One step of the online softmax: scores of the chunk at `start` become weights, the row's sums are
 * rescaled. All CHUNK_TOKENS places take part, invisible ones as minus infinity, so the order of
 * sums is the same whichever pages other rows had scored. */
INLINE void soften(struct rows *r, uint32_t start, const int row, uint32_t d_head)
{
    float *p = r->p[row];
    if (r->last[row] < start || r->first[row] >= start + CHUNK_TOKENS) {
        for (int t = 0; t < CHUNK_TOKENS; t++) p[t] = 0;
        return;
    }
    for (uint32_t t = start; t < r->first[row]; t++) p[t - start] = -INFINITY;
    for (uint32_t t = r->last[row] + 1; t < start + CHUNK_TOKENS; t++) p[t - start] = -INFINITY;

    vf top = load_f(p);
    for (int t = LANES; t < CHUNK_TOKENS; t += LANES) top = max_f(top, load_f(p + t));
    const float max = max_lanes(top);
    if (max > r->max[row]) {
        const vf shrink = exp2_f(set1_f(r->max[row] - max));
        r->total[row] = mul_f(r->total[row], shrink);
        for (uint32_t d = 0; d < d_head; d += LANES)
            store_f(r->out[row] + d, mul_f(load_f(r->out[row] + d), shrink));
        r->max[row] = max;
    }
    for (int t = 0; t < CHUNK_TOKENS; t += LANES) {
        const vf weight = exp2_f(sub_f(load_f(p + t), set1_f(r->max[row])));
        store_f(p + t, weight);
        r->total[row] = add_f(r->total[row], weight);
    }
}

/* out += p v for n_regs registers of dimensions from d on; tokens beyond n_tokens are not touched.
 * v[page] and ahead[page] point at dimension d of a page's first token. */
INLINE void add_values(struct rows *r, const uint16_t *const *v, const uint16_t *const *ahead,
                       uint32_t part, const int *n_tokens, int n_pages, uint32_t d,
                       const int n_regs, const int n_rows)
{
    vf sum[MAX_ROWS][ACCUMULATORS];
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_regs; g++) sum[i][g] = load_f(r->out[i] + d + g * LANES);
    for (int page = 0; page < n_pages; page++)
        for (int t = 0; t < n_tokens[page]; t++) {
            const uint16_t *token = v[page] + (size_t)t * part;
            __builtin_prefetch(ahead[page] + (size_t)t * part);
            UNROLL for (int g = 0; g < n_regs; g++) {
                const vf w = load_f16(token + g * LANES);
                UNROLL for (int i = 0; i < n_rows; i++)
                    sum[i][g] = fma_f(w, set1_f(r->p[i][page * PAGE_TOKENS + t]), sum[i][g]);
            }
        }
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_regs; g++) store_f(r->out[i] + d + g * LANES, sum[i][g]);
}

/* All dimensions, whose parts lie `part` apart. */
INLINE void add_chunk_values(struct rows *r, const uint8_t *const *v, const uint8_t *const *ahead,
                             const int *n_tokens, int n_pages, uint32_t d_head, const int part,
                             const int n_rows)
{
    const int n_regs = regs_of_row(ACCUMULATORS, n_rows, part / LANES);
    for (uint32_t d = 0; d < d_head; d += (uint32_t)(n_regs * LANES)) {
        const uint32_t p = (uint32_t)part;
        const size_t at = d / p * p * PAGE_TOKENS + d % p;
        const uint16_t *from[CHUNK_PAGES], *later[CHUNK_PAGES];
        for (int i = 0; i < n_pages; i++) {
            from[i] = (const uint16_t *)v[i] + at;
            later[i] = (const uint16_t *)ahead[i] + at;
        }
        add_values(r, from, later, p, n_tokens, n_pages, d, n_regs, n_rows);
    }
}

INLINE void attend_chunk(const struct attend_job *j, struct rows *r, uint32_t page,
                         uint32_t last_page, uint32_t last, const int n_rows)
{
    const int n_regs = regs_of_row(ACCUMULATORS / 2, n_rows, PAGE_TOKENS / LANES);
    const size_t k_bytes = (size_t)j->d_head * PAGE_TOKENS * sizeof(uint16_t);
    const int n_pages = page == last_page ? 1 : CHUNK_PAGES;
    const uint8_t *v[CHUNK_PAGES], *v_ahead[CHUNK_PAGES];
    int n_tokens[CHUNK_PAGES];

    for (int i = 0; i < n_pages; i++) {
        const uint32_t nth = page + (uint32_t)i, left = last - nth * PAGE_TOKENS + 1;
        const uint8_t *k = page_of(j, nth), *ahead = page_ahead(j, nth, last_page);
        n_tokens[i] = left < PAGE_TOKENS ? (int)left : PAGE_TOKENS;
        for (int t = 0; t < PAGE_TOKENS; t += n_regs * LANES)
            scores(r, (uint32_t)(i * PAGE_TOKENS + t), (const uint16_t *)k + t, ahead, j->d_head,
                   n_regs, n_rows);
        v[i] = k + k_bytes;
        v_ahead[i] = ahead + k_bytes;
    }
    for (int row = 0; row < n_rows; row++) soften(r, page * PAGE_TOKENS, row, j->d_head);
    if (v_part(j->d_head) == 64)
        add_chunk_values(r, v, v_ahead, n_tokens, n_pages, j->d_head, 64, n_rows);
    else
        add_chunk_values(r, v, v_ahead, n_tokens, n_pages, j->d_head, 32, n_rows);
}

/* Rows first_row .. first_row + n_rows - 1 of the job, counted column by column. */
INLINE void attend_rows(const struct attend_job *j, uint32_t first_row, const int n_rows)
{
    struct rows r;
    uint32_t first = UINT32_MAX, last = 0;

    for (int i = 0; i < n_rows; i++) {
        const uint32_t col = (first_row + (uint32_t)i) / j->n_group;
        const uint32_t head = (first_row + (uint32_t)i) % j->n_group;
        r.q[i] = j->q + col * j->ld_q + head * j->d_head;
        r.last[i] = j->first_pos + col;
        r.first[i] = first_seen(r.last[i], j->window);
        r.max[i] = -INFINITY;
        r.total[i] = set1_f(0);
        for (uint32_t d = 0; d < j->d_head; d++) r.out[i][d] = 0;
        first = r.first[i] < first ? r.first[i] : first;
        last = r.last[i] > last ? r.last[i] : last;
    }
    const uint32_t last_page = last / PAGE_TOKENS;
    for (uint32_t page = walk_start(first); page <= last_page; page += CHUNK_PAGES)
        attend_chunk(j, &r, page, last_page, last, n_rows);
    for (int i = 0; i < n_rows; i++) {
        float *out = j->out + (first_row + (uint32_t)i) / j->n_group * j->ld_out +
                     (first_row + (uint32_t)i) % j->n_group * j->d_head;
        const vf inverse = set1_f(1.0f / sum_lanes(r.total[i]));
        /* adding 0 makes -0 a 0: which of them a sum of nothing is may depend on other rows */
        for (uint32_t d = 0; d < j->d_head; d += LANES)
            store_f(out + d, fma_f(load_f(r.out[i] + d), inverse, set1_f(0)));
    }
}

#define DEFINE_ROWS(n)                                                                             \
    static __attribute__((noinline)) void attend_##n(const struct attend_job *j, uint32_t first)   \
    {                                                                                              \
        attend_rows(j, first, n);                                                                  \
    }
DEFINE_ROWS(1) DEFINE_ROWS(2) DEFINE_ROWS(3) DEFINE_ROWS(4)

/* Rows are split evenly: 5 as 3 + 2, not 4 + 1. */
static void attend(const struct attend_job *j)
{
    static void (*const by_rows[MAX_ROWS])(const struct attend_job *, uint32_t) = {
        attend_1, attend_2, attend_3, attend_4,
    };
    const uint32_t n_rows = j->n_cols * j->n_group;
    const uint32_t n_parts = (n_rows + MAX_ROWS - 1) / MAX_ROWS;
    for (uint32_t i = 0; i < n_parts; i++) {
        const uint32_t first = n_rows * i / n_parts, end = n_rows * (i + 1) / n_parts;
        by_rows[end - first - 1](j, first);
    }
}

/* Attention over f16 pages, AVX-512. The walk and its order are those of attention_scalar.c.
 *
 * A register holds 16 tokens of one K dimension, or 16 dimensions of one V token, so nothing is
 * summed across lanes but the softmax total, once a row. Up to MAX_ROWS rows (query heads of the
 * KV head, of one or more columns) share every load of K and V; each row has arithmetic of its
 * own, so how rows are put together does not change a bit of any.
 *
 * K: 16 tokens x d_head, two chains a row (even and odd dimensions). V: 4 registers of 16
 * dimensions a row stay accumulated over a chunk; MAX_ROWS * 4 + 1 registers are in use. Pages
 * AHEAD_PAGES further on are fetched line by line beside the arithmetic. */
#include <immintrin.h>
#include <math.h>

#include "backend/cpu/attention_walk.h"
#include "backend/cpu/math_avx512.h"

enum { MAX_ROWS = 7 };

struct rows {
    const float *q[MAX_ROWS];
    uint32_t first[MAX_ROWS], last[MAX_ROWS];       /* positions that the row sees */
    float max[MAX_ROWS];
    __m512 total[MAX_ROWS];
    float out[MAX_ROWS][MAX_D_HEAD] __attribute__((aligned(64)));
};

INLINE __m512 load_f16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)p));
}

/* q . k of 16 tokens for every row */
INLINE void scores(__m512 *s, const struct rows *r, const uint8_t *k, const uint8_t *ahead,
                   uint32_t d_head, const int n_rows)
{
    __m512 odd[MAX_ROWS];
    UNROLL for (int i = 0; i < n_rows; i++) s[i] = odd[i] = _mm512_setzero_ps();
    for (uint32_t d = 0; d < d_head; d += 2) {
        const __m512 k0 = load_f16(k + d * 32), k1 = load_f16(k + d * 32 + 32);
        _mm_prefetch((const char *)ahead + d * 32, _MM_HINT_T0);
        UNROLL for (int i = 0; i < n_rows; i++)
            s[i] = _mm512_fmadd_ps(k0, _mm512_set1_ps(r->q[i][d]), s[i]);
        UNROLL for (int i = 0; i < n_rows; i++)
            odd[i] = _mm512_fmadd_ps(k1, _mm512_set1_ps(r->q[i][d + 1]), odd[i]);
    }
    UNROLL for (int i = 0; i < n_rows; i++) s[i] = _mm512_add_ps(s[i], odd[i]);
}

/* Lanes of a page that the row sees. */
INLINE __mmask16 visible(const struct rows *r, int row, uint32_t page)
{
    const int64_t first = (int64_t)r->first[row] - (int64_t)page * PAGE_TOKENS;
    const int64_t last = (int64_t)r->last[row] - (int64_t)page * PAGE_TOKENS;
    if (last < 0 || first > 15) return 0;
    const uint32_t from = first > 0 ? 0xffffu << first : 0xffffu;
    const uint32_t to = last < 15 ? (2u << last) - 1 : 0xffffu;
    return (__mmask16)(from & to);
}

/* One step of the online softmax: scores of a chunk become weights, the row's sums are rescaled. */
INLINE void soften(struct rows *r, __m512 (*p)[MAX_ROWS], uint32_t page, int n_pages, int row,
                   uint32_t d_head)
{
    __mmask16 mask[CHUNK_PAGES];
    __m512 top = _mm512_set1_ps(-INFINITY);
    for (int i = 0; i < n_pages; i++) {
        mask[i] = visible(r, row, page + (uint32_t)i);
        top = _mm512_mask_max_ps(top, mask[i], top, p[i][row]);
    }
    const float max = _mm512_reduce_max_ps(top);
    if (max > r->max[row]) {
        const __m512 shrink = exp2_ps(_mm512_set1_ps(r->max[row] - max));
        r->total[row] = _mm512_mul_ps(r->total[row], shrink);
        for (uint32_t d = 0; d < d_head; d += 16)
            _mm512_store_ps(r->out[row] + d,
                            _mm512_mul_ps(_mm512_load_ps(r->out[row] + d), shrink));
        r->max[row] = max;
    }
    for (int i = 0; i < n_pages; i++) {
        const __m512 x = _mm512_sub_ps(p[i][row], _mm512_set1_ps(r->max[row]));
        p[i][row] = _mm512_maskz_mov_ps(mask[i], exp2_ps(x));
        r->total[row] = _mm512_add_ps(r->total[row], p[i][row]);
    }
}

/* out += p v for 16 * n_parts dimensions from d; tokens beyond n_tokens are not touched */
INLINE void add_values(struct rows *r, __m512 (*p)[MAX_ROWS], const uint8_t *const *v,
                       const uint8_t *const *ahead, const int *n_tokens, int n_pages, uint32_t d,
                       const int n_parts, const int n_rows)
{
    const size_t part_bytes = (size_t)n_parts * 32, at = d / (16 * (uint32_t)n_parts) *
                                                         PAGE_TOKENS * part_bytes;
    __m512 sum[MAX_ROWS][4];
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_parts; g++) sum[i][g] = _mm512_load_ps(r->out[i] + d + 16 * g);
    for (int page = 0; page < n_pages; page++)
        for (int t = 0; t < n_tokens[page]; t++) {
            const uint8_t *token = v[page] + at + (size_t)t * part_bytes;
            _mm_prefetch((const char *)ahead[page] + at + (size_t)t * part_bytes, _MM_HINT_T0);
            if (n_parts > 2)
                _mm_prefetch((const char *)ahead[page] + at + (size_t)t * part_bytes + 64,
                             _MM_HINT_T0);
            UNROLL for (int g = 0; g < n_parts; g++) {
                const __m512 w = load_f16(token + g * 32);
                UNROLL for (int i = 0; i < n_rows; i++)
                    sum[i][g] = _mm512_fmadd_ps(
                        w, _mm512_set1_ps(((const float *)&p[page][i])[t]), sum[i][g]);
            }
        }
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_parts; g++) _mm512_store_ps(r->out[i] + d + 16 * g, sum[i][g]);
}

INLINE void attend_chunk(const struct attend_job *j, struct rows *r, uint32_t page,
                         uint32_t last_page, uint32_t last, const int n_rows)
{
    const uint8_t *v[CHUNK_PAGES], *v_ahead[CHUNK_PAGES];
    const size_t k_bytes = (size_t)j->d_head * PAGE_TOKENS * 2;
    const int n_pages = page == last_page ? 1 : CHUNK_PAGES;
    int n_tokens[CHUNK_PAGES];
    __m512 p[CHUNK_PAGES][MAX_ROWS];

    for (int i = 0; i < n_pages; i++) {
        const uint32_t at = page + (uint32_t)i, left = last - at * PAGE_TOKENS + 1;
        const uint8_t *k = page_of(j, at), *ahead = page_ahead(j, at, last_page);
        n_tokens[i] = left < PAGE_TOKENS ? (int)left : PAGE_TOKENS;
        scores(p[i], r, k, ahead, j->d_head, n_rows);
        v[i] = k + k_bytes;
        v_ahead[i] = ahead + k_bytes;
    }
    for (int row = 0; row < n_rows; row++) soften(r, p, page, n_pages, row, j->d_head);
    if (v_part(j->d_head) == 64)
        for (uint32_t d = 0; d < j->d_head; d += 64)
            add_values(r, p, v, v_ahead, n_tokens, n_pages, d, 4, n_rows);
    else
        for (uint32_t d = 0; d < j->d_head; d += 32)
            add_values(r, p, v, v_ahead, n_tokens, n_pages, d, 2, n_rows);
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
        r.total[i] = _mm512_setzero_ps();
        for (uint32_t d = 0; d < j->d_head; d += 16)
            _mm512_store_ps(r.out[i] + d, _mm512_setzero_ps());
        first = r.first[i] < first ? r.first[i] : first;
        last = r.last[i] > last ? r.last[i] : last;
    }
    const uint32_t last_page = last / PAGE_TOKENS;
    for (uint32_t page = walk_start(first); page <= last_page; page += CHUNK_PAGES)
        attend_chunk(j, &r, page, last_page, last, n_rows);
    for (int i = 0; i < n_rows; i++) {
        float *out = j->out + (first_row + (uint32_t)i) / j->n_group * j->ld_out +
                     (first_row + (uint32_t)i) % j->n_group * j->d_head;
        const __m512 inverse = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(r.total[i]));
        /* adding 0 makes -0 a 0: which of them a sum of nothing is may depend on other rows */
        for (uint32_t d = 0; d < j->d_head; d += 16)
            _mm512_storeu_ps(out + d, _mm512_fmadd_ps(_mm512_load_ps(r.out[i] + d), inverse,
                                                      _mm512_setzero_ps()));
    }
}

#define DEFINE_ROWS(n)                                                                             \
    static __attribute__((noinline)) void attend_##n(const struct attend_job *j, uint32_t first)   \
    {                                                                                              \
        attend_rows(j, first, n);                                                                  \
    }
DEFINE_ROWS(1) DEFINE_ROWS(2) DEFINE_ROWS(3) DEFINE_ROWS(4) DEFINE_ROWS(5) DEFINE_ROWS(6)
DEFINE_ROWS(7)

/* Rows are split evenly: 8 as 4 + 4, not 7 + 1. */
static void attend(const struct attend_job *j)
{
    static void (*const by_rows[MAX_ROWS])(const struct attend_job *, uint32_t) = {
        attend_1, attend_2, attend_3, attend_4, attend_5, attend_6, attend_7,
    };
    const uint32_t n_rows = j->n_cols * j->n_group;
    const uint32_t n_parts = (n_rows + MAX_ROWS - 1) / MAX_ROWS;
    for (uint32_t i = 0; i < n_parts; i++) {
        const uint32_t first = n_rows * i / n_parts, end = n_rows * (i + 1) / n_parts;
        by_rows[end - first - 1](j, first);
    }
}

void cpu_attention_avx512(struct cpu_kernels *k)
{
    k->attend = attend;
}

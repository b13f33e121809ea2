/* Attention over pages, AVX-512. The walk and its order are those of attention_scalar.c.
 *
 * A register holds 16 tokens of one K dimension, or 16 dimensions of one V token, so nothing is
 * summed across lanes but the softmax total, once a row. Up to MAX_ROWS rows share every load of K
 * and V. Halves are turned to floats where they are loaded; pages of other types are turned to
 * tiles of floats first.
 *
 * K: 16 tokens x d_head, two chains a row (even and odd dimensions). V: 4 registers of 16
 * dimensions a row stay accumulated over a chunk; MAX_ROWS * 4 + 1 registers are in use. Pages
 * AHEAD_PAGES further on are fetched line by line beside the arithmetic. */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#include "backend/cpu/kernels/inlining.h"
#include "backend/cpu/kernels/x86/math_avx512.h"

/* What kv_tiles.h and attention_rows.h want to know. */
enum { LANES = 16 };
typedef __m512 vf;

INLINE vf set1_f(float x) { return _mm512_set1_ps(x); }
INLINE vf load_f(const float *p) { return _mm512_loadu_ps(p); }
INLINE void store_f(float *p, vf a) { _mm512_storeu_ps(p, a); }
INLINE vf add_f(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf sub_f(vf a, vf b) { return _mm512_sub_ps(a, b); }
INLINE vf mul_f(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf fma_f(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE float sum_lanes(vf a) { return _mm512_reduce_add_ps(a); }

INLINE vf load_bf16(const uint8_t *p)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

INLINE vf load_q8(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/* As halves: the same exponents and mantissas, but exponents count from 7 less 15. Widened with its
 * sign, a code has it in bits 7 to 15. */
INLINE vf load_f8(const uint8_t *p)
{
    const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
    const __m256i mask = _mm256_set1_epi16((short)0xbf80);
    return _mm512_cvtph_ps(_mm256_and_si256(_mm256_slli_epi16(wide, 7), mask));
}

#include "backend/cpu/kernels/kv_tiles.h"

enum { MAX_ROWS = 7, TILE_FLOATS = MAX_D_HEAD * PAGE_TOKENS };

struct rows {
    const float *q[MAX_ROWS];
    struct attend_state *state[MAX_ROWS];
    uint32_t first[MAX_ROWS], last[MAX_ROWS];       /* positions that the row sees */
};

/* 16 values of a page or a tile. */
INLINE __m512 load_16(const void *from, size_t at, const bool is_tile)
{
    if (is_tile) return _mm512_loadu_ps((const float *)from + at);
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)((const uint16_t *)from + at)));
}

/* q . k of 16 tokens for every row. Tiles have fetched what is ahead. */
INLINE void scores(__m512 *s, const struct rows *r, const void *k, const uint8_t *ahead,
                   uint32_t d_head, const bool is_tile, const int n_rows)
{
    __m512 odd[MAX_ROWS];
    UNROLL for (int i = 0; i < n_rows; i++) s[i] = odd[i] = _mm512_setzero_ps();
    for (uint32_t d = 0; d < d_head; d += 2) {
        const __m512 k0 = load_16(k, (size_t)d * 16, is_tile);
        const __m512 k1 = load_16(k, (size_t)d * 16 + 16, is_tile);
        if (!is_tile) _mm_prefetch((const char *)ahead + d * 32, _MM_HINT_T0);
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
INLINE void soften(const struct attend_walk *w, const struct rows *r, __m512 (*p)[MAX_ROWS],
                   uint32_t page, int n_pages, int row)
{
    const uint32_t d_head = w->layout->d_head;
    struct attend_state *s = r->state[row];
    __mmask16 mask[CHUNK_PAGES];
    __m512 top = _mm512_set1_ps(-INFINITY), total = _mm512_load_ps(s->total);
    for (int i = 0; i < n_pages; i++) {
        mask[i] = visible(r, row, page + (uint32_t)i);
        if (w->score_cap != 0) p[i][row] = capped_ps(p[i][row], w->score_cap);
        top = _mm512_mask_max_ps(top, mask[i], top, p[i][row]);
    }
    const float max = _mm512_reduce_max_ps(top);
    if (max > s->max) {
        const __m512 shrink = exp2_ps(_mm512_set1_ps(s->max - max));
        total = _mm512_mul_ps(total, shrink);
        for (uint32_t d = 0; d < d_head; d += 16)
            _mm512_store_ps(s->out + d, _mm512_mul_ps(_mm512_load_ps(s->out + d), shrink));
        s->max = max;
    }
    for (int i = 0; i < n_pages; i++) {
        const __m512 x = _mm512_sub_ps(p[i][row], _mm512_set1_ps(s->max));
        p[i][row] = _mm512_maskz_mov_ps(mask[i], exp2_ps(x));
        total = _mm512_add_ps(total, p[i][row]);
    }
    _mm512_store_ps(s->total, total);
}

/* A chunk's values, by page: halves or tiles, and the halves to fetch. */
struct chunk_values {
    const void *v[CHUNK_PAGES];
    const uint8_t *ahead[CHUNK_PAGES];
    int n_tokens[CHUNK_PAGES];      /* those beyond are not touched */
    int n_pages;
};

/* out += p v for 16 * n_parts dimensions from d */
INLINE void add_values(const struct rows *r, __m512 (*p)[MAX_ROWS], const struct chunk_values *c,
                       uint32_t d, const bool is_tile, const int n_parts, const int n_rows)
{
    const size_t width = (size_t)n_parts * 16, at = d * PAGE_TOKENS;
    __m512 sum[MAX_ROWS][4];
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_parts; g++)
            sum[i][g] = _mm512_load_ps(r->state[i]->out + d + 16 * g);
    for (int page = 0; page < c->n_pages; page++)
        for (int t = 0; t < c->n_tokens[page]; t++) {
            const size_t token = at + (size_t)t * width;
            if (!is_tile)
                for (size_t line = 0; line < width * 2; line += 64)
                    _mm_prefetch((const char *)c->ahead[page] + token * 2 + line, _MM_HINT_T0);
            UNROLL for (int g = 0; g < n_parts; g++) {
                const __m512 w = load_16(c->v[page], token + (size_t)g * 16, is_tile);
                UNROLL for (int i = 0; i < n_rows; i++)
                    sum[i][g] = _mm512_fmadd_ps(
                        w, _mm512_set1_ps(((const float *)&p[page][i])[t]), sum[i][g]);
            }
        }
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_parts; g++)
            _mm512_store_ps(r->state[i]->out + d + 16 * g, sum[i][g]);
}

INLINE void add_chunk_values(const struct rows *r, __m512 (*p)[MAX_ROWS],
                             const struct chunk_values *c, uint32_t d_head, const bool is_tile,
                             const int n_rows)
{
    if (v_part(d_head) == 64)
        for (uint32_t d = 0; d < d_head; d += 64) add_values(r, p, c, d, is_tile, 4, n_rows);
    else
        for (uint32_t d = 0; d < d_head; d += 32) add_values(r, p, c, d, is_tile, 2, n_rows);
}

INLINE void walk_chunk(const struct attend_walk *w, const struct rows *r, uint32_t page,
                       uint32_t last, const int n_rows)
{
    const struct kv_layout *l = w->layout;
    float tile[CHUNK_PAGES][TILE_FLOATS] __attribute__((aligned(64)));
    struct chunk_values values = { .n_pages = page + 1 == w->end_page ? 1 : CHUNK_PAGES };
    __m512 p[CHUNK_PAGES][MAX_ROWS];

    for (int i = 0; i < values.n_pages; i++) {
        const uint32_t at = page + (uint32_t)i, left = last - at * PAGE_TOKENS + 1;
        const uint8_t *k = page_of(w, at), *ahead = page_ahead(w, at);
        values.n_tokens[i] = left < PAGE_TOKENS ? (int)left : PAGE_TOKENS;
        values.v[i] = k + l->v_at;
        values.ahead[i] = ahead + l->v_at;
        if (l->k == KV_F16) {
            scores(p[i], r, k, ahead, l->d_head, false, n_rows);
        } else {
            read_k_page(w, at, ahead, tile[i]);
            scores(p[i], r, tile[i], NULL, l->d_head, true, n_rows);
        }
    }
    for (int row = 0; row < n_rows; row++) soften(w, r, p, page, values.n_pages, row);
    if (l->v == KV_F16 && !l->is_latent) {
        add_chunk_values(r, p, &values, l->d_head, false, n_rows);
        return;
    }
    for (int i = 0; i < values.n_pages; i++) {
        const uint32_t at = page + (uint32_t)i;
        read_v_page(w, at, page_ahead(w, at), values.n_tokens[i], tile[i]);
        values.v[i] = tile[i];
    }
    add_chunk_values(r, p, &values, l->d_head, true, n_rows);
}

#include "backend/cpu/kernels/attention_rows.h"

DEFINE_ROWS(1) DEFINE_ROWS(2) DEFINE_ROWS(3) DEFINE_ROWS(4) DEFINE_ROWS(5) DEFINE_ROWS(6)
DEFINE_ROWS(7)

static void walk(const struct attend_walk *w)
{
    static void (*const by_rows[MAX_ROWS])(const struct attend_walk *) = {
        walk_1, walk_2, walk_3, walk_4, walk_5, walk_6, walk_7,
    };
    by_rows[w->n_rows - 1](w);
}

void cpu_attention_avx512(struct cpu_kernels *k)
{
    k->walk = walk;
    k->max_walk_rows = MAX_ROWS;
}

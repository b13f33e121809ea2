/* Attention over pages for registers of LANES floats: 8 tokens of one K dimension or 8 dimensions
 * of one V token with AVX2, 4 with NEON. The walk and its order are those of attention_scalar.c,
 * and as in attention_avx512.c up to MAX_ROWS rows share every load of K and V, halves being turned
 * to floats where they are loaded, other types page by page before.
 *
 * ACCUMULATORS registers are kept busy whatever the number of rows: fewer rows take more tokens of
 * K, and more dimensions of V, at once. The including file has included lanes_avx2.h or
 * lanes_neon.h. */
#include <math.h>

#include "backend/cpu/kernels/kv_tiles.h"
#include "backend/cpu/kernels/lanes_math.h"

enum { MAX_ROWS = 4, TILE_FLOATS = MAX_D_HEAD * PAGE_TOKENS };

struct rows {
    const float *q[MAX_ROWS];
    struct attend_state *state[MAX_ROWS];
    uint32_t first[MAX_ROWS], last[MAX_ROWS];       /* positions that the row sees */
    float p[MAX_ROWS][CHUNK_TOKENS] __attribute__((aligned(64)));   /* scores, then weights */
};

/* LANES values of a page or a tile. */
INLINE vf load_lanes(const void *from, size_t at, const bool is_tile)
{
    return is_tile ? load_f((const float *)from + at) : load_f16((const uint16_t *)from + at);
}

/* Registers a row may keep: 1, 2 and 4 rows (3 count as 4) share n between them. */
INLINE int regs_of_row(const int n, const int n_rows, const int max)
{
    const int n_regs = n_rows == 1 ? n : n_rows == 2 ? n / 2 : n / 4;
    return n_regs < max ? n_regs : max;
}

/* q . k for n_regs registers of tokens from `token` on: two chains a row (even and odd dimensions).
 * r->p[row] + at receives the scores. Tiles have fetched what is ahead. */
INLINE void scores(struct rows *r, uint32_t at, const void *k, uint32_t token,
                   const uint8_t *ahead, uint32_t d_head, const bool is_tile, const int n_regs,
                   const int n_rows)
{
    vf even[MAX_ROWS][16 / LANES], odd[MAX_ROWS][16 / LANES];
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_regs; g++) even[i][g] = odd[i][g] = set1_f(0);
    for (uint32_t d = 0; d < d_head; d += 2) {
        const size_t place = (size_t)d * PAGE_TOKENS + token;
        vf k0[16 / LANES], k1[16 / LANES];
        if (!is_tile) __builtin_prefetch(ahead + d * 32);
        UNROLL for (int g = 0; g < n_regs; g++) {
            k0[g] = load_lanes(k, place + (size_t)g * LANES, is_tile);
            k1[g] = load_lanes(k, place + PAGE_TOKENS + (size_t)g * LANES, is_tile);
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
INLINE void soften(struct rows *r, uint32_t start, const int row, uint32_t d_head, float score_cap)
{
    struct attend_state *s = r->state[row];
    float *p = r->p[row];
    if (r->last[row] < start || r->first[row] >= start + CHUNK_TOKENS) {
        for (int t = 0; t < CHUNK_TOKENS; t++) p[t] = 0;
        return;
    }
    for (int t = 0; t < CHUNK_TOKENS && score_cap != 0; t += LANES)
        store_f(p + t, capped_f(load_f(p + t), score_cap));
    for (uint32_t t = start; t < r->first[row]; t++) p[t - start] = -INFINITY;
    for (uint32_t t = r->last[row] + 1; t < start + CHUNK_TOKENS; t++) p[t - start] = -INFINITY;

    vf top = load_f(p), total = load_f(s->total);
    for (int t = LANES; t < CHUNK_TOKENS; t += LANES) top = max_f(top, load_f(p + t));
    const float max = max_lanes(top);
    if (max > s->max) {
        const vf shrink = exp2_f(set1_f(s->max - max));
        total = mul_f(total, shrink);
        for (uint32_t d = 0; d < d_head; d += LANES)
            store_f(s->out + d, mul_f(load_f(s->out + d), shrink));
        s->max = max;
    }
    for (int t = 0; t < CHUNK_TOKENS; t += LANES) {
        const vf weight = exp2_f(sub_f(load_f(p + t), set1_f(s->max)));
        store_f(p + t, weight);
        total = add_f(total, weight);
    }
    store_f(s->total, total);
}

/* A chunk's values, by page: halves or tiles, and the halves to fetch. */
struct chunk_values {
    const void *v[CHUNK_PAGES];
    const uint8_t *ahead[CHUNK_PAGES];
    int n_tokens[CHUNK_PAGES];      /* those beyond are not touched */
    int n_pages;
};

/* out += p v for n_regs registers of dimensions from d on, which begins at place `at` of a page and
 * whose tokens lie `part` apart. */
INLINE void add_values(struct rows *r, const struct chunk_values *c, uint32_t d, size_t at,
                       uint32_t part, const bool is_tile, const int n_regs, const int n_rows)
{
    vf sum[MAX_ROWS][ACCUMULATORS];
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_regs; g++)
            sum[i][g] = load_f(r->state[i]->out + d + g * LANES);
    for (int page = 0; page < c->n_pages; page++)
        for (int t = 0; t < c->n_tokens[page]; t++) {
            const size_t token = at + (size_t)t * part;
            if (!is_tile) __builtin_prefetch(c->ahead[page] + token * 2);
            UNROLL for (int g = 0; g < n_regs; g++) {
                const vf w = load_lanes(c->v[page], token + (size_t)g * LANES, is_tile);
                UNROLL for (int i = 0; i < n_rows; i++)
                    sum[i][g] = fma_f(w, set1_f(r->p[i][page * PAGE_TOKENS + t]), sum[i][g]);
            }
        }
    UNROLL for (int i = 0; i < n_rows; i++)
        UNROLL for (int g = 0; g < n_regs; g++)
            store_f(r->state[i]->out + d + g * LANES, sum[i][g]);
}

/* All dimensions, whose parts lie `part` apart. */
INLINE void add_parts(struct rows *r, const struct chunk_values *c, uint32_t d_head,
                      const bool is_tile, const int part, const int n_rows)
{
    const int n_regs = regs_of_row(ACCUMULATORS, n_rows, part / LANES);
    for (uint32_t d = 0; d < d_head; d += (uint32_t)(n_regs * LANES)) {
        const uint32_t p = (uint32_t)part;
        add_values(r, c, d, (size_t)d / p * p * PAGE_TOKENS + d % p, p, is_tile, n_regs, n_rows);
    }
}

INLINE void add_chunk_values(struct rows *r, const struct chunk_values *c, uint32_t d_head,
                             const bool is_tile, const int n_rows)
{
    if (v_part(d_head) == 64) add_parts(r, c, d_head, is_tile, 64, n_rows);
    else add_parts(r, c, d_head, is_tile, 32, n_rows);
}

/* All 16 tokens of page i of a chunk. */
INLINE void page_scores(struct rows *r, int i, const void *k, const uint8_t *ahead, uint32_t d_head,
                        const bool is_tile, const int n_rows)
{
    const int n_regs = regs_of_row(ACCUMULATORS / 2, n_rows, PAGE_TOKENS / LANES);
    for (int t = 0; t < PAGE_TOKENS; t += n_regs * LANES)
        scores(r, (uint32_t)(i * PAGE_TOKENS + t), k, (uint32_t)t, ahead, d_head, is_tile, n_regs,
               n_rows);
}

INLINE void walk_chunk(const struct attend_walk *w, struct rows *r, uint32_t page, uint32_t last,
                       const int n_rows)
{
    const struct kv_layout *l = w->layout;
    float tile[CHUNK_PAGES][TILE_FLOATS] __attribute__((aligned(64)));
    struct chunk_values values = { .n_pages = page + 1 == w->end_page ? 1 : CHUNK_PAGES };

    for (int i = 0; i < values.n_pages; i++) {
        const uint32_t at = page + (uint32_t)i, left = last - at * PAGE_TOKENS + 1;
        const uint8_t *k = page_of(w, at), *ahead = page_ahead(w, at);
        values.n_tokens[i] = left < PAGE_TOKENS ? (int)left : PAGE_TOKENS;
        values.v[i] = k + l->v_at;
        values.ahead[i] = ahead + l->v_at;
        if (l->k == KV_F16) {
            page_scores(r, i, k, ahead, l->d_head, false, n_rows);
        } else {
            read_k_page(w, at, ahead, tile[i]);
            page_scores(r, i, tile[i], NULL, l->d_head, true, n_rows);
        }
    }
    for (int row = 0; row < n_rows; row++)
        soften(r, page * PAGE_TOKENS, row, l->d_head, w->score_cap);
    if (l->v == KV_F16 && !l->is_latent) {
        add_chunk_values(r, &values, l->d_head, false, n_rows);
        return;
    }
    for (int i = 0; i < values.n_pages; i++) {
        const uint32_t at = page + (uint32_t)i;
        read_v_page(w, at, page_ahead(w, at), values.n_tokens[i], tile[i]);
        values.v[i] = tile[i];
    }
    add_chunk_values(r, &values, l->d_head, true, n_rows);
}

#include "backend/cpu/kernels/attention_rows.h"

DEFINE_ROWS(1) DEFINE_ROWS(2) DEFINE_ROWS(3) DEFINE_ROWS(4)

static void walk(const struct attend_walk *w)
{
    static void (*const by_rows[MAX_ROWS])(const struct attend_walk *) = {
        walk_1, walk_2, walk_3, walk_4,
    };
    by_rows[w->n_rows - 1](w);
}

static void set_attention(struct cpu_kernels *k)
{
    k->walk = walk;
    k->max_walk_rows = MAX_ROWS;
}

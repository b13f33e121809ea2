/* Attention over pages in plain C: the specification of walk().
 *
 * Positions are walked in chunks of 32 (two pages) at absolute places 32 j .. 32 j + 31, so that
 * the order of every sum depends on the row's own position and window alone. Per chunk: scores, one
 * step of the online softmax (Milakov and Gimelshein, 2018) in base 2, values. Positions that the
 * row may not see take no part at all. */
#include <math.h>
#include <stdint.h>

#include "backend/cpu/kernels/inlining.h"
#include "quant/quant.h"

/* A register is a float. */
enum { LANES = 1 };
typedef float vf;

INLINE vf set1_f(float x) { return x; }
INLINE vf load_f(const float *p) { return *p; }
INLINE void store_f(float *p, vf a) { *p = a; }
INLINE vf add_f(vf a, vf b) { return a + b; }
INLINE vf sub_f(vf a, vf b) { return a - b; }
INLINE vf mul_f(vf a, vf b) { return a * b; }
INLINE vf load_q8(const uint8_t *p) { return (int8_t)*p; }

INLINE uint16_t half_at(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
INLINE vf load_bf16(const uint8_t *p) { return f32_of_bf16(half_at(p)); }

/* As a half: the same exponent and mantissa, but exponents count from 7 less 15. */
INLINE vf load_f8(const uint8_t *p)
{
    return f32_of_f16((uint16_t)((*p & 0x80) << 8 | (*p & 0x7f) << 7));
}

#include "backend/cpu/kernels/kv_tiles.h"

/* A page as floats, [d_head][16] and [16][d_head]. */
struct tile {
    float k[MAX_D_HEAD * PAGE_TOKENS], v[PAGE_TOKENS * MAX_D_HEAD];
};

static void read_page(const struct attend_walk *w, uint32_t page, struct tile *tile)
{
    const uint32_t d_head = w->layout->d_head, part = v_part(d_head), n = d_head * PAGE_TOKENS;
    const uint8_t *from = page_of(w, page);
    float v[PAGE_TOKENS * MAX_D_HEAD];

    for (uint32_t i = 0; i < n && w->layout->k == KV_F16; i++)
        tile->k[i] = f32_of_f16(half_at(from + 2 * i));
    const bool are_halves = w->layout->v == KV_F16 && !w->layout->is_latent;
    for (uint32_t i = 0; i < n && are_halves; i++)
        v[i] = f32_of_f16(half_at(from + w->layout->v_at + 2 * i));
    if (w->layout->k != KV_F16) read_k_page(w, page, from, tile->k);
    if (!are_halves) read_v_page(w, page, from, PAGE_TOKENS, v);
    for (uint32_t d = 0; d < d_head; d++)
        for (uint32_t t = 0; t < PAGE_TOKENS; t++)
            tile->v[t * d_head + d] = v[(d / part * PAGE_TOKENS + t) * part + d % part];
}

static float score(const struct tile *tile, const float *q, uint32_t d_head, uint32_t t)
{
    float even = 0, odd = 0;
    for (uint32_t d = 0; d < d_head; d += 2) {
        even = fmaf(tile->k[d * PAGE_TOKENS + t], q[d], even);
        odd = fmaf(tile->k[(d + 1) * PAGE_TOKENS + t], q[d + 1], odd);
    }
    return even + odd;
}

/* Positions first .. last of the chunk at `start`. */
static void add_chunk(const struct attend_walk *w, const struct tile *tile,
                      const struct attend_row *row, uint32_t start, uint32_t first, uint32_t last)
{
    const uint32_t d_head = w->layout->d_head;
    struct attend_state *s = row->state;
    float p[CHUNK_TOKENS], max = -INFINITY;

    for (uint32_t t = first - start; t <= last - start; t++) {
        p[t] = score(&tile[t / PAGE_TOKENS], row->q, d_head, t % PAGE_TOKENS);
        if (w->score_cap != 0) p[t] = w->score_cap * tanhf(p[t] / w->score_cap);
        max = fmaxf(max, p[t]);
    }
    if (max > s->max) {
        const float shrink = exp2f(s->max - max);
        s->total[0] *= shrink;
        for (uint32_t d = 0; d < d_head; d++) s->out[d] *= shrink;
        s->max = max;
    }
    for (uint32_t t = first - start; t <= last - start; t++) {
        const float weight = exp2f(p[t] - s->max);
        const float *v = tile[t / PAGE_TOKENS].v + t % PAGE_TOKENS * d_head;
        s->total[0] += weight;
        for (uint32_t d = 0; d < d_head; d++) s->out[d] = fmaf(v[d], weight, s->out[d]);
    }
}

static void walk(const struct attend_walk *w)
{
    const uint32_t d_head = w->layout->d_head;
    struct tile tile[CHUNK_PAGES];

    for (uint32_t i = 0; i < w->n_rows && w->is_first; i++)
        *w->row[i].state = (struct attend_state){ .max = w->row[i].sink,
                                                  .total = { w->row[i].sink > -INFINITY } };
    for (uint32_t page = w->first_page; page < w->end_page; page += CHUNK_PAGES) {
        const uint32_t start = page * PAGE_TOKENS;
        for (uint32_t i = 0; i < CHUNK_PAGES && page + i < w->end_page; i++)
            read_page(w, page + i, &tile[i]);
        for (uint32_t i = 0; i < w->n_rows; i++) {
            const uint32_t pos = w->row[i].pos, first = window_start(pos, w->window);
            const uint32_t last = pos < start + CHUNK_TOKENS ? pos : start + CHUNK_TOKENS - 1;
            if (first <= last && last >= start)
                add_chunk(w, tile, &w->row[i], start, first > start ? first : start, last);
        }
    }
    for (uint32_t i = 0; i < w->n_rows && w->is_last; i++)
        for (uint32_t d = 0; d < d_head; d++)
            w->row[i].out[d] = w->row[i].state->out[d] / w->row[i].state->total[0];
}

void cpu_attention_scalar(struct cpu_kernels *k)
{
    k->walk = walk;
    k->max_walk_rows = MAX_WALK_ROWS;
}

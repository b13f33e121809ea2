/* Attention over pages in plain C: the specification of attend().
 *
 * One row is one column and one query head. Positions are walked in chunks of 32 (two pages) at
 * absolute places 32 j .. 32 j + 31, so that the order of every sum depends on the row's own
 * position and window alone. Per chunk: scores, one step of the online softmax (Milakov and
 * Gimelshein, 2018) in base 2, values. Positions that the row may not see take no part at all. */
#include <math.h>

#include "backend/cpu/kernels.h"
#include "quant/quant.h"

enum { CHUNK_TOKENS = 2 * PAGE_TOKENS };

struct row {
    float max, total;
    float out[MAX_D_HEAD];
};

static const uint16_t *k_of(const struct attend_job *j, uint32_t position)
{
    return (const uint16_t *)(j->kv + j->page[position / PAGE_TOKENS] * j->page_stride);
}

static float score(const struct attend_job *j, const float *q, uint32_t position)
{
    const uint16_t *k = k_of(j, position) + position % PAGE_TOKENS;
    float even = 0, odd = 0;
    for (uint32_t d = 0; d < j->d_head; d += 2) {
        even = fmaf(f32_of_f16(k[d * PAGE_TOKENS]), q[d], even);
        odd = fmaf(f32_of_f16(k[(d + 1) * PAGE_TOKENS]), q[d + 1], odd);
    }
    return even + odd;
}

static void add_value(const struct attend_job *j, struct row *r, uint32_t position, float p)
{
    const uint16_t *v = k_of(j, position) + (size_t)j->d_head * PAGE_TOKENS;
    const uint32_t part = v_part(j->d_head), at = position % PAGE_TOKENS;
    for (uint32_t d = 0; d < j->d_head; d++)
        r->out[d] = fmaf(f32_of_f16(v[(d / part * PAGE_TOKENS + at) * part + d % part]), p,
                         r->out[d]);
}

static void add_chunk(const struct attend_job *j, const float *q, struct row *r, uint32_t first,
                      uint32_t last)
{
    float p[CHUNK_TOKENS], max = -INFINITY;
    for (uint32_t t = first; t <= last; t++) {
        p[t - first] = score(j, q, t);
        max = fmaxf(max, p[t - first]);
    }
    if (max > r->max) {
        const float shrink = exp2f(r->max - max);
        r->total *= shrink;
        for (uint32_t d = 0; d < j->d_head; d++) r->out[d] *= shrink;
        r->max = max;
    }
    for (uint32_t t = first; t <= last; t++) {
        p[t - first] = exp2f(p[t - first] - r->max);
        r->total += p[t - first];
        add_value(j, r, t, p[t - first]);
    }
}

static void attend(const struct attend_job *j)
{
    for (uint32_t c = 0; c < j->n_cols; c++)
        for (uint32_t h = 0; h < j->n_group; h++) {
            const uint32_t last = j->first_pos + c;
            const uint32_t first = j->window && last + 1 > j->window ? last + 1 - j->window : 0;
            struct row r = { .max = -INFINITY };
            for (uint32_t t = first; t <= last;) {
                const uint32_t chunk_last = t / CHUNK_TOKENS * CHUNK_TOKENS + CHUNK_TOKENS - 1;
                const uint32_t end = chunk_last < last ? chunk_last : last;
                add_chunk(j, j->q + c * j->ld_q + h * j->d_head, &r, t, end);
                t = end + 1;
            }
            float *out = j->out + c * j->ld_out + h * j->d_head;
            for (uint32_t d = 0; d < j->d_head; d++) out[d] = r.out[d] / r.total;
        }
}

void cpu_attention_scalar(struct cpu_kernels *k)
{
    k->attend = attend;
}

/* Pages of other KV types than f16 as tiles of floats, for registers of LANES floats (1 in plain
 * C). Every instruction set computes the same values: a code is exact as a float, and its product
 * with the scale is rounded once. The including file has defined LANES, vf and the primitives
 *     set1_f load_f store_f add_f sub_f mul_f
 *     load_bf16 load_q8 load_f8(codes)     LANES codes as floats, f8 times 2^-8 */
#ifndef BACKEND_CPU_KERNELS_KV_TILES_H
#define BACKEND_CPU_KERNELS_KV_TILES_H

#include "backend/cpu/kernels/attention_walk.h"
#include "backend/cpu/kernels/kv_codes.h"

INLINE vf load_codes(enum kv_type type, const uint8_t *codes)
{
    return type == KV_BF16 ? load_bf16(codes) : type == KV_Q8_0 ? load_q8(codes) : load_f8(codes);
}

/* The scales of 16 tokens for dimensions d .. d + 31, those of f8 times 2^8. */
INLINE void read_scales(enum kv_type type, const uint8_t *part, uint32_t d, float *scale)
{
    if (type == KV_F8_E4M3) {
        memcpy(scale, part, PAGE_TOKENS * sizeof *scale);
        for (int i = 0; i < PAGE_TOKENS; i++) scale[i] *= 256;
    } else if (type == KV_Q8_0) {
        uint16_t half[PAGE_TOKENS];
        memcpy(half, part + d / KV_BLOCK * sizeof half, sizeof half);
        for (int i = 0; i < PAGE_TOKENS; i++) scale[i] = f16_scale(half[i]);
    }
}

INLINE void fetch_scales(enum kv_type type, uint32_t d_head, const uint8_t *ahead)
{
    for (uint32_t at = 0; at < kv_scale_bytes(type, d_head); at += 64)
        __builtin_prefetch(ahead + at);
}

/* K of a page as [d_head][16] floats; the page `ahead` is fetched beside. */
INLINE void read_k_codes(enum kv_type type, uint32_t d_head, const uint8_t *part,
                         const uint8_t *ahead, float *tile)
{
    const uint32_t bytes = kv_code_bytes(type), at = kv_scale_bytes(type, d_head);
    float scale[PAGE_TOKENS] __attribute__((aligned(64)));
    fetch_scales(type, d_head, ahead);
    for (uint32_t d = 0; d < d_head; d += KV_BLOCK) {
        read_scales(type, part, d, scale);
        for (uint32_t i = d * PAGE_TOKENS; i < (d + KV_BLOCK) * PAGE_TOKENS; i += PAGE_TOKENS) {
            __builtin_prefetch(ahead + at + i * bytes);
            UNROLL for (uint32_t t = 0; t < PAGE_TOKENS; t += LANES) {
                const vf codes = load_codes(type, part + at + (i + t) * bytes);
                store_f(tile + i + t, type == KV_BF16 ? codes : mul_f(codes, load_f(scale + t)));
            }
        }
    }
}

/* V of a page's first n_tokens tokens as floats in the places of f16. */
INLINE void read_v_codes(enum kv_type type, uint32_t d_head, const uint8_t *part,
                         const uint8_t *ahead, int n_tokens, float *tile)
{
    const uint32_t width = v_part(d_head), bytes = kv_code_bytes(type);
    const uint8_t *from = part + kv_scale_bytes(type, d_head);
    float scale[PAGE_TOKENS] __attribute__((aligned(64)));
    fetch_scales(type, d_head, ahead);
    ahead += kv_scale_bytes(type, d_head);
    for (uint32_t d = 0; d < d_head; d += KV_BLOCK) {
        read_scales(type, part, d, scale);
        for (int t = 0; t < n_tokens; t++) {
            const uint32_t place = (d / width * PAGE_TOKENS + (uint32_t)t) * width + d % width;
            __builtin_prefetch(ahead + place * bytes);
            UNROLL for (uint32_t i = place; i < place + KV_BLOCK; i += LANES) {
                const vf codes = load_codes(type, from + i * bytes);
                store_f(tile + i, type == KV_BF16 ? codes : mul_f(codes, set1_f(scale[t])));
            }
        }
    }
}

/* Adds the bias of 16 keys to the dimensions that turn, from position `first` on, a page's first.
 */
static void add_turned_bias(const struct key_bias *b, uint32_t first, float *tile)
{
    const float *row = b->cos_sin + (size_t)first * b->n_rot, *turn = b->turn;
    const uint32_t step = b->is_interleaved ? 2 : 1, other = b->is_interleaved ? 1 : b->n_rot / 2;
    for (uint32_t i = 0; i < b->n_rot / 2; i++, row += 2, turn += 2 * PAGE_TOKENS) {
        const uint32_t d = i * step;
        const vf x = set1_f(b->bias[d] * row[0] - b->bias[d + other] * row[1]);
        const vf y = set1_f(b->bias[d] * row[1] + b->bias[d + other] * row[0]);
        float *low = tile + (size_t)d * PAGE_TOKENS, *high = low + (size_t)other * PAGE_TOKENS;
        UNROLL for (int t = 0; t < PAGE_TOKENS; t += LANES) {
            const vf c = load_f(turn + t), s = load_f(turn + PAGE_TOKENS + t);
            store_f(low + t, add_f(load_f(low + t), sub_f(mul_f(x, c), mul_f(y, s))));
            store_f(high + t, add_f(load_f(high + t), add_f(mul_f(x, s), mul_f(y, c))));
        }
    }
}

static void add_key_bias(const struct key_bias *b, uint32_t d_head, uint32_t first, float *tile)
{
    if (b->n_rot) add_turned_bias(b, first, tile);
    for (uint32_t i = b->n_rot * PAGE_TOKENS; i < d_head * PAGE_TOKENS; i += LANES)
        store_f(tile + i, add_f(load_f(tile + i), set1_f(b->bias[i / PAGE_TOKENS])));
}

/* Keys of a page as [d_head][16] floats. */
static void read_k_page(const struct attend_walk *w, uint32_t page, const uint8_t *ahead,
                        float *tile)
{
    const uint8_t *part = page_of(w, page);
    switch (w->layout->k) {
    case KV_BF16: read_k_codes(KV_BF16, w->layout->d_head, part, ahead, tile); break;
    case KV_Q8_0: read_k_codes(KV_Q8_0, w->layout->d_head, part, ahead, tile); break;
    default: read_k_codes(KV_F8_E4M3, w->layout->d_head, part, ahead, tile);
    }
    if (w->key_bias.bias) add_key_bias(&w->key_bias, w->layout->d_head, page * PAGE_TOKENS, tile);
}

/* Values that are the keys: these as floats, [d_head][16], then in the places of values. */
static void read_latent_page(const struct attend_walk *w, uint32_t page, const uint8_t *ahead,
                             int n_tokens, float *tile)
{
    const uint32_t d_head = w->layout->d_head, width = v_part(d_head);
    const uint8_t *part = page_of(w, page);
    float keys[MAX_D_HEAD * PAGE_TOKENS] __attribute__((aligned(64)));
    if (w->layout->k != KV_F16) read_k_page(w, page, ahead, keys);
    for (uint32_t i = 0; i < d_head * PAGE_TOKENS && w->layout->k == KV_F16; i++)
        keys[i] = f32_of_f16((uint16_t)(part[2 * i] | part[2 * i + 1] << 8));
    for (uint32_t d = 0; d < d_head; d++)
        for (uint32_t t = 0; t < (uint32_t)n_tokens; t++)
            tile[(d / width * PAGE_TOKENS + t) * width + d % width] = keys[d * PAGE_TOKENS + t];
}

/* Values of a page's first n_tokens tokens as floats in the places of f16. */
static void read_v_page(const struct attend_walk *w, uint32_t page, const uint8_t *ahead,
                        int n_tokens, float *tile)
{
    if (w->layout->is_latent) {
        read_latent_page(w, page, ahead, n_tokens, tile);
        return;
    }
    const uint32_t d_head = w->layout->d_head, at = w->layout->v_at;
    const uint8_t *part = page_of(w, page) + at;
    switch (w->layout->v) {
    case KV_BF16: read_v_codes(KV_BF16, d_head, part, ahead + at, n_tokens, tile); break;
    case KV_Q8_0: read_v_codes(KV_Q8_0, d_head, part, ahead + at, n_tokens, tile); break;
    default: read_v_codes(KV_F8_E4M3, d_head, part, ahead + at, n_tokens, tile);
    }
}

#endif

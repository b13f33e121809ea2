/* KV of one page, one layer and one KV head: a part for K and a part for V, each its scales, if its
 * type has any, then its codes; both start at multiples of 64 bytes.
 *
 *     K codes    [d_head][16 tokens]
 *     V codes    [d_head / part][16 tokens][part], part 64, or 32 where d_head is no multiple of 64
 *     scales     q8_0: [d_head / 32][16 tokens] f16; f8_e4m3: [16 tokens] f32
 *
 * So a register holds tokens of one K dimension or dimensions of one V token, and nothing is summed
 * across lanes. A value is its code times its scale. Values are bounded to +-65504 with NaN as 0
 * before they are written, so a page never holds what could spoil a sum.
 *
 * Where keys are latents V is read out of K's part.
 *
 * Attention adds the turned bias of keys that kv_keeps_bias_out back (struct key_bias). */
#ifndef BACKEND_CPU_KV_LAYOUT_H
#define BACKEND_CPU_KV_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

enum { MAX_D_HEAD = BACKEND_MAX_D_HEAD, KV_BLOCK = 32 /* values of a q8_0 scale */ };

struct kv_layout {
    uint32_t d_head;
    enum kv_type k, v;
    uint32_t v_at;          /* bytes from K's part to V's */
    uint32_t n_bytes;       /* of both */
    bool is_latent;         /* there is K's part alone, whose dimensions are V's too */
};

static inline uint32_t v_part(uint32_t d_head)
{
    return d_head % 64 ? 32 : 64;
}

static inline uint32_t kv_code_bytes(enum kv_type type)
{
    return type == KV_F16 || type == KV_BF16 ? 2 : 1;
}

static inline uint32_t kv_scale_bytes(enum kv_type type, uint32_t d_head)
{
    if (type == KV_F8_E4M3) return PAGE_TOKENS * sizeof(float);
    if (type != KV_Q8_0) return 0;
    return (d_head / KV_BLOCK * PAGE_TOKENS * (uint32_t)sizeof(uint16_t) + 63) & ~63u;
}

static inline struct kv_layout kv_layout_of(uint32_t d_head, enum kv_type k, enum kv_type v)
{
    const uint32_t n = d_head * PAGE_TOKENS;
    const uint32_t k_bytes = kv_scale_bytes(k, d_head) + n * kv_code_bytes(k);
    return (struct kv_layout){
        .d_head = d_head, .k = k, .v = v, .v_at = k_bytes,
        .n_bytes = k_bytes + kv_scale_bytes(v, d_head) + n * kv_code_bytes(v),
    };
}

static inline struct kv_layout kv_latent_layout_of(uint32_t d_head, enum kv_type type)
{
    const struct kv_layout both = kv_layout_of(d_head, type, type);
    return (struct kv_layout){ .d_head = d_head, .k = type, .v = type, .n_bytes = both.v_at,
                               .is_latent = true };
}

#endif

/* What a page of the CPU backend must hold for a token. */
#ifndef TESTS_KERNELS_KV_REFERENCE_H
#define TESTS_KERNELS_KV_REFERENCE_H

#include "kv_types.h"
#include "product_fixture.h"

#include "backend/cpu/kernels.h"

/* Writes what a part of a page must hold for token `at`; values: (d_head). */
static inline void kv_reference_write(enum kv_type type, uint32_t d_head, bool is_v, uint8_t *part,
                                      uint32_t at, const float *x, float *values)
{
    const uint32_t together = kv_scaled_together(type, d_head), width = d_head % 64 ? 32 : 64;
    const uint32_t scales = type == KV_F8_E4M3 ? 64 : type == KV_Q8_0 ? (d_head + 63) / 64 * 64 : 0;
    uint16_t codes[MAX_D_HEAD];

    for (uint32_t d = 0; d < d_head; d += together) {
        const float scale = kv_quantise(type, x + d, together, codes + d, values + d);
        if (type == KV_F8_E4M3) memcpy(part + at * 4, &scale, 4);
        if (type == KV_Q8_0) put_half(part + d + at * 2, f16_of_f32(scale));
    }
    for (uint32_t d = 0; d < d_head; d++) {
        const size_t k_place = d * PAGE_TOKENS + at;
        const size_t v_place = (d / width * PAGE_TOKENS + at) * width + d % width;
        kv_put(part + scales, type, is_v ? v_place : k_place, codes[d]);
    }
}

#endif

/* sdot, 16 independent chains. */
#include <arm_neon.h>

#include "backend/cpu/rates.h"

enum { N_CHAINS = 16, MACS = 16 };

uint64_t rate_dot_neon(uint64_t n_rounds)
{
    int32x4_t sum[N_CHAINS];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
    for (int i = 0; i < N_CHAINS; i++) sum[i] = vdupq_n_s32(0);
    for (uint64_t r = 0; r < n_rounds; r++) {
        for (int i = 0; i < N_CHAINS; i++) sum[i] = vdotq_s32(sum[i], a, b);
        __asm__ volatile("" : "+w"(a), "+w"(b));
    }
    for (int i = 0; i < N_CHAINS; i++) __asm__ volatile("" ::"w"(sum[i]));
    return n_rounds * N_CHAINS * MACS;
}

uint64_t rate_read_neon(const uint8_t *from, size_t n_bytes)
{
    uint8x16_t sum[4] = { vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0) };
    for (const uint8_t *end = from + n_bytes; from < end; from += 64)
        for (int i = 0; i < 4; i++) sum[i] = veorq_u8(sum[i], vld1q_u8(from + 16 * i));
    const uint8x16_t all = veorq_u8(veorq_u8(sum[0], sum[1]), veorq_u8(sum[2], sum[3]));
    return vgetq_lane_u64(vreinterpretq_u64_u8(all), 0) ^
           vgetq_lane_u64(vreinterpretq_u64_u8(all), 1);
}

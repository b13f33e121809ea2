/* smmla, 16 independent chains. */
#include <arm_neon.h>

#include "backend/cpu/rates.h"

enum { N_CHAINS = 16, MACS = 32 };

uint64_t rate_dot_i8mm(uint64_t n_rounds)
{
    int32x4_t sum[N_CHAINS];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
    for (int i = 0; i < N_CHAINS; i++) sum[i] = vdupq_n_s32(0);
    for (uint64_t r = 0; r < n_rounds; r++) {
        for (int i = 0; i < N_CHAINS; i++) sum[i] = vmmlaq_s32(sum[i], a, b);
        __asm__ volatile("" : "+w"(a), "+w"(b));
    }
    for (int i = 0; i < N_CHAINS; i++) __asm__ volatile("" ::"w"(sum[i]));
    return n_rounds * N_CHAINS * MACS;
}

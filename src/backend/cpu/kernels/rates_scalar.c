#include <string.h>

#include "backend/cpu/rates.h"

uint64_t rate_dot_scalar(uint64_t n_rounds)
{
    int32_t sum[8] = { 0 };
    int8_t a[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, b[8] = { 8, 7, 6, 5, 4, 3, 2, 1 };
    for (uint64_t r = 0; r < n_rounds; r++) {
        __asm__ volatile("" : "+m"(a), "+m"(b));
        for (int i = 0; i < 8; i++) sum[i] += a[i] * b[i];
    }
    __asm__ volatile("" ::"m"(sum));
    return n_rounds * 8;
}

uint64_t rate_read_scalar(const uint8_t *from, size_t n_bytes)
{
    uint64_t sum[4] = { 0 };
    for (size_t i = 0; i < n_bytes; i += 32)
        for (int j = 0; j < 4; j++) {
            uint64_t x;
            memcpy(&x, from + i + (size_t)j * 8, 8);
            sum[j] ^= x;
        }
    return sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
}

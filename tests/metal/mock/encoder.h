/* The mock's encoder, asked as a program of Apple's might. */
#ifndef METAL_MOCK_ENCODER_H
#define METAL_MOCK_ENCODER_H

#include <stdbool.h>
#include <stdint.h>

/* Sets bytes at one index twice before a dispatch; what its kernel saw. */
int32_t encoder_set_twice(int32_t first, int32_t second);

/* tanh(x) by a kernel that was compiled with safe arithmetic, and with precise functions only where
 * they are asked for. */
float encoder_tanh(float x, bool are_precise);

#endif

/* The mock's encoder, asked as a program of Apple's might. */
#ifndef METAL_MOCK_ENCODER_H
#define METAL_MOCK_ENCODER_H

#include <stdint.h>

/* Sets bytes at one index twice before a dispatch; what its kernel saw. */
int32_t encoder_set_twice(int32_t first, int32_t second);

#endif

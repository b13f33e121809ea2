/* Metal's own classes, which only hold values: they keep them in the room that make_sdk.py gave
 * them. Inside the mock. */
#ifndef METAL_MOCK_VALUES_H
#define METAL_MOCK_VALUES_H

#include "mock/mock.h"

/* What MTLFunctionConstantValues holds: values of 32 bits by index. */
struct constants {
    uint64_t set;
    uint32_t value[EMU_MAX_CONSTANTS];
};

#endif

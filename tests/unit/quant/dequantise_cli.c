/* Block meaning for tests written in Python.
 *
 *   dequantise_cli types        a line for each known type: name, number, weights, bytes of a block
 *   dequantise_cli NUMBER       blocks of that type on stdin become floats on stdout */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/quant.h"

static int print_types(void)
{
    for (uint32_t type = 0; type < 256; type++) {
        const struct quant_traits *t = quant_traits(type);
        if (t->name) printf("%s %u %u %u\n", t->name, type, t->block_weights, t->block_bytes);
    }
    return 0;
}

static int dequantise(uint32_t type)
{
    const struct quant_traits *t = quant_traits(type);
    float out[256];
    uint16_t block[128];        /* 2-byte aligned, as blocks in a file are */

    if (!t->name || t->block_bytes > sizeof block || t->block_weights > 256) return 1;
    while (fread(block, t->block_bytes, 1, stdin) == 1) {
        quant_dequantise(type, block, out, t->block_weights);
        fwrite(out, sizeof *out, t->block_weights, stdout);
    }
    return ferror(stdin) || fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    if (strcmp(argv[1], "types") == 0) return print_types();
    return dequantise((uint32_t)strtoul(argv[1], NULL, 10));
}

/* Packed weights. A panel is 16 rows of a matrix, repacked so that one 64-byte line holds 4
 * neighbouring k of each of the 16 rows, [row][4 k]: the shape a 4-way integer dot product sums, so
 * a 32-bit lane is a row from first to last and nothing is ever added across lanes. One layout
 * serves every instruction set: 64-byte, 32-byte and 16-byte registers see 16, 8 or 4 rows.
 *
 * A matrix whose row count is no multiple of 16 ends in a panel filled up with zero rows; a
 * product's output therefore has room for 16 * n_panels rows.
 *
 * File types without a panel of their own are packed as another format: exactly where the format
 * can hold them (Q3_K as Q6_K), IQ4_XS as IQ4_NL with its scales rounded to f16 (each weight within
 * 2^-11 of itself), Q2_K with each weight rounded to 8 bits per block of 32 (as Q8_0: within
 * max|w| / 254 of the block). Bounds: panel_pack_32.c. */
#ifndef BACKEND_CPU_PANELS_PANEL_H
#define BACKEND_CPU_PANELS_PANEL_H

#include <stddef.h>
#include <stdint.h>

enum { PANEL_ROWS = 16 };

/* Raise this with every change of what panel_pack writes for the same input: layouts, rounding, the
 * numbers of panel_format, the format a type is packed as. Packed weights that are kept on disk
 * (pack_file.h) are known by it; tests/kernels/test_pack_file.c notices when it was forgotten. */
enum { PANEL_LAYOUT_VERSION = 2 };

enum panel_format {
    PANEL_Q4_K, PANEL_Q5_K, PANEL_Q6_K,
    PANEL_Q8_0, PANEL_Q4_0, PANEL_Q4_1, PANEL_Q5_0, PANEL_Q5_1, PANEL_IQ4_NL,
    PANEL_MXFP4, PANEL_F16, PANEL_BF16, PANEL_F32,
    N_PANEL_FORMATS
};

/* How a column's values are quantised for a product; ACT_F32: they stay floats. */
enum act_format { ACT_X256, ACT_X256U, ACT_X32, ACT_F32, N_ACT_FORMATS };

struct matrix {
    enum panel_format format;
    uint32_t n_rows, n_k, n_panels;
    size_t panel_bytes;         /* a multiple of 64 */
    uint8_t *panel;             /* (n_panels), 64-byte aligned */
};

/* The format a file type is packed as; n_k decides for types that fall back. -1: the type is not
 * known or n_k is no multiple of what the format needs. */
int panel_format_of(uint32_t quant_type, uint32_t n_k);

enum act_format panel_act(enum panel_format format);
size_t panel_bytes(enum panel_format format, uint32_t n_k);

/* Packs up to 16 rows of the file's blocks; rows beyond n_rows become zeros. */
void panel_pack(enum panel_format format, uint8_t *panel, uint32_t quant_type, const void *rows,
                uint32_t n_rows, uint32_t n_k);

/* One row of a panel as floats: what the products multiply by. */
void panel_unpack_row(enum panel_format format, const uint8_t *panel, uint32_t row, uint32_t n_k,
                      float *out);

#endif

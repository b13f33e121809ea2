/* Packing floats as they are: a transposition. NaN becomes 0 and infinities the largest number, so
 * that no weight alone spoils a row. */
#include "backend/cpu/panels/panel_pack.h"

/* The bits of a number of so many bits of mantissa below `sign`, the top bit. */
static uint32_t usable(uint32_t bits, uint32_t sign, int n_mantissa)
{
    const uint32_t magnitude = bits & (sign - 1), infinity = (sign - 1) >> n_mantissa << n_mantissa;

    if (magnitude > infinity) return 0;
    return magnitude == infinity ? bits - 1 : bits;
}

static void pack_halves(enum panel_format format, uint16_t *panel, const uint8_t *row, uint32_t r,
                        uint32_t n_k)
{
    const int n_mantissa = format == PANEL_F16 ? 10 : 7;

    for (uint32_t k = 0; k < n_k; k++) {
        uint16_t half;
        memcpy(&half, row + k * sizeof half, sizeof half);
        const size_t at = format == PANEL_F16 ? (size_t)k * PANEL_ROWS + r
                                              : (size_t)(k / 2 * 2) * PANEL_ROWS + 2 * r + k % 2;
        panel[at] = (uint16_t)usable(half, 0x8000, n_mantissa);
    }
}

static void pack_whole(uint32_t *panel, const uint8_t *row, uint32_t r, uint32_t n_k)
{
    for (uint32_t k = 0; k < n_k; k++) {
        uint32_t bits;
        memcpy(&bits, row + k * sizeof bits, sizeof bits);
        panel[(size_t)k * PANEL_ROWS + r] = usable(bits, 0x80000000, 23);
    }
}

void panel_pack_floats(enum panel_format format, uint8_t *panel, const uint8_t *rows,
                       size_t row_bytes, uint32_t n_rows, uint32_t n_k)
{
    for (uint32_t r = 0; r < n_rows; r++, rows += row_bytes) {
        if (format == PANEL_F32) pack_whole((uint32_t *)panel, rows, r, n_k);
        else pack_halves(format, (uint16_t *)panel, rows, r, n_k);
    }
}

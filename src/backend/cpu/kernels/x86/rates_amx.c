/* Four independent sums of 16 columns: a tile product takes 16 cycles and its sum comes later. */
#include "backend/cpu/kernels/x86/tiles_amx.h"
#include "backend/cpu/rates.h"

enum { N_SUMS = 4, MACS = 16 * 16 * 64 };

uint64_t rate_tiles_amx(uint64_t n_rounds)
{
    static const uint8_t operand[16][64] = { { 0 } };
    tiles_begin(16, 64);
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    tile_load(4, operand, 64);
    tile_load(5, operand, 64);
    tile_load(6, operand, 64);
    tile_load(7, operand, 64);
    for (uint64_t r = 0; r < n_rounds; r++) {
        tile_dp_su(0, 4, 6);
        tile_dp_su(1, 4, 7);
        tile_dp_su(2, 5, 6);
        tile_dp_su(3, 5, 7);
    }
    tile_release();
    return n_rounds * N_SUMS * MACS;
}

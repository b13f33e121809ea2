/* The tile instructions of AMX, or with AMX_EMULATED plain C that does what they do, so that all
 * but the instructions themselves is tested on any machine. Include it only from *_amx.c.
 *
 * Tile numbers are constants, and these are their roles: 0..3 sums (a column a row, 16 rows of the
 * panel wide), 4 and 5 activations (a column a row, 64 k), 6 and 7 weights (4 k of 16 rows a row:
 * a line of a panel). */
#ifndef BACKEND_CPU_KERNELS_X86_TILES_AMX_H
#define BACKEND_CPU_KERNELS_X86_TILES_AMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What ldtilecfg reads. */
struct tile_shapes {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

#ifdef AMX_EMULATED

static _Thread_local struct {
    uint8_t byte[16][64];
} emulated_tile[8];
static _Thread_local struct tile_shapes emulated_shapes;

static inline void tile_config(const struct tile_shapes *s)
{
    emulated_shapes = *s;
    memset(emulated_tile, 0, sizeof emulated_tile);
}

static inline void tile_release(void)
{
    memset(&emulated_shapes, 0, sizeof emulated_shapes);
}

static inline void tile_zero(int t)
{
    memset(&emulated_tile[t], 0, sizeof emulated_tile[t]);
}

static inline void tile_load(int t, const void *from, size_t stride)
{
    tile_zero(t);
    for (int r = 0; r < emulated_shapes.rows[t]; r++)
        memcpy(emulated_tile[t].byte[r], (const uint8_t *)from + r * stride,
               emulated_shapes.row_bytes[t]);
}

static inline void tile_store(int t, void *to, size_t stride)
{
    for (int r = 0; r < emulated_shapes.rows[t]; r++)
        memcpy((uint8_t *)to + r * stride, emulated_tile[t].byte[r], emulated_shapes.row_bytes[t]);
}

static inline int tile_byte(uint8_t byte, bool is_signed)
{
    return is_signed ? (int8_t)byte : byte;
}

static inline void tile_dp(int sum, int x, int w, bool x_signed, bool w_signed)
{
    for (int c = 0; c < emulated_shapes.rows[x]; c++)
        for (int row = 0; row < 16; row++) {
            int32_t total;
            memcpy(&total, &emulated_tile[sum].byte[c][4 * row], sizeof total);
            for (int k = 0; k < emulated_shapes.row_bytes[x]; k++)
                total += tile_byte(emulated_tile[x].byte[c][k], x_signed) *
                         tile_byte(emulated_tile[w].byte[k / 4][4 * row + k % 4], w_signed);
            memcpy(&emulated_tile[sum].byte[c][4 * row], &total, sizeof total);
        }
}

#define tile_dp_su(sum, x, w) tile_dp(sum, x, w, true, false)
#define tile_dp_us(sum, x, w) tile_dp(sum, x, w, false, true)
#define tile_dp_uu(sum, x, w) tile_dp(sum, x, w, false, false)

#else

static inline void tile_config(const struct tile_shapes *s)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*s));
}

static inline void tile_release(void)
{
    __asm__ volatile("tilerelease");
}

#define tile_zero(t) __asm__ volatile("tilezero %%tmm" #t :::)
#define tile_load(t, from, stride)                                                                 \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t                                               \
                     : : "r"(from), "r"((size_t)(stride)) : "memory")
#define tile_store(t, to, stride)                                                                  \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)"                                           \
                     : : "r"(to), "r"((size_t)(stride)) : "memory")
/* Activations signed and weights unsigned, and so on. */
#define tile_dp_su(sum, x, w) __asm__ volatile("tdpbsud %%tmm" #w ", %%tmm" #x ", %%tmm" #sum :::)
#define tile_dp_us(sum, x, w) __asm__ volatile("tdpbusd %%tmm" #w ", %%tmm" #x ", %%tmm" #sum :::)
#define tile_dp_uu(sum, x, w) __asm__ volatile("tdpbuud %%tmm" #w ", %%tmm" #x ", %%tmm" #sum :::)

#endif

/* n_cols columns a tile and k_bytes of k. */
static inline void tiles_begin(uint32_t n_cols, uint32_t k_bytes)
{
    struct tile_shapes s = { .palette = 1 };
    for (int t = 0; t < 8; t++) {
        s.rows[t] = (uint8_t)(t < 6 ? n_cols : k_bytes / 4);
        s.row_bytes[t] = (uint16_t)(t == 4 || t == 5 ? k_bytes : 64);
    }
    tile_config(&s);
}

#endif

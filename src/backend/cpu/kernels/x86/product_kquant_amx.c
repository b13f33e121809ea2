/* Products of the K-quants on the matrix unit of AMX: Q4_K, Q5_K, Q6_K, for many columns. Layouts
 * and the chain of floats: panel_layout.h.
 *
 * A line of a panel is a row of a weight tile, so nothing is repacked. Scales go onto the weights
 * while they are unpacked, not onto sums: scale times quantum is made as two bytes, in two planes
 * that the unit sums over all 256 k, and sums leave it once a block.
 *
 *     Q4_K Q5_K  scale = 8 sh + sl, and sh q and sl q are at most 7 * 31: a 16-bit product makes
 *                two of them without a carry. scaled = 8 high + low. Activations are signed.
 *     Q6_K       scale (q - 32) in 16 bits: a signed high byte, an unsigned low one. scaled = 256
 *                high + low + start / 4, with activations + 128 as for the other kernels, whose
 *                sums are 4 times these: a power of 2, which rounds nothing.
 *
 * All sums are exact (the largest, Q6_K's, is below 4096 * 255 * 256), so the bytes are those of
 * every other instruction set.
 *
 * Up to four neighbouring panels go block by block together: a block of activations is read from
 * the first-level cache by all but the first of them. A step is one block of one panel; while the
 * unit multiplies, the next step's weights are unpacked and the last step's sums get their floats,
 * a quarter of each between the instructions for 64 k.
 *
 * Measured, K = 3584, 16 virtual cores of an Intel Xeon (family 6 model 207), from memory, against
 * VNNI: 1.5 times at 20 columns, 1.9 to 2.0 at 32, 2.2 to 2.4 at 256; at 5 columns VNNI is as good.
 * The 32-blocks were tried, their sums stored every 32 k: 0.8 to 1.2 times VNNI, so they have none.
 * Tiles are zeroed as soon as they are used up: that frees the registers behind them, without
 * which a core whose other thread is busy takes a third longer. */
#include "backend/cpu/panels/panel_layout.h"
#include "backend/cpu/kernels/x86/passes_amx.h"

enum {
    N_CHUNKS = 4,               /* of 64 k */
    CHUNK_BYTES = 16 * PANEL_LINE,
    UNPACKED_AHEAD = 2,         /* chunks */
    RING = 4, LONG_RING = 8,    /* chunks whose planes are kept: of columns that are one tile or
                                 * two, and of more, which all read them */
};

/* A thread's: small, for two threads may share a first-level cache. */
struct wide_scratch {
    uint8_t plane[LONG_RING][2][CHUNK_BYTES];       /* [chunk % ring][high, low] */
    int32_t stored[2][2 * TILE_COLS][PANEL_ROWS];   /* [high, low][column] */
    float sum[PANELS_TOGETHER][MAX_PASS][PANEL_ROWS];
} __attribute__((aligned(64)));

/* ---- weights -------------------------------------------------------------------------------- */

/* Where bytes of a lane come from: row `r` in both 16-bit halves, as their low bytes or as their
 * high ones, the others zero. */
#define IN_LOW(r) (int)(0x80008000u | (unsigned)(r) << 16 | (r))
#define IN_HIGH(r) (int)(0x00800080u | (unsigned)(r) << 24 | (unsigned)(r) << 8)
#define OF_ROWS(place)                                                                             \
    _mm512_set_epi32(place(15), place(14), place(13), place(12), place(11), place(10), place(9),   \
                     place(8), place(7), place(6), place(5), place(4), place(3), place(2),         \
                     place(1), place(0))

/* A byte a row, spread over the row's lane. */
INLINE __m512i spread_rows(const void *bytes, __m512i places)
{
    const __m128i rows = _mm_load_si128((const __m128i *)bytes);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(rows), places);
}

INLINE void store_planes_q45(__m512i q, __m512i sh, __m512i sl, uint8_t *high, uint8_t *low)
{
    _mm512_store_si512(high, _mm512_mullo_epi16(q, sh));
    _mm512_store_si512(low, _mm512_mullo_epi16(q, sl));
}

INLINE void unpack_q45_k(const enum panel_format format, const uint8_t *block, const int chunk,
                         uint8_t *high, uint8_t *low)
{
    const bool five = format == PANEL_Q5_K;
    const struct panel_q4_k *w4 = (const struct panel_q4_k *)block;
    const struct panel_q5_k *w5 = (const struct panel_q5_k *)block;
    const __m512i nibble = _mm512_set1_epi8(15), seven = _mm512_set1_epi16(7);
    for (int s = 2 * chunk; s < 2 * chunk + 2; s++) {
        const uint8_t *lines = five ? w5->q[s].low[0] : w4->q[s][0];
        const __m512i bits = five ? _mm512_load_si512(w5->q[s].high) : nibble;
        const __m512i scale = spread_rows(five ? w5->scale[s] : w4->scale[s],
                                          OF_ROWS(IN_LOW));
        const __m512i sh = _mm512_srli_epi16(scale, 3), sl = _mm512_and_si512(scale, seven);
        UNROLL for (int g = 0; g < 4; g++) {
            const __m512i both = _mm512_load_si512(lines + g * PANEL_LINE);
            const __m512i shifted = _mm512_srli_epi16(both, 4);
            const __m512i q0 = five ? and_or(both, nibble, move_bit(bits, 2 * g, 4))
                                    : _mm512_and_si512(both, nibble);
            const __m512i q1 = five ? and_or(shifted, nibble, move_bit(bits, 2 * g + 1, 4))
                                    : _mm512_and_si512(shifted, nibble);
            const int at = (s % 2 * 8 + g * 2) * PANEL_LINE;
            store_planes_q45(q0, sh, sl, high + at, low + at);
            store_planes_q45(q1, sh, sl, high + at + PANEL_LINE, low + at + PANEL_LINE);
        }
    }
}

/* Quanta come as 4 (q - 32) in a byte: the upper half of 64 scale times these in the upper byte of
 * 16 bits is scale (q - 32). Even and odd bytes are multiplied apart. */
INLINE void unpack_q6_k(const struct panel_q6_k *w, const int chunk, uint8_t *high, uint8_t *low)
{
    const __m512i top = _mm512_set1_epi8((char)0xc0), upper = _mm512_set1_epi16((short)0xff00);
    const __m512i low_bits = _mm512_set1_epi64(0x0000010204080000);
    const __m512i high_bits = _mm512_set1_epi64(0x0000102040800000);
    for (int s = 4 * chunk; s < 4 * chunk + 4; s++) {
        const __m512i bits = _mm512_load_si512(w->q[s].high);
        const __m512i low0 = _mm512_load_si512(w->q[s].low[0]);
        const __m512i low1 = _mm512_load_si512(w->q[s].low[1]);
        const __m512i v[4] = {
            pick(top, bits, _mm512_gf2p8affine_epi64_epi8(low0, low_bits, 0)),
            pick(top, _mm512_slli_epi16(bits, 2),
                 _mm512_gf2p8affine_epi64_epi8(low0, high_bits, 0)),
            pick(top, _mm512_slli_epi16(bits, 4), _mm512_gf2p8affine_epi64_epi8(low1, low_bits, 0)),
            pick(top, _mm512_slli_epi16(bits, 6),
                 _mm512_gf2p8affine_epi64_epi8(low1, high_bits, 0)),
        };
        const __m512i scale64 = _mm512_srai_epi16(spread_rows(w->scale[s], OF_ROWS(IN_HIGH)), 2);
        UNROLL for (int g = 0; g < 4; g++) {
            const __m512i even = _mm512_mulhi_epi16(_mm512_slli_epi16(v[g], 8), scale64);
            const __m512i odd = _mm512_mulhi_epi16(_mm512_and_si512(v[g], upper), scale64);
            const int at = (s % 4 * 4 + g) * PANEL_LINE;
            _mm512_store_si512(low + at, pick(upper, _mm512_slli_epi16(odd, 8), even));
            _mm512_store_si512(high + at, pick(upper, odd, _mm512_srli_epi16(even, 8)));
        }
    }
}

INLINE void unpack_chunk(const enum panel_format format, const uint8_t *block, const int chunk,
                         uint8_t plane[2][CHUNK_BYTES])
{
    if (format == PANEL_Q6_K)
        unpack_q6_k((const struct panel_q6_k *)block, chunk, plane[0], plane[1]);
    else
        unpack_q45_k(format, block, chunk, plane[0], plane[1]);
}

INLINE size_t block_bytes_of(const enum panel_format format)
{
    return format == PANEL_Q4_K   ? sizeof(struct panel_q4_k)
           : format == PANEL_Q5_K ? sizeof(struct panel_q5_k)
                                  : sizeof(struct panel_q6_k);
}

/* A quarter of a block's lines, towards the second-level cache: the first holds what two threads
 * multiply and little more. */
INLINE void fetch_chunk(const enum panel_format format, const uint8_t *block, const int chunk)
{
    const int n_lines = (int)(block_bytes_of(format) / PANEL_LINE);
    const int first = n_lines * chunk / N_CHUNKS, end = n_lines * (chunk + 1) / N_CHUNKS;
    for (int i = first; i < end; i++)
        _mm_prefetch((const char *)block + i * PANEL_LINE, _MM_HINT_T1);
}

/* ---- sums ----------------------------------------------------------------------------------- */

/* A block of a column, of either form: their quanta come first, and they are equally long. */
union wide_column {
    struct act_x256 x256;
    struct act_x256u x256u;
};
_Static_assert(sizeof(struct act_x256) == sizeof(struct act_x256u), "one stride for both forms");

/* Sums that the unit has stored and that wait for their floats: of one tile of columns, or two. */
struct due {
    const uint8_t *block;
    const union wide_column *x[2];
    float (*sum)[PANEL_ROWS];   /* (2 * columns a tile) */
};

/* What a block's floats need of its weights. */
struct finish {
    __m512i pair[4], start;
    __m512 d, dmin;
};

INLINE struct finish finish_load(const enum panel_format format, const uint8_t *block)
{
    const struct panel_q6_k *w6 = (const struct panel_q6_k *)block;
    if (format == PANEL_Q6_K)
        return (struct finish){ .d = load_halves(w6->d),
                                .start = _mm512_srai_epi32(_mm512_load_si512(w6->start), 2) };
    const bool five = format == PANEL_Q5_K;
    const struct panel_q4_k *w4 = (const struct panel_q4_k *)block;
    const struct panel_q5_k *w5 = (const struct panel_q5_k *)block;
    struct finish f = { .d = load_halves(five ? w5->d : w4->d),
                        .dmin = load_halves(five ? w5->dmin : w4->dmin) };
    UNROLL for (int p = 0; p < 4; p++)
        f.pair[p] = _mm512_cvtepu8_epi16(
            _mm256_load_si256((const __m256i *)(five ? w5->min : w4->min)[p]));
    return f;
}

INLINE __m512 finish_one(const enum panel_format format, const struct finish *f, __m512i high,
                         __m512i low, const union wide_column *x, __m512 sum)
{
    if (format == PANEL_Q6_K) {
        const __m512i scaled =
            _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low), f->start);
        const __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(scaled), f->d);
        return _mm512_fmadd_ps(t, _mm512_set1_ps(x->x256u.d), sum);
    }
    const __m512i scaled = _mm512_add_epi32(_mm512_slli_epi32(high, 3), low);
    __m512i mins = _mm512_setzero_si512();
    UNROLL for (int p = 0; p < 4; p++)
        mins = _mm512_dpwssd_epi32(mins, f->pair[p], broadcast4(x->x256.sum32 + 2 * p));
    __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(scaled), f->d);
    t = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(mins), f->dmin, t);
    return _mm512_fmadd_ps(t, _mm512_set1_ps(x->x256.d), sum);
}

/* Columns [from, to) of the tiles, m of them a tile. */
INLINE void finish_columns(const enum panel_format format, const struct due *due,
                           const struct wide_scratch *t, int m, int from, int to)
{
    const struct finish f = finish_load(format, due->block);
    for (int i = from; i < to; i++) {
        const union wide_column *x = i < m ? due->x[0] + i : due->x[1] + (i - m);
        const __m512i high = _mm512_load_si512(t->stored[0][i]);
        const __m512i low = _mm512_load_si512(t->stored[1][i]);
        const __m512 sum = _mm512_load_ps(due->sum[i]);
        _mm512_store_ps(due->sum[i], finish_one(format, &f, high, low, x, sum));
    }
}

/* ---- 64 k of one tile of columns or two, from x0 and x1 ------------------------------------- */

#define TILES_TWO(dp_high, dp_low, plane, x0, x1)                                                  \
    tile_load(6, (plane)[0], PANEL_LINE);                                                   \
    tile_load(4, (x0), sizeof(union wide_column));                                                 \
    dp_high(0, 4, 6);                                                                              \
    tile_load(5, (x1), sizeof(union wide_column));                                                 \
    dp_high(2, 5, 6);                                                                              \
    tile_zero(6);                                                                                  \
    tile_load(7, (plane)[1], PANEL_LINE);                                                   \
    dp_low(1, 4, 7);                                                                               \
    tile_zero(4);                                                                                  \
    dp_low(3, 5, 7);                                                                               \
    tile_zero(5);                                                                                  \
    tile_zero(7)

#define TILES_ONE(dp_high, dp_low, plane, x0)                                                      \
    tile_load(4, (x0), sizeof(union wide_column));                                                 \
    tile_load(6, (plane)[0], PANEL_LINE);                                                   \
    dp_high(0, 4, 6);                                                                              \
    tile_zero(6);                                                                                  \
    tile_load(7, (plane)[1], PANEL_LINE);                                                   \
    dp_low(1, 4, 7);                                                                               \
    tile_zero(4);                                                                                  \
    tile_zero(7)

INLINE void multiply_chunk(const enum panel_format format, const bool two,
                           uint8_t plane[2][CHUNK_BYTES], const int chunk,
                           const uint8_t *x0, const uint8_t *x1)
{
    x0 += chunk * 64;
    x1 += chunk * 64;
    if (format == PANEL_Q6_K) {
        if (two) {
            TILES_TWO(tile_dp_us, tile_dp_uu, plane, x0, x1);
        } else {
            TILES_ONE(tile_dp_us, tile_dp_uu, plane, x0);
        }
    } else if (two) {
        TILES_TWO(tile_dp_su, tile_dp_su, plane, x0, x1);
    } else {
        TILES_ONE(tile_dp_su, tile_dp_su, plane, x0);
    }
}

INLINE void store_sums(int32_t stored[2][2 * TILE_COLS][PANEL_ROWS], int m, const bool two)
{
    tile_store(0, stored[0], PANEL_LINE);
    tile_zero(0);
    tile_store(1, stored[1], PANEL_LINE);
    tile_zero(1);
    if (!two) return;
    tile_store(2, stored[0] + m, PANEL_LINE);
    tile_zero(2);
    tile_store(3, stored[1] + m, PANEL_LINE);
    tile_zero(3);
}

/* ---- a pass: some panels, some columns ------------------------------------------------------- */

/* Block b of a panel is step b * n_panels + panel. */
INLINE const uint8_t *block_of(const struct pass *p, int step, size_t block_bytes)
{
    return p->panel + step % p->n_panels * p->panel_bytes + step / p->n_panels * block_bytes;
}

/* two: tiles come in pairs. ring: RING, or with more than one pair LONG_RING. */
INLINE void run_pass(const enum panel_format format, const struct pass *p, struct wide_scratch *t,
                     const bool two, const int ring)
{
    const size_t block_bytes = block_bytes_of(format);
    const int n_blocks = (int)p->n_k / 256, n_steps = n_blocks * p->n_panels;
    const int m = p->m, width = two ? 2 * m : m;
    const uint8_t *now, *next = p->panel, *ahead;
    struct due due = { 0 };

    memset(t->sum, 0, sizeof t->sum);
    for (int chunk = 0; chunk < UNPACKED_AHEAD; chunk++)
        unpack_chunk(format, next, chunk, t->plane[chunk]);
    for (int step = 0, panel = 0, b = 0; step < n_steps; step++) {
        const union wide_column *block = (const union wide_column *)p->x + (size_t)b * p->ld;
        now = next;
        next = step + 1 < n_steps ? block_of(p, step + 1, block_bytes) : NULL;
        /* behind its last block, a panel's successor is the panel of the next group */
        ahead = now + block_bytes;
        if (b + 1 == n_blocks) ahead += (size_t)(p->n_panels - 1) * p->panel_bytes;
        for (int tile = 0; tile < (ring == RING ? 1 : p->n_tiles); tile += 2) {
            const union wide_column *x0 = block + p->start[tile];
            const union wide_column *x1 = block + p->start[tile + two];
            UNROLL for (int chunk = 0; chunk < N_CHUNKS; chunk++) {
                const int at = step * N_CHUNKS + chunk, c = chunk + UNPACKED_AHEAD;
                const uint8_t *from = c < N_CHUNKS ? now : next;
                uint8_t (*plane)[CHUNK_BYTES] = t->plane[(at + UNPACKED_AHEAD) % ring];
                multiply_chunk(format, two, t->plane[at % ring], chunk, (const uint8_t *)x0,
                               (const uint8_t *)x1);
                if (!tile) fetch_chunk(format, ahead, chunk);
                if (!tile && from) unpack_chunk(format, from, c % N_CHUNKS, plane);
                if (due.block)
                    finish_columns(format, &due, t, m, width * chunk / N_CHUNKS,
                                   width * (chunk + 1) / N_CHUNKS);
            }
            store_sums(t->stored, m, two);
            due = (struct due){ now, { x0, x1 }, t->sum[panel] + tile * m };
        }
        if (++panel == p->n_panels) {
            panel = 0;
            b++;
        }
    }
    finish_columns(format, &due, t, m, 0, width);
    pass_write(p, t->sum);
}

/* Kept apart from each other, so that each is compiled with registers of its own. */
#define DEFINE_WIDE(name, format)                                                                  \
    static __attribute__((noinline)) void name##_one(const struct pass *p, void *scratch)          \
    {                                                                                              \
        run_pass(format, p, scratch, false, RING);                                                 \
    }                                                                                              \
    static __attribute__((noinline)) void name##_two(const struct pass *p, void *scratch)          \
    {                                                                                              \
        run_pass(format, p, scratch, true, RING);                                                  \
    }                                                                                              \
    static __attribute__((noinline)) void name##_more(const struct pass *p, void *scratch)         \
    {                                                                                              \
        run_pass(format, p, scratch, true, LONG_RING);                                             \
    }                                                                                              \
    static void name(const struct wide_product *w)                                                 \
    {                                                                                              \
        struct wide_scratch scratch;                                                               \
        wide_passes(w, w->n_k / 256 * block_bytes_of(format), sizeof(union wide_column),           \
                    (pass_fn *[]){ name##_one, name##_two, name##_more }, &scratch);               \
    }
DEFINE_WIDE(wide_q4_k, PANEL_Q4_K)
DEFINE_WIDE(wide_q5_k, PANEL_Q5_K)
DEFINE_WIDE(wide_q6_k, PANEL_Q6_K)

void cpu_product_kquant_amx(struct cpu_kernels *k)
{
    k->wide[PANEL_Q4_K] = (struct wide_kernel){ wide_q4_k, 10 };
    k->wide[PANEL_Q5_K] = (struct wide_kernel){ wide_q5_k, 10 };
    k->wide[PANEL_Q6_K] = (struct wide_kernel){ wide_q6_k, 10 };
}

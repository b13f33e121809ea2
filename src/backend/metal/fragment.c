#include "backend/metal/fragment.h"

#include <string.h>

#include "backend/metal/op_args.h"
#include "quant/blocks.h"
#include "quant/quant.h"

enum { ROW_TILES = TILE_ROWS / 8, SUPER = 256 };

/* Bytes of a row in head and scales, words of a lane and row tile, and words for all row tiles. */
static const struct shape {
    const char *name;
    uint8_t head_bytes, scale_bytes, n_words, n_more;
} shapes[N_FRAGMENT_FORMATS] = {
    [FRAGMENT_F16] = { "f16", 0, 0, 4, 0 },       [FRAGMENT_Q8_0] = { "q8_0", 0, 2, 2, 0 },
    [FRAGMENT_Q4_0] = { "q4_0", 0, 2, 1, 0 },     [FRAGMENT_Q4_1] = { "q4_1", 0, 4, 1, 0 },
    [FRAGMENT_Q5_0] = { "q5_0", 0, 2, 1, 1 },     [FRAGMENT_Q5_1] = { "q5_1", 0, 4, 1, 1 },
    [FRAGMENT_Q4_K] = { "q4_k", 4, 2, 1, 0 },     [FRAGMENT_Q5_K] = { "q5_k", 4, 2, 1, 1 },
    [FRAGMENT_Q6_K] = { "q6_k", 2, 2, 1, 2 },     [FRAGMENT_IQ4_NL] = { "iq4_nl", 0, 2, 1, 0 },
    [FRAGMENT_IQ4_XS] = { "iq4_xs", 2, 1, 1, 0 }, [FRAGMENT_MXFP4] = { "mxfp4", 0, 1, 1, 0 },
};

/* 32 weights of a row as the file has them. */
struct unpacked {
    uint16_t head[2], half[CHUNK];  /* half: of F16 alone */
    uint8_t scale[4];               /* as they go to the scales */
    uint8_t q[CHUNK];
};

/* row = (qid & 4) + lane / 2 % 4, k = (qid & 2) * 2 + lane % 2 * 2, qid = lane / 4: Apple documents
 * none of this; it is what kernels that ship on Macs rely on. */
const struct fragment_layout fragment_layout_apple = {
    .row = { 0, 0, 1, 1, 2, 2, 3, 3, 0, 0, 1, 1, 2, 2, 3, 3,
             4, 4, 5, 5, 6, 6, 7, 7, 4, 4, 5, 5, 6, 6, 7, 7 },
    .k = { { 0, 1 }, { 2, 3 }, { 0, 1 }, { 2, 3 }, { 0, 1 }, { 2, 3 }, { 0, 1 }, { 2, 3 },
           { 4, 5 }, { 6, 7 }, { 4, 5 }, { 6, 7 }, { 4, 5 }, { 6, 7 }, { 4, 5 }, { 6, 7 },
           { 0, 1 }, { 2, 3 }, { 0, 1 }, { 2, 3 }, { 0, 1 }, { 2, 3 }, { 0, 1 }, { 2, 3 },
           { 4, 5 }, { 6, 7 }, { 4, 5 }, { 6, 7 }, { 4, 5 }, { 6, 7 }, { 4, 5 }, { 6, 7 } },
};

bool fragment_layout_is_sound(const struct fragment_layout *layout)
{
    uint64_t seen = 0;
    for (int lane = 0; lane < 32; lane++)
        for (int e = 0; e < 2; e++) {
            if (layout->row[lane] > 7 || layout->k[lane][e] > 7 ||
                layout->k[lane][e] != layout->k[lane][0] / 2 * 2 + e)
                return false;
            seen |= 1ull << (layout->row[lane] * 8 + layout->k[lane][e]);
        }
    return seen == ~0ull;
}

size_t fragment_half_at(uint32_t col, uint32_t k, uint32_t ld)
{
    return ((size_t)(col / 8) * (ld / CHUNK) + k / CHUNK) * (8 * CHUNK) + k % 8 * CHUNK +
           col % 8 / 2 * 8 + k % CHUNK / 8 * 2 + col % 2;
}

int fragment_format_of(uint32_t quant_type, uint32_t n_k)
{
    static const struct {
        uint32_t type;
        enum fragment_format format;
    } known[] = {
        { QUANT_F32, FRAGMENT_F16 },       { QUANT_F16, FRAGMENT_F16 },
        { QUANT_BF16, FRAGMENT_F16 },      { QUANT_Q2_K, FRAGMENT_F16 },
        { QUANT_Q8_0, FRAGMENT_Q8_0 },     { QUANT_Q4_0, FRAGMENT_Q4_0 },
        { QUANT_Q4_1, FRAGMENT_Q4_1 },     { QUANT_Q5_0, FRAGMENT_Q5_0 },
        { QUANT_Q5_1, FRAGMENT_Q5_1 },     { QUANT_Q4_K, FRAGMENT_Q4_K },
        { QUANT_Q5_K, FRAGMENT_Q5_K },     { QUANT_Q6_K, FRAGMENT_Q6_K },
        { QUANT_Q3_K, FRAGMENT_Q6_K },     { QUANT_IQ4_NL, FRAGMENT_IQ4_NL },
        { QUANT_IQ4_XS, FRAGMENT_IQ4_XS }, { QUANT_MXFP4, FRAGMENT_MXFP4 },
    };
    const uint32_t own = quant_traits(quant_type)->block_weights;
    const uint32_t block = own > CHUNK ? own : CHUNK;
    if (n_k == 0 || n_k % block) return -1;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].type == quant_type) return known[i].format;
    return -1;
}

const char *fragment_format_name(enum fragment_format format)
{
    return shapes[format].name;
}

static size_t chunk_bytes(const struct shape *s)
{
    return (size_t)TILE_ROWS * s->scale_bytes + 4u * 32 * (ROW_TILES * s->n_words + s->n_more);
}

static size_t head_bytes(const struct shape *s)
{
    return (size_t)TILE_ROWS * s->head_bytes;
}

size_t fragment_tile_bytes(enum fragment_format format, uint32_t n_k)
{
    const struct shape *s = &shapes[format];
    return n_k / CHUNK * chunk_bytes(s) + n_k / SUPER * head_bytes(s);
}

/* ---- reading the file's blocks -------------------------------------------------------------- */

static void put16(uint8_t *to, uint16_t value)
{
    memcpy(to, &value, sizeof value);
}

static uint16_t bounded_half(float x)
{
    const float number = x == x ? x : 0;
    const float low = number < 65504.0f ? number : 65504.0f;
    return f16_of_f32(low > -65504.0f ? low : -65504.0f);
}

static void read_halves(uint32_t type, const uint8_t *row, uint32_t chunk, struct unpacked *u)
{
    const uint32_t own = quant_traits(type)->block_weights;
    const uint32_t n = own > CHUNK ? own : CHUNK, k = chunk * CHUNK;
    float values[SUPER];
    quant_dequantise(type, row + quant_row_bytes(type, k / n * n), values, n);
    for (int i = 0; i < CHUNK; i++) u->half[i] = bounded_half(values[k % n + (uint32_t)i]);
}

static void read_block_32(uint32_t type, const uint8_t *row, uint32_t chunk, struct unpacked *u)
{
    const uint8_t *block = row + quant_row_bytes(type, chunk * CHUNK);
    const bool has_m = type == QUANT_Q4_1 || type == QUANT_Q5_1;
    const bool has_fifth = type == QUANT_Q5_0 || type == QUANT_Q5_1;
    const uint8_t *fifth = block + (has_m ? 4 : 2), *q = fifth + (has_fifth ? 4 : 0);

    memcpy(u->scale, block, has_m ? 4 : 2);
    for (int i = 0; i < CHUNK; i++)
        if (type == QUANT_Q8_0) u->q[i] = q[i] ^ 0x80;      /* + 128 */
        else u->q[i] = (uint8_t)(nibble_quantum(q, i) |
                                 (has_fifth ? fifth_bit(fifth, i) << 4 : 0));
}

static void read_k_with_min(uint32_t type, const uint8_t *row, uint32_t chunk, struct unpacked *u)
{
    const uint32_t s = chunk % 8;
    const uint8_t *at = row + quant_row_bytes(type, chunk / 8 * SUPER);
    struct q4_k b4;
    struct q5_k b5;

    if (type == QUANT_Q4_K) memcpy(&b4, at, sizeof b4);
    else memcpy(&b5, at, sizeof b5);
    memcpy(u->head, at, 4);                                 /* d, dmin begin both */
    kquant_scale_min(type == QUANT_Q4_K ? b4.scales : b5.scales, (int)s, &u->scale[0],
                     &u->scale[1]);
    for (int i = 0; i < CHUNK; i++) {
        const int k = (int)s * CHUNK + i;
        u->q[i] = (uint8_t)(type == QUANT_Q4_K ? q4_k_quantum(&b4, k) : q5_k_quantum(&b5, k));
    }
}

static void read_k_signed(uint32_t type, const uint8_t *row, uint32_t chunk, struct unpacked *u)
{
    const int s = (int)(chunk % 8);
    const uint8_t *at = row + quant_row_bytes(type, chunk / 8 * SUPER);
    struct q3_k b3;
    struct q6_k b6;

    if (type == QUANT_Q6_K) memcpy(&b6, at, sizeof b6);
    else memcpy(&b3, at, sizeof b3);
    u->head[0] = type == QUANT_Q6_K ? b6.d : b3.d;
    for (int i = 0; i < 2; i++)
        u->scale[i] = (uint8_t)(type == QUANT_Q6_K ? b6.scales[2 * s + i]
                                                   : q3_k_scale(&b3, 2 * s + i));
    for (int i = 0; i < CHUNK; i++) {
        const int k = s * CHUNK + i;                        /* q - 4 is (q + 28) - 32 */
        u->q[i] = (uint8_t)(type == QUANT_Q6_K ? q6_k_quantum(&b6, k)
                                               : q3_k_quantum(&b3, k) + 28);
    }
}

static void read_iq4_xs(const uint8_t *row, uint32_t chunk, struct unpacked *u)
{
    struct iq4_xs b;
    memcpy(&b, row + quant_row_bytes(QUANT_IQ4_XS, chunk / 8 * SUPER), sizeof b);
    u->head[0] = b.d;
    u->scale[0] = (uint8_t)(int8_t)iq4_xs_scale(&b, (int)(chunk % 8));
    for (int i = 0; i < CHUNK; i++)
        u->q[i] = (uint8_t)iq4_xs_quantum(&b, (int)(chunk % 8) * CHUNK + i);
}

static void read_mxfp4(const uint8_t *row, uint32_t chunk, struct unpacked *u)
{
    struct mxfp4 b;
    memcpy(&b, row + quant_row_bytes(QUANT_MXFP4, chunk * CHUNK), sizeof b);
    u->scale[0] = mxfp4_exponent(b.e);
    for (int i = 0; i < CHUNK; i++) u->q[i] = (uint8_t)nibble_quantum(b.qs, i);
}

static void read_chunk(uint32_t type, const uint8_t *row, uint32_t chunk, struct unpacked *u)
{
    switch (type) {
    case QUANT_Q4_K:
    case QUANT_Q5_K: read_k_with_min(type, row, chunk, u); break;
    case QUANT_Q3_K:
    case QUANT_Q6_K: read_k_signed(type, row, chunk, u); break;
    case QUANT_IQ4_XS: read_iq4_xs(row, chunk, u); break;
    case QUANT_MXFP4: read_mxfp4(row, chunk, u); break;
    case QUANT_F32:
    case QUANT_F16:
    case QUANT_BF16:
    case QUANT_Q2_K: read_halves(type, row, chunk, u); break;
    default: read_block_32(type, row, chunk, u);
    }
}

/* ---- writing fragments ---------------------------------------------------------------------- */

static void or_word(uint8_t *words, size_t at, uint32_t bits)
{
    uint32_t word;
    memcpy(&word, words + 4 * at, sizeof word);
    word |= bits;
    memcpy(words + 4 * at, &word, sizeof word);
}

/* One element of a lane: weight k of the chunk, fragment f's, row tile r's. */
static void put_element(enum fragment_format format, uint8_t *words, uint8_t *more, uint32_t lane,
                        uint32_t r, uint32_t f, uint32_t e, const struct unpacked *u, uint32_t k)
{
    const uint32_t q = u->q[k], half = 16 * e, four = lane * ROW_TILES + r;
    switch (format) {
    case FRAGMENT_F16:
        or_word(words, f * 32 * ROW_TILES + four, (uint32_t)u->half[k] << half);
        return;
    case FRAGMENT_Q8_0:
        or_word(words, f / 2 * 32 * ROW_TILES + four, q << (f % 2 * 8 + half));
        return;
    default: or_word(words, four, (q & 15) << (4 * f + half));
    }
    if (shapes[format].n_more == 1) or_word(more, lane, q >> 4 << (4 * f + r + half));
    if (shapes[format].n_more == 2)
        or_word(more, r / 2 * 32 + lane, q >> 4 << (4 * f + r % 2 * 2 + half));
}

/* Row `row` of the tile into one chunk. head: NULL but for the first chunk of a super-block. */
static void put_row(enum fragment_format format, const struct fragment_layout *layout,
                    uint8_t *head, uint8_t *chunk, uint32_t row, const struct unpacked *u)
{
    const struct shape *s = &shapes[format];
    const uint32_t r = row / 8, place = row % 8 * ROW_TILES + r;
    uint8_t *words = chunk + TILE_ROWS * s->scale_bytes;
    uint8_t *more = words + 4 * 32 * ROW_TILES * s->n_words;

    memcpy(chunk + place * s->scale_bytes, u->scale, s->scale_bytes);
    for (uint32_t i = 0; head && i < s->head_bytes / 2u; i++)
        put16(head + place * s->head_bytes + 2 * i, u->head[i]);
    for (uint32_t lane = 0; lane < 32; lane++)
        for (uint32_t i = 0; i < 8 && layout->row[lane] == row % 8; i++)
            put_element(format, words, more, lane, r, i / 2, i % 2, u,
                        i / 2 * 8 + layout->k[lane][i % 2]);
}

void fragment_pack(enum fragment_format format, const struct fragment_layout *layout, uint8_t *tile,
                   uint32_t quant_type, const void *rows, uint32_t n_rows, uint32_t n_k)
{
    const struct shape *s = &shapes[format];
    const size_t row_bytes = quant_row_bytes(quant_type, n_k);
    uint8_t *at = tile;

    memset(tile, 0, fragment_tile_bytes(format, n_k));
    for (uint32_t c = 0; c < n_k / CHUNK; c++) {
        const bool has_head = s->head_bytes && c % (SUPER / CHUNK) == 0;
        uint8_t *chunk = at + (has_head ? head_bytes(s) : 0);
        for (uint32_t row = 0; row < n_rows; row++) {
            struct unpacked u = { 0 };
            read_chunk(quant_type, (const uint8_t *)rows + row * row_bytes, c, &u);
            put_row(format, layout, has_head ? at : NULL, chunk, row, &u);
        }
        at = chunk + chunk_bytes(s);
    }
}

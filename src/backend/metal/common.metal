/* What the kernels share: unpacking of packed weights (fragment.h has their bytes), the sums of a
 * tile, activations. Every sum is in an order that shapes give, and a product and a sum that are
 * one operation are written fma(), so that a column's bits depend on nothing but the column.
 *
 * A lane of a simdgroup holds two elements of one row of an 8 x 8 fragment. Which they are, the
 * host has probed and packed for: `lanes` has row, k of the first and k of the second. */
using namespace metal;

/* ---- caps ----------------------------------------------------------------------------------- */

/* cap * tanh(x / cap), by an exponential that never overflows; cap 0: x. Not a number stays. */
static inline float capped(float x, float cap)
{
    if (cap == 0 || isnan(x)) return x;
    const float e = exp(clamp(x * (2.0f / cap), -40.0f, 40.0f));
    return cap - 2.0f * cap / (1.0f + e);
}

/* ---- where activations lie ------------------------------------------------------------------ */

/* Halves that products read, by whoever makes them: of 8 columns and 32 k, the four fragments'
 * elements of one k (of 8) and two columns side by side, so that a lane reads its part of all four
 * in one load, and a simdgroup 512 bytes in a row. ld: of a column, a multiple of 32. The host's
 * side: fragment_half_at. */
static inline ulong half_at(uint col, uint k, uint ld)
{
    return (ulong(col / 8) * (ld / CHUNK) + k / CHUNK) * (8 * CHUNK) + k % 8 * CHUNK +
           col % 8 / 2 * 8 + k % CHUNK / 8 * 2 + col % 2;
}

/* ---- packed weights ------------------------------------------------------------------------- */

/* Two integers in bits 4 to 9 of each half of a word, as floats, 64 above what they are: exact, for
 * 64 is the half whose fifth bit is 1. What is too much goes where a product and a sum are one
 * operation anyway. */
constant float RAISED = 64.0f;

static inline float2 raised(uint bits)
{
    return float2(as_type<half2>(bits | 0x54005400u));
}

template <int HEAD, int SCALE, int WORDS, int MORE>
struct packed_chunk {
    enum { head_bytes = TILE_ROWS * HEAD, words_at = TILE_ROWS * SCALE,
           more_at = TILE_ROWS * SCALE + 512 * WORDS,
           chunk_bytes = TILE_ROWS * SCALE + 512 * WORDS + 128 * MORE };

    static device const uchar *head_of(device const uchar *tile, uint chunk)
    {
        return tile + chunk / 8 * (head_bytes + 8 * chunk_bytes);
    }
    static device const uchar *at(device const uchar *tile, uint chunk)
    {
        return tile + (HEAD ? (chunk / 8 + 1) * head_bytes : 0) + chunk * chunk_bytes;
    }
};

/* Who reads a chunk, and which four things at once. A lane in its place of the fragments reads its
 * pair of weights of all four row tiles; */
struct by_lane {
    uint lane, row;
    uint slot;                  /* of its part of 32 in half_at's order */

    uint4 words(device const uchar *at, uint word) const
    {
        return ((device const uint4 *)at)[word * 32 + lane];
    }
    uint4 fifths(device const uchar *at) const
    {
        return uint4(((device const uint *)at)[lane]) >> uint4(0, 1, 2, 3);
    }
    uint4 sixths(device const uchar *at) const
    {
        const uint low = ((device const uint *)at)[lane],
                   high = ((device const uint *)at)[32 + lane];
        return uint4(low, low >> 2, high, high >> 2);
    }
    uint4 fours(device const uchar *at) const { return ((device const uint4 *)at)[row]; }
    ushort4 twos(device const uchar *at) const { return ((device const ushort4 *)at)[row]; }
    uchar4 ones(device const uchar *at) const { return ((device const uchar4 *)at)[row]; }
};

/* mine: the lane's row, k and k. */
static inline by_lane by_lane_of(uint lane, uchar4 mine)
{
    return { lane, mine.x, mine.x * 4u + mine.y / 2u };
}

/* one that has a whole row of the tile reads the row's four pairs, in the order of k, from where
 * the four lanes have them. */
struct by_row {
    uchar4 lanes;
    uint row, row_tile;

    uint4 words(device const uchar *at, uint word) const
    {
        device const uint *from = (device const uint *)at + word * 128 + row_tile;
        return uint4(from[lanes.x * 4], from[lanes.y * 4], from[lanes.z * 4], from[lanes.w * 4]);
    }
    uint4 more(device const uchar *at) const
    {
        device const uint *from = (device const uint *)at;
        return uint4(from[lanes.x], from[lanes.y], from[lanes.z], from[lanes.w]);
    }
    uint4 fifths(device const uchar *at) const { return more(at) >> uint4(row_tile); }
    uint4 sixths(device const uchar *at) const
    {
        return more(at + row_tile / 2 * 128) >> uint4(row_tile % 2 * 2);
    }
    uint4 fours(device const uchar *at) const
    {
        return uint4(((device const uint *)at)[row * 4 + row_tile]);
    }
    ushort4 twos(device const uchar *at) const
    {
        return ushort4(((device const ushort *)at)[row * 4 + row_tile]);
    }
    uchar4 ones(device const uchar *at) const { return uchar4(at[row * 4 + row_tile]); }
};

static inline float4 halves(ushort4 bits)
{
    return float4(as_type<half4>(bits));
}

/* Each format: load() reads a chunk's four; get(i, f) gives the two weights of fragment f of the
 * i-th of them, rounded once to halves. */

static inline half2 scaled(float2 q, float scale)
{
    return half2(q * scale);
}

static inline half2 scaled(float2 q, float scale, float add)
{
    return half2(fma(q, float2(scale), float2(add)));
}

/* Nibble f of each half, in its bits 4 to 7; the bits above it, of words that have them at 4 f. */
static inline uint nibbles(uint q, uint f)
{
    return (f == 0 ? q << 4 : q >> (4 * f - 4)) & 0x00f000f0u;
}

static inline uint bits_above(uint word, uint f, uint mask)
{
    return (f < 2 ? word << (8 - 4 * f) : word >> (4 * f - 8)) & mask;
}

static inline uint fifth_bits(uint word, uint f) { return bits_above(word, f, 0x01000100u); }
static inline uint sixth_bits(uint word, uint f) { return bits_above(word, f, 0x03000300u); }

struct weights_f16 {
    typedef packed_chunk<0, 0, 4, 0> bytes;
    uint4 q[4];
    template <typename R>
    void load(device const uchar *tile, uint chunk, thread const R &reader)
    {
        device const uchar *at = bytes::at(tile, chunk);
        for (uint f = 0; f < 4; f++) q[f] = reader.words(at, f);
    }
    half2 get(uint i, uint f) const { return as_type<half2>(q[f][i]); }
};

struct weights_q8_0 {
    typedef packed_chunk<0, 2, 2, 0> bytes;
    uint4 q[2];
    float4 d, add;
    template <typename R>
    void load(device const uchar *tile, uint chunk, thread const R &reader)
    {
        device const uchar *at = bytes::at(tile, chunk);
        d = halves(reader.twos(at));
        add = -1152.0f * d;
        q[0] = reader.words(at + bytes::words_at, 0);
        q[1] = reader.words(at + bytes::words_at, 1);
    }
    half2 get(uint i, uint f) const     /* eight bits stand under 1024 */
    {
        const uint bits = (q[f / 2][i] >> (f % 2 * 8) & 0x00ff00ffu) | 0x64006400u;
        return scaled(float2(as_type<half2>(bits)), d[i], add[i]);
    }
};

/* Nibbles with one scale: OFFSET is what is taken off, FIFTH whether there is a fifth bit. */
template <int OFFSET, int FIFTH>
struct weights_32 {
    typedef packed_chunk<0, 2, 1, FIFTH> bytes;
    uint4 q, fifth;
    float4 d, add;
    template <typename R>
    void load(device const uchar *tile, uint chunk, thread const R &reader)
    {
        device const uchar *at = bytes::at(tile, chunk);
        d = halves(reader.twos(at));
        add = -(RAISED + float(OFFSET)) * d;
        q = reader.words(at + bytes::words_at, 0);
        if (FIFTH) fifth = reader.fifths(at + bytes::more_at);
    }
    half2 get(uint i, uint f) const
    {
        uint bits = nibbles(q[i], f);
        if (FIFTH) bits |= fifth_bits(fifth[i], f);
        return scaled(raised(bits), d[i], add[i]);
    }
};
typedef weights_32<8, 0> weights_q4_0;
typedef weights_32<16, 1> weights_q5_0;

/* With a minimum. */
template <int FIFTH>
struct weights_32_min {
    typedef packed_chunk<0, 4, 1, FIFTH> bytes;
    uint4 q, fifth;
    float4 d, add;
    template <typename R>
    void load(device const uchar *tile, uint chunk, thread const R &reader)
    {
        device const uchar *at = bytes::at(tile, chunk);
        const uint4 d_m = reader.fours(at);
        d = halves(ushort4(d_m & 0xffffu));
        add = fma(float4(-RAISED), d, halves(ushort4(d_m >> 16)));
        q = reader.words(at + bytes::words_at, 0);
        if (FIFTH) fifth = reader.fifths(at + bytes::more_at);
    }
    half2 get(uint i, uint f) const
    {
        uint bits = nibbles(q[i], f);
        if (FIFTH) bits |= fifth_bits(fifth[i], f);
        return scaled(raised(bits), d[i], add[i]);
    }
};
typedef weights_32_min<0> weights_q4_1;
typedef weights_32_min<1> weights_q5_1;

template <int FIFTH>
struct weights_k {
    typedef packed_chunk<4, 2, 1, FIFTH> bytes;
    uint4 q, fifth;
    float4 scale, add;
    template <typename R>
    void load(device const uchar *tile, uint chunk, thread const R &reader)
    {
        device const uchar *at = bytes::at(tile, chunk);
        const uint4 head = reader.fours(bytes::head_of(tile, chunk));
        const ushort4 packed = reader.twos(at);
        const float4 d = halves(ushort4(head & 0xffffu)), d_min = halves(ushort4(head >> 16));
        scale = d * float4(packed & ushort4(255));
        const float4 min = d_min * float4(packed >> ushort4(8));
        add = fma(float4(-RAISED), scale, -min);
        q = reader.words(at + bytes::words_at, 0);
        if (FIFTH) fifth = reader.fifths(at + bytes::more_at);
    }
    half2 get(uint i, uint f) const
    {
        uint bits = nibbles(q[i], f);
        if (FIFTH) bits |= fifth_bits(fifth[i], f);
        return scaled(raised(bits), scale[i], add[i]);
    }
};
typedef weights_k<0> weights_q4_k;
typedef weights_k<1> weights_q5_k;

/* Two sub-blocks of 16 a chunk. */
struct weights_q6_k {
    typedef packed_chunk<2, 2, 1, 2> bytes;
    uint4 q, high;
    float4 scale[2], add[2];
    template <typename R>
    void load(device const uchar *tile, uint chunk, thread const R &reader)
    {
        device const uchar *at = bytes::at(tile, chunk);
        const float4 d = halves(reader.twos(bytes::head_of(tile, chunk)));
        const short4 packed = short4(reader.twos(at));
        scale[0] = d * float4(short4(packed << short4(8)) >> short4(8));
        scale[1] = d * float4(packed >> short4(8));
        for (uint s = 0; s < 2; s++) add[s] = -(RAISED + 32.0f) * scale[s];
        q = reader.words(at + bytes::words_at, 0);
        high = reader.sixths(at + bytes::more_at);
    }
    half2 get(uint i, uint f) const
    {
        const uint bits = nibbles(q[i], f) | sixth_bits(high[i], f);
        return scaled(raised(bits), scale[f / 2][i], add[f / 2][i]);
    }
};

/* The 16 values of the IQ4 types. */
constant float iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                  1, 13, 25, 38, 53, 69, 89, 113 };

static inline float2 iq4_pair(uint q, uint f)
{
    return float2(iq4_values[q >> (4 * f) & 15], iq4_values[q >> (4 * f + 16) & 15]);
}

struct weights_iq4_nl {
    typedef packed_chunk<0, 2, 1, 0> bytes;
    uint4 q;
    float4 d;
    template <typename R>
    void load(device const uchar *tile, uint chunk, thread const R &reader)
    {
        device const uchar *at = bytes::at(tile, chunk);
        d = halves(reader.twos(at));
        q = reader.words(at + bytes::words_at, 0);
    }
    half2 get(uint i, uint f) const { return scaled(iq4_pair(q[i], f), d[i]); }
};

struct weights_iq4_xs {
    typedef packed_chunk<2, 1, 1, 0> bytes;
    uint4 q;
    float4 scale;
    template <typename R>
    void load(device const uchar *tile, uint chunk, thread const R &reader)
    {
        device const uchar *at = bytes::at(tile, chunk);
        const float4 d = halves(reader.twos(bytes::head_of(tile, chunk)));
        scale = d * float4(as_type<char4>(reader.ones(at)));
        q = reader.words(at + bytes::words_at, 0);
    }
    half2 get(uint i, uint f) const { return scaled(iq4_pair(q[i], f), scale[i]); }
};

/* The 16 values of E2M1, doubled. */
constant float mxfp4_values[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

/* A scale is a float's exponent field. */
struct weights_mxfp4 {
    typedef packed_chunk<0, 1, 1, 0> bytes;
    uint4 q;
    float4 d;
    template <typename R>
    void load(device const uchar *tile, uint chunk, thread const R &reader)
    {
        device const uchar *at = bytes::at(tile, chunk);
        d = as_type<float4>(uint4(reader.ones(at)) << 23);
        q = reader.words(at + bytes::words_at, 0);
    }
    half2 get(uint i, uint f) const
    {
        const uint bits = q[i] >> (4 * f);
        return scaled(float2(mxfp4_values[bits & 15], mxfp4_values[bits >> 16 & 15]), d[i]);
    }
};

/* ---- sums of a tile ------------------------------------------------------------------------- */

/* 32 rows times NB fragments of 8 columns. */
template <int NB>
struct tile_sums {
    simdgroup_float8x8 of[4][NB];
};

/* 8 rows of them: what one simdgroup ends with. */
template <int NB>
struct row_sums {
    simdgroup_float8x8 of[NB];
};

/* This simdgroup's chunks of a tile times columns: x points at the first of 8 columns. */
template <typename W, int NB>
static inline void accumulate(device const uchar *tile, uint n_chunks, device const half *x,
                              uint ld_x, thread const by_lane &reader, uint simd,
                              thread tile_sums<NB> &sums)
{
    for (int r = 0; r < 4; r++)
        for (int j = 0; j < NB; j++)
            sums.of[r][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    for (uint c = simd; c < n_chunks; c += PRODUCT_SIMDGROUPS) {
        W w;
        uint4 halves_of[NB];    /* this lane's two columns of each of the four fragments */
        w.load(tile, c, reader);
#pragma unroll
        for (int j = 0; j < NB; j++)
            halves_of[j] =
                ((device const uint4 *)(x + ulong(j) * 8 * ld_x + c * 8 * CHUNK))[reader.slot];
#pragma unroll
        for (uint f = 0; f < 4; f++) {
            simdgroup_half8x8 columns[NB];
#pragma unroll
            for (int j = 0; j < NB; j++) {
                const half2 two = as_type<half2>(halves_of[j][f]);
                columns[j].thread_elements()[0] = two.x;
                columns[j].thread_elements()[1] = two.y;
            }
#pragma unroll
            for (uint r = 0; r < 4; r++) {
                simdgroup_half8x8 rows;
                const half2 pair = w.get(r, f);
                rows.thread_elements()[0] = pair.x;
                rows.thread_elements()[1] = pair.y;
#pragma unroll
                for (int j = 0; j < NB; j++)
                    simdgroup_multiply_accumulate(sums.of[r][j], rows, columns[j], sums.of[r][j]);
            }
        }
    }
}

/* Adds the four simdgroups' sums, in their order; simdgroup r keeps row tile r. shared: NB KiB. */
template <int NB>
static inline void reduce(thread tile_sums<NB> &sums, threadgroup float2 *shared, uint simd,
                          uint lane, thread row_sums<NB> &own)
{
#pragma unroll
    for (uint r = 0; r < 4; r++) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
#pragma unroll
        for (int j = 0; j < NB; j++)
            shared[(simd * NB + j) * 32 + lane] = float2(sums.of[r][j].thread_elements()[0],
                                                         sums.of[r][j].thread_elements()[1]);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (simd != r) continue;
#pragma unroll
        for (int j = 0; j < NB; j++) {
            float2 sum = shared[j * 32 + lane];
            for (uint s = 1; s < PRODUCT_SIMDGROUPS; s++) sum += shared[(s * NB + j) * 32 + lane];
            own.of[j].thread_elements()[0] = sum.x;
            own.of[j].thread_elements()[1] = sum.y;
        }
    }
}

/* ---- sums of few columns -------------------------------------------------------------------- */

/* The same sums for NC columns without the matrix unit, a lane a row: the unit's own order, one fma
 * after the other by rising k, which the host has probed, so that every bit is the same
 * (docs/decisions/003-metal-columns.md). x points at the first of 8 columns, as there. */
template <typename W, int NC>
static inline void accumulate_few(device const uchar *tile, uint n_chunks, device const half *x,
                                  thread const by_row &reader, uint simd, thread float *sums)
{
    for (int j = 0; j < NC; j++) sums[j] = 0;
    for (uint c = simd; c < n_chunks; c += PRODUCT_SIMDGROUPS) {
        W w;
        uint4 halves_of[(NC + 1) / 2][8];   /* of two columns: k of 8, and in it the fragments */
        device const uint4 *values = (device const uint4 *)(x + c * 8 * CHUNK);
        w.load(tile, c, reader);
#pragma unroll
        for (int j = 0; j < (NC + 1) / 2; j++)
#pragma unroll
            for (uint k = 0; k < 8; k++) halves_of[j][k] = values[k * 4 + j];
#pragma unroll
        for (uint f = 0; f < 4; f++) {
#pragma unroll
            for (uint i = 0; i < 4; i++) {
                const float2 pair = float2(w.get(i, f));
#pragma unroll
                for (int j = 0; j < NC; j++) {
                    const float first = float(as_type<half2>(halves_of[j / 2][2 * i][f])[j % 2]),
                                second =
                                    float(as_type<half2>(halves_of[j / 2][2 * i + 1][f])[j % 2]);
                    sums[j] = fma(pair.y, second, fma(pair.x, first, sums[j]));
                }
            }
        }
    }
}

/* Adds the four simdgroups' sums as reduce() does; every simdgroup gets all. shared: NC / 2 KiB. */
template <int NC>
static inline void reduce_few(thread float *sums, threadgroup float *shared, uint simd, uint lane)
{
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (int j = 0; j < NC; j++) shared[(simd * NC + j) * 32 + lane] = sums[j];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (int j = 0; j < NC; j++) {
        sums[j] = shared[j * 32 + lane];
        for (uint s = 1; s < PRODUCT_SIMDGROUPS; s++) sums[j] += shared[(s * NC + j) * 32 + lane];
    }
}

/* ---- activations ---------------------------------------------------------------------------- */

enum { SILU, GELU_TANH, SWIGLU_CLAMPED };       /* enum activation */

static inline float activated(uint activation, float x)
{
    if (activation == SILU) return x / (1.0f + exp(-x));
    /* (1 + tanh u) / 2 = 1 / (1 + e^-2u): no tanh, whose fast form is NaN from some 45 on */
    const float inner = 0.79788456f * fma(0.044715f * x * x, x, x);
    return x / (1.0f + exp(-2.0f * inner));
}

/* What a half can hold; NaN becomes 0. */
static inline float bounded(float x)
{
    return isnan(x) ? 0.0f : clamp(x, -65504.0f, 65504.0f);
}

/* ACT = activation(gate) * up, scaled and bounded to what a half holds. */
template <typename A>
static inline half gated(constant A &a, float gate, float up)
{
    if (a.activation == SWIGLU_CLAMPED) {
        const float g = min(gate, 7.0f);
        const float y = g / (1.0f + exp(-1.702f * g)) * (clamp(up, -7.0f, 7.0f) + 1.0f);
        return half(bounded(y * a.scale));
    }
    return half(bounded(activated(a.activation, gate) * up * a.scale));
}

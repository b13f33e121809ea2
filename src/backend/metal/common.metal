/* What the kernels share: unpacking of packed weights (fragment.h has their bytes), the sums of a
 * tile, activations. Every sum is in an order that shapes give, and a product and a sum that are one
 * operation are written fma(), so that a column's bits depend on nothing but the column.
 *
 * A lane of a simdgroup holds two elements of one row of an 8 x 8 fragment. Which they are, the host
 * has probed and packed for: `lanes` has row, k of the first and k of the second. */
using namespace metal;

/* ---- packed weights ------------------------------------------------------------------------- */

/* Two integers of up to 10 bits, one in each half of a word, as floats: exact. */
static inline float2 integers(uint bits)
{
    return float2(as_type<half2>(bits | 0x64006400u) - half2(1024.0h));
}

template <int HEAD, int SCALE, int WORDS, int MORE>
struct packed_chunk {
    enum { head_bytes = TILE_ROWS * HEAD, scale_bytes = TILE_ROWS * SCALE,
           more_at = TILE_ROWS * SCALE + 512 * WORDS,
           chunk_bytes = TILE_ROWS * SCALE + 512 * WORDS + 128 * MORE };

    static device const uchar *head_of(device const uchar *tile, uint chunk, uint row)
    {
        return tile + chunk / 8 * (head_bytes + 8 * chunk_bytes) + row * 4 * HEAD;
    }
    static device const uchar *at(device const uchar *tile, uint chunk)
    {
        return tile + (HEAD ? (chunk / 8 + 1) * head_bytes : 0) + chunk * chunk_bytes;
    }
    static uint4 words(device const uchar *at, uint lane, uint word)
    {
        return ((device const uint4 *)(at + scale_bytes))[word * 32 + lane];
    }
    static uint more(device const uchar *at, uint lane, uint word)
    {
        return ((device const uint *)(at + more_at))[word * 32 + lane];
    }
};

/* Each format: load() reads what a lane needs of a chunk, for all four row tiles; get(r, f) gives its
 * two weights of fragment f of row tile r, rounded once to halves. */

static inline half2 scaled(float2 q, float scale)
{
    return half2(q * scale);
}

static inline half2 scaled(float2 q, float scale, float add)
{
    return half2(fma(q, float2(scale), float2(add)));
}

struct weights_f16 {
    typedef packed_chunk<0, 0, 4, 0> bytes;
    uint4 q[4];
    void load(device const uchar *tile, uint chunk, uint lane, uint row)
    {
        device const uchar *at = bytes::at(tile, chunk);
        for (uint f = 0; f < 4; f++) q[f] = bytes::words(at, lane, f);
    }
    half2 get(uint r, uint f) const { return as_type<half2>(q[f][r]); }
};

struct weights_q8_0 {
    typedef packed_chunk<0, 2, 2, 0> bytes;
    uint4 q[2];
    float4 d;
    void load(device const uchar *tile, uint chunk, uint lane, uint row)
    {
        device const uchar *at = bytes::at(tile, chunk);
        d = float4(((device const half4 *)at)[row]);
        q[0] = bytes::words(at, lane, 0);
        q[1] = bytes::words(at, lane, 1);
    }
    half2 get(uint r, uint f) const
    {
        return scaled(integers(q[f / 2][r] >> (f % 2 * 8) & 0x00ff00ffu) - 128.0f, d[r]);
    }
};

/* Nibbles with one scale: OFFSET is what is taken off, FIFTH whether there is a fifth bit. */
template <int OFFSET, int FIFTH>
struct weights_32 {
    typedef packed_chunk<0, 2, 1, FIFTH> bytes;
    uint4 q;
    uint fifth;
    float4 d;
    void load(device const uchar *tile, uint chunk, uint lane, uint row)
    {
        device const uchar *at = bytes::at(tile, chunk);
        d = float4(((device const half4 *)at)[row]);
        q = bytes::words(at, lane, 0);
        fifth = FIFTH ? bytes::more(at, lane, 0) : 0;
    }
    half2 get(uint r, uint f) const
    {
        uint bits = q[r] >> (4 * f) & 0x000f000fu;
        if (FIFTH) bits |= (fifth >> (4 * r + f) & 0x00010001u) << 4;
        return scaled(integers(bits) - float(OFFSET), d[r]);
    }
};
typedef weights_32<8, 0> weights_q4_0;
typedef weights_32<16, 1> weights_q5_0;

/* With a minimum. */
template <int FIFTH>
struct weights_32_min {
    typedef packed_chunk<0, 4, 1, FIFTH> bytes;
    uint4 q, scale;
    uint fifth;
    void load(device const uchar *tile, uint chunk, uint lane, uint row)
    {
        device const uchar *at = bytes::at(tile, chunk);
        scale = ((device const uint4 *)at)[row];
        q = bytes::words(at, lane, 0);
        fifth = FIFTH ? bytes::more(at, lane, 0) : 0;
    }
    half2 get(uint r, uint f) const
    {
        uint bits = q[r] >> (4 * f) & 0x000f000fu;
        if (FIFTH) bits |= (fifth >> (4 * r + f) & 0x00010001u) << 4;
        const half2 d_m = as_type<half2>(scale[r]);
        return scaled(integers(bits), float(d_m.x), float(d_m.y));
    }
};
typedef weights_32_min<0> weights_q4_1;
typedef weights_32_min<1> weights_q5_1;

template <int FIFTH>
struct weights_k {
    typedef packed_chunk<4, 2, 1, FIFTH> bytes;
    uint4 q;
    uint fifth;
    float4 scale, min;
    void load(device const uchar *tile, uint chunk, uint lane, uint row)
    {
        device const uchar *at = bytes::at(tile, chunk);
        const uint4 head = *(device const uint4 *)bytes::head_of(tile, chunk, row);
        const uint2 packed = ((device const uint2 *)at)[row];
        for (uint r = 0; r < 4; r++) {
            const half2 d = as_type<half2>(head[r]);
            const uint s = packed[r / 2] >> (r % 2 * 16);
            scale[r] = float(d.x) * float(s & 255);
            min[r] = -(float(d.y) * float(s >> 8 & 255));
        }
        q = bytes::words(at, lane, 0);
        fifth = FIFTH ? bytes::more(at, lane, 0) : 0;
    }
    half2 get(uint r, uint f) const
    {
        uint bits = q[r] >> (4 * f) & 0x000f000fu;
        if (FIFTH) bits |= (fifth >> (4 * r + f) & 0x00010001u) << 4;
        return scaled(integers(bits), scale[r], min[r]);
    }
};
typedef weights_k<0> weights_q4_k;
typedef weights_k<1> weights_q5_k;

struct weights_q6_k {
    typedef packed_chunk<2, 2, 1, 2> bytes;
    uint4 q;
    uint high[2];
    float4 scale[2];    /* of the chunk's two sub-blocks of 16 */
    void load(device const uchar *tile, uint chunk, uint lane, uint row)
    {
        device const uchar *at = bytes::at(tile, chunk);
        const float4 d = float4(*(device const half4 *)bytes::head_of(tile, chunk, row));
        const uint2 packed = ((device const uint2 *)at)[row];
        for (uint r = 0; r < 4; r++) {
            const char2 s = as_type<char2>(ushort(packed[r / 2] >> (r % 2 * 16) & 0xffff));
            scale[0][r] = d[r] * float(s.x);
            scale[1][r] = d[r] * float(s.y);
        }
        q = bytes::words(at, lane, 0);
        high[0] = bytes::more(at, lane, 0);
        high[1] = bytes::more(at, lane, 1);
    }
    half2 get(uint r, uint f) const
    {
        const uint bits = (q[r] >> (4 * f) & 0x000f000fu) |
                          (high[r / 2] >> (r % 2 * 8 + 2 * f) & 0x00030003u) << 4;
        return scaled(integers(bits) - 32.0f, scale[f / 2][r]);
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
    void load(device const uchar *tile, uint chunk, uint lane, uint row)
    {
        device const uchar *at = bytes::at(tile, chunk);
        d = float4(((device const half4 *)at)[row]);
        q = bytes::words(at, lane, 0);
    }
    half2 get(uint r, uint f) const { return scaled(iq4_pair(q[r], f), d[r]); }
};

struct weights_iq4_xs {
    typedef packed_chunk<2, 1, 1, 0> bytes;
    uint4 q;
    float4 scale;
    void load(device const uchar *tile, uint chunk, uint lane, uint row)
    {
        device const uchar *at = bytes::at(tile, chunk);
        const float4 d = float4(*(device const half4 *)bytes::head_of(tile, chunk, row));
        scale = d * float4(((device const char4 *)at)[row]);
        q = bytes::words(at, lane, 0);
    }
    half2 get(uint r, uint f) const { return scaled(iq4_pair(q[r], f), scale[r]); }
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

/* This simdgroup's chunks of a tile times columns: x points at the first column's first value. */
template <typename W, int NB>
static inline void accumulate(device const uchar *tile, uint n_chunks, device const half *x, uint ld_x,
                              uint row, uint simd, uint lane, thread tile_sums<NB> &sums)
{
    for (int r = 0; r < 4; r++)
        for (int j = 0; j < NB; j++) sums.of[r][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    for (uint c = simd; c < n_chunks; c += PRODUCT_SIMDGROUPS) {
        W w;
        w.load(tile, c, lane, row);
#pragma unroll
        for (uint f = 0; f < 4; f++) {
            simdgroup_half8x8 columns[NB];
#pragma unroll
            for (int j = 0; j < NB; j++)
                simdgroup_load(columns[j], x + j * 8 * ld_x + c * CHUNK + f * 8, ld_x, ulong2(0, 0),
                               true);
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
static inline void reduce(thread tile_sums<NB> &sums, threadgroup float2 *shared, uint simd, uint lane,
                          thread row_sums<NB> &own)
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

/* ---- activations ---------------------------------------------------------------------------- */

enum { SILU, GELU_TANH };       /* enum activation */

static inline float activated(uint activation, float x)
{
    if (activation == SILU) return x / (1.0f + exp(-x));
    const float inner = 0.79788456f * fma(0.044715f * x * x, x, x);
    return 0.5f * x * (1.0f + tanh(inner));
}

/* What a half can hold; NaN becomes 0. */
static inline float bounded(float x)
{
    return isnan(x) ? 0.0f : clamp(x, -65504.0f, 65504.0f);
}

/* A warp's share of a tile, from packed shared memory to the f16 operand of one matrix step.
 *
 * q4_k: x = 1 + q / 16 by one lop3 (q on mantissa bits 6-9); w = x (16 d sc) - (16 d sc + dmin m),
 *       the 1 folded into the addend: up to 1 / 128 of a quantum off, and one instruction of four
 *       less than x - 1 first.
 * q6_k: x = 1 + q / 64, x - 1.5 = (q - 32) / 64 is exact, w = (x - 1.5) (64 d sc) rounds once.
 * q8:   1024 + code + 128 by one byte permutation, the subtraction is exact, w rounds once.
 * f16:  as it is. */
#ifndef BACKEND_CUDA_DEQUANT_CUH
#define BACKEND_CUDA_DEQUANT_CUH

#include <cuda_fp16.h>

#include "backend/cuda/ptx.cuh"
#include "backend/cuda/tiles.h"

DEV __half2 as_h2(uint32_t v) { return *(__half2 *)&v; }
DEV uint32_t as_u32(__half2 v) { return *(uint32_t *)&v; }
DEV uint32_t and_or(uint32_t a, uint32_t mask, uint32_t bits)
{
    uint32_t r;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(r) : "r"(a), "r"(mask), "r"(bits));
    return r;
}
DEV __half2 half_lo(uint32_t v) { return as_h2(__byte_perm(v, 0, 0x1010)); }
DEV __half2 half_hi(uint32_t v) { return as_h2(__byte_perm(v, 0, 0x3232)); }

template <int FORMAT> struct tile_reader;

template <> struct tile_reader<TILE_Q4_K> {
    uint32_t base;              /* this lane's words of chunk 0 */
    uint4 sc[2];                /* the scale vectors of both 128-wide halves */
    __half2 s[2], m[2];         /* 16 d sc and the addend, rows g and g + 8, of this chunk */
    uint4 q;

    DEV void open(uint32_t tile, int lane)
    {
        base = tile + lane * 16;
        sc[0] = lds128(tile + Q4_SCALES_AT + (lane >> 2) * 32);
        sc[1] = lds128(tile + Q4_SCALES_AT + (lane >> 2) * 32 + 16);
    }
    DEV void scale(int row, uint32_t s_bits, uint32_t m_bits)
    {
        const __half2 d = row ? half_hi(sc[0].w) : half_lo(sc[0].w);
        const __half2 nm = row ? half_hi(sc[1].w) : half_lo(sc[1].w);
        const __half2 n64 = __float2half2_rn(-64.0f);
        s[row] = __hfma2(as_h2(s_bits), d, __hmul2(d, n64));
        m[row] = __hsub2(__hfma2(as_h2(m_bits), nm, __hmul2(nm, n64)), s[row]);
    }
    DEV void chunk(int c)       /* a constant once loops are unrolled */
    {
        const uint32_t mask = 0x03f003f0, one = 0x54005400, two = 0x03000300, four = 0x00f000f0;
        const uint4 v = sc[c >> 1];
        q = lds128(base + c * 512);
        if (c & 1) {
            scale(0, and_or(v.z, mask, one), and_or(v.z >> 6, mask, one));
            scale(1, and_or(v.z << 8, two, and_or(v.x << 4, four, one)),
                  and_or(v.z << 6, two, and_or(v.y << 4, four, one)));
        } else {
            scale(0, and_or(v.x, mask, one), and_or(v.x >> 6, mask, one));
            scale(1, and_or(v.y, mask, one), and_or(v.y >> 6, mask, one));
        }
    }
    DEV uint32_t weight(int row, int field, uint32_t w)
    {
        if (field == 1) w <<= 4;
        if (field == 2) w >>= 4;
        if (field == 3) w = __byte_perm(w, 0, 0x2301);
        return as_u32(__hfma2(as_h2(and_or(w, 0x03c003c0, 0x3c003c00)), s[row], m[row]));
    }
    DEV void step(int st, uint32_t a[4])
    {
        const uint32_t w0 = st < 2 ? q.x : q.y, w1 = st < 2 ? q.z : q.w;
        a[0] = weight(0, 2 * (st & 1), w0);
        a[1] = weight(1, 2 * (st & 1), w1);
        a[2] = weight(0, 2 * (st & 1) + 1, w0);
        a[3] = weight(1, 2 * (st & 1) + 1, w1);
    }
};

template <> struct tile_reader<TILE_Q6_K> {
    uint32_t base, high, scales;
    __half2 d[2], s[2][2];      /* s[row][first or second half of the chunk's steps] */
    uint4 q;
    uint2 qh;

    DEV void open(uint32_t tile, int lane)
    {
        base = tile + lane * 16;
        high = tile + Q6_HIGH_AT + lane * 8;
        scales = tile + Q6_SCALES_AT + (lane >> 2) * 8;
        const uint32_t v = lds32(tile + Q6_D_AT + (lane >> 2) * 4);
        d[0] = half_lo(v);
        d[1] = half_hi(v);
    }
    DEV __half2 scale(uint32_t v, uint32_t sel, __half2 dd)
    {
        const __half2 x = as_h2(__byte_perm(v, 0x64646464, sel));
        return __hmul2(__hsub2(x, __float2half2_rn(1152.0f)), dd);
    }
    DEV void chunk(int c)
    {
        const uint2 v = lds64(scales + c * 64);
        q = lds128(base + c * 512);
        qh = lds64(high + c * 256);
        s[0][0] = scale(v.x, 0x4140, d[0]);
        s[0][1] = scale(v.x, 0x4342, d[0]);
        s[1][0] = scale(v.y, 0x4140, d[1]);
        s[1][1] = scale(v.y, 0x4342, d[1]);
    }
    DEV uint32_t weight(int row, int i, uint32_t w, uint32_t h)
    {
        const int f = i & 3, sh = 8 - 2 * i;
        if (f == 1) w <<= 4;
        if (f == 2) w >>= 4;
        if (f == 3) w >>= 8;
        h = sh >= 0 ? h << (sh & 31) : h >> (-sh & 31);
        const uint32_t t = and_or(w, 0x00f000f0, 0x3c003c00);
        const __half2 x = __hsub2(as_h2(and_or(h, 0x03000300, t)), __float2half2_rn(1.5f));
        return as_u32(__hmul2(x, s[row][i >> 2]));
    }
    DEV void step(int st, uint32_t a[4])
    {
        const uint32_t w0 = st < 2 ? q.x : q.y, w1 = st < 2 ? q.z : q.w;
        a[0] = weight(0, 2 * st, w0, qh.x);
        a[1] = weight(1, 2 * st, w1, qh.y);
        a[2] = weight(0, 2 * st + 1, w0, qh.x);
        a[3] = weight(1, 2 * st + 1, w1, qh.y);
    }
};

template <> struct tile_reader<TILE_Q8> {
    uint32_t base, scales;
    __half2 s[2];               /* rows g and g + 8, of this chunk */
    uint4 q[2];

    DEV void open(uint32_t tile, int lane)
    {
        base = tile + lane * 16;
        scales = tile + Q8_SCALES_AT + (lane >> 2) * 8;
    }
    DEV void chunk(int c)
    {
        const uint2 v = lds64(scales + c * 64);
        s[0] = as_h2(v.x);
        s[1] = as_h2(v.y);
        q[0] = lds128(base + c * 1024);
        q[1] = lds128(base + c * 1024 + 512);
    }
    DEV uint32_t weight(int row, uint32_t w, uint32_t sel)
    {
        const __half2 x = as_h2(__byte_perm(w, 0x64646464, sel));
        return as_u32(__hmul2(__hsub2(x, __float2half2_rn(1152.0f)), s[row]));
    }
    DEV uint32_t word(const uint4 &v, int i)
    {
        return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
    }
    DEV void step(int st, uint32_t a[4])
    {
        const uint32_t w0 = word(q[0], st), w1 = word(q[1], st);
        a[0] = weight(0, w0, 0x4140);
        a[1] = weight(1, w1, 0x4140);
        a[2] = weight(0, w0, 0x4342);
        a[3] = weight(1, w1, 0x4342);
    }
};

template <> struct tile_reader<TILE_F16> {
    uint32_t base, at;

    DEV void open(uint32_t tile, int lane) { base = tile + lane * 16; }
    DEV void chunk(int c) { at = base + c * 2048; }
    DEV void step(int st, uint32_t a[4])
    {
        const uint4 v = lds128(at + st * 512);
        a[0] = v.x, a[1] = v.y, a[2] = v.z, a[3] = v.w;
    }
};

#endif

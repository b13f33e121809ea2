/* The intrinsics of SME that the kernels use, in plain C, for vectors of 64 bytes: what Arm's
 * language extensions say each does, an element at a time. With it the kernels' own source runs on
 * any machine (qemu-user 7.2 computes outer products of bytes wrongly). Where an element is not in
 * a predicate, loads give zeros and reads the first operand; "_x" functions are asked for whole
 * vectors alone. */
#ifndef TESTS_SME_PLAIN_H
#define TESTS_SME_PLAIN_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "quant/quant.h"

enum { SVE_BYTES = 64 };

typedef struct { uint8_t on[SVE_BYTES]; } svbool_t;
typedef struct { uint8_t v[64]; } svuint8_t;
typedef struct { int8_t v[64]; } svint8_t;
typedef struct { uint16_t v[32]; } svuint16_t;
typedef struct { int16_t v[32]; } svint16_t;
typedef struct { uint16_t v[32]; } svfloat16_t;
typedef struct { uint32_t v[16]; } svuint32_t;
typedef struct { int32_t v[16]; } svint32_t;
typedef struct { float v[16]; } svfloat32_t;

/* Tile t has the rows t, t + 4, ... of the matrix. */
static _Thread_local int32_t sme_plain_tile[4][16][16];

/* ---- predicates ----------------------------------------------------------------------------- */

static inline svbool_t sme_plain_first(uint32_t n_bytes)
{
    svbool_t p;
    for (uint32_t i = 0; i < SVE_BYTES; i++) p.on[i] = i < n_bytes;
    return p;
}

static inline svbool_t svptrue_b8(void) { return sme_plain_first(64); }
static inline svbool_t svptrue_b16(void) { return sme_plain_first(64); }
static inline svbool_t svptrue_b32(void) { return sme_plain_first(64); }

static inline svbool_t svwhilelt_b8_u32(uint32_t from, uint32_t to)
{
    return sme_plain_first(to > from ? to - from : 0);
}

static inline svbool_t svwhilelt_b32_u32(uint32_t from, uint32_t to)
{
    return sme_plain_first(to > from ? 4 * (to - from) : 0);
}

/* ---- loads and stores ----------------------------------------------------------------------- */

#define SME_PLAIN_MEMORY(suffix, vector, type)                                                     \
    static inline vector svld1_##suffix(svbool_t p, const type *from)                              \
    {                                                                                              \
        vector r;                                                                                  \
        for (size_t i = 0; i < 64 / sizeof(type); i++)                                             \
            r.v[i] = p.on[i * sizeof(type)] ? from[i] : (type)0;                                   \
        return r;                                                                                  \
    }                                                                                              \
    static inline void svst1_##suffix(svbool_t p, type *to, vector x)                              \
    {                                                                                              \
        for (size_t i = 0; i < 64 / sizeof(type); i++)                                             \
            if (p.on[i * sizeof(type)]) to[i] = x.v[i];                                            \
    }                                                                                              \
    static inline vector svdup_n_##suffix(type x)                                                  \
    {                                                                                              \
        vector r;                                                                                  \
        for (size_t i = 0; i < 64 / sizeof(type); i++) r.v[i] = x;                                 \
        return r;                                                                                  \
    }
SME_PLAIN_MEMORY(u8, svuint8_t, uint8_t)
SME_PLAIN_MEMORY(s8, svint8_t, int8_t)
SME_PLAIN_MEMORY(s32, svint32_t, int32_t)
SME_PLAIN_MEMORY(f32, svfloat32_t, float)

#define SME_PLAIN_WIDEN(name, type)                                                                \
    static inline svuint32_t name(svbool_t p, const type *from)                                    \
    {                                                                                              \
        svuint32_t r;                                                                              \
        for (int i = 0; i < 16; i++) r.v[i] = p.on[4 * i] ? from[i] : 0;                           \
        return r;                                                                                  \
    }
SME_PLAIN_WIDEN(svld1ub_u32, uint8_t)
SME_PLAIN_WIDEN(svld1uh_u32, uint16_t)

/* ---- arithmetic ----------------------------------------------------------------------------- */

#define SME_PLAIN_EACH(name, vector, other, type, expression)                                      \
    static inline vector name(svbool_t p, vector a, other b)                                       \
    {                                                                                              \
        (void)p;                                                                                   \
        for (size_t i = 0; i < sizeof a.v / sizeof *a.v; i++) a.v[i] = (type)(expression);         \
        return a;                                                                                  \
    }
SME_PLAIN_EACH(sveor_u8_x, svuint8_t, svuint8_t, uint8_t, a.v[i] ^ b.v[i])
SME_PLAIN_EACH(svorr_u8_x, svuint8_t, svuint8_t, uint8_t, a.v[i] | b.v[i])
SME_PLAIN_EACH(svmul_u8_x, svuint8_t, svuint8_t, uint8_t, a.v[i] * b.v[i])
SME_PLAIN_EACH(svlsl_u8_x, svuint8_t, svuint8_t, uint8_t, b.v[i] < 8 ? a.v[i] << b.v[i] : 0)
SME_PLAIN_EACH(svlsr_u8_x, svuint8_t, svuint8_t, uint8_t, b.v[i] < 8 ? a.v[i] >> b.v[i] : 0)
SME_PLAIN_EACH(svand_n_u8_x, svuint8_t, uint8_t, uint8_t, a.v[i] & b)
SME_PLAIN_EACH(svsub_n_u8_x, svuint8_t, uint8_t, uint8_t, a.v[i] - b)
SME_PLAIN_EACH(svlsl_n_u8_x, svuint8_t, uint64_t, uint8_t, a.v[i] << b)
SME_PLAIN_EACH(svlsr_n_u8_x, svuint8_t, uint64_t, uint8_t, a.v[i] >> b)
SME_PLAIN_EACH(svasr_n_s8_x, svint8_t, uint64_t, int8_t, a.v[i] >> b)
SME_PLAIN_EACH(svorr_u16_x, svuint16_t, svuint16_t, uint16_t, a.v[i] | b.v[i])
SME_PLAIN_EACH(svand_n_u16_x, svuint16_t, uint16_t, uint16_t, a.v[i] & b)
SME_PLAIN_EACH(svlsl_n_u16_x, svuint16_t, uint64_t, uint16_t, a.v[i] << b)
SME_PLAIN_EACH(svlsr_n_u16_x, svuint16_t, uint64_t, uint16_t, a.v[i] >> b)
SME_PLAIN_EACH(svlsl_n_u32_x, svuint32_t, uint64_t, uint32_t, a.v[i] << b)
SME_PLAIN_EACH(svlsl_n_s32_x, svint32_t, uint64_t, int32_t, (uint32_t)a.v[i] << b)
SME_PLAIN_EACH(svadd_s32_x, svint32_t, svint32_t, int32_t, (uint32_t)a.v[i] + (uint32_t)b.v[i])
SME_PLAIN_EACH(svmul_n_f32_x, svfloat32_t, float, float, a.v[i] * b)

/* c + a b and c - a b, rounded once. */
#define SME_PLAIN_FUSED(name, b_type, product)                                                     \
    static inline svfloat32_t name(svbool_t p, svfloat32_t c, svfloat32_t a, b_type b)             \
    {                                                                                              \
        (void)p;                                                                                   \
        for (int i = 0; i < 16; i++) c.v[i] = fmaf(product, c.v[i]);                               \
        return c;                                                                                  \
    }
#define SME_PLAIN_TIMES(a, b) a, b
SME_PLAIN_FUSED(svmla_f32_x, svfloat32_t, SME_PLAIN_TIMES(a.v[i], b.v[i]))
SME_PLAIN_FUSED(svmla_n_f32_x, float, SME_PLAIN_TIMES(a.v[i], b))
SME_PLAIN_FUSED(svmls_n_f32_x, float, SME_PLAIN_TIMES(-a.v[i], b))

static inline svfloat32_t svcvt_f32_s32_x(svbool_t p, svint32_t x)
{
    svfloat32_t r;
    (void)p;
    for (int i = 0; i < 16; i++) r.v[i] = (float)x.v[i];
    return r;
}

/* Of the halves that stand at the beginning of each float. */
static inline svfloat32_t svcvt_f32_f16_x(svbool_t p, svfloat16_t x)
{
    svfloat32_t r;
    (void)p;
    for (int i = 0; i < 16; i++) r.v[i] = f32_of_f16(x.v[2 * i]);
    return r;
}

static inline svuint8_t svindex_u8(uint8_t base, uint8_t step)
{
    svuint8_t r;
    for (int i = 0; i < 64; i++) r.v[i] = (uint8_t)(base + i * step);
    return r;
}

static inline svuint8_t svtbl_u8(svuint8_t table, svuint8_t at)
{
    svuint8_t r;
    for (int i = 0; i < 64; i++) r.v[i] = at.v[i] < 64 ? table.v[at.v[i]] : 0;
    return r;
}

/* Products of the bytes at even places, and at odd ones. */
static inline svint16_t svmullb_s16(svint8_t a, svint8_t b)
{
    svint16_t r;
    for (int i = 0; i < 32; i++) r.v[i] = (int16_t)(a.v[2 * i] * b.v[2 * i]);
    return r;
}

static inline svint16_t svmullt_s16(svint8_t a, svint8_t b)
{
    svint16_t r;
    for (int i = 0; i < 32; i++) r.v[i] = (int16_t)(a.v[2 * i + 1] * b.v[2 * i + 1]);
    return r;
}

#define SME_PLAIN_AS(name, to, from)                                                               \
    static inline to name(from x)                                                                  \
    {                                                                                              \
        to r;                                                                                      \
        memcpy(&r, &x, sizeof r);                                                                  \
        return r;                                                                                  \
    }
SME_PLAIN_AS(svreinterpret_s8_u8, svint8_t, svuint8_t)
SME_PLAIN_AS(svreinterpret_u8_u16, svuint8_t, svuint16_t)
SME_PLAIN_AS(svreinterpret_u8_s32, svuint8_t, svint32_t)
SME_PLAIN_AS(svreinterpret_u16_s16, svuint16_t, svint16_t)
SME_PLAIN_AS(svreinterpret_f16_u32, svfloat16_t, svuint32_t)
SME_PLAIN_AS(svreinterpret_f32_u32, svfloat32_t, svuint32_t)

/* ---- the matrix ----------------------------------------------------------------------------- */

static inline void svzero_za(void)
{
    memset(sme_plain_tile, 0, sizeof sme_plain_tile);
}

static inline void svld1_hor_za32(uint64_t tile, uint32_t slice, svbool_t p, const void *from)
{
    for (int i = 0; i < 16; i++) {
        int32_t value = 0;
        if (p.on[4 * i]) memcpy(&value, (const uint8_t *)from + 4 * i, sizeof value);
        sme_plain_tile[tile][slice][i] = value;
    }
}

static inline svint32_t svread_hor_za32_s32_m(svint32_t r, svbool_t p, uint64_t tile,
                                              uint32_t slice)
{
    for (int i = 0; i < 16; i++)
        if (p.on[4 * i]) r.v[i] = sme_plain_tile[tile][slice][i];
    return r;
}

static inline svint32_t svread_ver_za32_s32_m(svint32_t r, svbool_t p, uint64_t tile,
                                              uint32_t slice)
{
    for (int i = 0; i < 16; i++)
        if (p.on[4 * i]) r.v[i] = sme_plain_tile[tile][i][slice];
    return r;
}

/* Sums of four products of neighbours, of each four of a with each four of b. */
#define SME_PLAIN_OUTER(name, a_vector, b_vector)                                                  \
    static inline void name(uint64_t tile, svbool_t pa, svbool_t pb, a_vector a, b_vector b)       \
    {                                                                                              \
        for (int row = 0; row < 16; row++)                                                         \
            for (int col = 0; col < 16; col++)                                                     \
                for (int k = 0; k < 4; k++)                                                        \
                    if (pa.on[4 * row + k] && pb.on[4 * col + k])                                  \
                        sme_plain_tile[tile][row][col] += a.v[4 * row + k] * b.v[4 * col + k];     \
    }
SME_PLAIN_OUTER(svmopa_za32_s8_m, svint8_t, svint8_t)
SME_PLAIN_OUTER(svusmopa_za32_u8_m, svuint8_t, svint8_t)

#endif

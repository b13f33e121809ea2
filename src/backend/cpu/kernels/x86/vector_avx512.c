/* Norms, activations, RoPE and KV writing, AVX-512. Lengths are whole registers: kernels.h. */
#include <immintrin.h>
#include <math.h>

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/kv_codes.h"
#include "backend/cpu/kernels/mixer_loops.h"
#include "backend/cpu/kernels/x86/math_avx512.h"
#include "backend/cpu/kernels/plain_loops.h"

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *out)
{
    __m512 part = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) {
        const __m512 v = _mm512_loadu_ps(x + i);
        part = _mm512_fmadd_ps(v, v, part);
    }
    const float sum = _mm512_reduce_add_ps(part);
    const __m512 scale = _mm512_set1_ps(1.0f / sqrtf(sum / (float)n + eps));
    for (uint32_t i = 0; i < n; i += 16)
        _mm512_storeu_ps(out + i, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(x + i), scale),
                                                _mm512_loadu_ps(weight + i)));
}

static float dot(const float *a, const float *b, uint32_t n)
{
    __m512 part[4];
    for (int g = 0; g < 4; g++) part[g] = _mm512_setzero_ps();
    uint32_t i = 0;
    for (; i + 64 <= n; i += 64)
        for (int g = 0; g < 4; g++)
            part[g] = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16 * g),
                                      _mm512_loadu_ps(b + i + 16 * g), part[g]);
    for (int g = 0; i < n; i += 16, g++)
        part[g] = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), part[g]);
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(part[0], part[2]),
                                              _mm512_add_ps(part[1], part[3])));
}

/* x / (1 + e^-x) */
static inline __m512 silu(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), x));
    return _mm512_div_ps(x, _mm512_add_ps(one, e));
}

static void times_sigmoid(float *x, const float *gate_of, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 16) {
        const __m512 e = exp_ps(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_loadu_ps(gate_of + i)));
        const __m512 below = _mm512_add_ps(_mm512_set1_ps(1.0f), e);
        _mm512_storeu_ps(x + i, _mm512_div_ps(_mm512_loadu_ps(x + i), below));
    }
}

/* x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
static inline __m512 gelu(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
    const __m512 minus_2u = _mm512_mul_ps(_mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), x),
                                   _mm512_set1_ps(0.7978845608f * -2));
    return _mm512_div_ps(x, _mm512_add_ps(one, exp_ps(minus_2u)));
}

static inline __m512 swiglu_clamped(__m512 g, __m512 up)
{
    const __m512 limit = _mm512_set1_ps(SWIGLU_LIMIT), one = _mm512_set1_ps(1.0f);
    const __m512 x = _mm512_min_ps(g, limit);
    const __m512 y = _mm512_max_ps(_mm512_set1_ps(-SWIGLU_LIMIT), _mm512_min_ps(up, limit));
    const __m512 below =
        _mm512_add_ps(one, exp_ps(_mm512_mul_ps(x, _mm512_set1_ps(-SWIGLU_ALPHA))));
    return _mm512_mul_ps(_mm512_div_ps(x, below), _mm512_add_ps(y, one));
}

static inline __m512 activated(__m512 x, __m512 up, enum activation activation)
{
    switch (activation) {
    case ACTIVATION_SILU: return _mm512_mul_ps(silu(x), up);
    case ACTIVATION_GELU_TANH: return _mm512_mul_ps(gelu(x), up);
    case ACTIVATION_RELU: return _mm512_mul_ps(_mm512_max_ps(x, _mm512_setzero_ps()), up);
    default: return swiglu_clamped(x, up);
    }
}

static void gate(const float *g, const float *up, uint32_t n, enum activation activation,
                 float *out)
{
    for (uint32_t i = 0; i < n; i += 16) {
        const __m512 x = _mm512_loadu_ps(g + i), y = _mm512_loadu_ps(up + i);
        _mm512_storeu_ps(out + i, activated(x, y, activation));
    }
}

static void add(float *x, const float *y, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 16)
        _mm512_storeu_ps(x + i, _mm512_add_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i)));
}

static void cap(float *x, uint32_t n, float scale, float cap)
{
    for (uint32_t i = 0; i < n; i += 16) {
        const __m512 y = _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(scale));
        _mm512_storeu_ps(x + i, cap == 0 ? y : capped_ps(y, cap));
    }
}

/* Neighbouring pairs: x * (c, c) + swapped x * (-s, s) */
static void rope_interleaved(float *x, const float *cos_sin, uint32_t d, __m512 scale)
{
    const __m512i c_places = _mm512_set_epi32(14, 14, 12, 12, 10, 10, 8, 8, 6, 6, 4, 4, 2, 2, 0, 0);
    const __m512i s_places = _mm512_set_epi32(15, 15, 13, 13, 11, 11, 9, 9, 7, 7, 5, 5, 3, 3, 1, 1);
    for (uint32_t i = 0; i < d; i += 16) {
        const __m512 v = _mm512_loadu_ps(x + i), cs = _mm512_loadu_ps(cos_sin + i);
        const __m512 c = _mm512_permutexvar_ps(c_places, cs);
        const __m512 s = _mm512_permutexvar_ps(s_places, cs);
        const __m512 swapped = _mm512_permute_ps(v, 0xb1);
        const __m512 y = _mm512_fmaddsub_ps(v, c, _mm512_mul_ps(swapped, s));
        _mm512_storeu_ps(x + i, _mm512_mul_ps(y, scale));
    }
}

static void rope_halves(float *x, const float *cos_sin, uint32_t d, __m512 scale)
{
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2,
                                          0);
    const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    for (uint32_t i = 0; i < d / 2; i += 16) {
        const __m512 low = _mm512_loadu_ps(cos_sin + 2 * i);
        const __m512 high = _mm512_loadu_ps(cos_sin + 2 * i + 16);
        const __m512 c = _mm512_permutex2var_ps(low, even, high);
        const __m512 s = _mm512_permutex2var_ps(low, odd, high);
        const __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + d / 2 + i);
        const __m512 first = _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s));
        const __m512 second = _mm512_fmadd_ps(a, s, _mm512_mul_ps(b, c));
        _mm512_storeu_ps(x + i, _mm512_mul_ps(first, scale));
        _mm512_storeu_ps(x + d / 2 + i, _mm512_mul_ps(second, scale));
    }
}

/* d is a multiple of 32: halves are whole registers. */
static void rope(float *x, const float *cos_sin, uint32_t d, bool interleaved, float scale)
{
    if (interleaved) rope_interleaved(x, cos_sin, d, _mm512_set1_ps(scale));
    else rope_halves(x, cos_sin, d, _mm512_set1_ps(scale));
}

/* NaN becomes 0, magnitudes are bounded by the largest f16. */
static inline __m256i to_f16_finite(const float *x)
{
    const __m512 v = _mm512_loadu_ps(x), max = _mm512_set1_ps(65504.0f);
    const __mmask16 is_number = _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q);
    const __m512 low = _mm512_maskz_min_ps(is_number, v, max);
    const __m512 bounded = _mm512_max_ps(low, _mm512_sub_ps(_mm512_setzero_ps(), max));
    return _mm512_cvtps_ph(bounded, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static void write_k_f16(uint16_t *page, uint32_t d_head, uint32_t at, const float *k)
{
    uint16_t column[MAX_D_HEAD];
    for (uint32_t i = 0; i < d_head; i += 16)
        _mm256_storeu_si256((__m256i *)(column + i), to_f16_finite(k + i));
    for (uint32_t i = 0; i < d_head; i++) page[i * PAGE_TOKENS + at] = column[i];
}

static void write_v_f16(uint16_t *page, uint32_t d_head, uint32_t at, const float *v)
{
    const uint32_t part = v_part(d_head);
    for (uint32_t i = 0; i < d_head; i += 16)
        _mm256_storeu_si256((__m256i *)(page + (i / part * PAGE_TOKENS + at) * part + i % part),
                            to_f16_finite(v + i));
}

static void kv_write(uint8_t *kv, const struct kv_layout *l, uint32_t at, const float *k,
                     const float *v)
{
    if (l->k == KV_F16) write_k_f16((uint16_t *)kv, l->d_head, at, k);
    else write_k_codes(l, kv, at, k);
    if (l->is_latent) return;
    if (l->v == KV_F16) write_v_f16((uint16_t *)(kv + l->v_at), l->d_head, at, v);
    else write_v_codes(l, kv + l->v_at, at, v);
}

void cpu_vector_avx512(struct cpu_kernels *k)
{
    k->rms_norm = rms_norm;
    k->gate = gate;
    k->times_sigmoid = times_sigmoid;
    k->convolve = convolve;
    k->state_step = state_step;
    k->multiply = multiply;
    k->dot = dot;
    k->largest = largest;
    k->take_off = take_off;
    k->add = add;
    k->cap = cap;
    k->rope = rope;
    k->kv_write = kv_write;
}

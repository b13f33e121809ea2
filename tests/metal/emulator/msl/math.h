/* Functions of numbers. Halves are computed as floats and rounded once. Accuracy is the C
 * library's, but for exp and tanh of fast::, and with MSL_FAST of metal:: too: those are computed
 * from 2^x as Apple's are, so that tanh is NaN where e^2x overflows. */
namespace emu {

static inline float precise_exp(float x) { return __builtin_expf(x); }
static inline float precise_tanh(float x) { return __builtin_tanhf(x); }
static inline float fast_exp(float x)
{
#pragma float_control(precise, on)
    return __builtin_exp2f(x * 1.44269504f);
}
static inline float fast_tanh(float x)
{
#pragma float_control(precise, on)
    const float e = fast_exp(2.0f * x);
    return (e - 1.0f) / (e + 1.0f);
}

}

namespace metal {

/* name(x) for a float by `of`, a half, vectors of both. */
#define EMU_UNARY(name, of)                                                                        \
    static inline float name(float x) { return of; }                                               \
    static inline half name(half h) { return (half)name((float)h); }                               \
    template <typename V> static inline emu::if_floats<V> name(V v)                                \
    {                                                                                              \
        for (int i = 0; i < emu::shape<V>::n; i++) v[i] = name(v[i]);                              \
        return v;                                                                                  \
    }
#define EMU_BINARY(name, of)                                                                       \
    static inline float name(float x, float y) { return of; }                                      \
    static inline half name(half g, half h) { return (half)name((float)g, (float)h); }             \
    template <typename V> static inline emu::if_floats<V> name(V v, V w)                           \
    {                                                                                              \
        for (int i = 0; i < emu::shape<V>::n; i++) v[i] = name(v[i], w[i]);                        \
        return v;                                                                                  \
    }

EMU_UNARY(acos, __builtin_acosf(x))
EMU_UNARY(asin, __builtin_asinf(x))
EMU_UNARY(atan, __builtin_atanf(x))
EMU_UNARY(ceil, __builtin_ceilf(x))
EMU_UNARY(cos, __builtin_cosf(x))
EMU_UNARY(cosh, __builtin_coshf(x))
#ifdef MSL_FAST
EMU_UNARY(exp, emu::fast_exp(x))
EMU_UNARY(tanh, emu::fast_tanh(x))
#else
EMU_UNARY(exp, emu::precise_exp(x))
EMU_UNARY(tanh, emu::precise_tanh(x))
#endif
EMU_UNARY(exp2, __builtin_exp2f(x))
EMU_UNARY(exp10, __builtin_exp10f(x))
EMU_UNARY(fabs, __builtin_fabsf(x))
EMU_UNARY(floor, __builtin_floorf(x))
EMU_UNARY(fract, __builtin_fminf(x - __builtin_floorf(x), 0x1.fffffep-1f))
EMU_UNARY(log, __builtin_logf(x))
EMU_UNARY(log2, __builtin_log2f(x))
EMU_UNARY(log10, __builtin_log10f(x))
EMU_UNARY(rint, __builtin_rintf(x))
EMU_UNARY(round, __builtin_roundf(x))
EMU_UNARY(rsqrt, 1.0f / __builtin_sqrtf(x))
EMU_UNARY(saturate, x > 0 ? x < 1 ? x : 1.0f : 0.0f)
EMU_UNARY(sign, x > 0 ? 1.0f : x < 0 ? -1.0f : x == 0 ? x : 0.0f)
EMU_UNARY(sin, __builtin_sinf(x))
EMU_UNARY(sinh, __builtin_sinhf(x))
EMU_UNARY(sqrt, __builtin_sqrtf(x))
EMU_UNARY(tan, __builtin_tanf(x))
EMU_UNARY(trunc, __builtin_truncf(x))
EMU_BINARY(atan2, __builtin_atan2f(x, y))
EMU_BINARY(copysign, __builtin_copysignf(x, y))
EMU_BINARY(divide, x / y)
EMU_BINARY(fdim, __builtin_fdimf(x, y))
EMU_BINARY(fmax, __builtin_fmaxf(x, y))
EMU_BINARY(fmin, __builtin_fminf(x, y))
EMU_BINARY(fmod, __builtin_fmodf(x, y))
EMU_BINARY(pow, __builtin_powf(x, y))
EMU_BINARY(powr, __builtin_powf(x, y))
EMU_BINARY(step, y < x ? 0.0f : 1.0f)
#undef EMU_BINARY

static inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline half fma(half a, half b, half c) { return (half)((double)a * (double)b + (double)c); }
template <typename V> static inline emu::if_floats<V> fma(V a, V b, V c)
{
    for (int i = 0; i < emu::shape<V>::n; i++) a[i] = fma(a[i], b[i], c[i]);
    return a;
}

static inline float ldexp(float x, int n) { return __builtin_ldexpf(x, n); }
static inline float mix(float x, float y, float a) { return x + (y - x) * a; }
template <typename V> static inline emu::if_floats<V> mix(V x, V y, V a) { return x + (y - x) * a; }

/* ---- of all types --------------------------------------------------------------------------- */

template <typename T> static inline T min(T x, T y)
{
    if constexpr (emu::is_vector<T>) {
        for (int i = 0; i < emu::shape<T>::n; i++) x[i] = y[i] < x[i] ? y[i] : x[i];
        return x;
    } else {
        return y < x ? y : x;
    }
}

template <typename T> static inline T max(T x, T y)
{
    if constexpr (emu::is_vector<T>) {
        for (int i = 0; i < emu::shape<T>::n; i++) x[i] = x[i] < y[i] ? y[i] : x[i];
        return x;
    } else {
        return x < y ? y : x;
    }
}

template <typename T> static inline T min3(T x, T y, T z) { return min(x, min(y, z)); }
template <typename T> static inline T max3(T x, T y, T z) { return max(x, max(y, z)); }
template <typename T> static inline T clamp(T x, T low, T high) { return min(max(x, low), high); }

template <typename T> static inline T abs(T x)
{
    if constexpr (emu::is_floating<typename emu::shape<T>::element>) return fabs(x);
    else return max(x, (T)-x);
}

template <typename T> static inline T absdiff(T x, T y) { return x < y ? y - x : x - y; }

template <typename T, typename C> static inline T select(T a, T b, C c)
{
    if constexpr (emu::is_vector<T>) {
        for (int i = 0; i < emu::shape<T>::n; i++) a[i] = c[i] ? b[i] : a[i];
        return a;
    } else {
        return c ? b : a;
    }
}

/* The bits decide, so that -ffast-math does not take them for impossible. */
static inline bool isnan(float x) { return (as_type<uint>(x) & 0x7fffffffu) > 0x7f800000u; }
static inline bool isinf(float x) { return (as_type<uint>(x) & 0x7fffffffu) == 0x7f800000u; }
static inline bool isfinite(float x) { return (as_type<uint>(x) & 0x7fffffffu) < 0x7f800000u; }
static inline bool signbit(float x) { return as_type<uint>(x) >> 31; }
static inline bool isnan(half x) { return (as_type<ushort>(x) & 0x7fff) > 0x7c00; }
static inline bool isinf(half x) { return (as_type<ushort>(x) & 0x7fff) == 0x7c00; }
static inline bool isfinite(half x) { return (as_type<ushort>(x) & 0x7fff) < 0x7c00; }
#define EMU_TEST(name)                                                                             \
    template <typename V, typename = emu::if_floats<V>> static inline auto name(V v)               \
    {                                                                                              \
        vec<bool, emu::shape<V>::n> r = {};                                                        \
        for (int i = 0; i < emu::shape<V>::n; i++) r[i] = name(v[i]);                              \
        return r;                                                                                  \
    }
EMU_TEST(isnan)
EMU_TEST(isinf)
EMU_TEST(isfinite)
#undef EMU_TEST

static inline bool any(bool b) { return b; }
static inline bool all(bool b) { return b; }
template <typename V, typename = emu::if_vector<V>> static inline bool any(V v)
{
    bool r = false;
    for (int i = 0; i < emu::shape<V>::n; i++) r |= (bool)v[i];
    return r;
}
template <typename V, typename = emu::if_vector<V>> static inline bool all(V v)
{
    bool r = true;
    for (int i = 0; i < emu::shape<V>::n; i++) r &= (bool)v[i];
    return r;
}

/* By rising element, without contraction: Metal leaves it open. */
template <typename V, typename = emu::if_floats<V>>
static inline typename emu::shape<V>::element dot(V a, V b)
{
    typename emu::shape<V>::element sum = a[0] * b[0];
    for (int i = 1; i < emu::shape<V>::n; i++) sum += a[i] * b[i];
    return sum;
}
template <typename V, typename = emu::if_floats<V>>
static inline auto length_squared(V a) { return dot(a, a); }
template <typename V, typename = emu::if_floats<V>>
static inline auto length(V a) { return sqrt(dot(a, a)); }
template <typename V, typename = emu::if_floats<V>>
static inline auto distance(V a, V b) { return length(a - b); }
template <typename V>
static inline emu::if_floats<V> normalize(V a) { return a * rsqrt(dot(a, a)); }

/* ---- integers ------------------------------------------------------------------------------- */

static inline uint popcount(uint x) { return (uint)__builtin_popcount(x); }
static inline int popcount(int x) { return __builtin_popcount((uint)x); }
static inline ulong popcount(ulong x) { return (ulong)__builtin_popcountl(x); }
static inline ushort popcount(ushort x) { return (ushort)__builtin_popcount(x); }
static inline uchar popcount(uchar x) { return (uchar)__builtin_popcount(x); }
static inline uint clz(uint x) { return x ? (uint)__builtin_clz(x) : 32; }
static inline int clz(int x) { return (int)clz((uint)x); }
static inline ulong clz(ulong x) { return x ? (ulong)__builtin_clzl(x) : 64; }
static inline uint ctz(uint x) { return x ? (uint)__builtin_ctz(x) : 32; }
static inline int ctz(int x) { return (int)ctz((uint)x); }
static inline ulong ctz(ulong x) { return x ? (ulong)__builtin_ctzl(x) : 64; }
static inline uint reverse_bits(uint x) { return __builtin_bitreverse32(x); }
static inline uint rotate(uint x, uint n) { return __builtin_rotateleft32(x, n); }
static inline uint mulhi(uint x, uint y) { return (uint)((ulong)x * y >> 32); }
static inline int mulhi(int x, int y) { return (int)((long)x * y >> 32); }
static inline uint mad24(uint x, uint y, uint z) { return x * y + z; }
static inline uint mul24(uint x, uint y) { return x * y; }

static inline uint extract_bits(uint x, uint offset, uint bits)
{
    return bits ? x << (32 - bits - offset) >> (32 - bits) : 0;
}
static inline int extract_bits(int x, uint offset, uint bits)
{
    return bits ? (int)((uint)x << (32 - bits - offset)) >> (32 - bits) : 0;
}
static inline uint insert_bits(uint base, uint insert, uint offset, uint bits)
{
    const uint mask = (bits < 32 ? (1u << bits) - 1 : ~0u) << offset;
    return (base & ~mask) | (insert << offset & mask);
}

#define EMU_SAME(f) using metal::f;
#define EMU_ALL_SAME                                                                               \
    EMU_SAME(acos) EMU_SAME(asin) EMU_SAME(atan) EMU_SAME(ceil) EMU_SAME(cos) EMU_SAME(cosh)       \
    EMU_SAME(exp2) EMU_SAME(exp10) EMU_SAME(fabs) EMU_SAME(floor) EMU_SAME(fract)    \
    EMU_SAME(log) EMU_SAME(log2) EMU_SAME(log10) EMU_SAME(rint) EMU_SAME(round) EMU_SAME(rsqrt)    \
    EMU_SAME(saturate) EMU_SAME(sign) EMU_SAME(sin) EMU_SAME(sinh) EMU_SAME(sqrt) EMU_SAME(tan)    \
    EMU_SAME(trunc) EMU_SAME(atan2) EMU_SAME(divide) EMU_SAME(fmax) EMU_SAME(fmin)  \
    EMU_SAME(fmod) EMU_SAME(pow) EMU_SAME(powr) EMU_SAME(min) EMU_SAME(max) EMU_SAME(clamp)        \
    EMU_SAME(abs) EMU_SAME(fma)
namespace precise {
EMU_ALL_SAME
EMU_UNARY(exp, emu::precise_exp(x))
EMU_UNARY(tanh, emu::precise_tanh(x))
}
namespace fast {
EMU_ALL_SAME
EMU_UNARY(exp, emu::fast_exp(x))
EMU_UNARY(tanh, emu::fast_tanh(x))
}
#undef EMU_UNARY
#undef EMU_SAME
#undef EMU_ALL_SAME

}

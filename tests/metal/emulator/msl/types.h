/* Address spaces, scalars, vectors.
 *
 * An address space is clang's, so that mixing two does not compile. The checked build does without
 * (MSL_FLAT): clang's instrumentation skips them. Vectors are clang's, too: a class could not be
 * read from memory of another space. */
#include <stdint.h>

#include "../abi.h"

#define __METAL__ 1
#define thread
#define kernel
#ifdef MSL_FLAT
#define device
#define constant const
#define threadgroup
/* The shim's own accesses are none of the kernels'. */
#define EMU_OWN __attribute__((no_sanitize("thread"), disable_sanitizer_instrumentation, noinline))
#else
#define device      __attribute__((address_space(1)))
#define constant    const __attribute__((address_space(2)))
#define threadgroup __attribute__((address_space(3)))
#define EMU_OWN     inline
#endif

typedef _Float16 half;
typedef __bf16 bfloat;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef unsigned long size_t;
typedef long ptrdiff_t;

#define INFINITY __builtin_inff()
#define NAN      __builtin_nanf("")
#define HUGE_VALF __builtin_huge_valf()
#define MAXFLOAT 3.40282347e+38f
#define FLT_MAX  3.40282347e+38f
#define FLT_MIN  1.17549435e-38f
#define FLT_EPSILON 1.1920929e-7f
#define MAXHALF  ((half)65504.0f)
#define HALF_MAX ((half)65504.0f)
#define M_PI_F   3.14159265f
#define M_LOG2E_F 1.44269504f
#define M_LN2_F  0.69314718f
#define M_SQRT1_2_F 0.70710678f
#define INT_MAX  2147483647
#define INT_MIN  (-2147483647 - 1)
#define UINT_MAX 4294967295u
#define SHRT_MAX 32767
#define USHRT_MAX 65535
#define UCHAR_MAX 255

namespace emu {

/* A type's element and how many it has. */
template <typename T> struct shape {
    typedef T element;
    static constexpr int n = 1;
};

template <bool is_true, typename T> struct only_if {};
template <typename T> struct only_if<true, T> { typedef T type; };
template <typename T, typename U> struct is_same { static constexpr bool value = false; };
template <typename T> struct is_same<T, T> { static constexpr bool value = true; };

template <typename T> constexpr bool is_floating =
    is_same<T, float>::value || is_same<T, half>::value || is_same<T, bfloat>::value;
template <typename T> constexpr bool is_vector = shape<T>::n > 1;

/* A vector of floats or halves: V f(V), by elements. */
template <typename V> using if_floats =
    typename only_if<is_vector<V> && is_floating<typename shape<V>::element>, V>::type;
template <typename V> using if_vector = typename only_if<is_vector<V>, V>::type;

}

#define EMU_VECTOR(T, N)                                                                           \
    typedef T T##N __attribute__((ext_vector_type(N)));                                            \
    template <> struct emu::shape<T##N> {                                                          \
        typedef T element;                                                                         \
        static constexpr int n = N;                                                                \
    };
#define EMU_PACKED(T, N)                                                                           \
    typedef T packed_##T##N __attribute__((ext_vector_type(N), aligned(sizeof(T))));
#define EMU_VECTORS(T) EMU_VECTOR(T, 2) EMU_VECTOR(T, 3) EMU_VECTOR(T, 4)

EMU_VECTORS(bool)
EMU_VECTORS(char)
EMU_VECTORS(uchar)
EMU_VECTORS(short)
EMU_VECTORS(ushort)
EMU_VECTORS(int)
EMU_VECTORS(uint)
EMU_VECTORS(long)
EMU_VECTORS(ulong)
EMU_VECTORS(half)
EMU_VECTORS(float)
EMU_VECTORS(bfloat)

/* Of 2 and 4 elements: clang has no vector of 3 that takes the room of 3. */
EMU_PACKED(char, 2) EMU_PACKED(char, 4) EMU_PACKED(uchar, 2) EMU_PACKED(uchar, 4)
EMU_PACKED(short, 2) EMU_PACKED(short, 4) EMU_PACKED(ushort, 2) EMU_PACKED(ushort, 4)
EMU_PACKED(int, 2) EMU_PACKED(int, 4) EMU_PACKED(uint, 2) EMU_PACKED(uint, 4)
EMU_PACKED(half, 2) EMU_PACKED(half, 4) EMU_PACKED(float, 2) EMU_PACKED(float, 4)

template <typename To, typename From> static inline To as_type(From from)
{
    static_assert(sizeof(To) == sizeof(From), "as_type: types of different size");
    return __builtin_bit_cast(To, from);
}

namespace metal {

template <typename T, int N> using vec = T __attribute__((ext_vector_type(N)));

template <typename T> struct numeric_limits;
template <> struct numeric_limits<float> {
    static constexpr float max() { return FLT_MAX; }
    static constexpr float lowest() { return -FLT_MAX; }
    static constexpr float infinity() { return INFINITY; }
};
template <> struct numeric_limits<half> {
    static constexpr half max() { return (half)65504.0f; }
    static constexpr half lowest() { return (half)-65504.0f; }
    static constexpr half infinity() { return (half)INFINITY; }
};

}

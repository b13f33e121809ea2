/* Vectors made of scalars and vectors: float4(x, half3) and so on. clang has no such constructors
 * for its vectors; so the type's name, where a parenthesis follows, is a macro. Last of the shim:
 * from here on the names are taken. A type that depends on a template's parameter has no
 * constructor. */
namespace emu {

template <typename V, typename A> static inline void place(V &v, int &i, A a)
{
    typedef typename shape<V>::element element;
    if constexpr (is_vector<A>)
        for (int k = 0; k < shape<A>::n; k++) v[i++] = (element)a[k];
    else
        v[i++] = (element)a;
}

template <typename V> static inline V make()
{
    return (V)(typename shape<V>::element)0;
}

template <typename V, typename A> static inline V make(A a)
{
    if constexpr (is_vector<A>) {
        static_assert(shape<A>::n == shape<V>::n,
                      "a vector made of one with another number of elements");
        return __builtin_convertvector(a, V);
    } else {
        return (V)(typename shape<V>::element)a;
    }
}

template <typename V, typename A, typename B, typename... C> static inline V make(A a, B b, C... c)
{
    static_assert(shape<A>::n + shape<B>::n + (shape<C>::n + ... + 0) == shape<V>::n,
                  "a vector made of more or fewer elements than it has");
    V v = {};
    int i = 0;
    place(v, i, a);
    place(v, i, b);
    (place(v, i, c), ...);
    return v;
}

}

#define bool2(...) emu::make<bool2>(__VA_ARGS__)
#define bool3(...) emu::make<bool3>(__VA_ARGS__)
#define bool4(...) emu::make<bool4>(__VA_ARGS__)
#define char2(...) emu::make<char2>(__VA_ARGS__)
#define char3(...) emu::make<char3>(__VA_ARGS__)
#define char4(...) emu::make<char4>(__VA_ARGS__)
#define uchar2(...) emu::make<uchar2>(__VA_ARGS__)
#define uchar3(...) emu::make<uchar3>(__VA_ARGS__)
#define uchar4(...) emu::make<uchar4>(__VA_ARGS__)
#define short2(...) emu::make<short2>(__VA_ARGS__)
#define short3(...) emu::make<short3>(__VA_ARGS__)
#define short4(...) emu::make<short4>(__VA_ARGS__)
#define ushort2(...) emu::make<ushort2>(__VA_ARGS__)
#define ushort3(...) emu::make<ushort3>(__VA_ARGS__)
#define ushort4(...) emu::make<ushort4>(__VA_ARGS__)
#define int2(...) emu::make<int2>(__VA_ARGS__)
#define int3(...) emu::make<int3>(__VA_ARGS__)
#define int4(...) emu::make<int4>(__VA_ARGS__)
#define uint2(...) emu::make<uint2>(__VA_ARGS__)
#define uint3(...) emu::make<uint3>(__VA_ARGS__)
#define uint4(...) emu::make<uint4>(__VA_ARGS__)
#define long2(...) emu::make<long2>(__VA_ARGS__)
#define long3(...) emu::make<long3>(__VA_ARGS__)
#define long4(...) emu::make<long4>(__VA_ARGS__)
#define ulong2(...) emu::make<ulong2>(__VA_ARGS__)
#define ulong3(...) emu::make<ulong3>(__VA_ARGS__)
#define ulong4(...) emu::make<ulong4>(__VA_ARGS__)
#define half2(...) emu::make<half2>(__VA_ARGS__)
#define half3(...) emu::make<half3>(__VA_ARGS__)
#define half4(...) emu::make<half4>(__VA_ARGS__)
#define float2(...) emu::make<float2>(__VA_ARGS__)
#define float3(...) emu::make<float3>(__VA_ARGS__)
#define float4(...) emu::make<float4>(__VA_ARGS__)
#define bfloat2(...) emu::make<bfloat2>(__VA_ARGS__)
#define bfloat3(...) emu::make<bfloat3>(__VA_ARGS__)
#define bfloat4(...) emu::make<bfloat4>(__VA_ARGS__)

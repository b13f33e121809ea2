/* Matrices of 8 x 8 that a simdgroup holds, two elements a lane: where they lie the engine says
 * (emu_set_layout). A product adds by rising k, one fma after the other in floats, on top of c; the
 * sum is rounded to the result's type at the end. Metal does not say how the GPU does it. */
namespace emu {

/* 8 row + column of this lane's first element; the second is the next. */
EMU_OWN static uint element()
{
    return emu_now->now->element;
}

typedef float float8 __attribute__((ext_vector_type(8)));

EMU_OWN static void multiply(emu_simd *s)
{
    const float8 *b = (const float8 *)s->b, *c = (const float8 *)s->c;
    float8 *d = (float8 *)s->d;
    for (int row = 0; row < 8; row++) {
        float8 sum = c[row];
        for (int k = 0; k < 8; k++)
            sum = __builtin_elementwise_fma((float8)s->a[row * 8 + k], b[k], sum);
        d[row] = sum;
    }
}

EMU_OWN static float2 multiply(float2 a, float2 b, float2 c)
{
    emu_group *g = emu_now;
    emu_fiber *self = g->now;
    emu_simd *s = self->simd;
    const uint at = self->element;
    __builtin_memcpy(s->a + at, &a, sizeof a);
    __builtin_memcpy(s->b + at, &b, sizeof b);
    __builtin_memcpy(s->c + at, &c, sizeof c);
    void (*combine)(emu_simd *) = multiply;
    emu_do->meet(g, (const void *)combine, "simdgroup_multiply", combine);
    float2 d;
    __builtin_memcpy(&d, s->d + at, sizeof d);
    return d;
}

}

namespace metal {

template <typename T, int n_cols, int n_rows = n_cols> struct simdgroup_matrix {
    static_assert(n_cols == 8 && n_rows == 8, "matrices have 8 rows and columns");
    typedef vec<T, 2> storage_type;
    storage_type elements;

    simdgroup_matrix() = default;
    explicit simdgroup_matrix(T diagonal)
    {
        const uint at = emu::element();
        elements[0] = at / 8 == at % 8 ? diagonal : (T)0;
        elements[1] = at / 8 == at % 8 + 1 ? diagonal : (T)0;
    }
    storage_type &thread_elements() { return elements; }
    const storage_type &thread_elements() const { return elements; }
};

typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;

template <typename T, int n_cols, int n_rows>
static inline simdgroup_matrix<T, n_cols, n_rows> make_filled_simdgroup_matrix(T value)
{
    simdgroup_matrix<T, n_cols, n_rows> m;
    m.elements[0] = m.elements[1] = value;
    return m;
}

/* Element (row, column) is at row * elements_per_row + column, or the other way about. */
#define EMU_LOAD_STORE(space)                                                                      \
    template <typename T>                                                                          \
    static inline void simdgroup_load(simdgroup_matrix<T, 8, 8> &m, const space T *from,           \
                                      ulong elements_per_row = 8, ulong2 origin = 0,               \
                                      bool transpose = false)                                      \
    {                                                                                              \
        const uint at = emu::element();                                                            \
        const ulong row = at / 8, column = at % 8;                                                 \
        from += origin.y * elements_per_row + origin.x;                                            \
        from += transpose ? column * elements_per_row + row : row * elements_per_row + column;     \
        m.elements[0] = from[0];                                                                   \
        m.elements[1] = from[transpose ? elements_per_row : 1];                                    \
    }                                                                                              \
    template <typename T>                                                                          \
    static inline void simdgroup_store(simdgroup_matrix<T, 8, 8> m, space T *to,                   \
                                       ulong elements_per_row = 8, ulong2 origin = 0,              \
                                       bool transpose = false)                                     \
    {                                                                                              \
        const uint at = emu::element();                                                            \
        const ulong row = at / 8, column = at % 8;                                                 \
        to += origin.y * elements_per_row + origin.x;                                              \
        to += transpose ? column * elements_per_row + row : row * elements_per_row + column;       \
        to[0] = m.elements[0];                                                                     \
        to[transpose ? elements_per_row : 1] = m.elements[1];                                      \
    }
#ifdef MSL_FLAT
EMU_LOAD_STORE()
#else
EMU_LOAD_STORE(device)
EMU_LOAD_STORE(threadgroup)
#endif
#undef EMU_LOAD_STORE

template <typename D, typename A, typename B, typename C>
static inline void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8> &d,
                                                 simdgroup_matrix<A, 8, 8> a,
                                                 simdgroup_matrix<B, 8, 8> b,
                                                 simdgroup_matrix<C, 8, 8> c)
{
    const float2 sums = emu::multiply(__builtin_convertvector(a.elements, float2),
                                      __builtin_convertvector(b.elements, float2),
                                      __builtin_convertvector(c.elements, float2));
    d.elements = __builtin_convertvector(sums, vec<D, 2>);
}

template <typename D, typename A, typename B>
static inline void simdgroup_multiply(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a,
                                      simdgroup_matrix<B, 8, 8> b)
{
    const float2 none = 0;
    const float2 sums = emu::multiply(__builtin_convertvector(a.elements, float2),
                                      __builtin_convertvector(b.elements, float2), none);
    d.elements = __builtin_convertvector(sums, vec<D, 2>);
}

}

/* Tensors of Metal 4 and MPP's matmul2d, as far as kernels here use them: two dimensions, the inner
 * one first; a product by one simdgroup into a tensor that its lanes hold, element lane + 32 i at
 * place i. A product adds by rising k, one fma after the other in floats, on top of what is there.
 * Metal says neither who holds what nor the order. */
namespace metal {

template <typename T, int n> struct array {
    T of[n];
    constexpr T operator[](int i) const { return of[i]; }
};

template <typename T, int n> struct dextents {
    T of[n];
};

struct execution_simdgroup {};

template <typename P> struct tensor {
    P at;
    int inner, outer, inner_stride, outer_stride;

    tensor(P first, dextents<int, 2> size, array<int, 2> strides)
        : at(first), inner(size.of[0]), outer(size.of[1]), inner_stride(strides[0]),
          outer_stride(strides[1])
    {
    }
    auto get(int i, int o) const { return at[(long)o * outer_stride + (long)i * inner_stride]; }
};

}

namespace mpp {
namespace tensor_ops {

struct matmul2d_descriptor {
    enum class mode { multiply, multiply_accumulate };
    int m, n, k;
    bool transpose_left, transpose_right, relaxed;
    mode how;

    constexpr matmul2d_descriptor(int rows, int columns, int depth, bool left = false,
                                  bool right = false, bool is_relaxed = false,
                                  mode what = mode::multiply)
        : m(rows), n(columns), k(depth), transpose_left(left), transpose_right(right),
          relaxed(is_relaxed), how(what)
    {
    }
};

template <typename T, int n_columns, int n_rows> struct held_tensor {
    static_assert(n_columns * n_rows % 32 == 0, "a tensor that the lanes do not share evenly");
    T of[n_columns * n_rows / 32];

    unsigned short get_capacity() const { return n_columns * n_rows / 32; }
    T &operator[](unsigned short i) { return of[i]; }
    metal::array<int, 2> get_multidimensional_index(unsigned short i) const
    {
        const int at = emu::lane() + 32 * i;
        return { at % n_columns, at / n_columns };
    }
};

template <matmul2d_descriptor shape, typename scope> struct matmul2d {
    static_assert(emu::is_same<scope, metal::execution_simdgroup>::value, "by one simdgroup");
    static_assert(shape.how == matmul2d_descriptor::mode::multiply_accumulate &&
                      !shape.transpose_left && shape.transpose_right && !shape.relaxed,
                  "a form of matmul2d that is not known here");

    template <typename A, typename B, typename T>
    held_tensor<T, shape.n, shape.m> get_destination_cooperative_tensor()
    {
        return {};
    }
    template <typename A, typename B, typename C> void run(const A &a, const B &b, C &c)
    {
        if (a.inner != shape.k || a.outer != shape.m || b.inner != shape.k || b.outer != shape.n)
            __builtin_trap();
        static_assert(shape.n == 32, "a lane holds one column, and place i is its row i");
        const int column = emu::lane();
        float left[shape.k][shape.m], right[shape.k], sum[shape.m];
        for (int k = 0; k < shape.k; k++) right[k] = (float)b.get(k, column);
        for (int i = 0; i < shape.m; i++) {
            sum[i] = c[i];
            for (int k = 0; k < shape.k; k++) left[k][i] = (float)a.get(k, i);
        }
        for (int k = 0; k < shape.k; k++)   /* all rows at once: their sums do not wait */
            for (int i = 0; i < shape.m; i++)
                sum[i] = __builtin_fmaf(left[k][i], right[k], sum[i]);
        for (int i = 0; i < shape.m; i++) c[i] = sum[i];
        metal::simdgroup_barrier(metal::mem_flags::mem_none);
    }
};

}
}

/* Matrix products by the tensor operations of Metal 4 (MPP's matmul2d), which run on the M5's own
 * units at several times the rate of the matrices of 8 x 8. A library of its own, compiled where
 * the backend is "metal-tensors" and the GPU has them: no Mac has run this yet (docs/metal.md).
 *
 * A threadgroup of four simdgroups computes a tile of 32 rows for 32 columns; chunk c is simdgroup
 * c % 4's, and their sums are added in their order. One kernel for all column counts: that a
 * column's sums do not depend on its place among the 32 is for the self-test to find out. */

/* What four simdgroups need: their unpacked weights, 32 rows of a chunk, and their sums. */
struct tensor_shared {
    half rows[PRODUCT_SIMDGROUPS][TILE_ROWS * CHUNK];
    float sums[PRODUCT_SIMDGROUPS][TENSOR_COLUMNS * TILE_ROWS];
};

/* This simdgroup's chunks of a tile times 32 columns from x on. */
template <typename W>
static inline void accumulate_tensor(device const uchar *tile, uint n_chunks, device const half *x,
                                     uint ld_x, thread const by_row &reader,
                                     threadgroup tensor_shared &shared, uint simd, uint lane)
{
    constexpr auto shape = mpp::tensor_ops::matmul2d_descriptor(
        TENSOR_COLUMNS, TILE_ROWS, CHUNK, false, true, false,
        mpp::tensor_ops::matmul2d_descriptor::mode::multiply_accumulate);
    mpp::tensor_ops::matmul2d<shape, execution_simdgroup> multiply;
    device half *columns = (device half *)x;    /* MPP wants what it reads to be writable */
    auto some = tensor(columns, dextents<int, 2>{ CHUNK, TENSOR_COLUMNS },
                       array<int, 2>{ 1, int(ld_x) });
    auto rows = tensor(&shared.rows[simd][0], dextents<int, 2>{ CHUNK, TILE_ROWS },
                       array<int, 2>{ 1, CHUNK });
    auto sums = multiply.template get_destination_cooperative_tensor<decltype(some), decltype(rows),
                                                                     float>();
    /* of 32 x 32 elements each lane holds 32, all of them valid. Unrolled, as Apple's header wants
     * it, so that they stay in registers */
#pragma unroll
    for (ushort i = 0; i < sums.get_capacity(); i++) sums[i] = 0;
    for (uint c = simd; c < n_chunks; c += PRODUCT_SIMDGROUPS) {
        W w;
        w.load(tile, c, reader);
        simdgroup_barrier(mem_flags::mem_threadgroup);      /* the chunk before was read */
        for (uint f = 0; f < 4; f++)
            for (uint i = 0; i < 4; i++)
                *(threadgroup half2 *)&shared.rows[simd][lane * CHUNK + f * 8 + 2 * i] =
                    w.get(i, f);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        auto of_chunk = tensor(columns + c * CHUNK, dextents<int, 2>{ CHUNK, TENSOR_COLUMNS },
                               array<int, 2>{ 1, int(ld_x) });
        multiply.run(of_chunk, rows, sums);
    }
#pragma unroll
    for (ushort i = 0; i < sums.get_capacity(); i++) {
        const auto at = sums.get_multidimensional_index(i);     /* row of the tile, column */
        shared.sums[simd][at[1] * TILE_ROWS + at[0]] = sums[i];
    }
}

enum { OF_THREAD = TENSOR_COLUMNS * TILE_ROWS / (32 * PRODUCT_SIMDGROUPS) };

/* Adds the simdgroups' sums in their order; a thread keeps every 128th. */
static inline void reduce_tensor(threadgroup tensor_shared &shared, uint thread_index,
                                 thread float *own)
{
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint j = 0; j < OF_THREAD; j++) {
        const uint at = thread_index + j * 32 * PRODUCT_SIMDGROUPS;
        own[j] = shared.sums[0][at];
        for (uint s = 1; s < PRODUCT_SIMDGROUPS; s++) own[j] += shared.sums[s][at];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

/* Arguments as of `product`. Grid: (tiles, blocks of 32 columns). */
template <typename W>
[[max_total_threads_per_threadgroup(PRODUCT_SIMDGROUPS * 32)]]
kernel void product_tensor(device const uchar *tiles [[buffer(0)]],
                           device const uchar *gate_tiles [[buffer(1)]],
                           device const half *x [[buffer(2)]],
                           device float *out [[buffer(3)]],
                           device half *act [[buffer(4)]],
                           device const float *gate_rows [[buffer(5)]],
                           device const uchar4 *lanes [[buffer(6)]],
                           constant product_args &a [[buffer(7)]],
                           uint2 group [[threadgroup_position_in_grid]],
                           uint thread_index [[thread_index_in_threadgroup]],
                           uint simd [[simdgroup_index_in_threadgroup]],
                           uint lane [[thread_index_in_simdgroup]])
{
    threadgroup tensor_shared shared;
    const ulong tile_at = ulong(group.x) * a.tile_bytes;
    const by_row reader = { lanes[32 + lane % 8], lane % 8, lane / 8 };
    const uint first_col = a.first_col + group.y * TENSOR_COLUMNS;
    device const half *columns = x + ulong(first_col) * a.ld_x;
    float own[OF_THREAD], gate[OF_THREAD];

    if (a.epilogue == EPILOGUE_GATED) {
        accumulate_tensor<W>(gate_tiles + tile_at, a.n_chunks, columns, a.ld_x, reader, shared,
                             simd, lane);
        reduce_tensor(shared, thread_index, gate);
    }
    accumulate_tensor<W>(tiles + tile_at, a.n_chunks, columns, a.ld_x, reader, shared, simd, lane);
    reduce_tensor(shared, thread_index, own);
    for (uint j = 0; j < OF_THREAD; j++) {
        const uint at = thread_index + j * 32 * PRODUCT_SIMDGROUPS;
        const ulong col = first_col + at / TILE_ROWS, row = group.x * TILE_ROWS + at % TILE_ROWS;
        const ulong to = col * a.ld_out + row;
        if (a.epilogue == EPILOGUE_STORE) out[to] = own[j] * a.scale;
        else if (a.epilogue == EPILOGUE_ADD) out[to] += own[j] * a.scale;
        else if (a.epilogue == EPILOGUE_GATED) act[to] = gated(a, gate[j], own[j]);
        else act[to] = gated(a, gate_rows[col * a.ld_gate + row], own[j]);
    }
}

#define PRODUCT_TENSOR(format)                                                                     \
    template [[host_name("product_tensor_" #format)]] kernel                                       \
    decltype(product_tensor<weights_##format>) product_tensor<weights_##format>;

PRODUCT_TENSOR(f16)
PRODUCT_TENSOR(q8_0)
PRODUCT_TENSOR(q4_0)
PRODUCT_TENSOR(q4_1)
PRODUCT_TENSOR(q5_0)
PRODUCT_TENSOR(q5_1)
PRODUCT_TENSOR(q4_k)
PRODUCT_TENSOR(q5_k)
PRODUCT_TENSOR(q6_k)
PRODUCT_TENSOR(iq4_nl)
PRODUCT_TENSOR(iq4_xs)
PRODUCT_TENSOR(mxfp4)

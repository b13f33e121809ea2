/* Matrix products by the tensor operations of Metal 4 (MPP's matmul2d), which run on the M5's own
 * units at several times the rate of the matrices of 8 x 8. A library of its own, compiled where
 * the backend is "metal-tensors" and the GPU has them: no Mac has run this yet (docs/metal.md).
 *
 * A threadgroup of four simdgroups computes a tile of 32 rows for 32 columns; chunk c is simdgroup
 * c % 4's, and their sums are added in their order. One kernel for all column counts: that a
 * column's sums do not depend on its place among the 32 is for the self-test to find out. */

/* What a simdgroup needs: 32 rows of a chunk, their weights unpacked, and 32 columns of it, both
 * row after row; in the end its sums in their place. */
union tensor_part {
    struct {
        half rows[TILE_ROWS * CHUNK], columns[TENSOR_COLUMNS * CHUNK];
    } of;
    float sums[TENSOR_COLUMNS * TILE_ROWS];
};

struct tensor_shared {
    tensor_part part[PRODUCT_SIMDGROUPS];
};

/* A chunk of 32 columns out of half_at's order: of each 8 a lane has two columns at a k of 8. */
static inline void stage_columns(device const half *x, uint ld_x, uint chunk, threadgroup half *to,
                                 uint lane)
{
    for (uint j = 0; j < TENSOR_COLUMNS / 8; j++) {
        const uint4 values =
            ((device const uint4 *)(x + ulong(j) * 8 * ld_x + chunk * 8 * CHUNK))[lane];
        for (uint f = 0; f < 4; f++) {
            const half2 two = as_type<half2>(values[f]);
            const uint col = 8 * j + lane % 4 * 2, k = 8 * f + lane / 4;
            to[col * CHUNK + k] = two.x;
            to[(col + 1) * CHUNK + k] = two.y;
        }
    }
}

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
    auto columns =
        tensor(&shared.part[simd].of.columns[0], dextents<int, 2>{ CHUNK, TENSOR_COLUMNS },
               array<int, 2>{ 1, CHUNK });
    auto rows = tensor(&shared.part[simd].of.rows[0], dextents<int, 2>{ CHUNK, TILE_ROWS },
                       array<int, 2>{ 1, CHUNK });
    auto sums = multiply.template get_destination_cooperative_tensor<decltype(columns),
                                                                     decltype(rows), float>();
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
                *(threadgroup half2 *)&shared.part[simd].of.rows[lane * CHUNK + f * 8 + 2 * i] =
                    w.get(i, f);
        stage_columns(x, ld_x, c, &shared.part[simd].of.columns[0], lane);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        multiply.run(columns, rows, sums);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);          /* the last one too */
#pragma unroll
    for (ushort i = 0; i < sums.get_capacity(); i++) {
        const auto at = sums.get_multidimensional_index(i);     /* row of the tile, column */
        shared.part[simd].sums[at[1] * TILE_ROWS + at[0]] = sums[i];
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
        own[j] = shared.part[0].sums[at];
        for (uint s = 1; s < PRODUCT_SIMDGROUPS; s++) own[j] += shared.part[s].sums[at];
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
        else
            act[half_at(uint(col), uint(row), a.ld_out)] =
                gated(a, a.epilogue == EPILOGUE_GATED ? gate[j] : gate_rows[col * a.ld_gate + row],
                      own[j]);
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

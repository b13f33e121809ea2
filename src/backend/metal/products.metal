/* Matrix products: a threadgroup of four simdgroups computes one tile of 32 rows, for 8 NB
 * columns by the matrix unit, or for up to four without it. Both give a column the same bits, or
 * a reply would depend on how many are served (docs/decisions/003-metal-columns.md). */

template <int NB>
static inline void finish(thread row_sums<NB> &sums, device float *out, uint row, uint col,
                          constant product_args &a)
{
#pragma unroll
    for (int j = 0; j < NB; j++) {
        const ulong first_col = col + 8 * j;
        thread simdgroup_float8x8 &sum = sums.of[j];
        for (int e = 0; e < 2; e++) sum.thread_elements()[e] *= a.scale;     /* a power of two */
        device float *at = out + first_col * a.ld_out + row;
        if (a.epilogue == EPILOGUE_STORE) {
            simdgroup_store(sum, at, a.ld_out, ulong2(0, 0), true);
        } else if (a.epilogue == EPILOGUE_ADD) {
            simdgroup_float8x8 old;
            simdgroup_load(old, (device const float *)at, a.ld_out, ulong2(0, 0), true);
            for (int e = 0; e < 2; e++) sum.thread_elements()[e] += old.thread_elements()[e];
            simdgroup_store(sum, at, a.ld_out, ulong2(0, 0), true);
        }
    }
}

template <int NB>
static inline void finish_gated(thread row_sums<NB> &gate, thread row_sums<NB> &up,
                                device half *act, uint row, uint col, constant product_args &a,
                                thread const by_lane &reader)
{
#pragma unroll
    for (int j = 0; j < NB; j++) {
        half2 two;
        for (int e = 0; e < 2; e++)
            two[e] = gated(a, gate.of[j].thread_elements()[e], up.of[j].thread_elements()[e]);
        const uint first = col + 8 * j + reader.slot % 4 * 2;   /* the lane's two columns */
        *(device half2 *)(act + half_at(first, row + reader.row, a.ld_out)) = two;
    }
}

/* One tile times 8 NB columns from `col` on. tile, gate_tile: where their bytes begin; row: of the
 * output, this simdgroup's first. The rest as the kernels below have it. */
template <typename W, int NB>
static inline void product_tile(device const uchar *tile, device const uchar *gate_tile,
                                device const half *x, device float *out, device half *act,
                                device const float *gate_rows, uint row, uint col,
                                constant product_args &a, thread const by_lane &reader,
                                threadgroup float2 *shared, uint simd)
{
    device const half *columns = x + ulong(col) * a.ld_x;
    tile_sums<NB> sums;
    row_sums<NB> own, gate;

    if (a.epilogue == EPILOGUE_GATED) {
        accumulate<W, NB>(gate_tile, a.n_chunks, columns, a.ld_x, reader, simd, sums);
        reduce<NB>(sums, shared, simd, reader.lane, gate);
    } else if (a.epilogue == EPILOGUE_TIMES_GATE) {
        for (int j = 0; j < NB; j++)
            simdgroup_load(gate.of[j], gate_rows + ulong(col + 8 * j) * a.ld_gate + row, a.ld_gate,
                           ulong2(0, 0), true);
    }
    accumulate<W, NB>(tile, a.n_chunks, columns, a.ld_x, reader, simd, sums);
    reduce<NB>(sums, shared, simd, reader.lane, own);
    if (a.epilogue == EPILOGUE_GATED || a.epilogue == EPILOGUE_TIMES_GATE)
        finish_gated<NB>(gate, own, act, row, col, a, reader);
    else
        finish<NB>(own, out, row, col, a);
}

/* The same for NC columns without the matrix unit; row: of the output, this lane's. */
template <typename W, int NC>
static inline void few_tile(device const uchar *tile, device const uchar *gate_tile,
                            device const half *x, device float *out, device half *act,
                            device const float *gate_rows, uint row, uint col,
                            constant product_args &a, thread const by_row &reader,
                            threadgroup float *shared, uint simd, uint lane)
{
    device const half *columns = x + ulong(col) * a.ld_x;
    float sums[NC], gate[NC];

    if (a.epilogue == EPILOGUE_GATED) {
        accumulate_few<W, NC>(gate_tile, a.n_chunks, columns, reader, simd, gate);
        reduce_few<NC>(gate, shared, simd, lane);
    } else if (a.epilogue == EPILOGUE_TIMES_GATE) {
        for (int j = 0; j < NC; j++) gate[j] = gate_rows[ulong(col + j) * a.ld_gate + row];
    }
    accumulate_few<W, NC>(tile, a.n_chunks, columns, reader, simd, sums);
    reduce_few<NC>(sums, shared, simd, lane);
    for (int j = simd; j < NC; j += PRODUCT_SIMDGROUPS) {
        const ulong at = ulong(col + j) * a.ld_out + row;
        if (a.epilogue == EPILOGUE_STORE) out[at] = sums[j] * a.scale;
        else if (a.epilogue == EPILOGUE_ADD) out[at] += sums[j] * a.scale;
        else act[half_at(col + j, row, a.ld_out)] = gated(a, gate[j], sums[j]);
    }
}

/* tiles: the matrix's; gate_tiles: of EPILOGUE_GATED, the same format and shape. out: (columns,
 * ld_out) f32, or act, f16 in half_at's order as x, of the gated epilogues. gate_rows: (columns,
 * ld_gate) f32 of EPILOGUE_TIMES_GATE. lanes: (32) row, k and k of each lane's two elements, then
 * (8) the lanes of each row by rising k. Grid: (tiles, blocks of 8 NB columns). shared: NB KiB. */
template <typename W, int NB>
[[max_total_threads_per_threadgroup(PRODUCT_SIMDGROUPS * 32)]]
kernel void product(device const uchar *tiles [[buffer(0)]],
                    device const uchar *gate_tiles [[buffer(1)]],
                    device const half *x [[buffer(2)]],
                    device float *out [[buffer(3)]],
                    device half *act [[buffer(4)]],
                    device const float *gate_rows [[buffer(5)]],
                    device const uchar4 *lanes [[buffer(6)]],
                    constant product_args &a [[buffer(7)]],
                    threadgroup float2 *shared [[threadgroup(0)]],
                    uint2 group [[threadgroup_position_in_grid]],
                    uint simd [[simdgroup_index_in_threadgroup]],
                    uint lane [[thread_index_in_simdgroup]])
{
    const ulong tile_at = ulong(group.x) * a.tile_bytes;
    const by_lane reader = by_lane_of(lane, lanes[lane]);
    product_tile<W, NB>(tiles + tile_at, gate_tiles + tile_at, x, out, act, gate_rows,
                        group.x * TILE_ROWS + simd * 8, a.first_col + group.y * 8 * NB, a, reader,
                        shared, simd);
}

/* The same for NC columns from a.first_col on. Grid: tiles. shared: NC / 2 KiB. */
template <typename W, int NC>
[[max_total_threads_per_threadgroup(PRODUCT_SIMDGROUPS * 32)]]
kernel void product_few(device const uchar *tiles [[buffer(0)]],
                        device const uchar *gate_tiles [[buffer(1)]],
                        device const half *x [[buffer(2)]],
                        device float *out [[buffer(3)]],
                        device half *act [[buffer(4)]],
                        device const float *gate_rows [[buffer(5)]],
                        device const uchar4 *lanes [[buffer(6)]],
                        constant product_args &a [[buffer(7)]],
                        threadgroup float *shared [[threadgroup(0)]],
                        uint group [[threadgroup_position_in_grid]],
                        uint simd [[simdgroup_index_in_threadgroup]],
                        uint lane [[thread_index_in_simdgroup]])
{
    const ulong tile_at = ulong(group) * a.tile_bytes;
    const by_row reader = { lanes[32 + lane % 8], lane % 8, lane / 8 };
    few_tile<W, NC>(tiles + tile_at, gate_tiles + tile_at, x, out, act, gate_rows,
                    group * TILE_ROWS + lane, a.first_col, a, reader, shared, simd, lane);
}

#define PRODUCT(format, n)                                                                         \
    template [[host_name("product_" #format "_" #n)]] kernel                                       \
    decltype(product<weights_##format, n>) product<weights_##format, n>;
#define PRODUCT_FEW(format, n)                                                                     \
    template [[host_name("product_few_" #format "_" #n)]] kernel                                   \
    decltype(product_few<weights_##format, n>) product_few<weights_##format, n>;
#define PRODUCTS(format)                                                                           \
    PRODUCT(format, 1) PRODUCT(format, 2) PRODUCT(format, 3) PRODUCT(format, 4)                    \
    PRODUCT(format, 5) PRODUCT(format, 6) PRODUCT(format, 7) PRODUCT(format, 8)                    \
    PRODUCT_FEW(format, 1) PRODUCT_FEW(format, 2) PRODUCT_FEW(format, 3) PRODUCT_FEW(format, 4)

PRODUCTS(f16)
PRODUCTS(q8_0)
PRODUCTS(q4_0)
PRODUCTS(q4_1)
PRODUCTS(q5_0)
PRODUCTS(q5_1)
PRODUCTS(q4_k)
PRODUCTS(q5_k)
PRODUCTS(q6_k)
PRODUCTS(iq4_nl)
PRODUCTS(iq4_xs)
PRODUCTS(mxfp4)

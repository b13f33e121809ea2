/* Matrix products: a threadgroup of four simdgroups computes one tile of 32 rows for 8 NB columns. One
 * way for all column counts: a product of its own for a lone column would sum in another order, and a
 * reply would depend on how many are served (docs/decisions/003-metal-one-product.md). */

template <int NB>
static inline void finish(thread row_sums<NB> &sums, device float *out, uint row, uint col,
                          constant product_args &a)
{
#pragma unroll
    for (int j = 0; j < NB; j++) {
        const ulong first_col = col + 8 * j;
        thread simdgroup_float8x8 &sum = sums.of[j];
        for (int e = 0; e < 2; e++) sum.thread_elements()[e] *= a.scale;
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

/* ACT = activation(gate) * up, scaled and bounded to what a half holds. */
template <int NB>
static inline void finish_gated(thread row_sums<NB> &gate, thread row_sums<NB> &up,
                                device half *act, uint row, uint col, constant product_args &a)
{
#pragma unroll
    for (int j = 0; j < NB; j++) {
        simdgroup_half8x8 result;
        for (int e = 0; e < 2; e++) {
            const float value = activated(a.activation, gate.of[j].thread_elements()[e]) *
                                up.of[j].thread_elements()[e];
            result.thread_elements()[e] = half(bounded(value * a.scale));
        }
        simdgroup_store(result, act + ulong(col + 8 * j) * a.ld_out + row, a.ld_out, ulong2(0, 0),
                        true);
    }
}

/* tiles: the matrix's; gate_tiles: of EPILOGUE_GATED, the same format and shape. out: (columns, ld_out)
 * f32, or act, f16, of the gated epilogues. gate_rows: (columns, ld_gate) f32 of EPILOGUE_TIMES_GATE.
 * Grid: (tiles, blocks of 8 NB columns). shared: NB KiB. */
template <typename W, int NB>
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
    const uint col = a.first_col + group.y * 8 * NB, row = group.x * TILE_ROWS + simd * 8;
    const ulong tile_at = ulong(group.x) * a.tile_bytes;
    device const half *columns = x + ulong(col) * a.ld_x;
    tile_sums<NB> sums;
    row_sums<NB> own, gate;

    if (a.epilogue == EPILOGUE_GATED) {
        accumulate<W, NB>(gate_tiles + tile_at, a.n_chunks, columns, a.ld_x, lanes[lane].x, simd, lane,
                          sums);
        reduce<NB>(sums, shared, simd, lane, gate);
    } else if (a.epilogue == EPILOGUE_TIMES_GATE) {
        for (int j = 0; j < NB; j++)
            simdgroup_load(gate.of[j], gate_rows + ulong(col + 8 * j) * a.ld_gate + row, a.ld_gate,
                           ulong2(0, 0), true);
    }
    accumulate<W, NB>(tiles + tile_at, a.n_chunks, columns, a.ld_x, lanes[lane].x, simd, lane, sums);
    reduce<NB>(sums, shared, simd, lane, own);
    if (a.epilogue == EPILOGUE_GATED || a.epilogue == EPILOGUE_TIMES_GATE)
        finish_gated<NB>(gate, own, act, row, col, a);
    else
        finish<NB>(own, out, row, col, a);
}

#define PRODUCT(format, n)                                                                         \
    template [[host_name("product_" #format "_" #n)]] kernel                                       \
    decltype(product<weights_##format, n>) product<weights_##format, n>;
#define PRODUCTS(format)                                                                           \
    PRODUCT(format, 1) PRODUCT(format, 2) PRODUCT(format, 3) PRODUCT(format, 4)                    \
    PRODUCT(format, 5) PRODUCT(format, 6) PRODUCT(format, 7) PRODUCT(format, 8)

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

/* Attention over KV pages. Positions are cut into parts of SPLIT at fixed places; a block of
 * threads computes one part of one column and one KV head, for all query heads of that. The block
 * that is done last adds the parts up in their order: what a column gets depends on its own
 * positions alone, whether it decodes or is one of a prompt's.
 *
 * The tensor cores take keys as rows and query heads as the narrow side of 8:
 *     S (positions, heads) = K Q^T,    O (dimensions, heads) = V^T P^T
 * A warp has 32 positions of S and every fourth 16 dimensions of O. Softmax runs in base 2. */
#include <cuda_fp16.h>

#include "backend/cuda/device.cuh"
#include "backend/cuda/ptx.cuh"

static constexpr int THREADS = 128, WARPS = 4, HEADS = MAX_HEADS_A_PASS;

/* Rows of shared memory are 16 bytes longer than needed, so that neighbours lie in other banks. */
template <int D> struct room {
    static constexpr int ld = D + 8, ld_p = SPLIT + 8;
    static constexpr int keys = 0, values = SPLIT * ld * 2, weights = 2 * values;
    static constexpr int maxima = weights + HEADS * ld_p * 2, sums = maxima + WARPS * HEADS * 4;
    static constexpr int bytes = sums + WARPS * HEADS * 4 + 16;
};

DEV uint32_t window_begin(uint32_t pos, uint32_t window)
{
    return window && pos + 1 > window ? pos + 1 - window : 0;
}

/* K and V of a part; positions behind the column's own are zeros, for nobody may have written
 * them. */
template <int D>
DEV void load_part(const attend_args &a, uint32_t smem, uint32_t col, uint32_t head, uint32_t from,
                   uint32_t pos)
{
    using R = room<D>;
    constexpr int pieces = D / 8;
    const uint32_t *pages = a.pages + a.page_at[col];
    for (int i = threadIdx.x; i < 2 * SPLIT * pieces; i += THREADS) {
        const int piece = i % pieces, row = i / pieces % SPLIT, is_v = i / (pieces * SPLIT);
        const uint32_t p = from + row;
        const bool is_there = p <= pos;
        const uint8_t *page = a.kv.kv + (is_there ? pages[p / CUDA_PAGE] * a.kv.page_bytes : 0);
        const uint8_t *at =
            page + (((size_t)(head * 2 + is_v) * CUDA_PAGE + p % CUDA_PAGE) * D + piece * 8) * 2;
        async_load(smem + (is_v ? R::values : R::keys) + (row * R::ld + piece * 8) * 2, at,
                   is_there);
    }
    async_wait_all();
    __syncthreads();
}

/* s[i]: positions 32 warp + 16 i .. of the part, for the heads of the pass. */
template <int D>
DEV void score_part(const attend_args &a, uint32_t smem, const uint16_t *q, uint32_t n_heads,
                    int warp, int lane, float s[2][4])
{
    using R = room<D>;
    const uint32_t head = lane / 4;
    const uint32_t *q_words = (const uint32_t *)(q + (size_t)head * D) + lane % 4;
    #pragma unroll
    for (int i = 0; i < 2; i++) s[i][0] = s[i][1] = s[i][2] = s[i][3] = 0;
    #pragma unroll
    for (int k = 0; k < D; k += 16) {
        uint32_t b[2], keys[4];
        b[0] = head < n_heads ? q_words[k / 2] : 0;
        b[1] = head < n_heads ? q_words[k / 2 + 4] : 0;
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const int row = warp * 32 + i * 16 + lane % 16;
            ldmatrix4(keys, smem + R::keys + (row * R::ld + k + lane / 16 * 8) * 2);
            mma16816(s[i], keys, b);
        }
    }
}

/* Caps, masks, and turns scores into weights of the part's own maximum; maxima and sums of the
 * pass's heads come to stand in shared memory. */
template <int D>
DEV void weigh_part(const attend_args &a, uint8_t *shared, float s[2][4], uint32_t from,
                    uint32_t first_pos, uint32_t pos, int warp, int lane, float *most, float *sum)
{
    using R = room<D>;
    float *maxima = (float *)(shared + R::maxima), *sums = (float *)(shared + R::sums);
    __half *weights = (__half *)(shared + R::weights);
    float largest[2] = { -INFINITY, -INFINITY }, total[2] = { 0, 0 };
    #pragma unroll
    for (int i = 0; i < 8; i++) {
        float &x = s[i / 4][i % 4];
        const uint32_t p = from + warp * 32 + i / 4 * 16 + i % 4 / 2 * 8 + lane / 4;
        if (a.score_cap != 0) x = a.score_cap * tanhf(x / a.score_cap);
        if (p > pos || p < first_pos) x = -INFINITY;
        largest[i % 2] = fmaxf(largest[i % 2], x);
    }
    #pragma unroll
    for (int h = 0; h < 2; h++) {
        #pragma unroll
        for (int i = 4; i < 32; i *= 2)
            largest[h] = fmaxf(largest[h], __shfl_xor_sync(~0u, largest[h], i));
        if (lane < 4) maxima[warp * HEADS + lane * 2 + h] = largest[h];
    }
    __syncthreads();
    #pragma unroll
    for (int h = 0; h < 2; h++) {
        const int head = lane % 4 * 2 + h;
        for (int w = 0; w < WARPS; w++) largest[h] = fmaxf(largest[h], maxima[w * HEADS + head]);
        if (largest[h] == -INFINITY) largest[h] = 0;    /* a broken row: all weights are 0 */
    }
    #pragma unroll
    for (int i = 0; i < 8; i++) {
        const float w = exp2f(s[i / 4][i % 4] - largest[i % 2]);
        const int row = warp * 32 + i / 4 * 16 + i % 4 / 2 * 8 + lane / 4;
        total[i % 2] += w;
        weights[(lane % 4 * 2 + i % 2) * R::ld_p + row] = __float2half_rn(w);
    }
    #pragma unroll
    for (int h = 0; h < 2; h++) {
        #pragma unroll
        for (int i = 4; i < 32; i *= 2) total[h] += __shfl_xor_sync(~0u, total[h], i);
        if (lane < 4) sums[warp * HEADS + lane * 2 + h] = total[h];
    }
    __syncthreads();
    if (lane >= HEADS) return;
    *most = -INFINITY, *sum = 0;
    for (int w = 0; w < WARPS; w++) {
        *most = fmaxf(*most, maxima[w * HEADS + lane]);
        *sum += sums[w * HEADS + lane];
    }
}

/* O of the part to its place: rows of heads of 2 + D floats. */
template <int D>
DEV void sum_part(uint32_t smem, float *place, uint32_t n_heads, int warp, int lane)
{
    using R = room<D>;
    for (int dim = warp * 16; dim < D; dim += WARPS * 16) {
        float o[4] = { 0, 0, 0, 0 };
        #pragma unroll
        for (int p = 0; p < SPLIT; p += 16) {
            uint32_t values[4], b[2];
            const int row = p + lane / 16 * 8 + lane % 8;
            ldmatrix4_turned(values, smem + R::values +
                                         (row * R::ld + dim + lane / 8 % 2 * 8) * 2);
            const uint32_t at = smem + R::weights + (lane / 4 * R::ld_p + p + lane % 4 * 2) * 2;
            b[0] = lds32(at);
            b[1] = lds32(at + 16);
            mma16816(o, values, b);
        }
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t head = lane % 4 * 2 + i % 2;
            if (head < n_heads)
                __stcg(place + head * (2 + D) + 2 + dim + lane / 4 + i / 2 * 8, o[i]);
        }
    }
}

/* All parts of a column and a KV head, in order. */
template <int D>
DEV void combine(const attend_args &a, uint32_t col, uint32_t kv_head, const float *place,
                 uint32_t n_splits)
{
    const size_t ld = (size_t)a.n_heads * (2 + D);
    for (uint32_t i = threadIdx.x; i < a.group * D; i += THREADS) {
        const uint32_t head = i / D, dim = i % D, k = (kv_head * a.group + head) * D + dim;
        const float *part = place + head * (2 + D);
        const bool has_sink = a.sinks != NULL;
        const float sink = has_sink ? a.sinks[kv_head * a.group + head] * 1.44269504089f : 0.0f;
        float most = has_sink ? sink : -INFINITY, total = 0, sum = 0;
        for (uint32_t s = 0; s < n_splits; s++) most = fmaxf(most, __ldcg(part + s * ld));
        if (most == -INFINITY) most = 0;
        if (has_sink) total = exp2f(sink - most);
        for (uint32_t s = 0; s < n_splits; s++) {
            const float by = exp2f(__ldcg(part + s * ld) - most);
            total = __fmaf_rn(by, __ldcg(part + s * ld + 1), total);
            sum = __fmaf_rn(by, __ldcg(part + s * ld + 2 + dim), sum);
        }
        a.att[column_place(a.ld_att, a.all_cols, col, k)] =
            __half_as_ushort(__float2half_rn(sum / total));     /* a mean of halves */
    }
    if (kv_head + 1 < a.kv.n_kv_heads) return;
    for (uint32_t k = a.n_heads * D + threadIdx.x; k < a.ld_att; k += THREADS)
        a.att[column_place(a.ld_att, a.all_cols, col, k)] = 0;
}

/* Grid: parts, KV heads, columns. */
template <int D> __global__ void __launch_bounds__(THREADS) attend_kernel(const attend_args a)
{
    extern __shared__ __align__(16) uint8_t shared[];
    using R = room<D>;
    const uint32_t smem = smem_addr(shared);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t col = a.first_col + blockIdx.z, kv_head = blockIdx.y;
    pdl_release();
    pdl_wait();
    const uint32_t pos = a.pos[col], first_pos = window_begin(pos, a.window);
    const uint32_t first_split = first_pos / SPLIT, n_splits = pos / SPLIT - first_split + 1;
    if (blockIdx.x >= n_splits) return;
    const uint32_t from = (first_split + blockIdx.x) * SPLIT;
    float *places = a.partial + ((size_t)(a.partial_at[col] - a.first_partial) * a.n_heads +
                                 kv_head * a.group) * (2 + D);
    float *place = places + (size_t)blockIdx.x * a.n_heads * (2 + D);

    load_part<D>(a, smem, col, kv_head, from, pos);
    for (uint32_t h = 0; h < a.group; h += HEADS) {
        const uint32_t n = a.group - h < HEADS ? a.group - h : HEADS;
        const uint16_t *q = a.q_half + ((size_t)col * a.n_heads + kv_head * a.group + h) * D;
        float s[2][4], most = 0, sum = 0;
        score_part<D>(a, smem, q, n, warp, lane, s);
        weigh_part<D>(a, shared, s, from, first_pos, pos, warp, lane, &most, &sum);
        if (warp == 0 && lane < (int)n) {
            __stcg(place + (h + lane) * (2 + D), most);
            __stcg(place + (h + lane) * (2 + D) + 1, sum);
        }
        sum_part<D>(smem, place + h * (2 + D), n, warp, lane);
        __syncthreads();
    }

    __shared__ bool is_last;
    uint32_t *n_done = a.n_done + (size_t)col * a.kv.n_kv_heads + kv_head;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) is_last = atomicAdd(n_done, 1) == n_splits - 1;
    __syncthreads();
    if (!is_last) return;
    __threadfence();
    if (threadIdx.x == 0) *n_done = 0;
    combine<D>(a, col, kv_head, places, n_splits);
}

template <int D> static void launch_attention(cuda_device *d, const attend_args *a)
{
    static bool is_allowed;
    if (!is_allowed) allow_shared(d, attend_kernel<D>, room<D>::bytes);
    is_allowed = true;
    launch(d, attend_kernel<D>, dim3(a->n_splits, a->kv.n_kv_heads, a->n_cols), THREADS,
           room<D>::bytes, *a);
}

void launch_attend(cuda_device *d, const attend_args *a)
{
    switch (a->kv.d_head) {
    case 32: launch_attention<32>(d, a); break;
    case 64: launch_attention<64>(d, a); break;
    case 96: launch_attention<96>(d, a); break;
    case 128: launch_attention<128>(d, a); break;
    case 160: launch_attention<160>(d, a); break;
    case 192: launch_attention<192>(d, a); break;
    case 224: launch_attention<224>(d, a); break;
    default: launch_attention<256>(d, a); break;
    }
}

/* Attention over KV pages. Positions are cut into parts of SPLIT at fixed places; a block of
 * threads computes one part of one KV head, for a column or for some neighbouring ones of a
 * stream, one after the other. The block that is done last with a column adds the parts up in their
 * order: what a column gets depends on its own positions alone, whether it decodes or is one of a
 * prompt's: positions behind it count as zeros, which change no sum.
 *
 * The tensor cores take keys as rows and query heads as the narrow side of 8:
 *     S (positions, heads) = K Q^T,    O (dimensions, heads) = V^T P^T
 * A warp has 16 positions of S and every fourth 16 dimensions of O. Softmax runs in base 2. */
#include <cuda_fp16.h>

#include "backend/cuda/device.cuh"
#include "backend/cuda/ptx.cuh"

static constexpr int THREADS = 128, WARPS = THREADS / 32, HEADS = MAX_HEADS_A_PASS;
static constexpr int PAGES = SPLIT / CUDA_PAGE;
static_assert(WARPS * 16 == SPLIT, "a warp has a tile of positions");

/* Rows of shared memory are 16 bytes longer than needed, so that neighbours lie in other banks. */
template <int D> struct room {
    static constexpr int ld = D + 8, ld_p = SPLIT + 8;
    static constexpr int keys = 0, values = SPLIT * ld * 2, weights = 2 * values;
    static constexpr int maxima = weights + HEADS * ld_p * 2, sums = maxima + WARPS * HEADS * 4;
    static constexpr int pages = sums + WARPS * HEADS * 4, bytes = pages + PAGES * 4;
};

DEV uint32_t window_begin(uint32_t pos, uint32_t window)
{
    return window && pos + 1 > window ? pos + 1 - window : 0;
}

/* K or V of a part, on their way; positions behind the last column's own are zeros, for nobody may
 * have written them. */
template <int D>
DEV void load_part(const attend_args &a, uint32_t to, const uint32_t *page, uint32_t head,
                   uint32_t n_there, bool is_v)
{
    constexpr int pieces = D / 8;
    const size_t in_page = (size_t)(head * 2 + is_v) * CUDA_PAGE * D * 2;
    #pragma unroll
    for (int first = 0; first < SPLIT * pieces; first += THREADS) {
        const int i = first + threadIdx.x, piece = i % pieces, row = i / pieces;
        if (SPLIT * pieces % THREADS && i >= SPLIT * pieces) break;
        const uint8_t *at = a.kv.kv + page[row / CUDA_PAGE] * a.kv.page_bytes + in_page +
                            (row % CUDA_PAGE * D + piece * 8) * 2;
        async_load(to + (row * room<D>::ld + piece * 8) * 2, at, row < (int)n_there);
    }
    async_commit();
}

/* Queries of a pass, as the tensor cores take them. */
template <int D> struct queries {
    uint32_t b[D / 16][2];

    DEV void load(const uint16_t *q, uint32_t n_heads, int lane)
    {
        const uint32_t head = lane / 4;
        const uint32_t *words = (const uint32_t *)(q + (size_t)head * D) + lane % 4;
        #pragma unroll
        for (int k = 0; k < D / 16; k++) {
            b[k][0] = head < n_heads ? __ldcg(words + k * 8) : 0;
            b[k][1] = head < n_heads ? __ldcg(words + k * 8 + 4) : 0;
        }
    }
};

template <int D> DEV void score_part(uint32_t keys, const queries<D> &q, int warp, int lane,
                                     float s[4])
{
    s[0] = s[1] = s[2] = s[3] = 0;
    #pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t rows[4];
        const int row = warp * 16 + lane % 16;
        ldmatrix4(rows, keys + (row * room<D>::ld + k * 16 + lane / 16 * 8) * 2);
        mma16816(s, rows, q.b[k]);
    }
}

/* Caps, masks, and turns scores into weights of the part's own maximum, which come to stand in
 * shared memory. Lane l < HEADS of each warp: maximum and sum of the pass's head l. */
template <int D>
DEV void weigh_part(const attend_args &a, uint8_t *shared, float s[4], uint32_t from,
                    uint32_t first_pos, uint32_t pos, int warp, int lane, float *most, float *sum)
{
    using R = room<D>;
    float *maxima = (float *)(shared + R::maxima), *sums = (float *)(shared + R::sums);
    __half *weights = (__half *)(shared + R::weights);
    float largest[2] = { -INFINITY, -INFINITY }, total[2] = { 0, 0 };
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint32_t p = from + warp * 16 + i / 2 * 8 + lane / 4;
        if (a.score_cap != 0) s[i] = a.score_cap * tanhf(s[i] / a.score_cap);
        if (p > pos || p < first_pos) s[i] = -INFINITY;
        largest[i % 2] = fmaxf(largest[i % 2], s[i]);
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
        #pragma unroll
        for (int w = 0; w < WARPS; w++)
            largest[h] = fmaxf(largest[h], maxima[w * HEADS + lane % 4 * 2 + h]);
        if (largest[h] == -INFINITY) largest[h] = 0;    /* a broken row */
    }
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        const float w = exp2f(s[i] - largest[i % 2]);
        total[i % 2] += w;
        weights[(lane % 4 * 2 + i % 2) * R::ld_p + warp * 16 + i / 2 * 8 + lane / 4] =
            __float2half_rn(w);
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

/* The parts of one head, by one warp: part: its first, ld to the next. Lanes know 32 parts' maxima
 * and sums at once; weighted sums are taken part by part. */
template <int D>
DEV void combine_head(const attend_args &a, uint32_t col, uint32_t head, const float *part,
                      size_t ld, uint32_t n_splits, int lane)
{
    constexpr int OF_LANE = D / 32, AT_ONCE = 4;
    const bool has_sink = a.sinks != NULL;
    const float sink = has_sink ? a.sinks[head] * 1.44269504089f : -INFINITY;
    float most = sink, total = 0, sum[OF_LANE];
    #pragma unroll
    for (int j = 0; j < OF_LANE; j++) sum[j] = 0;
    for (uint32_t s = lane; s < n_splits; s += 32) most = fmaxf(most, __ldcg(part + s * ld));
    #pragma unroll
    for (int i = 16; i; i /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, i));
    if (most == -INFINITY) most = 0;            /* a broken row */
    for (uint32_t first = 0; first < n_splits; first += 32) {
        const uint32_t s = first + lane, n = n_splits - first < 32 ? n_splits - first : 32;
        const bool is_there = s < n_splits;
        const float by = is_there ? exp2f(__ldcg(part + s * ld) - most) : 0.0f;
        float mine = is_there ? by * __ldcg(part + s * ld + 1) : 0.0f;
        #pragma unroll
        for (int i = 16; i; i /= 2) mine += __shfl_xor_sync(~0u, mine, i);
        total += mine;
        for (uint32_t t = 0; t < n; t += AT_ONCE) {
            float o[AT_ONCE][OF_LANE];
            #pragma unroll
            for (int u = 0; u < AT_ONCE; u++)
                #pragma unroll
                for (int j = 0; j < OF_LANE; j++)
                    o[u][j] = t + u < n
                        ? __ldcg(part + (first + t + u) * ld + 2 + j * 32 + lane) : 0.0f;
            #pragma unroll
            for (int u = 0; u < AT_ONCE; u++) {
                const float factor = __shfl_sync(~0u, by, (t + u) % 32);
                #pragma unroll
                for (int j = 0; j < OF_LANE; j++)
                    if (t + u < n) sum[j] = __fmaf_rn(factor, o[u][j], sum[j]);
            }
        }
    }
    if (has_sink) total += exp2f(sink - most);
    #pragma unroll
    for (int j = 0; j < OF_LANE; j++)
        a.att[column_place(a.ld_att, a.all_cols, col, head * D + j * 32 + lane)] =
            __half_as_ushort(__float2half_rn(sum[j] / total));      /* a mean of halves */
}

/* Where a column stands: the parts it looks at, and its partial results for a KV head. */
struct column {
    uint32_t col, pos, first_pos, first_split, n_splits;
    float *places;

    DEV column(const attend_args &a, const col_group &g, uint32_t i, uint32_t kv_head, int d)
        : col(g.first_col + i), pos(g.first_pos + i), first_pos(window_begin(pos, a.window)),
          first_split(first_pos / SPLIT), n_splits(pos / SPLIT - first_split + 1)
    {
        uint32_t place = g.place - a.first_place;
        for (uint32_t k = 0; k < i; k++) place += (g.first_pos + k) / SPLIT + 1;
        places = a.partial + ((size_t)place * a.n_heads + kv_head * a.n_shared) * (2 + d);
    }
    DEV bool looks_at(uint32_t split) const { return split - first_split < n_splits; }
};

/* One part for one column: scores, weights, weighted sum. */
template <int D>
DEV void attend_part(const attend_args &a, uint8_t *shared, const column &c, uint32_t kv_head,
                     uint32_t split, int warp, int lane)
{
    using R = room<D>;
    const uint32_t smem = smem_addr(shared);
    const uint16_t *q = a.q_half + ((size_t)c.col * a.n_heads + kv_head * a.n_shared) * D;
    float *place = c.places + (split - c.first_split) * (size_t)a.n_heads * (2 + D);
    for (uint32_t h = 0; h < a.n_shared; h += HEADS) {
        const uint32_t n = a.n_shared - h < HEADS ? a.n_shared - h : HEADS;
        float s[4], most = 0, sum = 0;
        queries<D> of_heads;
        of_heads.load(q + (size_t)h * D, n, lane);
        async_wait<1>();
        __syncthreads();
        score_part<D>(smem + R::keys, of_heads, warp, lane, s);
        weigh_part<D>(a, shared, s, split * SPLIT, c.first_pos, c.pos, warp, lane, &most, &sum);
        if (warp == 0 && lane < (int)n) {
            __stcg(place + (h + lane) * (2 + D), most);
            __stcg(place + (h + lane) * (2 + D) + 1, sum);
        }
        async_wait<0>();
        __syncthreads();
        sum_part<D>(smem, place + h * (2 + D), n, warp, lane);
        __syncthreads();
    }
}

/* Grid: parts, KV heads, groups of neighbouring columns of one stream, which share the loads. */
template <int D> __global__ void __launch_bounds__(THREADS) attend_kernel(const attend_args a)
{
    extern __shared__ __align__(16) uint8_t shared[];
    __shared__ bool is_last[COLS_A_GROUP];
    using R = room<D>;
    const uint32_t smem = smem_addr(shared), kv_head = blockIdx.y;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    pdl_release();
    pdl_wait();
    const col_group g = a.group[a.first_group + blockIdx.z];
    const uint32_t last_pos = g.first_pos + g.n_cols - 1;
    const uint32_t split = window_begin(g.first_pos, a.window) / SPLIT + blockIdx.x;
    const uint32_t from = split * SPLIT, n_there = last_pos + 1 - from;
    if (from > last_pos) return;
    uint32_t *page = (uint32_t *)(shared + R::pages);

    if (threadIdx.x < PAGES)
        page[threadIdx.x] = threadIdx.x * CUDA_PAGE < n_there
            ? a.pages[g.page_at + from / CUDA_PAGE + threadIdx.x] : 0;
    __syncthreads();
    load_part<D>(a, smem + R::keys, page, kv_head, n_there, false);
    load_part<D>(a, smem + R::values, page, kv_head, n_there, true);
    for (uint32_t i = 0; i < g.n_cols; i++) {
        const column c(a, g, i, kv_head, D);
        if (c.looks_at(split)) attend_part<D>(a, shared, c, kv_head, split, warp, lane);
    }
    async_wait<0>();

    __threadfence();
    __syncthreads();
    if (threadIdx.x < g.n_cols) {
        const column c(a, g, threadIdx.x, kv_head, D);
        uint32_t *n_done = a.n_done + (size_t)c.col * a.kv.n_kv_heads + kv_head;
        is_last[threadIdx.x] =
            c.looks_at(split) && atomicAdd(n_done, 1) == c.n_splits - 1;
        if (is_last[threadIdx.x]) *n_done = 0;
    }
    __syncthreads();
    __threadfence();
    for (uint32_t i = warp; i < g.n_cols * a.n_shared; i += WARPS) {
        const uint32_t head = i % a.n_shared;
        if (!is_last[i / a.n_shared]) continue;
        const column c(a, g, i / a.n_shared, kv_head, D);
        combine_head<D>(a, c.col, kv_head * a.n_shared + head, c.places + head * (2 + D),
                        (size_t)a.n_heads * (2 + D), c.n_splits, lane);
    }
    if (kv_head + 1 < a.kv.n_kv_heads) return;
    for (uint32_t i = 0; i < g.n_cols; i++)
        for (uint32_t k = a.n_heads * D + threadIdx.x; k < a.ld_att && is_last[i]; k += THREADS)
            a.att[column_place(a.ld_att, a.all_cols, g.first_col + i, k)] = 0;
}

template <int D> static void launch_attention(cuda_device *d, const attend_args *a)
{
    static bool is_allowed;
    if (!is_allowed) allow_shared(d, attend_kernel<D>, room<D>::bytes);
    is_allowed = true;
    launch(d, attend_kernel<D>, dim3(a->n_splits, a->kv.n_kv_heads, a->n_groups), THREADS,
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

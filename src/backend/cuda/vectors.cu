/* Operations on whole columns and on heads: the embedding, norms, residuals, activations, RoPE. A
 * column's sums are taken in an order that its length alone gives. */
#include "backend/cuda/device.cuh"
#include "backend/cuda/ptx.cuh"
#include "backend/cuda/tile_weight.h"
#include "backend/cuda/values.cuh"

static constexpr int NORM_THREADS = 1024, ROW_THREADS = 256, HEADS_A_BLOCK = 4, WARP = 32;

/* Of what goes to pages: NaN is 0. */
DEV uint16_t kept_bits(float x) { return half_bits(x != x ? 0.0f : x); }

DEV float warp_sum(float x)
{
    #pragma unroll
    for (int i = WARP / 2; i; i /= 2) x += __shfl_xor_sync(~0u, x, i);
    return x;
}

DEV float warp_max(float x)
{
    #pragma unroll
    for (int i = WARP / 2; i; i /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, i));
    return x;
}

/* Of all threads of a block of whole warps, to all of them. */
DEV float block_sum(float x, float *shared)
{
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    x = warp_sum(x);
    __syncthreads();
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    return warp_sum(lane < (int)blockDim.x / WARP ? shared[lane] : 0.0f);
}

/* ---- X = scale * rows of the embedding ------------------------------------------------------ */

/* A block a column: what the step before picked may lie in the host's memory, and is read once. */
static __global__ void __launch_bounds__(NORM_THREADS) embed_kernel(const embed_args a)
{
    __shared__ uint32_t row;
    const uint32_t col = blockIdx.x;
    pdl_release();
    pdl_wait();
    if (threadIdx.x == 0) {
        const int32_t known = a.token[col];
        row = (uint32_t)(known < 0 ? a.picked[-1 - known] : known);
    }
    __syncthreads();
    for (uint32_t k = threadIdx.x; k < a.d_model; k += NORM_THREADS)
        a.x[(size_t)col * a.d_model + k] =
            a.scale * tile_weight(a.format, a.tiles, a.n_blocks, row, k);
}

void launch_embed(cuda_device *d, const embed_args *a)
{
    launch(d, embed_kernel, dim3(a->n_cols), NORM_THREADS, 0, *a);
}

/* ---- norms ---------------------------------------------------------------------------------- */

struct column_norm {
    float mean, scale;
};

/* Eight spots of a step, those of one r, are 4 neighbours in k and the 4 that lie 32 behind. */
DEV uint32_t spots_k(uint32_t unit) { return unit / 8 * 64 + unit % 8 * 4; }

/* The elements of a unit of spots; zeros behind the column's end. Lengths are multiples of 32. */
struct spots {
    float v[8];

    DEV void load(const float *x, uint32_t n, uint32_t unit)
    {
        #pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint32_t k = spots_k(unit) + 32 * h;
            const float4 f = k < n ? *(const float4 *)(x + k) : make_float4(0, 0, 0, 0);
            v[4 * h] = f.x, v[4 * h + 1] = f.y, v[4 * h + 2] = f.z, v[4 * h + 3] = f.w;
        }
    }
    DEV void store(uint16_t *h, uint32_t ld, uint32_t n_cols, uint32_t col, uint32_t unit) const
    {
        uint32_t w[4];
        #pragma unroll
        for (int i = 0; i < 4; i++)
            w[i] = half_bits(v[i]) | (uint32_t)half_bits(v[4 + i]) << 16;
        *(uint4 *)(h + column_place(ld, n_cols, col, spots_k(unit))) =
            make_uint4(w[0], w[1], w[2], w[3]);
    }
};

DEV column_norm measure_column(const float *x, uint32_t n, float eps, bool is_centred,
                               float *shared)
{
    float sum = 0, squares = 0, mean = 0;
    if (is_centred) {
        for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
        mean = block_sum(sum, shared) / n;
    }
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x)
        squares = __fmaf_rn(x[i] - mean, x[i] - mean, squares);
    return { mean, 1.0f / sqrtf(block_sum(squares, shared) / n + eps) };
}

/* Each thread brings its own sum of squares. */
DEV float norm_scale(float squares, uint32_t n, float eps, float *shared)
{
    return 1.0f / sqrtf(block_sum(squares, shared) / n + eps);
}

/* Of columns of up to NORM_THREADS units: a thread has one, and columns are read once. */
static __global__ void __launch_bounds__(NORM_THREADS) norm_kernel(const norm_args a)
{
    __shared__ float shared[NORM_THREADS / WARP];
    const uint32_t unit = threadIdx.x, col = blockIdx.x;
    spots x, w;
    float mean = 0, squares = 0;
    pdl_release();
    if (a.weight) w.load(a.weight, a.n, unit);      /* not another kernel's work */
    pdl_wait();
    x.load(a.x + (size_t)(a.col ? a.col[col] : col) * a.n, a.n, unit);
    if (a.weight) {
        if (a.is_centred) {
            float sum = 0;
            #pragma unroll
            for (int i = 0; i < 8; i++) sum += x.v[i];
            mean = block_sum(sum, shared) / a.n;
        }
        #pragma unroll
        for (int i = 0; i < 8; i++) {
            const bool is_there = spots_k(unit) + i / 4 * 32 < a.n;
            x.v[i] = is_there ? x.v[i] - mean : 0.0f;
            squares = __fmaf_rn(x.v[i], x.v[i], squares);
        }
        const float scale = norm_scale(squares, a.n, a.eps, shared);
        #pragma unroll
        for (int i = 0; i < 8; i++) x.v[i] = x.v[i] * scale * w.v[i];
    }
    x.store(a.h, a.ld_h, a.n_cols, col, unit);
}

/* Of longer ones. */
static __global__ void __launch_bounds__(NORM_THREADS) long_norm_kernel(const norm_args a)
{
    __shared__ float shared[NORM_THREADS / WARP];
    const uint32_t col = blockIdx.x, n_units = a.ld_h / 8;
    pdl_release();
    pdl_wait();
    const float *x = a.x + (size_t)(a.col ? a.col[col] : col) * a.n;
    column_norm by = { 0, 1 };
    if (a.weight) by = measure_column(x, a.n, a.eps, a.is_centred, shared);
    for (uint32_t unit = threadIdx.x; unit < n_units; unit += NORM_THREADS) {
        spots v, w;
        v.load(x, a.n, unit);
        if (a.weight) w.load(a.weight, a.n, unit);
        #pragma unroll
        for (int i = 0; i < 8 && a.weight; i++) v.v[i] = (v.v[i] - by.mean) * by.scale * w.v[i];
        v.store(a.h, a.ld_h, a.n_cols, col, unit);
    }
}

void launch_norm(cuda_device *d, const norm_args *a)
{
    const uint32_t n_units = a->ld_h / 8;       /* a multiple of 32 */
    if (n_units <= NORM_THREADS) launch(d, norm_kernel, dim3(a->n_cols), n_units, 0, *a);
    else launch(d, long_norm_kernel, dim3(a->n_cols), NORM_THREADS, 0, *a);
}

static __global__ void __launch_bounds__(NORM_THREADS) norm_rows_kernel(const norm_args a)
{
    __shared__ float shared[NORM_THREADS / WARP];
    pdl_release();
    pdl_wait();
    float *x = a.x + (size_t)blockIdx.x * a.n;
    const column_norm by = measure_column(x, a.n, a.eps, a.is_centred, shared);
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < a.n; i += blockDim.x)
        x[i] = (x[i] - by.mean) * by.scale * a.weight[i];
}

void launch_norm_rows(cuda_device *d, const norm_args *a)
{
    launch(d, norm_rows_kernel, dim3(a->n_cols), NORM_THREADS, 0, *a);
}

/* ---- residuals and activations -------------------------------------------------------------- */

static __global__ void join_kernel(const join_args a)
{
    pdl_release();
    pdl_wait();
    const uint32_t i = blockIdx.x * ROW_THREADS + threadIdx.x;
    if (i >= a.n) return;
    const size_t at = (size_t)blockIdx.y * a.n + i;
    const float x = a.x[at] + a.scale * a.y[at];
    a.x[at] = a.x_scale != 0 ? x * a.x_scale : x;
}

void launch_join(cuda_device *d, const join_args *a)
{
    const dim3 grid((a->n + ROW_THREADS - 1) / ROW_THREADS, a->n_cols);
    launch(d, join_kernel, grid, ROW_THREADS, 0, *a);
}

static __global__ void activate_kernel(const activate_args a)
{
    pdl_release();
    pdl_wait();
    const uint32_t unit = blockIdx.x * ROW_THREADS + threadIdx.x, col = blockIdx.y;
    if (unit >= a.ld_act / 8) return;
    const float *gate = a.gate + (size_t)col * a.n, *up = a.up + (size_t)col * a.n;
    spots g, u;
    g.load(gate, a.n, unit);
    u.load(up, a.n, unit);
    #pragma unroll
    for (int i = 0; i < 8; i++) g.v[i] = activated(a.activation, g.v[i], u.v[i]) * a.scale;
    g.store(a.act, a.ld_act, a.n_cols, col, unit);
}

void launch_activate(cuda_device *d, const activate_args *a)
{
    const dim3 grid((a->ld_act / 8 + ROW_THREADS - 1) / ROW_THREADS, a->n_cols);
    launch(d, activate_kernel, grid, ROW_THREADS, 0, *a);
}

/* ---- heads ---------------------------------------------------------------------------------- */

/* A head of a column, its values in shared memory, by one warp. */
DEV void norm_head(float *x, uint32_t d_head, const float *weight, float eps, bool is_centred,
                   int lane)
{
    float sum = 0, squares = 0;
    if (is_centred)
        for (uint32_t i = lane; i < d_head; i += WARP) sum += x[i];
    const float mean = is_centred ? warp_sum(sum) / d_head : 0.0f;
    for (uint32_t i = lane; i < d_head; i += WARP) squares += (x[i] - mean) * (x[i] - mean);
    const float scale = 1.0f / sqrtf(warp_sum(squares) / d_head + eps);
    for (uint32_t i = lane; i < d_head; i += WARP) x[i] = (x[i] - mean) * scale * weight[i];
    __syncwarp();
}

DEV void turn_head(float *x, const float *cos_sin, uint32_t n_rot, bool is_interleaved, int lane)
{
    for (uint32_t i = lane; i < n_rot / 2; i += WARP) {
        const uint32_t first = is_interleaved ? 2 * i : i;
        const uint32_t second = is_interleaved ? 2 * i + 1 : i + n_rot / 2;
        const float p = x[first], q = x[second], c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
        x[first] = p * c - q * s;
        x[second] = p * s + q * c;
    }
    __syncwarp();
}

static __global__ void heads_kernel(const heads_args a)
{
    __shared__ float shared[HEADS_A_BLOCK][CUDA_MAX_D_HEAD];
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const uint32_t d_head = a.kv.d_head, n_kv = a.k ? a.kv.n_kv_heads : 0;
    const uint32_t at = blockIdx.x * HEADS_A_BLOCK + warp, col = blockIdx.y;
    pdl_release();
    pdl_wait();
    if (at >= a.n_heads + 2 * n_kv) return;
    const bool is_q = at < a.n_heads, is_v = at >= a.n_heads + n_kv;
    const uint32_t head = is_q ? at : is_v ? at - a.n_heads - n_kv : at - a.n_heads;
    const uint32_t pos = a.pos[col], n_heads = is_q ? a.n_heads : n_kv;
    const float *from = (is_q ? a.q : is_v ? a.v : a.k) + ((size_t)col * n_heads + head) * d_head;
    const float *norm = is_q ? a.norm_q : is_v ? a.norm_v : a.norm_k;
    float *x = shared[warp];

    for (uint32_t i = lane; i < d_head; i += WARP) x[i] = from[i];
    __syncwarp();
    if (norm)
        norm_head(x, d_head, norm, is_q ? a.eps_q : is_v ? a.eps_v : a.eps_k, a.is_centred, lane);
    if (a.cos_sin && !is_v)
        turn_head(x, a.cos_sin + (size_t)pos * a.n_rot, a.n_rot, a.is_interleaved, lane);
    if (is_q) {
        const float scale = a.q_scales ? a.q_scale * a.q_scales[pos] : a.q_scale;
        uint16_t *to = a.q_half + ((size_t)col * n_heads + head) * d_head;
        for (uint32_t i = lane; i < d_head; i += WARP) to[i] = half_bits(x[i] * scale);
        return;
    }
    uint16_t *to = (uint16_t *)(a.kv.kv + a.page[col] * a.kv.page_bytes) +
                   ((size_t)(head * 2 + is_v) * CUDA_PAGE + pos % CUDA_PAGE) * d_head;
    for (uint32_t i = lane; i < d_head; i += WARP) to[i] = kept_bits(x[i]);
}

void launch_finish_heads(cuda_device *d, const heads_args *a)
{
    const uint32_t n = a->n_heads + (a->k ? 2 * a->kv.n_kv_heads : 0);
    launch(d, heads_kernel, dim3((n + HEADS_A_BLOCK - 1) / HEADS_A_BLOCK, a->n_cols),
           HEADS_A_BLOCK * WARP, 0, *a);
}

/* ---- logits --------------------------------------------------------------------------------- */

static __global__ void logits_kernel(const logits_args a)
{
    __shared__ float shared[LOGITS_A_BLOCK / WARP];
    pdl_release();
    pdl_wait();
    const uint32_t token = blockIdx.x * LOGITS_A_BLOCK + threadIdx.x;
    float x = -INFINITY;
    if (token < a.n_tokens) {
        float *at = a.logits + (size_t)blockIdx.y * a.ld + token;
        x = *at;
        if (a.cap != 0) *at = x = a.cap * tanhf(x / a.cap);
        if (x != x) x = -INFINITY;
    }
    x = warp_max(x);
    if (threadIdx.x % WARP == 0) shared[threadIdx.x / WARP] = x;
    __syncthreads();
    if (threadIdx.x) return;
    for (int i = 1; i < LOGITS_A_BLOCK / WARP; i++) x = fmaxf(x, shared[i]);
    a.largest[(size_t)blockIdx.y * a.n_blocks + blockIdx.x] = x;
}

void launch_finish_logits(cuda_device *d, const logits_args *a)
{
    launch(d, logits_kernel, dim3(a->n_blocks, a->n_rows), LOGITS_A_BLOCK, 0, *a);
}

/* out[n][row] = sum over k of w[row][k] x[n][k]: packed weights, f16 columns, f32 sums.
 *
 * PRODUCT_WORKERS blocks: a producer warp (a group of them beside 16 consumers) and NW consumer
 * warps. A stage of the ring is 256 k of ROWS = 16 NW rows and of the columns, brought by bulk
 * copies that complete on an mbarrier; weights are marked evict-first in L2, columns evict-last.
 * Each consumer warp holds 16 rows x all columns as sums, so no two warps share any.
 *
 * Stream-K (Osama et al., "Stream-K", 2023): the (row block, 256 k) units of all parts are cut into
 * equal runs. A run's first block of rows may begin at k > 0: those sums go to the worker's place
 * in `partial`. The worker that holds k = 0 of a block of rows adds the places of the workers after
 * it, in order. Where runs are cut follows from the weights' shape alone, hence so does every
 * column's order of additions, whatever the columns. Workers count down with blockIdx, so that who
 * waits was started after those it waits for. Parts of two formats share the workers by bytes.
 *
 * The wait for the kernel before comes after the first weights were asked for. */
#ifndef BACKEND_CUDA_PRODUCT_CUH
#define BACKEND_CUDA_PRODUCT_CUH

#include "backend/cuda/dequant.cuh"
#include "backend/cuda/device.cuh"
#include "backend/cuda/values.cuh"

static constexpr int SHARED_MAX = 227 * 1024, SHARED_SPARE = 2048;

/* 16 consumer warps and a 17th would leave 96 registers a thread (5 warps on one scheduler), 8 and
 * a ninth 168. A producer group of four warps can give its registers away: 24 are left to it, 112
 * or 240 go to the consumers.
 *
 * NT: columns of a block in eights; MC: blocks of columns; NW: consumer warps; MT: tiles of rows
 * that each has; is_gated: the first of those two is of gates, the second of the same rows' ups. */
template <int NT_, int MC_, int NW_, int MT_, bool IS_GATED> struct plan {
    static constexpr int NT = NT_, MC = MC_, NW = NW_, MT = MT_;
    static constexpr bool is_gated = IS_GATED;
    static constexpr int rows = 16 * NW * (is_gated ? 1 : MT);  /* of a matrix, a block has */
    static constexpr int groups = rows / 64;
    static constexpr int x_bytes = NT * 4096;
    static constexpr int producer_warps = NW == 16 || MT == 2 ? 4 : 1;
    static constexpr int threads = (NW + producer_warps) * 32;
    static constexpr int n_sums = MC * MT * NT;     /* vectors of 4 */
};

template <int FORMAT, class P> struct shape {
    static constexpr int w_bytes = P::NW * P::MT * (int)tile_bytes(FORMAT);
    static constexpr int stage = w_bytes + P::MC * P::x_bytes;
    static constexpr int fit = (SHARED_MAX - SHARED_SPARE) / stage;
    static constexpr int stages = fit > 12 ? 12 : fit;
    static constexpr int shared = stages * stage + SHARED_SPARE;
    static_assert(stages >= 2, "ring too short");
};

/* What a block of threads has a share in: some parts, of one format, and who else has. */
struct job {
    int first_part, n_parts, first_worker, n_workers;
};

/* How the units of a job are shared out. */
struct cut {
    int total, n, worker, first_worker;
    DEV cut(const job &j, int n_units)
        : total(n_units), n(min(n_units, j.n_workers)), first_worker(j.first_worker)
    {
        worker = min((int)(gridDim.x - 1 - blockIdx.x) - first_worker, n);
    }
    DEV int at(int w) const
    {
        return w >= n ? total : (int)((unsigned)total * (unsigned)w / (unsigned)n);
    }
};

/* The part that a block of rows is of, and which of its blocks it is. */
struct block_place {
    int part, block;
    DEV block_place(const product_args &p, const job &j, int at) : part(j.first_part), block(at)
    {
        while (part + 1 < j.first_part + j.n_parts && block >= (int)p.part[part].n_row_blocks)
            block -= p.part[part++].n_row_blocks;
    }
};

/* Sums of rows that another worker finishes; N vectors of 4 a thread, in thread order. */
template <int N, int NW>
DEV void hand_over(const float *acc, const product_args &p, int worker, int tid)
{
    float4 *spot = (float4 *)p.partial + (size_t)worker * (N * NW * 32) + tid;
    #pragma unroll
    for (int j = 0; j < N; j++) __stcg(spot + j * NW * 32, *(const float4 *)&acc[4 * j]);
    asm volatile("bar.sync 1, %0;" ::"n"(NW * 32) : "memory");
    if (tid == 0) flag_set(p.flag + worker);    /* its release covers what the barrier ordered */
}

/* Adds the places of the workers that follow, in order; waits for all at once and keeps the loads
 * of several workers in flight. */
template <int N, int NW>
DEV void gather(float *acc, const product_args &p, const cut &c, int block_end, int tid)
{
    constexpr int BATCH = N > 12 ? 1 : 12 / N;
    const int first = c.first_worker + c.worker + 1;
    int n = 0;
    while (c.worker + 1 + n < c.n && c.at(c.worker + 1 + n) < block_end) n++;
    for (int i = tid; i < n; i += NW * 32) flag_wait(p.flag + first + i);
    asm volatile("bar.sync 1, %0;" ::"n"(NW * 32) : "memory");
    const float4 *spot = (const float4 *)p.partial + (size_t)first * (N * NW * 32) + tid;
    for (int o = 0; o < n; o += BATCH) {
        float4 v[BATCH][N];
        #pragma unroll
        for (int q = 0; q < BATCH; q++)
            #pragma unroll
            for (int j = 0; j < N; j++)
                v[q][j] = o + q < n ? __ldcg(spot + ((o + q) * N + j) * NW * 32)
                                    : make_float4(0, 0, 0, 0);
        #pragma unroll
        for (int q = 0; q < BATCH; q++)
            #pragma unroll
            for (int j = 0; j < N; j++)
                if (o + q < n) {
                    acc[4 * j] += v[q][j].x, acc[4 * j + 1] += v[q][j].y;
                    acc[4 * j + 2] += v[q][j].z, acc[4 * j + 3] += v[q][j].w;
                }
    }
    asm volatile("bar.sync 1, %0;" ::"n"(NW * 32) : "memory");
    for (int i = tid; i < n; i += NW * 32) p.flag[first + i] = 0;
}

/* A stage: the 256 k of this warp's rows. Chunk c + 1 is unpacked while the tensor cores work on
 * chunk c. */
template <int FORMAT, class P>
DEV void multiply(float acc[P::MC][P::MT][P::NT * 4], tile_reader<FORMAT> reader[P::MT],
                  uint32_t xb)
{
    const uint32_t desc = wgmma_desc_low(__shfl_sync(~0u, xb, 0));
    uint32_t a[2][P::MT][4][4];
    #pragma unroll
    for (int c = 0; c < 4; c++) {
        #pragma unroll
        for (int i = 0; i < P::MT; i++) {
            reader[i].chunk(c);
            #pragma unroll
            for (int st = 0; st < 4; st++) reader[i].step(st, a[c & 1][i][st]);
        }
        wgmma_fence();
        #pragma unroll
        for (int st = 0; st < 4; st++)
            #pragma unroll
            for (int m = 0; m < P::MC; m++)
                #pragma unroll
                for (int i = 0; i < P::MT; i++)
                    wgmma<P::NT>(acc[m][i], a[c & 1][i][st],
                                 wgmma_desc(desc + m * (P::x_bytes / 16) +
                                            (c * 4 + st) * P::NT * 16));
        wgmma_commit();
        if (c < 3) wgmma_wait<1>();
        else wgmma_wait<0>();
    }
}

/* Column of a lane's sum i; its row is the lane's first, or 8 behind. */
DEV uint32_t col_of(uint32_t first_col, int i, int lane)
{
    return first_col + i / 4 * 8 + lane % 4 * 2 + i % 2;
}

/* Every rounding is written out: instances of the kernel must not differ. All loads come before the
 * first store, or each would be waited for. */
template <int NT>
DEV void store(const float acc[NT * 4], const product_args &p, const product_part &part,
               uint32_t first_row, uint32_t first_col, int lane)
{
    const uint32_t first = first_row + lane / 4;
    float old[NT * 4], bias[2] = { 0, 0 };
    #pragma unroll
    for (int e = 0; e < 2; e++)
        if (part.bias && first + 8 * e < part.n_rows)
            bias[e] = __fmul_rn(part.bias[first + 8 * e], p.bias_scale);
    #pragma unroll
    for (int i = 0; i < NT * 4; i++) {
        const uint32_t row = first + i / 2 % 2 * 8, col = col_of(first_col, i, lane);
        const bool is_there = row < part.n_rows && col < p.n_cols;
        old[i] = part.adds && is_there ? part.out[(size_t)col * part.ld_out + row] : 0.0f;
    }
    #pragma unroll
    for (int i = 0; i < NT * 4; i++) {
        const uint32_t row = first + i / 2 % 2 * 8, col = col_of(first_col, i, lane);
        const float y = __fadd_rn(__fmul_rn(acc[i], p.scale), bias[i / 2 % 2]);
        if (row < part.n_rows && col < p.n_cols)
            part.out[(size_t)col * part.ld_out + row] = part.adds ? __fadd_rn(old[i], y) : y;
    }
}

/* Gates and ups of the same rows; rows that fill up the last block become zeros. */
template <int NT>
DEV void store_gated(const float acc[2][NT * 4], const product_args &p, uint32_t first_row,
                     uint32_t first_col, int lane)
{
    const product_part &gates = p.part[0], &ups = p.part[1];
    #pragma unroll
    for (int e = 0; e < 2; e++) {
        const uint32_t row = first_row + lane / 4 + 8 * e;
        const bool is_there = row < gates.n_rows;
        const float gate_bias = gates.bias && is_there ? gates.bias[row] : 0.0f;
        const float up_bias = ups.bias && is_there ? ups.bias[row] : 0.0f;
        #pragma unroll
        for (int j = 0; j < NT * 2; j++) {
            const int at = j / 2 * 4 + e * 2 + j % 2;
            const uint32_t col = col_of(first_col, at, lane);
            if (col >= p.n_cols) continue;
            const float y = activated(p.activation, __fadd_rn(acc[0][at], gate_bias),
                                      __fadd_rn(acc[1][at], up_bias));
            p.act[column_place(p.ld_act, p.n_cols, col, row)] =
                half_bits(__fmul_rn(y, p.act_scale));
        }
    }
}

template <int FORMAT, class P>
DEV void produce(const product_args &p, const job &j, uint32_t smem, uint32_t full, uint32_t empty,
                 int begin, int end)
{
    using S = shape<FORMAT, P>;
    constexpr int group = TILE_GROUP * (int)tile_bytes(FORMAT);
    const int KB = p.n_blocks;
    const uint64_t first = policy_evict_first(), last = policy_evict_last();
    auto load_w = [&](int u, int s) {
        const block_place at(p, j, u / KB);
        bar_expect(full + s * 8, S::stage);
        #pragma unroll
        for (int i = 0; i < P::groups * (P::is_gated ? 2 : 1); i++) {
            const product_part &part = p.part[P::is_gated ? i / P::groups : at.part];
            bulk_load(smem + s * S::stage + i * group,
                      part.tiles +
                          ((size_t)(at.block * P::groups + i % P::groups) * KB + u % KB) * group,
                      group, full + s * 8, first);
        }
    };
    auto load_x = [&](int u, int s) {
        #pragma unroll
        for (int m = 0; m < P::MC; m++)
            bulk_load(smem + s * S::stage + S::w_bytes + m * P::x_bytes,
                      (const uint8_t *)(p.x + (size_t)m * BLOCK_COLS * TILE_K * KB) +
                          (size_t)(u % KB) * P::x_bytes,
                      P::x_bytes, full + s * 8, last);
    };
    const int ahead = min(S::stages, end - begin);
    for (int i = 0; i < ahead; i++) load_w(begin + i, i);
    pdl_wait();
    for (int i = 0; i < ahead; i++) load_x(begin + i, i);
    int s = 0, parity = 0;
    for (int u = begin + ahead; u < end; u++) {
        bar_wait(empty + s * 8, parity);
        load_w(u, s);
        load_x(u, s);
        if (++s == S::stages) s = 0, parity ^= 1;
    }
}

template <class P>
DEV void store_block(const float acc[P::MC][P::MT][P::NT * 4], const product_args &p, const job &j,
                     int block, int warp, int lane)
{
    const block_place at(p, j, block);
    #pragma unroll
    for (int m = 0; m < P::MC; m++) {
        const uint32_t row = at.block * P::rows + warp * 16, col = m * BLOCK_COLS;
        if constexpr (P::is_gated) {
            store_gated<P::NT>(acc[m], p, row, col, lane);
        } else {
            #pragma unroll
            for (int i = 0; i < P::MT; i++)
                store<P::NT>(acc[m][i], p, p.part[at.part], row + i * P::NW * 16, col, lane);
        }
    }
}

template <int FORMAT, class P>
DEV void consume(const product_args &p, const job &j, const cut &c, uint32_t smem, uint32_t full,
                 uint32_t empty, int begin, int end, int warp, int lane)
{
    using S = shape<FORMAT, P>;
    const int KB = p.n_blocks, tid = warp * 32 + lane;
    float acc[P::MC][P::MT][P::NT * 4];
    int s = 0, parity = 0;

    for (int u = begin; u < end;) {
        const int block = u / KB, kb0 = u % KB, kb1 = min(KB, kb0 + end - u);
        #pragma unroll
        for (int i = 0; i < P::n_sums * 4; i++)
            acc[i / (P::MT * P::NT * 4)][i / (P::NT * 4) % P::MT][i % (P::NT * 4)] = 0.0f;
        for (int kb = kb0; kb < kb1; kb++) {
            const uint32_t wb = smem + s * S::stage, xb = wb + S::w_bytes;
            bar_wait(full + s * 8, parity);
            tile_reader<FORMAT> reader[P::MT];
            #pragma unroll
            for (int i = 0; i < P::MT; i++)
                reader[i].open(wb + (i * P::NW + warp) * tile_bytes(FORMAT), lane);
            multiply<FORMAT, P>(acc, reader, xb);
            __syncwarp();
            if (lane == 0) bar_arrive(empty + s * 8);
            if (++s == S::stages) s = 0, parity ^= 1;
        }
        if (kb0 > 0) {
            hand_over<P::n_sums, P::NW>(acc[0][0], p, c.first_worker + c.worker, tid);
        } else {
            if (kb1 < KB) gather<P::n_sums, P::NW>(acc[0][0], p, c, (block + 1) * KB, tid);
            store_block<P>(acc, p, j, block, warp, lane);
        }
        u += kb1 - kb0;
    }
}

template <int FORMAT, class P>
DEV void run_job(const product_args &p, const job &j, uint32_t smem)
{
    using S = shape<FORMAT, P>;
    const uint32_t full = smem + S::stages * S::stage, empty = full + S::stages * 8;
    const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31;
    int n_row_blocks = 0;
    for (int i = 0; i < (P::is_gated ? 1 : j.n_parts); i++)
        n_row_blocks += p.part[j.first_part + i].n_row_blocks;
    const cut c(j, n_row_blocks * (int)p.n_blocks);
    const int begin = c.at(c.worker), end = c.at(c.worker + 1);

    if (tid == 0) {
        for (int i = 0; i < S::stages; i++) {
            bar_init(full + i * 8, 1);
            bar_init(empty + i * 8, P::NW);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    pdl_release();

    if (warp >= P::NW) {
        if constexpr (P::producer_warps == 4) asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
        if (warp == P::NW && lane == 0) produce<FORMAT, P>(p, j, smem, full, empty, begin, end);
    } else {
        if constexpr (P::producer_warps == 4)
            asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(P::NW == 16 ? 112 : 240));
        consume<FORMAT, P>(p, j, c, smem, full, empty, begin, end, warp, lane);
    }
}

/* OTHER: the format of the last n_other parts; FORMAT: there are none. */
template <int FORMAT, int OTHER, class P>
__global__ void __launch_bounds__(P::threads, 1)
product_kernel(const __grid_constant__ product_args p)
{
    extern __shared__ uint8_t smem_raw[];
    const uint32_t smem = (smem_addr(smem_raw) + 1023) & ~1023u;
    if constexpr (FORMAT == OTHER) {
        run_job<FORMAT, P>(p, job{ 0, (int)p.n_parts, 0, PRODUCT_WORKERS }, smem);
    } else {
        const int n_first = p.n_parts - p.n_other, n_workers = PRODUCT_WORKERS - p.n_other_workers;
        if ((int)(gridDim.x - 1 - blockIdx.x) < n_workers)
            run_job<FORMAT, P>(p, job{ 0, n_first, 0, n_workers }, smem);
        else
            run_job<OTHER, P>(p, job{ n_first, (int)p.n_other, n_workers,
                                      (int)p.n_other_workers }, smem);
    }
}

template <int FORMAT, int OTHER, class P>
static void launch_plan(cuda_device *d, const product_args *a)
{
    constexpr int one = shape<FORMAT, P>::shared, other = shape<OTHER, P>::shared;
    constexpr int shared = one > other ? one : other;
    static bool is_allowed;
    const auto kernel = product_kernel<FORMAT, OTHER, P>;
    if (!is_allowed) allow_shared(d, kernel, shared);
    is_allowed = true;
    launch(d, kernel, dim3(PRODUCT_WORKERS), P::threads, shared, *a);
}

/* Up to 64 columns; a warp of 16 has one tile of rows where one of 8 has two. */
template <int FORMAT, int OTHER, int NW, int MT, bool IS_GATED>
static void launch_columns(cuda_device *d, const product_args *a)
{
    switch (block_eights(a->n_cols)) {
    case 1: launch_plan<FORMAT, OTHER, plan<1, 1, NW, MT, IS_GATED>>(d, a); break;
    case 2: launch_plan<FORMAT, OTHER, plan<2, 1, NW, MT, IS_GATED>>(d, a); break;
    case 3: launch_plan<FORMAT, OTHER, plan<3, 1, NW, MT, IS_GATED>>(d, a); break;
    case 4: launch_plan<FORMAT, OTHER, plan<4, 1, NW, MT, IS_GATED>>(d, a); break;
    default: launch_plan<FORMAT, OTHER, plan<8, 1, NW, MT, IS_GATED>>(d, a); break;
    }
}

/* By rows of a block; more than 64 columns are two blocks of columns, of formats that leave room
 * for a ring beside them. */
template <int FORMAT> static void launch_format(cuda_device *d, const product_args *a)
{
    if (a->n_cols > BLOCK_COLS && a->block_rows == 128 && !a->act) {
        launch_plan<FORMAT, FORMAT, plan<8, 2, 8, 1, false>>(d, a);
    } else if (a->n_cols > BLOCK_COLS) {
        if constexpr (FORMAT == TILE_Q4_K) {
            if (a->act) launch_plan<FORMAT, FORMAT, plan<8, 2, 8, 2, true>>(d, a);
            else launch_plan<FORMAT, FORMAT, plan<8, 2, 8, 2, false>>(d, a);
        }
    } else {
        if (a->act) launch_columns<FORMAT, FORMAT, 8, 2, true>(d, a);
        else if (a->block_rows == 256) launch_columns<FORMAT, FORMAT, 16, 1, false>(d, a);
        else launch_columns<FORMAT, FORMAT, 8, 1, false>(d, a);
    }
}

#endif

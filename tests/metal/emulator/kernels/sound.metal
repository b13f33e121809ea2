/* Kernels without a mistake, for the emulator's own tests. */
#include <metal_stdlib>
using namespace metal;

kernel void rms_norm(device const float *x [[buffer(0)]],
                     device const float *weight [[buffer(1)]],
                     device float *out [[buffer(2)]],
                     constant uint &n [[buffer(3)]],
                     uint row [[threadgroup_position_in_grid]],
                     uint thread_index [[thread_index_in_threadgroup]],
                     uint n_threads [[threads_per_threadgroup]],
                     uint simd [[simdgroup_index_in_threadgroup]],
                     uint n_simds [[simdgroups_per_threadgroup]],
                     uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float partial[32];
    float sum = 0;
    for (uint i = thread_index; i < n; i += n_threads)
        sum = fma(x[row * n + i], x[row * n + i], sum);
    sum = simd_sum(sum);
    if (lane == 0) partial[simd] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float all = simd_sum(lane < n_simds ? partial[lane] : 0.0f);
    const float scale = rsqrt(all / n + 1e-5f);
    for (uint i = thread_index; i < n; i += n_threads)
        out[row * n + i] = x[row * n + i] * scale * weight[i];
}

struct block {
    half scale;
    char q[32];
};

/* NR rows a simdgroup. */
template <int NR>
kernel void mat_vec(device const block *w [[buffer(0)]],
                    device const float *x [[buffer(1)]],
                    device float *out [[buffer(2)]],
                    constant uint &n_blocks [[buffer(3)]],
                    uint group [[threadgroup_position_in_grid]],
                    ushort lane [[thread_index_in_simdgroup]])
{
    for (uint r = group * NR; r < (group + 1) * NR; r++) {
        float sum = 0;
        for (uint b = 0; b < n_blocks; b++) {
            device const block *at = w + r * n_blocks + b;
            sum += float(at->scale) * float(at->q[lane]) * x[b * 32 + lane];
        }
        sum = simd_sum(sum);
        if (lane == 0) out[r] = sum;
    }
}
template [[host_name("mat_vec_1")]] kernel void mat_vec<1>(device const block *,
                                                           device const float *,
                                                           device float *, constant uint &, uint,
                                                           ushort);
template [[host_name("mat_vec_4")]] kernel decltype(mat_vec<4>) mat_vec<4>;

/* C = A B, (m, k) (k, n), ragged: a threadgroup of 128 threads computes 32 x 32 of it by way of
 * threadgroup memory. */
constant bool is_scaled [[function_constant(2)]];

kernel void matmul(device const half *a [[buffer(0)]],
                   device const half *b [[buffer(1)]],
                   device float *c [[buffer(2)]],
                   constant uint *mnk [[buffer(3)]],
                   threadgroup half *shared [[threadgroup(0)]],
                   threadgroup float *result [[threadgroup(1)]],
                   uint2 group [[threadgroup_position_in_grid]],
                   uint thread_index [[thread_index_in_threadgroup]],
                   uint simd [[simdgroup_index_in_threadgroup]])
{
    const uint m = mnk[0], n = mnk[1], k = mnk[2], row = group.y * 32, column = group.x * 32;
    threadgroup half *left = shared, *right = shared + 256;
    simdgroup_float8x8 sum[4];
    for (int j = 0; j < 4; j++) sum[j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    for (uint k0 = 0; k0 < k; k0 += 8) {
        for (uint i = thread_index; i < 256; i += 128) {
            const uint r = row + i / 8, kl = k0 + i % 8, kr = k0 + i / 32, col = column + i % 32;
            left[i] = r < m && kl < k ? a[r * k + kl] : 0.0h;
            right[i] = kr < k && col < n ? b[kr * n + col] : 0.0h;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        simdgroup_half8x8 rows, columns;
        simdgroup_load(rows, left + simd * 64, 8);
        for (int j = 0; j < 4; j++) {
            simdgroup_load(columns, right, 32, ulong2(8 * j, 0));
            simdgroup_multiply_accumulate(sum[j], rows, columns, sum[j]);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    for (int j = 0; j < 4; j++)
        simdgroup_store(sum[j], result, 32, ulong2(8 * j, 8 * simd));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float scale = is_scaled ? 2.0 : 1.0;
    for (uint i = thread_index; i < 1024; i += 128)
        if (row + i / 32 < m && column + i % 32 < n)
            c[(row + i / 32) * n + column + i % 32] = scale * result[i];
}

/* What lanes tell each other, a row of 32 each. */
kernel void lanes(device const float *x [[buffer(0)]],
                  device float *out [[buffer(1)]],
                  uint lane [[thread_index_in_simdgroup]])
{
    const float mine = x[lane];
    out[lane] = simd_max(mine);
    out[32 + lane] = simd_shuffle_xor(mine, 5);
    out[64 + lane] = simd_shuffle_down(mine, 3);
    out[96 + lane] = simd_prefix_exclusive_sum(mine);
    out[128 + lane] = simd_broadcast(mine, 7);
    out[160 + lane] = popcount(uint(ulong(simd_ballot(mine > 0))));
    out[192 + lane] = quad_sum(mine);
    out[224 + lane] = simd_any(mine > 1e9f) ? 1.0f : 0.0f;
}

/* x, and each function of it in a row of 32. */
kernel void functions(device const float *x [[buffer(0)]],
                      device float *out [[buffer(1)]],
                      uint i [[thread_position_in_grid]])
{
    const float v = x[i];
    const half4 h = half4(half2(v), half(1.5h), 2.0h);
    const float4 wide = float4(v, float3(1, 2, 3));
    out[i] = exp2(v);
    out[32 + i] = precise::tanh(v);
    out[64 + i] = clamp(rint(v), -2.0, 2.0);
    out[96 + i] = dot(wide, float4(h));
    out[128 + i] = select(v, -v, v < 0);
    out[160 + i] = float(extract_bits(as_type<uint>(v), 23, 8));
    out[192 + i] = isnan(v / 0.0 * 0.0) ? 1 : 0;
    out[224 + i] = float(as_type<half2>(uint(0x3c004000)).y) + sign(v);
}

/* Everybody counts; groups and threads in any order. */
kernel void count(device atomic_uint *n [[buffer(0)]],
                  uint i [[thread_position_in_grid]])
{
    threadgroup atomic_uint mine;
    if (i % 64 == 0) atomic_store_explicit(&mine, 0, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    atomic_fetch_add_explicit(&mine, i % 3, memory_order_relaxed);
    atomic_fetch_max_explicit(&n[1], i, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (i % 64 == 0)
        atomic_fetch_add_explicit(&n[0], atomic_load_explicit(&mine, memory_order_relaxed),
                                  memory_order_relaxed);
}

/* Written by one thread, read by another, with the barrier that orders device memory. */
kernel void pass_on(device float *x [[buffer(0)]],
                    uint i [[thread_index_in_threadgroup]])
{
    x[i] = float(i);
    threadgroup_barrier(mem_flags::mem_device);
    const float other = x[63 - i];
    threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);
    x[i] = other;
}

/* A simdgroup's own part of threadgroup memory needs its own barrier only. */
kernel void pass_on_in_simdgroup(device float *x [[buffer(0)]],
                                 uint i [[thread_index_in_threadgroup]])
{
    threadgroup float kept[64];
    kept[i] = float(i);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    x[i] = kept[i ^ 31];
}

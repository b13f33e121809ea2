/* One mistake each: test_emulator.c says what finds it. */
#include <metal_stdlib>
using namespace metal;

kernel void missing_barrier(device float *out [[buffer(0)]],
                            uint i [[thread_index_in_threadgroup]],
                            uint simd [[simdgroup_index_in_threadgroup]],
                            uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float partial[2];
    const float sum = simd_sum(float(i));
    if (lane == 0) partial[simd] = sum;
    out[i] = partial[0] + partial[1];
}

kernel void missing_barrier_at_loop_end(device float *out [[buffer(0)]],
                                        uint i [[thread_index_in_threadgroup]])
{
    threadgroup float shared[64];
    float sum = 0;
    for (uint turn = 0; turn < 3; turn++) {
        shared[i] = float(i + turn);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        sum += shared[63 - i];
    }
    out[i] = sum;
}

kernel void reads_past_the_end(device float *out [[buffer(0)]],
                               uint i [[thread_index_in_threadgroup]])
{
    const float next = out[i + 1];
    threadgroup_barrier(mem_flags::mem_device);
    out[i] = next;
}

kernel void writes_past_the_end(device uchar *out [[buffer(0)]],
                                uint i [[thread_index_in_threadgroup]])
{
    out[i * 4096] = 1;
}

kernel void writes_past_threadgroup_memory(device float *out [[buffer(0)]],
                                           threadgroup float *shared [[threadgroup(0)]],
                                           uint i [[thread_index_in_threadgroup]])
{
    shared[i + 1] = float(i);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    out[i] = shared[i + 1];
}

kernel void divergent_barrier(device float *out [[buffer(0)]],
                              uint i [[thread_index_in_threadgroup]])
{
    if (i >= 40) return;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    out[i] = 1;
}

kernel void divergent_sum(device float *out [[buffer(0)]],
                          uint i [[thread_index_in_threadgroup]])
{
    if (i % 32 < 16) out[i] = simd_sum(1.0f);
}

kernel void different_functions(device float *out [[buffer(0)]],
                                uint i [[thread_index_in_threadgroup]])
{
    out[i] = i % 2 ? simd_sum(1.0f) : simd_max(1.0f);
}

kernel void wrong_barrier(device float *x [[buffer(0)]],
                          uint i [[thread_index_in_threadgroup]])
{
    x[i] = float(i);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float other = x[63 - i];
    threadgroup_barrier(mem_flags::mem_device);
    x[i] = other;
}

kernel void barrier_of_the_simdgroup_only(device float *x [[buffer(0)]],
                                          uint i [[thread_index_in_threadgroup]])
{
    threadgroup float kept[64];
    kept[i] = float(i);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    x[i] = kept[63 - i];
}

kernel void two_groups_write(device float *x [[buffer(0)]],
                             uint i [[thread_index_in_threadgroup]])
{
    x[i] = float(i);
}

kernel void reads_what_a_group_writes(device float *x [[buffer(0)]],
                                      uint i [[thread_position_in_grid]])
{
    x[i] = i < 64 ? 1.0f : x[i - 64];
}

kernel void atomic_and_plain(device uint *x [[buffer(0)]],
                             uint i [[thread_index_in_threadgroup]])
{
    if (i == 5) x[0] = 1;
    else atomic_fetch_add_explicit((device atomic_uint *)x, 1, memory_order_relaxed);
}

kernel void unbound(device float *x [[buffer(0)]],
                    device const float *bias [[buffer(1)]],
                    uint i [[thread_index_in_threadgroup]])
{
    x[i] = bias[i];
}

kernel void divides_by_zero(device uint *x [[buffer(0)]],
                            uint i [[thread_index_in_threadgroup]])
{
    x[i] = 64 / x[i];     /* which is 0 */
}

kernel void declares_too_much(device float *x [[buffer(0)]],
                              threadgroup float *shared [[threadgroup(0)]],
                              uint i [[thread_index_in_threadgroup]])
{
    threadgroup float large[8000];
    large[i] = shared[i] = 1;
    x[i] = large[i] + shared[i];
}

kernel void reads_what_nobody_wrote(device float *x [[buffer(0)]],
                                    threadgroup float *shared [[threadgroup(0)]],
                                    uint i [[thread_index_in_threadgroup]])
{
    x[i] = shared[i];
}

enum { FEW = 2 };

[[max_total_threads_per_threadgroup(FEW * 32)]]
kernel void has_a_limit(device float *x [[buffer(0)]],
                        uint i [[thread_index_in_threadgroup]])
{
    x[i] = 1;
}

/* What the GPU can do at most, for benchmarks to be held against. */

/* Each threadgroup of 256 threads reads n_words of 16 bytes, neighbours by neighbours. The sums are
 * written so that nothing can be left out. */
kernel void rate_read(device const uint4 *from [[buffer(0)]],
                      device uint *out [[buffer(1)]],
                      constant rate_args &a [[buffer(2)]],
                      uint group [[threadgroup_position_in_grid]],
                      uint thread_index [[thread_index_in_threadgroup]])
{
    uint4 sum = uint4(0);
    const ulong first = ulong(group) * a.n;
    for (uint i = thread_index; i < a.n; i += 256) sum ^= from[first + i];
    out[group * 256 + thread_index] = sum.x ^ sum.y ^ sum.z ^ sum.w;
}

/* Each simdgroup multiplies a.n times four fragments of halves, sums in floats: 2,048 a turn. */
kernel void rate_multiply(device const half *from [[buffer(0)]],
                          device float *out [[buffer(1)]],
                          constant rate_args &a [[buffer(2)]],
                          uint group [[threadgroup_position_in_grid]],
                          uint simd [[simdgroup_index_in_threadgroup]])
{
    simdgroup_half8x8 rows, columns;
    simdgroup_float8x8 sum[4];
    simdgroup_load(rows, from, 8);
    simdgroup_load(columns, from + 64, 8);
    for (int j = 0; j < 4; j++) sum[j] = make_filled_simdgroup_matrix<float, 8, 8>(float(j));
    for (uint i = 0; i < a.n; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) simdgroup_multiply_accumulate(sum[j], rows, columns, sum[j]);
    }
    for (int j = 0; j < 4; j++)
        simdgroup_store(sum[j], out + (ulong(group * 4 + simd) * 4 + j) * 64, 8);
}

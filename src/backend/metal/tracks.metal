/* Residuals side by side, of which a layer computes the first. A threadgroup of 128 threads has a
 * column: thread t has elements t, t + 128, ... of every track. */

static inline ulong track_place(constant track_args &a, uint track, uint col)
{
    return (ulong(track) * a.n_rows + col) * a.ld;
}

/* |x|^2 by the 128 threads of a group, as inverse_rms sums. */
static inline float square_of(device const float *x, uint n, threadgroup float *shared,
                              uint thread_index, uint simd, uint lane)
{
    float sum = 0;
    for (uint i = thread_index; i < n; i += NORM_THREADS) sum = fma(x[i], x[i], sum);
    sum = simd_sum(sum);
    if (lane == 0) shared[simd] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return shared[0] + shared[1] + shared[2] + shared[3];
}

/* X becomes a track, or a track X. Grid: columns. */
kernel void copy_track(device float *x [[buffer(0)]],
                       device float *tracks [[buffer(1)]],
                       constant track_args &a [[buffer(2)]],
                       uint group [[threadgroup_position_in_grid]],
                       uint thread_index [[thread_index_in_threadgroup]])
{
    device float *column = x + ulong(group) * a.ld;
    device float *track = tracks + track_place(a, a.track, group);
    for (uint i = thread_index; i < a.n; i += NORM_THREADS) {
        if (a.to_x) column[i] = track[i];
        else track[i] = column[i];
    }
}

/* H = scale * a track, as halves. Grid: columns. */
kernel void shrink_track(device const float *tracks [[buffer(0)]],
                         device half *out [[buffer(1)]],
                         constant track_args &a [[buffer(2)]],
                         uint group [[threadgroup_position_in_grid]],
                         uint thread_index [[thread_index_in_threadgroup]])
{
    device const float *track = tracks + track_place(a, a.track, group);
    for (uint i = thread_index; i < a.n; i += NORM_THREADS)
        out[half_at(group, i, a.ld)] = half(bounded(a.scale * track[i]));
}

/* A track = y as long as track 0; or X = scale * (X + that). Grid: columns. */
kernel void match_track(device const float *y [[buffer(0)]],
                        device float *tracks [[buffer(1)]],
                        device float *x [[buffer(2)]],
                        constant track_args &a [[buffer(3)]],
                        uint group [[threadgroup_position_in_grid]],
                        uint thread_index [[thread_index_in_threadgroup]],
                        uint simd [[simdgroup_index_in_threadgroup]],
                        uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float of_y[4];
    threadgroup float of_first[4];
    device const float *from = y + ulong(group) * a.ld;
    const float mine = square_of(from, a.n, of_y, thread_index, simd, lane);
    const float wanted = square_of(tracks + track_place(a, 0, group), a.n, of_first, thread_index,
                                   simd, lane);
    const float ratio = sqrt(wanted) / sqrt(mine);
    device float *track = tracks + track_place(a, a.track, group);
    device float *column = x + ulong(group) * a.ld;
    for (uint i = thread_index; i < a.n; i += NORM_THREADS) {
        if (a.adds) column[i] = a.scale * fma(from[i], ratio, column[i]);
        else track[i] = from[i] * ratio;
    }
}

enum { MOST_TRACKS = 8, TRACK_PARTS = 32, TRACK_SHARES = 64 };   /* times simdgroups; squared */

/* m: what the router makes of a column, by all threads. */
static inline void route_tracks(device const float *x, device const float *router,
                                device const float *weight, constant track_args &a,
                                threadgroup float *m, threadgroup float *shared,
                                threadgroup float *part, uint thread_index, uint simd, uint lane)
{
    const float scale = inverse_rms(x, a.n, 0, a.eps, shared, thread_index, simd, lane);
    for (uint k = 0; k < a.n_tracks; k++) {
        float sum = 0;
        for (uint i = thread_index; i < a.n; i += NORM_THREADS)
            sum = fma(x[i] * scale * weight[i], router[k * a.n + i], sum);
        sum = simd_sum(sum);
        if (lane == 0) part[4 * k + simd] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (thread_index < a.n_tracks) {
        threadgroup const float *p = part + 4 * thread_index;
        m[thread_index] = tanh(p[0] + p[1] + p[2] + p[3]);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

/* A row of coefficients times m. */
static inline float coefficient(device const float *row, threadgroup const float *m, uint n)
{
    float sum = 0;
    for (uint i = 0; i < n; i++) sum = fma(row[i], m[i], sum);
    return sum;
}

/* Grid: columns. */
kernel void predict_tracks(device float *tracks [[buffer(0)]],
                           device float *x [[buffer(1)]],
                           device const float *router [[buffer(2)]],
                           device const float *weight [[buffer(3)]],
                           device const float *predict [[buffer(4)]],
                           constant track_args &a [[buffer(5)]],
                           uint group [[threadgroup_position_in_grid]],
                           uint thread_index [[thread_index_in_threadgroup]],
                           uint simd [[simdgroup_index_in_threadgroup]],
                           uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float shared[4];
    threadgroup float part[TRACK_PARTS];
    threadgroup float m[MOST_TRACKS];
    threadgroup float share[TRACK_SHARES];
    const uint n = a.n_tracks;
    route_tracks(tracks + track_place(a, 0, group), router, weight, a, m, shared, part,
                 thread_index, simd, lane);
    if (thread_index < n * n)
        share[thread_index] = coefficient(predict + thread_index * n, m, n) +
                              (thread_index / n == thread_index % n ? 1.0f : 0.0f);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = thread_index; i < a.n; i += NORM_THREADS) {
        float before[MOST_TRACKS];
        for (uint k = 0; k < n; k++) before[k] = tracks[track_place(a, k, group) + i];
        for (uint j = 0; j < n; j++) {
            float sum = 0;
            for (uint k = 0; k < n; k++) sum = fma(share[j * n + k], before[k], sum);
            tracks[track_place(a, j, group) + i] = sum;
            if (j == 0) x[ulong(group) * a.ld + i] = sum;
        }
    }
}

/* Grid: columns. */
kernel void correct_tracks(device float *tracks [[buffer(0)]],
                           device float *x [[buffer(1)]],
                           device const float *router [[buffer(2)]],
                           device const float *weight [[buffer(3)]],
                           device const float *correct [[buffer(4)]],
                           device const float *scale [[buffer(5)]],
                           constant track_args &a [[buffer(6)]],
                           uint group [[threadgroup_position_in_grid]],
                           uint thread_index [[thread_index_in_threadgroup]],
                           uint simd [[simdgroup_index_in_threadgroup]],
                           uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float shared[4];
    threadgroup float part[TRACK_PARTS];
    threadgroup float m[MOST_TRACKS];
    device float *column = x + ulong(group) * a.ld;
    const uint n = a.n_tracks;
    route_tracks(column, router, weight, a, m, shared, part, thread_index, simd, lane);
    for (uint i = thread_index; i < a.n; i += NORM_THREADS) {
        const float more = column[i] - tracks[track_place(a, 0, group) + i];
        for (uint j = 0; j < n; j++) {
            const ulong at = track_place(a, j, group) + i;
            tracks[at] = fma(more, 1.0f + coefficient(correct + j * n, m, n), tracks[at]);
        }
        column[i] = tracks[track_place(a, 0, group) + i] * scale[i];
    }
}

/* All tracks but the first += scale * y. Grid: columns. */
kernel void join_tracks(device const float *y [[buffer(0)]],
                        device float *tracks [[buffer(1)]],
                        constant track_args &a [[buffer(2)]],
                        uint group [[threadgroup_position_in_grid]],
                        uint thread_index [[thread_index_in_threadgroup]])
{
    for (uint k = 1; k < a.n_tracks; k++)
        for (uint i = thread_index; i < a.n; i += NORM_THREADS) {
            device float *to = tracks + track_place(a, k, group) + i;
            *to = fma(a.scale, y[ulong(group) * a.ld + i], *to);
        }
}

/* HELD = norm of x + y. Grid: columns. */
kernel void hold_rows(device const float *x [[buffer(0)]],
                      device const float *weight [[buffer(1)]],
                      device const float *y [[buffer(2)]],
                      device float *held [[buffer(3)]],
                      constant row_args &a [[buffer(4)]],
                      uint group [[threadgroup_position_in_grid]],
                      uint thread_index [[thread_index_in_threadgroup]],
                      uint simd [[simdgroup_index_in_threadgroup]],
                      uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float shared[4];
    const ulong first = ulong(group) * a.ld_in;
    const float scale = inverse_rms(x + first, a.n, 0, a.eps, shared, thread_index, simd, lane);
    for (uint i = thread_index; i < a.n; i += NORM_THREADS)
        held[first + i] = fma(x[first + i] * scale, weight[i], y[first + i]);
}

/* Gates become what they are above their mean and some deviations. Grid: columns. */
kernel void cut_gates(device float *gate [[buffer(0)]],
                      constant cut_args &a [[buffer(1)]],
                      uint group [[threadgroup_position_in_grid]],
                      uint thread_index [[thread_index_in_threadgroup]],
                      uint simd [[simdgroup_index_in_threadgroup]],
                      uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float sums[4];
    threadgroup float squares[4];
    device float *row = gate + ulong(group) * a.ld;
    const float mean = mean_of(row, a.n, true, sums, thread_index, simd, lane);
    const float inverse = inverse_rms(row, a.n, mean, 0, squares, thread_index, simd, lane);
    const float from = mean + a.cut / inverse;
    for (uint i = thread_index; i < a.n; i += NORM_THREADS) row[i] = max(row[i] - from, 0.0f);
}

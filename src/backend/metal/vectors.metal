/* Work on single columns: the embedding, norms, and what happens to Q, K and V between their
 * products and attention. A threadgroup a column, or a column's head. */

/* ---- the lanes' elements -------------------------------------------------------------------- */

/* Writes where known values went when a fragment was loaded, for the host to learn which elements a
 * lane holds. values: (8, 8), element = 8 row + k. found: (32, 2) each. */
kernel void probe(device const half *half_values [[buffer(0)]],
                  device const float *float_values [[buffer(1)]],
                  device float *half_found [[buffer(2)]],
                  device float *float_found [[buffer(3)]],
                  uint lane [[thread_index_in_simdgroup]])
{
    simdgroup_half8x8 h;
    simdgroup_float8x8 f;
    simdgroup_load(h, half_values, 8);
    simdgroup_load(f, float_values, 8);
    for (uint e = 0; e < 2; e++) {
        half_found[2 * lane + e] = float(h.thread_elements()[e]);
        float_found[2 * lane + e] = f.thread_elements()[e];
    }
}

/* One product of fragments by the matrix unit and one by a chain of fma() by rising k: whether
 * they are the same, bit for bit, decides whether products of few columns may do without the
 * unit. a, b: (groups, 8, 8) halves; c and the results: (groups, 8, 8). */
kernel void probe_order(device const half *a [[buffer(0)]],
                        device const half *b [[buffer(1)]],
                        device const float *c [[buffer(2)]],
                        device float *by_unit [[buffer(3)]],
                        device float *by_chain [[buffer(4)]],
                        uint group [[threadgroup_position_in_grid]],
                        uint lane [[thread_index_in_simdgroup]])
{
    const uint first = group * 64;
    simdgroup_half8x8 left, right;
    simdgroup_float8x8 sum;
    simdgroup_load(left, a + first, 8);
    simdgroup_load(right, b + first, 8);
    simdgroup_load(sum, c + first, 8);
    simdgroup_multiply_accumulate(sum, left, right, sum);
    simdgroup_store(sum, by_unit + first, 8);
    for (uint i = lane; i < 64; i += 32) {
        float chain = c[first + i];
        for (uint k = 0; k < 8; k++)
            chain = fma(float(a[first + i / 8 * 8 + k]), float(b[first + k * 8 + i % 8]), chain);
        by_chain[first + i] = chain;
    }
}

/* ---- embedding ------------------------------------------------------------------------------ */

/* The token of a column: its own, or what the step before picked for an output. A row without a
 * finite logit gives -1: its reply ends, and what the column computes meanwhile is nobody's. */
static inline uint token_of(device const int *token, device const int *picked, uint col)
{
    const int own = token[col];
    return uint(own >= 0 ? own : max(picked[-1 - own], 0));
}

/* X = scale * row of the embedding. Grid: (chunks of 32, columns), a simdgroup each. */
template <typename W>
kernel void embed(device const uchar *tiles [[buffer(0)]],
                  device const int *token [[buffer(1)]],
                  device const int *picked [[buffer(2)]],
                  device float *x [[buffer(3)]],
                  device const uchar4 *lanes [[buffer(4)]],
                  constant embed_args &a [[buffer(5)]],
                  uint2 group [[threadgroup_position_in_grid]],
                  uint lane [[thread_index_in_simdgroup]])
{
    const uint row = token_of(token, picked, group.y), chunk = group.x;
    const uchar4 mine = lanes[lane];
    device float *to = x + ulong(group.y) * a.ld_x + chunk * CHUNK;
    if (mine.x != row % 8) return;
    W w;
    const by_lane reader = by_lane_of(lane, mine);
    w.load(tiles + ulong(row / TILE_ROWS) * a.tile_bytes, chunk, reader);
    for (uint f = 0; f < 4; f++) {
        const half2 pair = w.get(row % TILE_ROWS / 8, f);
        to[f * 8 + mine.y] = float(pair.x) * a.scale;
        to[f * 8 + mine.z] = float(pair.y) * a.scale;
    }
}

#define EMBED(format)                                                                              \
    template [[host_name("embed_" #format)]] kernel                                                \
    decltype(embed<weights_##format>) embed<weights_##format>;

EMBED(f16)
EMBED(q8_0)
EMBED(q4_0)
EMBED(q4_1)
EMBED(q5_0)
EMBED(q5_1)
EMBED(q4_k)
EMBED(q5_k)
EMBED(q6_k)
EMBED(iq4_nl)
EMBED(iq4_xs)
EMBED(mxfp4)

/* ---- norms ---------------------------------------------------------------------------------- */

/* 1 / rms of n values, by the 128 threads of a group: each sums every 128th, then lanes, then
 * simdgroups, in this order. */
static inline float inverse_rms(device const float *x, uint n, float mean, float eps,
                                threadgroup float *shared, uint thread_index, uint simd, uint lane)
{
    float sum = 0;
    for (uint i = thread_index; i < n; i += NORM_THREADS)
        sum = fma(x[i] - mean, x[i] - mean, sum);
    sum = simd_sum(sum);
    if (lane == 0) shared[simd] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float all = shared[0] + shared[1] + shared[2] + shared[3];
    return 1.0f / sqrt(all / float(n) + eps);
}

/* The mean of n values likewise; 0 where none is wanted. */
static inline float mean_of(device const float *x, uint n, bool is_wanted,
                            threadgroup float *shared, uint thread_index, uint simd, uint lane)
{
    float sum = 0;
    if (!is_wanted) return 0;
    for (uint i = thread_index; i < n; i += NORM_THREADS) sum += x[i];
    sum = simd_sum(sum);
    if (lane == 0) shared[simd] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return (shared[0] + shared[1] + shared[2] + shared[3]) / float(n);
}

/* out = x / rms(x) * weight, or x, as halves, of column col[group] where the index is given. */
constant int is_indexed [[function_constant(0)]];

kernel void norm(device const float *x [[buffer(0)]],
                 device const float *weight [[buffer(1)]],
                 device half *out [[buffer(2)]],
                 device const uint *col [[buffer(3)]],
                 constant row_args &a [[buffer(4)]],
                 uint group [[threadgroup_position_in_grid]],
                 uint thread_index [[thread_index_in_threadgroup]],
                 uint simd [[simdgroup_index_in_threadgroup]],
                 uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float shared[4];
    threadgroup float sums[4];
    device const float *from = x + ulong(is_indexed != 0 ? col[group] : group) * a.ld_in;
    const float mean =
        mean_of(from, a.n, a.is_centred != 0, sums, thread_index, simd, lane);
    const float scale = inverse_rms(from, a.n, mean, a.eps, shared, thread_index, simd, lane);
    for (uint i = thread_index; i < a.n; i += NORM_THREADS)
        out[half_at(group, i, a.ld_out)] =
            half(bounded(a.has_norm ? (from[i] - mean) * scale * weight[i] : from[i]));
}

/* x += scale * y / rms(y) * weight */
kernel void add_norm(device const float *y [[buffer(0)]],
                     device const float *weight [[buffer(1)]],
                     device float *x [[buffer(2)]],
                     constant row_args &a [[buffer(3)]],
                     uint group [[threadgroup_position_in_grid]],
                     uint thread_index [[thread_index_in_threadgroup]],
                     uint simd [[simdgroup_index_in_threadgroup]],
                     uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float shared[4];
    threadgroup float sums[4];
    device const float *from = y + ulong(group) * a.ld_in;
    device float *to = x + ulong(group) * a.ld_out;
    const float mean =
        mean_of(from, a.n, a.is_centred != 0, sums, thread_index, simd, lane);
    const float scale =
        inverse_rms(from, a.n, mean, a.eps, shared, thread_index, simd, lane) * a.scale;
    for (uint i = thread_index; i < a.n; i += NORM_THREADS) {
        const float sum = fma((from[i] - mean) * scale, weight[i], to[i]);
        to[i] = a.x_scale != 0 ? sum * a.x_scale : sum;
    }
}

/* to += scale * from, row by row. */
kernel void add_rows(device float *to [[buffer(0)]],
                     device const float *from [[buffer(1)]],
                     constant row_args &a [[buffer(2)]],
                     uint group [[threadgroup_position_in_grid]],
                     uint thread_index [[thread_index_in_threadgroup]])
{
    const ulong first = ulong(group) * a.ld_out;
    for (uint i = thread_index; i < a.n; i += NORM_THREADS)
        to[first + i] = fma(a.scale, from[first + i], to[first + i]);
}

/* out = scale * x as halves, row by row. */
kernel void shrink_rows(device const float *x [[buffer(0)]],
                        device half *out [[buffer(1)]],
                        constant row_args &a [[buffer(2)]],
                        uint group [[threadgroup_position_in_grid]],
                        uint thread_index [[thread_index_in_threadgroup]])
{
    const ulong first = ulong(group) * a.ld_out;
    for (uint i = thread_index; i < a.n; i += NORM_THREADS)
        out[half_at(group, i, a.ld_out)] = half(bounded(a.scale * x[first + i]));
}

/* x *= scale, row by row. */
kernel void scale_rows(device float *x [[buffer(0)]],
                       constant row_args &a [[buffer(1)]],
                       uint group [[threadgroup_position_in_grid]],
                       uint thread_index [[thread_index_in_threadgroup]])
{
    const ulong first = ulong(group) * a.ld_out;
    for (uint i = thread_index; i < a.n; i += NORM_THREADS) x[first + i] *= a.scale;
}

/* x = x / rms(x) * weight, in place. */
kernel void norm_rows(device float *x [[buffer(0)]],
                      device const float *weight [[buffer(1)]],
                      constant row_args &a [[buffer(2)]],
                      uint group [[threadgroup_position_in_grid]],
                      uint thread_index [[thread_index_in_threadgroup]],
                      uint simd [[simdgroup_index_in_threadgroup]],
                      uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float shared[4];
    threadgroup float sums[4];
    device float *row = x + ulong(group) * a.ld_in;
    const float mean = mean_of(row, a.n, a.is_centred != 0, sums, thread_index, simd, lane);
    const float scale = inverse_rms(row, a.n, mean, a.eps, shared, thread_index, simd, lane);
    for (uint i = thread_index; i < a.n; i += NORM_THREADS)
        row[i] = (row[i] - mean) * scale * weight[i];
}

/* x += scale * bias, of every column. */
kernel void add_bias(device float *x [[buffer(0)]],
                     device const float *bias [[buffer(1)]],
                     constant row_args &a [[buffer(2)]],
                     uint group [[threadgroup_position_in_grid]],
                     uint thread_index [[thread_index_in_threadgroup]])
{
    device float *to = x + ulong(group) * a.ld_out;
    for (uint i = thread_index; i < a.n; i += NORM_THREADS) to[i] = fma(a.scale, bias[i], to[i]);
}

/* ACT out of gates and ups that have their biases. */
kernel void gate_rows(device const float *gate [[buffer(0)]],
                      device const float *up [[buffer(1)]],
                      device half *act [[buffer(2)]],
                      constant product_args &a [[buffer(3)]],
                      uint group [[threadgroup_position_in_grid]],
                      uint thread_index [[thread_index_in_threadgroup]])
{
    const ulong first = ulong(group) * a.ld_out;
    for (uint i = thread_index; i < a.n_tiles * TILE_ROWS; i += NORM_THREADS)
        act[half_at(group, i, a.ld_out)] = gated(a, gate[first + i], up[first + i]);
}

/* IN = scale * (norm of each layer's part + row). Grid: (layers, columns), 128 threads each. */
kernel void layer_inputs(device float *in [[buffer(0)]],
                         device const float *row [[buffer(1)]],
                         device const float *weight [[buffer(2)]],
                         constant input_args &a [[buffer(3)]],
                         uint2 group [[threadgroup_position_in_grid]],
                         uint thread_index [[thread_index_in_threadgroup]],
                         uint simd [[simdgroup_index_in_threadgroup]],
                         uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float shared[4];
    const ulong first = ulong(group.y) * a.ld_in + group.x * a.d_input;
    device float *part = in + first;
    const float inverse = inverse_rms(part, a.d_input, 0, a.eps, shared, thread_index, simd, lane);
    for (uint i = thread_index; i < a.d_input; i += NORM_THREADS)
        part[i] = a.scale * fma(part[i] * inverse, weight[i], row[first + i]);
}

/* ACT out of gates and a layer's part of IN. Grid: columns, 128 threads each. */
kernel void gate_input(device const float *gate [[buffer(0)]],
                       device const float *in [[buffer(1)]],
                       device half *act [[buffer(2)]],
                       constant gate_args &a [[buffer(3)]],
                       uint group [[threadgroup_position_in_grid]],
                       uint thread_index [[thread_index_in_threadgroup]])
{
    const ulong first = ulong(group) * a.ld_gate, from = ulong(group) * a.ld_in + a.first;
    for (uint i = thread_index; i < a.n; i += NORM_THREADS)
        act[half_at(group, i, a.ld_gate)] = gated(a, gate[first + i], in[from + i]);
}

/* Caps every 256 logits, and the largest of those that have a token, NaN counting as minus
 * infinity. Grid: (blocks, rows), a simdgroup each. */
kernel void largest(device float *logits [[buffer(0)]],
                    device float *out [[buffer(1)]],
                    constant largest_args &a [[buffer(2)]],
                    uint2 group [[threadgroup_position_in_grid]],
                    uint lane [[thread_index_in_simdgroup]])
{
    device float *row = logits + ulong(group.y) * a.ld_vocab;
    const uint first = group.x * 256, end = min(first + 256, a.ld_vocab);
    float most = -INFINITY;
    for (uint i = first + lane; i < end; i += 32) {
        const float logit = capped(row[i], a.cap);
        if (a.cap != 0) row[i] = logit;
        if (i < a.n_tokens && !isnan(logit)) most = max(most, logit);
    }
    most = simd_max(most);
    if (lane == 0) out[group.y * a.n_blocks + group.x] = most;
}

/* ---- Q, K and V ----------------------------------------------------------------------------- */

enum { MAX_D_HEAD = 512, PAGE_TOKENS = 16, KV_BLOCK = 32 };

/* Applies the head's norm, in threadgroup memory that this simdgroup alone uses. */
static inline void norm_head(threadgroup float *values, constant heads_args &a,
                             device const float *norm_weight, uint lane)
{
    const bool has_norm = (a.flags & HEADS_NORM) != 0;
    const bool is_centred = (a.flags & HEADS_CENTRED) != 0;
    float sum = 0, all = 0;
    for (uint i = lane; i < a.d_head && is_centred; i += 32) all += values[i];
    const float mean = simd_sum(all) / float(a.d_head);
    for (uint i = lane; i < a.d_head && is_centred; i += 32) values[i] -= mean;
    for (uint i = lane; i < a.d_head && has_norm; i += 32) sum = fma(values[i], values[i], sum);
    const float scale = 1.0f / sqrt(simd_sum(sum) / float(a.d_head) + a.eps);
    for (uint i = lane; i < a.d_head && has_norm; i += 32) values[i] *= scale * norm_weight[i];
    simdgroup_barrier(mem_flags::mem_threadgroup);
}

/* Turns pairs of the first n_rot dimensions by the position's angles, in place. */
static inline void turn(threadgroup float *values, constant heads_args &a,
                        device const float *cos_sin, uint lane)
{
    const bool is_interleaved = (a.flags & HEADS_INTERLEAVED) != 0;
    for (uint i = lane; i < a.n_rot / 2; i += 32) {
        const uint one = is_interleaved ? 2 * i : i;
        const uint other = is_interleaved ? 2 * i + 1 : i + a.n_rot / 2;
        const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1], x = values[one], y = values[other];
        values[one] = fma(x, c, -(y * s));
        values[other] = fma(x, s, y * c);
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
}

/* Adds a bias, then norms and turns the head, or the other way round. */
static inline void prepare_head(threadgroup float *values, constant heads_args &a,
                                device const float *bias, device const float *norm_weight,
                                device const float *cos_sin, const bool is_turned, uint lane)
{
    const bool has_bias = (a.flags & HEADS_BIAS) != 0;
    const bool is_later = (a.flags & HEADS_NORMED_LATER) != 0;
    for (uint i = lane; i < a.d_head && has_bias; i += 32) values[i] += bias[i];
    simdgroup_barrier(mem_flags::mem_threadgroup);
    if (!is_later) norm_head(values, a, norm_weight, lane);
    if (is_turned) turn(values, a, cos_sin, lane);
    if (is_later) norm_head(values, a, norm_weight, lane);
}

/* To 8 bits, OCP E4M3: a code is the upper bits of the float, rounded to 3 of the mantissa, ties to
 * even; below 2^-6 it counts steps of 2^-9, which the sum with 2^14 rounds to. */
static inline uchar f8_of(float scaled)
{
    const float size = min(abs(scaled), 448.0f);
    const uint u = as_type<uint>(size);
    const uint normal = ((u + 0x7ffff + (u >> 20 & 1)) >> 20) - (120 << 3);
    const uint small = as_type<uint>(size + 16384.0f) - as_type<uint>(16384.0f);
    return uchar((size < 0.015625f ? small : normal) | (as_type<uint>(scaled) >> 24 & 0x80));
}

static inline uint kv_scales_bytes(uint type, uint d_head)
{
    if (type == METAL_KV_F8_E4M3) return PAGE_TOKENS * 4;
    return type == METAL_KV_Q8_0 ? d_head / KV_BLOCK * PAGE_TOKENS * 2 : 0;
}

/* One token's values of one head into its page: `part` is where the scales begin, dimension d's
 * code stands at d * step + first. */
static inline void write_kv(threadgroup const float *values, uint d_head, uint type,
                            device uchar *part, uint at, uint step, uint first, uint lane)
{
    device uchar *codes = part + kv_scales_bytes(type, d_head);
    float most = 0;
    if (type == METAL_KV_F8_E4M3) {
        for (uint d = lane; d < d_head; d += 32) most = max(most, abs(bounded(values[d])));
        most = simd_max(most) / 448.0f;
        if (lane == 0) ((device float *)part)[at] = most;
    }
    const float inverse = most > 0 ? 1.0f / most : 0.0f;
    for (uint d = lane; d < d_head; d += 32) {
        const float x = bounded(values[d]);
        const uint place = d * step + first;
        if (type == METAL_KV_F16) {
            ((device half *)codes)[place] = half(x);
        } else if (type == METAL_KV_BF16) {
            const uint u = as_type<uint>(x);
            ((device ushort *)codes)[place] = ushort((u + 0x7fff + (u >> 16 & 1)) >> 16);
        } else if (type == METAL_KV_Q8_0) {     /* the 32 lanes hold one block */
            const half scale = half(simd_max(abs(x)) / 127.0f);
            const float to_code = float(scale) > 0 ? 1.0f / float(scale) : 0.0f;
            if (lane == 0) ((device half *)part)[d / KV_BLOCK * PAGE_TOKENS + at] = scale;
            ((device char *)codes)[place] = char(clamp(rint(x * to_code), -127.0f, 127.0f));
        } else {
            codes[place] = f8_of(x * inverse);
        }
    }
}

/* Grid: (heads, columns), a simdgroup each. q_half: queries as attention reads them. */
kernel void finish_queries(device const float *rows [[buffer(0)]],
                           device half *q_half [[buffer(1)]],
                           device const float *bias [[buffer(2)]],
                           device const float *norm_weight [[buffer(3)]],
                           device const float *cos_sin [[buffer(4)]],
                           device const uint *pos [[buffer(5)]],
                           device const float *scales [[buffer(6)]],
                           constant heads_args &a [[buffer(7)]],
                           uint2 group [[threadgroup_position_in_grid]],
                           uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float values[MAX_D_HEAD];
    const ulong first = ulong(group.y) * a.ld + group.x * a.d_head;
    for (uint i = lane; i < a.d_head; i += 32) values[i] = rows[first + i];
    prepare_head(values, a, bias + group.x * a.d_head, norm_weight,
                 cos_sin + ulong(pos[group.y]) * a.n_rot, true, lane);
    const float scale = a.flags & HEADS_SCALES ? a.scale * scales[pos[group.y]] : a.scale;
    for (uint i = lane; i < a.d_head; i += 32)
        q_half[first + i] = half(bounded(values[i] * scale));
}

/* Keys, or values with HEADS_ARE_VALUES, into the pages of the columns' tokens. Grid as above. */
kernel void finish_kv(device const float *rows [[buffer(0)]],
                      device uchar *kv [[buffer(1)]],
                      device const float *bias [[buffer(2)]],
                      device const float *norm_weight [[buffer(3)]],
                      device const float *cos_sin [[buffer(4)]],
                      device const uint *pos [[buffer(5)]],
                      device const uint *page [[buffer(6)]],
                      constant heads_args &a [[buffer(7)]],
                      uint2 group [[threadgroup_position_in_grid]],
                      uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float values[MAX_D_HEAD];
    const bool are_values = (a.flags & HEADS_ARE_VALUES) != 0;
    const uint at = pos[group.y] % PAGE_TOKENS;
    const ulong first = ulong(group.y) * a.ld + group.x * a.d_head;
    for (uint i = lane; i < a.d_head; i += 32) values[i] = rows[first + i];
    prepare_head(values, a, bias + group.x * a.d_head, norm_weight,
                 cos_sin + ulong(pos[group.y]) * a.n_rot, !are_values, lane);
    device uchar *part = kv + (ulong(page[group.y]) * a.page_units + a.first_unit) * KV_UNIT +
                         ulong(group.x) * a.head_bytes + a.part_at;
    write_kv(values, a.d_head, a.kv_type, part, at, are_values ? 1 : PAGE_TOKENS,
             are_values ? at * a.d_head : at, lane);
}

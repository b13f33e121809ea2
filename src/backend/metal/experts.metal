/* A mixture of experts. The router runs in f32 on the normalised column, in orders of sums that
 * shapes give, so which experts a column gets follows from its own bytes. Pairs are then put
 * together by expert, in blocks of whole fragments that no two experts share: a block's product may
 * fill its padding with what it likes. A column adds up its experts by rank, whoever else chose
 * them. */

/* ---- the router ----------------------------------------------------------------------------- */

/* y = x / rms(x) * weight, and the weight of the shared expert. Grid: columns, 128 threads each. */
kernel void route_norm(device const float *x [[buffer(0)]],
                       device const float *weight [[buffer(1)]],
                       device const float *shared_router [[buffer(2)]],
                       device float *y [[buffer(3)]],
                       device float *shared_weight [[buffer(4)]],
                       constant route_args &a [[buffer(5)]],
                       uint group [[threadgroup_position_in_grid]],
                       uint thread_index [[thread_index_in_threadgroup]],
                       uint simd [[simdgroup_index_in_threadgroup]],
                       uint lane [[thread_index_in_simdgroup]])
{
    threadgroup float sums[4];
    threadgroup float squares[4];
    threadgroup float products[4];
    device const float *from = x + ulong(group) * a.ld_model;
    device float *to = y + ulong(group) * a.ld_model;
    const float mean =
        mean_of(from, a.d_model, a.is_centred != 0, sums, thread_index, simd, lane);
    const float scale =
        inverse_rms(from, a.d_model, mean, a.eps, squares, thread_index, simd, lane);
    float sum = 0;
    for (uint i = thread_index; i < a.d_model; i += NORM_THREADS) {
        const float value = a.has_norm ? (from[i] - mean) * scale * weight[i] : from[i];
        to[i] = value;
        if (a.has_shared_router) sum = fma(value, shared_router[i], sum);
    }
    sum = simd_sum(sum);
    if (lane == 0) products[simd] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (thread_index || !a.has_shared) return;
    const float score = products[0] + products[1] + products[2] + products[3];
    shared_weight[group] = a.has_shared_router ? 1.0f / (1.0f + exp(-score)) : 1.0f;
}

/* Scores: a simdgroup has one expert and a few columns, so that a row of the router is read once
 * for them. y has rows for whole fragments of columns: those that are none are read, not stored. */
kernel void route_scores(device const float *y [[buffer(0)]],
                  device const float *router [[buffer(1)]],
                  device float *score [[buffer(2)]],
                  device const float *bias [[buffer(3)]],
                  constant route_args &a [[buffer(4)]],
                  uint2 group [[threadgroup_position_in_grid]],
                  uint simd [[simdgroup_index_in_threadgroup]],
                  uint lane [[thread_index_in_simdgroup]])
{
    const uint expert = group.x * ROUTE_EXPERTS + simd, first_col = group.y * ROUTE_COLUMNS;
    if (expert >= a.n_experts) return;      /* a whole simdgroup: no barrier follows */
    device const float *row = router + ulong(expert) * a.d_model;
    device const float *columns = y + ulong(first_col) * a.ld_model;
    float sum[ROUTE_COLUMNS];
    for (uint c = 0; c < ROUTE_COLUMNS; c++) sum[c] = 0;
    for (uint i = lane; i < a.d_model; i += 32) {
        const float w = row[i];
        for (uint c = 0; c < ROUTE_COLUMNS; c++)
            sum[c] = fma(w, columns[c * a.ld_model + i], sum[c]);
    }
    for (uint c = 0; c < ROUTE_COLUMNS; c++) {
        const float all = simd_sum(sum[c]) + (a.has_router_bias ? bias[expert] : 0.0f);
        if (lane == 0 && first_col + c < a.n_cols)
            score[(first_col + c) * a.n_experts + expert] = all;
    }
}

/* Not a number is lowest. */
static inline float rank_of(float score)
{
    return isnan(score) ? -INFINITY : score;
}

/* Scores become shares, by one simdgroup, lane l having experts l, l + 32, ... */
static inline void share(device float *mine, constant route_args &a, uint lane)
{
    float largest = -INFINITY, total = 0;
    for (uint e = lane; e < a.n_experts; e += 32) largest = max(largest, rank_of(mine[e]));
    largest = simd_max(largest);
    for (uint e = lane; e < a.n_experts; e += 32) {
        mine[e] = a.is_sigmoid ? 1.0f / (1.0f + exp(-mine[e])) : exp(mine[e] - largest);
        total += mine[e];
    }
    total = simd_sum(total);
    for (uint e = lane; e < a.n_experts && !a.is_sigmoid; e += 32) mine[e] /= total;
    simdgroup_barrier(mem_flags::mem_device);
}

/* What an expert is chosen by. */
static inline float rank_at(device const float *mine, device const float *bias, uint expert,
                            constant route_args &a)
{
    return rank_of(a.has_choice_bias ? mine[expert] + bias[expert] : mine[expert]);
}

/* Bit g: experts of group g can be chosen. A lane has a group. */
static inline uint kept_groups(device const float *mine, device const float *bias,
                               constant route_args &a, uint lane)
{
    const uint n = a.n_experts / a.n_groups;
    float first = -INFINITY, second = -INFINITY;
    uint kept = 0;
    for (uint i = 0; i < n && lane < a.n_groups; i++) {
        const float rank = rank_at(mine, bias, lane * n + i, a);
        second = max(second, min(first, rank));
        first = max(first, rank);
    }
    if (a.ranks_by_best) second = 0;
    for (uint i = 0; i < a.n_groups_used; i++) {
        const bool is_out = lane >= a.n_groups || (kept >> lane & 1) != 0;
        const float best = simd_max(is_out ? -INFINITY : first + second);
        kept |= 1u << simd_min(!is_out && first + second == best ? lane : 31u);
    }
    return kept;
}

/* The n_used experts of the highest ranks, the lower index first among equals; weights: the softmax
 * of all scores, or, normalised, of those chosen; or shares likewise. Grid: columns, a simdgroup
 * each, lane l having experts l, l + 32, ... */
kernel void choose_experts(device float *score [[buffer(0)]],
                   device uint *chosen [[buffer(1)]],
                   device float *weight [[buffer(2)]],
                   device const float *bias [[buffer(3)]],
                   device const float *scales [[buffer(4)]],
                   constant route_args &a [[buffer(5)]],
                   uint group [[threadgroup_position_in_grid]],
                   uint lane [[thread_index_in_simdgroup]])
{
    device float *mine = score + ulong(group) * a.n_experts;
    device uint *to = chosen + ulong(group) * a.n_used;
    device float *weights = weight + ulong(group) * a.n_used;
    const bool is_by_score = !a.is_sigmoid && !a.has_choice_bias && a.n_groups <= 1;
    uint taken = 0;             /* bit i: of expert 32 i + lane */
    float largest = 0, total = 0;

    if (!is_by_score) share(mine, a, lane);
    const uint kept = a.n_groups > 1 ? kept_groups(mine, bias, a, lane) : 1;
    const uint of_group = a.n_groups > 1 ? a.n_experts / a.n_groups : a.n_experts;
    for (uint rank = 0; rank < a.n_used; rank++) {
        float best = -INFINITY;
        uint expert = MAX_EXPERTS;
        for (uint i = 0; 32 * i + lane < a.n_experts; i++) {
            const uint e = 32 * i + lane;
            const float value = rank_at(mine, bias, e, a);
            if (taken >> i & 1 || !(kept >> (e / of_group) & 1)) continue;
            if (expert != MAX_EXPERTS && value <= best) continue;
            best = value;
            expert = e;
        }
        const float highest = simd_max(best);
        expert = simd_min(best == highest ? expert : uint(MAX_EXPERTS));
        if (expert % 32 == lane) taken |= 1u << (expert / 32);
        const float value = mine[expert];
        if (rank == 0) largest = value;
        const float power = is_by_score ? exp(value - largest) : value;
        total += power;
        if (lane == 0) {
            to[rank] = expert;
            weights[rank] = power;
        }
    }
    if (!a.is_normalised) {
        total = 0;
        for (uint e = lane; e < a.n_experts && is_by_score; e += 32)
            total += exp(mine[e] - largest);
        total = is_by_score ? simd_sum(total) : 1.0f;
    }
    if (lane) return;
    for (uint rank = 0; rank < a.n_used; rank++) {
        const float scaled = weights[rank] / total * a.scale;
        weights[rank] = a.has_scales ? scaled * scales[to[rank]] : scaled;
    }
}

/* ---- pairs by expert ------------------------------------------------------------------------ */

/* Blocks by expert, an expert's pairs by column; where each pair lies and whose column it is. One
 * threadgroup; a thread has every 128th expert. shared: (n_experts) first blocks. */
kernel void group_pairs(device const uint *chosen [[buffer(0)]],
                        device expert_block *blocks [[buffer(1)]],
                        device uint *pair_row [[buffer(2)]],
                        device uint *row_col [[buffer(3)]],
                        constant route_args &a [[buffer(4)]],
                        threadgroup uint *first_block [[threadgroup(0)]],
                        uint thread_index [[thread_index_in_threadgroup]])
{
    const uint n_pairs = a.n_cols * a.n_used;
    threadgroup uint n_all[1];
    for (uint e = thread_index; e < a.n_experts; e += NORM_THREADS) {
        uint n = 0;
        for (uint i = 0; i < n_pairs; i++) n += chosen[i] == e;
        first_block[e] = (n + a.block_pairs - 1) / a.block_pairs;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (thread_index == 0) {
        uint before = 0;
        for (uint e = 0; e < a.n_experts; e++) {
            const uint n = first_block[e];
            first_block[e] = before;
            before += n;
        }
        n_all[0] = before;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint e = thread_index; e < a.n_experts; e += NORM_THREADS) {
        const uint first_row = first_block[e] * a.block_pairs;
        uint n = 0;
        for (uint i = 0; i < n_pairs; i++) {
            if (chosen[i] != e) continue;
            pair_row[i] = first_row + n;
            row_col[first_row + n] = i / a.n_used;
            n++;
        }
        for (uint b = first_block[e]; n > 0; b++) {
            const uint n_here = min(n, a.block_pairs);
            blocks[b].expert = e;
            blocks[b].n_pairs = n_here;
            n -= n_here;
        }
    }
    for (uint b = n_all[0] + thread_index; b < a.n_blocks; b += NORM_THREADS) blocks[b].n_pairs = 0;
}

/* Each pair's column of H. Grid: (pairs of a block, blocks), a simdgroup each. */
kernel void gather_pairs(device const half *h [[buffer(0)]],
                   device const expert_block *blocks [[buffer(1)]],
                   device const uint *row_col [[buffer(2)]],
                   device half *to [[buffer(3)]],
                   constant route_args &a [[buffer(4)]],
                   uint2 group [[threadgroup_position_in_grid]],
                   uint lane [[thread_index_in_simdgroup]])
{
    const uint row = group.y * a.block_pairs + group.x;
    if (group.x >= blocks[group.y].n_pairs) return;
    const uint col = row_col[row];
    for (uint i = lane; i < a.ld_model; i += 32)
        to[half_at(row, i, a.ld_model)] = h[half_at(col, i, a.ld_model)];
}

/* ---- products ------------------------------------------------------------------------------- */

/* A block's pairs times a tile of its expert; buffers as of `product`, tiles of all experts one
 * after another. Grid: (tiles of an expert, blocks). shared: NB KiB. */
template <typename W, int NB>
[[max_total_threads_per_threadgroup(PRODUCT_SIMDGROUPS * 32)]]
kernel void expert_product(device const uchar *tiles [[buffer(0)]],
                           device const uchar *gate_tiles [[buffer(1)]],
                           device const half *x [[buffer(2)]],
                           device float *out [[buffer(3)]],
                           device half *act [[buffer(4)]],
                           device const float *gate_rows [[buffer(5)]],
                           device const uchar4 *lanes [[buffer(6)]],
                           device const expert_block *blocks [[buffer(7)]],
                           constant expert_args &a [[buffer(8)]],
                           threadgroup float2 *shared [[threadgroup(0)]],
                           uint2 group [[threadgroup_position_in_grid]],
                           uint simd [[simdgroup_index_in_threadgroup]],
                           uint lane [[thread_index_in_simdgroup]])
{
    device const expert_block *block = blocks + group.y;
    if (block->n_pairs <= a.n_few) return;
    const ulong tile_at =
        (ulong(block->expert) * a.product.n_tiles + group.x) * a.product.tile_bytes;
    const by_lane reader = by_lane_of(lane, lanes[lane]);
    product_tile<W, NB>(tiles + tile_at, gate_tiles + tile_at, x, out, act, gate_rows,
                        group.x * TILE_ROWS + simd * 8, group.y * 8 * NB, a.product, reader, shared,
                        simd);
}

/* The same of blocks with up to FEW_COLUMNS pairs, which in steps of few columns most are.
 * shared: FEW_COLUMNS / 2 KiB. */
template <typename W>
[[max_total_threads_per_threadgroup(PRODUCT_SIMDGROUPS * 32)]]
kernel void expert_few(device const uchar *tiles [[buffer(0)]],
                       device const uchar *gate_tiles [[buffer(1)]],
                       device const half *x [[buffer(2)]],
                       device float *out [[buffer(3)]],
                       device half *act [[buffer(4)]],
                       device const float *gate_rows [[buffer(5)]],
                       device const uchar4 *lanes [[buffer(6)]],
                       device const expert_block *blocks [[buffer(7)]],
                       constant expert_args &a [[buffer(8)]],
                       threadgroup float *shared [[threadgroup(0)]],
                       uint2 group [[threadgroup_position_in_grid]],
                       uint simd [[simdgroup_index_in_threadgroup]],
                       uint lane [[thread_index_in_simdgroup]])
{
    device const expert_block *block = blocks + group.y;
    const uint n = block->n_pairs;
    if (n == 0 || n > FEW_COLUMNS) return;
    const ulong tile_at =
        (ulong(block->expert) * a.product.n_tiles + group.x) * a.product.tile_bytes;
    const by_row reader = { lanes[32 + lane % 8], lane % 8, lane / 8 };
    device const uchar *tile = tiles + tile_at;
    device const uchar *gate_tile = gate_tiles + tile_at;
    const uint row = group.x * TILE_ROWS + lane, col = group.y * a.block_pairs;
#define FEW(nc)                                                                                    \
    few_tile<W, nc>(tile, gate_tile, x, out, act, gate_rows, row, col, a.product, reader, shared,  \
                    simd, lane)
    if (n == 1) FEW(1);
    else if (n == 2) FEW(2);
    else if (n == 3) FEW(3);
    else FEW(4);
#undef FEW
}

#define EXPERTS(format)                                                                            \
    template [[host_name("expert_product_" #format "_1")]] kernel                                  \
    decltype(expert_product<weights_##format, 1>) expert_product<weights_##format, 1>;             \
    template [[host_name("expert_product_" #format "_4")]] kernel                                  \
    decltype(expert_product<weights_##format, 4>) expert_product<weights_##format, 4>;             \
    template [[host_name("expert_few_" #format)]] kernel                                           \
    decltype(expert_few<weights_##format>) expert_few<weights_##format>;

EXPERTS(f16)
EXPERTS(q8_0)
EXPERTS(q4_0)
EXPERTS(q4_1)
EXPERTS(q5_0)
EXPERTS(q5_1)
EXPERTS(q4_k)
EXPERTS(q5_k)
EXPERTS(q6_k)
EXPERTS(iq4_nl)
EXPERTS(iq4_xs)
EXPERTS(mxfp4)

/* Activations of a pair out of its gates and ups, with the biases of its expert. Grid: (pairs of a
 * block, blocks), 128 threads each. */
kernel void gate_pairs(device const float *gate [[buffer(0)]],
                 device const float *up [[buffer(1)]],
                 device const float *gate_bias [[buffer(2)]],
                 device const float *up_bias [[buffer(3)]],
                 device half *act [[buffer(4)]],
                 device const expert_block *blocks [[buffer(5)]],
                 constant pair_args &a [[buffer(6)]],
                 uint2 group [[threadgroup_position_in_grid]],
                 uint thread_index [[thread_index_in_threadgroup]])
{
    device const expert_block *block = blocks + group.y;
    const uint row = group.y * a.block_pairs + group.x;
    const ulong first = ulong(row) * a.d_expert;
    const ulong of_expert = ulong(block->expert) * a.d_expert;
    if (group.x >= block->n_pairs) return;
    for (uint i = thread_index; i < a.d_expert; i += NORM_THREADS) {
        const float g = gate[first + i] + (a.has_gate_bias ? gate_bias[of_expert + i] : 0.0f);
        const float u = up[first + i] + (a.has_up_bias ? up_bias[of_expert + i] : 0.0f);
        act[half_at(row, i, a.d_expert)] = gated(a, g, u);
    }
}

/* X += scale times weight times result, over the column's experts by rank, then the shared one's;
 * or, apart, Y, where the shared one's stands, in X's place. Grid: columns, 128 threads each. */
kernel void expert_sum(device const float *out [[buffer(0)]],
                       device const uint *pair_row [[buffer(1)]],
                       device const float *weight [[buffer(2)]],
                       device const float *shared_out [[buffer(3)]],    /* apart: x */
                       device const float *shared_weight [[buffer(4)]],
                       device float *x [[buffer(5)]],
                       device const uint *chosen [[buffer(6)]],
                       device const float *bias [[buffer(7)]],
                       constant route_args &a [[buffer(8)]],
                       uint group [[threadgroup_position_in_grid]],
                       uint thread_index [[thread_index_in_threadgroup]])
{
    const ulong column = ulong(group) * a.ld_model;
    const uint first_pair = group * a.n_used;
    for (uint i = thread_index; i < a.d_model; i += NORM_THREADS) {
        const float shared = a.has_shared ? shared_out[column + i] : 0.0f;
        float sum = a.is_apart ? 0.0f : x[column + i];
        for (uint rank = 0; rank < a.n_used; rank++) {
            const ulong row = pair_row[first_pair + rank];
            float y = out[row * a.ld_model + i];
            if (a.has_down_bias) y += bias[ulong(chosen[first_pair + rank]) * a.d_model + i];
            sum = fma(weight[first_pair + rank] * a.residual_scale, y, sum);
        }
        if (a.has_shared)
            sum = fma(shared_weight[group] * a.residual_scale, shared, sum);
        x[column + i] = sum;
    }
}

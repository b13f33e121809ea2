/* Attention over KV pages: attention.h tells how the work is cut. A threadgroup has one item and
 * one KV head. For each split of 128 positions
 *     S = Q K^T, simdgroup s computing pages s and s + 4;
 *     P = softmax of S in base 2 within the split, of what each row sees;
 *     O = P V, simdgroup s computing a quarter of the dimensions;
 * and the split's maximum, sum and O are merged into the row's. A page is staged in threadgroup
 * memory as halves, whatever its type. Nothing that a row does not see enters its sums: S is
 * replaced there, and V is staged as zeros where nothing was written. */

enum { SPLIT_PAGES = SPLIT / 16, STAGE_DIMS = 64 /* of keys */ };

/* Of what a row does not see. Finite, so that no mode of arithmetic takes liberties with it; no
 * score of halves comes near. */
constant float LOWEST_SCORE = -3.0e38f;

/* Of the model and its KV, and so of all its dispatches of attend: known when the kernel is made,
 * so that nothing is divided by a number that is not, and types are not asked for at each value. */
constant int n_dims [[function_constant(1)]];           /* of a head: d_head */
constant int type_of_keys [[function_constant(2)]];
constant int type_of_values [[function_constant(3)]];

static inline uint d_head() { return uint(n_dims); }

/* ---- values of a page ----------------------------------------------------------------------- */

static inline float f8_value(uchar code)
{
    const uint bits = code & 0x7f;
    const float size =
        bits < 8 ? float(bits) * 0.001953125f : as_type<float>((bits << 20) + (120u << 23));
    return code & 0x80 ? -size : size;
}

/* The value of dimension d and token t whose code is the index-th; part: where the scales begin. */
static inline float kv_value(device const uchar *part, uint type, uint d, uint t, uint index)
{
    device const uchar *codes = part + kv_scales_bytes(type, d_head());
    if (type == METAL_KV_F16) return float(((device const half *)codes)[index]);
    if (type == METAL_KV_BF16)
        return as_type<float>(uint(((device const ushort *)codes)[index]) << 16);
    if (type == METAL_KV_Q8_0)
        return float(((device const char *)codes)[index]) *
               float(((device const half *)part)[d / KV_BLOCK * PAGE_TOKENS + t]);
    return f8_value(codes[index]) * ((device const float *)part)[t];
}

/* As staged in threadgroup memory. The largest half is rounded up by bf16 and by q8_0's scale,
 * and a bias may come on top: none of it may become infinite. */
static inline half staged(float value)
{
    return half(clamp(value, -65504.0f, 65504.0f));
}

/* Dimension d of the keys' bias, turned as the position's keys are. */
static inline float turned_bias(device const float *bias, device const float *cos_sin, uint d,
                                constant attend_args &a)
{
    if (d >= a.n_rot) return bias[d];
    const uint half_head = a.n_rot / 2;
    const uint i = a.is_interleaved ? d / 2 : d % half_head;
    const bool is_second = a.is_interleaved ? d % 2 == 1 : d >= half_head;
    const float x = bias[a.is_interleaved ? 2 * i : i];
    const float y = bias[a.is_interleaved ? 2 * i + 1 : i + half_head];
    const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
    return is_second ? fma(x, s, y * c) : fma(x, c, -(y * s));
}

/* ---- merging -------------------------------------------------------------------------------- */

/* A row's state after some splits, and what a split adds to it: the only formula there is. */
struct merge_factors {
    float max, sum, old, more; /* the new state; what the old O and the split's are multiplied by */
};

static inline merge_factors merge(float max_before, float sum_before, float split_max,
                                  float split_sum)
{
    if (split_sum == 0) return { max_before, sum_before, 1.0f, 0.0f }; /* the row sees none of it */
    const float most = max(max_before, split_max);
    const float old = exp2(max_before - most), more = exp2(split_max - most);
    return { most, fma(sum_before, old, split_sum * more), old, more };
}

static inline float merged(float o, float split_o, float old, float more)
{
    return fma(o, old, split_o * more);
}

/* What a head's softmax begins with: a score that stands for no value. */
static inline float sink_of(device const float *sinks, constant attend_args &a, uint kv_head,
                            uint head)
{
    return sinks[kv_head * a.group + head] * 1.44269504089f;
}

/* ---- the kernel ----------------------------------------------------------------------------- */

/* What of an item all functions below need. */
template <int RT>
struct attend_place {
    threadgroup float *scores;      /* (8 RT, SPLIT) */
    threadgroup half *weights;      /* (8 RT, SPLIT) */
    threadgroup half *queries;      /* (8 RT, d_head) */
    threadgroup half *stage;        /* (16, STAGE_DIMS or more), this simdgroup's */
    threadgroup float *row_max, *row_sum, *row_old, *row_more;  /* (8 RT) */
    device const uchar *kv;
    device const uint *page;        /* of the item's streams */
    ulong page_bytes;
    uint n_positions;
};

template <int RT>
static inline device const uchar *page_part(thread const attend_place<RT> &p, uint split, uint page)
{
    return p.kv + p.page[split * SPLIT_PAGES + page] * p.page_bytes;
}

/* S of one page: scores of its 16 positions for all rows. */
template <int RT>
static inline void score_page(thread const attend_place<RT> &p, constant attend_args &a, uint split,
                              uint page, device const float *bias, device const float *cos_sin,
                              uint lane)
{
    device const uchar *part = page_part<RT>(p, split, page);
    const uint first_pos = split * SPLIT + page * PAGE_TOKENS;
    simdgroup_float8x8 sum[RT][2];
    for (int r = 0; r < RT; r++)
        for (int j = 0; j < 2; j++) sum[r][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    for (uint first = 0; first < d_head(); first += STAGE_DIMS) {
        const uint n = min(uint(STAGE_DIMS), d_head() - first);
        simdgroup_barrier(mem_flags::mem_threadgroup);
        for (uint i = lane; i < n * PAGE_TOKENS; i += 32) {     /* stage: (dims, 16 tokens) */
            const uint d = first + i / PAGE_TOKENS, t = i % PAGE_TOKENS;
            const bool is_written =
                first_pos + t < p.n_positions; /* else the table may end before */
            float value = kv_value(part, uint(type_of_keys), d, t, d * PAGE_TOKENS + t);
            if (a.has_bias && is_written)
                value += turned_bias(bias, cos_sin + ulong(first_pos + t) * a.n_rot, d, a);
            p.stage[i] = is_written ? staged(value) : half(0);
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
        for (uint d = 0; d < n; d += 8) {
            simdgroup_half8x8 rows[RT], keys[2];
            for (int j = 0; j < 2; j++)
                simdgroup_load(keys[j], p.stage + d * PAGE_TOKENS + 8 * j, PAGE_TOKENS);
            for (int r = 0; r < RT; r++)
                simdgroup_load(rows[r], p.queries + 8 * r * d_head() + first + d, d_head());
            for (int r = 0; r < RT; r++)
                for (int j = 0; j < 2; j++)
                    simdgroup_multiply_accumulate(sum[r][j], rows[r], keys[j], sum[r][j]);
        }
    }
    for (int r = 0; r < RT; r++)
        for (int j = 0; j < 2; j++)
            simdgroup_store(sum[r][j], p.scores + 8 * r * SPLIT + page * PAGE_TOKENS + 8 * j,
                            SPLIT);
}

/* P of a row, and its maximum and sum in this split. */
template <int RT>
static inline void soften_row(thread const attend_place<RT> &p, float score_cap, uint row,
                              uint split, uint first_pos, uint end_pos, uint lane)
{
    float score[SPLIT / 32], most = LOWEST_SCORE, sum = 0;
    for (uint i = 0; i < SPLIT / 32; i++) {
        const uint at = lane + 32 * i, pos = split * SPLIT + at;
        const bool is_seen = pos >= first_pos && pos < end_pos;
        score[i] = is_seen ? capped(p.scores[row * SPLIT + at], score_cap) : LOWEST_SCORE;
        most = max(most, score[i]);
    }
    most = simd_max(most);
    for (uint i = 0; i < SPLIT / 32; i++) {
        const half weight = score[i] == LOWEST_SCORE ? half(0) : half(exp2(score[i] - most));
        p.weights[row * SPLIT + lane + 32 * i] = weight;
        sum += float(weight);
    }
    sum = simd_sum(sum);
    if (lane) return;
    const merge_factors f = merge(p.row_max[row], p.row_sum[row], most, sum);
    p.row_max[row] = f.max;
    p.row_sum[row] = f.sum;
    p.row_old[row] = f.old;
    p.row_more[row] = f.more;
}

/* O of one split for this simdgroup's quarter of the dimensions, merged into what earlier ones
 * gave. MAX_O: fragments of that. */
template <int RT, int MAX_O>
static inline void add_values(thread const attend_place<RT> &p, constant attend_args &a, uint split,
                              uint simd, uint lane, uint row_in_fragment,
                              thread simdgroup_float8x8 (&o)[RT][MAX_O])
{
    const uint width = d_head() / 4, first = simd * width, n_o = width / 8;
    simdgroup_float8x8 sum[RT][MAX_O];
    for (int r = 0; r < RT; r++)
        for (int j = 0; j < MAX_O; j++) sum[r][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    for (uint page = 0; page < SPLIT_PAGES; page++) {
        const uint first_pos = split * SPLIT + page * PAGE_TOKENS;
        if (first_pos >= p.n_positions) break;
        device const uchar *part = page_part<RT>(p, split, page) + a.v_at;
        simdgroup_barrier(mem_flags::mem_threadgroup);
        for (uint i = lane; i < PAGE_TOKENS * width; i += 32) {     /* stage: (16 tokens, width) */
            const uint t = i / width, d = first + i % width;
            p.stage[i] = first_pos + t < p.n_positions
                             ? staged(kv_value(part, uint(type_of_values), d, t, t * d_head() + d))
                             : half(0);
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
        for (uint t = 0; t < PAGE_TOKENS; t += 8) {
            simdgroup_half8x8 weights[RT];
            for (int r = 0; r < RT; r++)
                simdgroup_load(weights[r], p.weights + 8 * r * SPLIT + page * PAGE_TOKENS + t,
                               SPLIT);
#pragma unroll
            for (uint j = 0; j < MAX_O; j++) {
                if (j >= n_o) continue;
                simdgroup_half8x8 values;
                simdgroup_load(values, p.stage + t * width + 8 * j, width);
                for (int r = 0; r < RT; r++)
                    simdgroup_multiply_accumulate(sum[r][j], weights[r], values, sum[r][j]);
            }
        }
    }
    for (int r = 0; r < RT; r++) {
        const float old = p.row_old[8 * r + row_in_fragment],
                    more = p.row_more[8 * r + row_in_fragment];
        for (int j = 0; j < MAX_O; j++)
            for (int e = 0; e < 2; e++)
                o[r][j].thread_elements()[e] = merged(o[r][j].thread_elements()[e],
                                                      sum[r][j].thread_elements()[e], old, more);
    }
}

static inline void put_attended(device half *att, ulong at, float o, float sum)
{
    att[at] = half(bounded(o * (1.0f / sum)));
}

/* This simdgroup's O to where it belongs: ATT, or the item's partial results. */
template <int RT, int MAX_O>
static inline void put_rows(thread const attend_place<RT> &p, constant attend_args &a,
                            attend_item item, device const attend_row *rows, device half *att,
                            device float *partial, uint head, uint simd, uchar4 mine,
                            thread simdgroup_float8x8 (&o)[RT][MAX_O])
{
    const uint width = d_head() / 4;
    for (int r = 0; r < RT; r++) {
        const uint row = 8 * r + mine.x;
        if (row >= item.n_rows) continue;
        const uint col = rows[item.first_row + row].col;
        const uint first = (head * a.group + rows[item.first_row + row].head) * d_head();
        device float *to =
            partial + (ulong(item.partial + row) * a.n_kv_heads + head) * (2 + d_head());
#pragma unroll
        for (uint j = 0; j < MAX_O; j++) {
            if (j >= width / 8) continue;
            for (uint e = 0; e < 2; e++) {
                const uint d = simd * width + 8 * j + (e ? mine.z : mine.y);
                const float value = o[r][j].thread_elements()[e];
                if (item.partial == NO_PARTIAL)
                    put_attended(att, half_at(col, first + d, a.ld_q), value, p.row_sum[row]);
                else to[2 + d] = value;
            }
        }
    }
}

/* Grid: (items, KV heads). shared: scores, weights, queries, four stages, four numbers of each row.
 */
template <int RT, int MAX_O>
[[max_total_threads_per_threadgroup(PRODUCT_SIMDGROUPS * 32)]]
kernel void attend(device const attend_item *items [[buffer(0)]],
                   device const attend_row *rows [[buffer(1)]],
                   device const uint *pages [[buffer(2)]],
                   device const half *q [[buffer(3)]],
                   device const uchar *kv [[buffer(4)]],
                   device const float *bias [[buffer(5)]],
                   device const float *cos_sin [[buffer(6)]],
                   device half *att [[buffer(7)]],
                   device float *partial [[buffer(8)]],
                   device const uchar4 *lanes [[buffer(9)]],
                   device const float *sinks [[buffer(10)]],
                   constant attend_args &a [[buffer(11)]],
                   threadgroup float *shared [[threadgroup(0)]],
                   uint2 group [[threadgroup_position_in_grid]],
                   uint thread_index [[thread_index_in_threadgroup]],
                   uint simd [[simdgroup_index_in_threadgroup]],
                   uint lane [[thread_index_in_simdgroup]])
{
    const uint n_rows = 8 * RT, head = group.y;
    device const attend_item *from = items + group.x;
    const attend_item item = { from->first_row, from->n_rows, from->first_split, from->n_splits,
                               from->page_at, from->n_positions, from->partial };
    threadgroup half *halves_at = (threadgroup half *)(shared + n_rows * SPLIT + 4 * n_rows);
    const attend_place<RT> p = {
        shared, halves_at, halves_at + n_rows * SPLIT,
        halves_at + n_rows * (SPLIT + d_head()) + simd * PAGE_TOKENS * 8 * MAX_O,
        shared + n_rows * SPLIT, shared + n_rows * (SPLIT + 1), shared + n_rows * (SPLIT + 2),
        shared + n_rows * (SPLIT + 3),
        kv + ulong(a.first_unit) * KV_UNIT + ulong(head) * a.head_bytes, pages + item.page_at,
        ulong(a.page_units) * KV_UNIT, item.n_positions,
    };
    const uchar4 mine = lanes[lane];
    simdgroup_float8x8 o[RT][MAX_O];
    for (int r = 0; r < RT; r++)
        for (int j = 0; j < MAX_O; j++) o[r][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);

    for (uint i = thread_index; i < n_rows * d_head(); i += 128) {
        const uint row = i / d_head(), d = i % d_head();
        device const attend_row *r = rows + item.first_row + min(row, item.n_rows - 1);
        const half value = q[ulong(r->col) * a.ld_q + (head * a.group + r->head) * d_head() + d];
        p.queries[i] = row < item.n_rows ? value : half(0);
    }
    if (thread_index < n_rows) {    /* a row that is combined begins with its sink there */
        device const attend_row *r = rows + item.first_row + min(thread_index, item.n_rows - 1);
        const bool has_sink = a.has_sinks && item.partial == NO_PARTIAL;
        p.row_max[thread_index] = has_sink ? sink_of(sinks, a, head, r->head) : LOWEST_SCORE;
        p.row_sum[thread_index] = has_sink ? 1.0f : 0.0f;
    }
    for (uint split = item.first_split; split < item.first_split + item.n_splits; split++) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint page = simd; page < SPLIT_PAGES; page += 4)
            if (split * SPLIT + page * PAGE_TOKENS < item.n_positions)
                score_page<RT>(p, a, split, page, bias + head * d_head(), cos_sin, lane);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint row = simd; row < n_rows; row += 4) {
            device const attend_row *r = rows + item.first_row + min(row, item.n_rows - 1);
            soften_row<RT>(p, a.score_cap, row, split, r->first_pos, r->pos + 1, lane);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        add_values<RT, MAX_O>(p, a, split, simd, lane, mine.x, o);
    }
    put_rows<RT, MAX_O>(p, a, item, rows, att, partial, head, simd, mine, o);
    if (item.partial == NO_PARTIAL || thread_index >= item.n_rows) return;
    device float *to =
        partial + (ulong(item.partial + thread_index) * a.n_kv_heads + head) * (2 + d_head());
    to[0] = p.row_max[thread_index];
    to[1] = p.row_sum[thread_index];
}

template [[host_name("attend_1")]] kernel decltype(attend<1, 8>) attend<1, 8>;
template [[host_name("attend_2")]] kernel decltype(attend<2, 8>) attend<2, 8>;
/* Of heads of more than 256 dimensions: for two tiles of rows there is no room. */
template [[host_name("attend_wide")]] kernel decltype(attend<1, 16>) attend<1, 16>;

/* Merges a row's partial results in the order of their splits. Grid: (rows, KV heads), a simdgroup.
 */
kernel void combine(device const combine_row *rows [[buffer(0)]],
                    device const uint *places [[buffer(1)]],
                    device const float *partial [[buffer(2)]],
                    device half *att [[buffer(3)]],
                    device const float *sinks [[buffer(4)]],
                    constant attend_args &a [[buffer(5)]],
                    uint2 group [[threadgroup_position_in_grid]],
                    uint lane [[thread_index_in_simdgroup]])
{
    device const combine_row *row = rows + group.x;
    const uint col = row->col, first = (group.y * a.group + row->head) * a.d_head;
    float o[MAX_D_HEAD / 32], sum = a.has_sinks ? 1.0f : 0.0f;
    float most = a.has_sinks ? sink_of(sinks, a, group.y, row->head) : LOWEST_SCORE;
    for (uint j = 0; j < MAX_D_HEAD / 32; j++) o[j] = 0;
    for (uint i = 0; i < row->n_places; i++) {
        const ulong place = places[row->first_place + i];
        device const float *from = partial + (place * a.n_kv_heads + group.y) * (2 + a.d_head);
        const merge_factors f = merge(most, sum, from[0], from[1]);
        most = f.max;
        sum = f.sum;
        for (uint j = 0; j < MAX_D_HEAD / 32; j++)
            if (j * 32 < a.d_head) o[j] = merged(o[j], from[2 + j * 32 + lane], f.old, f.more);
    }
    for (uint j = 0; j < MAX_D_HEAD / 32; j++)
        if (j * 32 < a.d_head)
            put_attended(att, half_at(col, first + j * 32 + lane, a.ld_q), o[j], sum);
}

/* Picks a row's token: a threadgroup a row, whatever the row's length.
 *
 * The candidates of a row are ordered best first: by falling value, equal ones by rising token. A
 * candidate's place in that order is one integer of 64 bits, the larger the better: the value's key
 * above, the token's complement below. No two are equal, so a filter, which keeps some of the best,
 * is but a border that places are held against; ties need no care anywhere.
 *
 * Top-k keeps so many, top-p keeps so much mass: the border is searched for, by counting and adding
 * up what lies at or above several thresholds at once, the first time at some distances below the
 * largest value, where borders usually are, then at even steps of what is left between two of them.
 * The first steps are even in value, the others in place: half of all keys belong to tiny numbers,
 * but places end a search among equal values, too.
 * Blocks of 256 logits whose largest lies below are not looked into.
 *
 * Where few candidates are left they are sorted and drawn from best first, as on the CPU. Where
 * many are, and where there is no filter, in the order of tokens; many are not in that order on
 * the CPU, so there a seed may give another token, of the same distribution.
 *
 * The token follows from the row and its pick alone. Counts are integers; every sum of floats has
 * an order that the vocabulary's size gives. A sum is in error by 1e-5 of itself at the very most
 * in 262,144 tokens (up to 150 roundings follow one another), by 1e-6 as a rule: where a random
 * number or top-p falls this near to the border of two tokens, either may be picked. */

enum {
    LOGIT_BLOCK = 256,
    OF_LANE = LOGIT_BLOCK / 32,     /* logits of a block that a lane looks at */
    SIMDGROUPS = SAMPLING_THREADS / 32,
    RUNGS = 8,                      /* thresholds that are measured at once */
    LEAST_KEY = 0x00800000,         /* of the lowest finite number */
};

/* ---- places --------------------------------------------------------------------------------- */

/* Of a float's bits: rises with the value; 0 for what is not finite and so never a candidate. */
static inline uint key_of(uint bits)
{
    if ((bits & 0x7f800000u) == 0x7f800000u) return 0;
    if (bits == 0x80000000u) bits = 0;      /* minus zero is zero */
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static inline uint key_of(float x)
{
    return key_of(as_type<uint>(x));
}

static inline float value_of(uint key)
{
    return as_type<float>(key & 0x80000000u ? key ^ 0x80000000u : ~key);
}

static inline uint key_at(ulong place)
{
    return uint(place >> 32);
}

static inline uint token_at(ulong place)
{
    return ~uint(place);
}

/* Better than all of a lower key, worse than all of this one. */
static inline ulong below_key(uint key)
{
    return ulong(key) << 32;
}

/* ---- a row and its threads ------------------------------------------------------------------ */

struct logit_row {
    device const uint *x;           /* (n) floats, as bits: only finite ones become floats here */
    device const uint *largest;     /* (n_blocks) of every 256, likewise */
    uint n, n_blocks;

    /* No key of the block is above. Where the largest is infinite, the others may be anything. */
    uint block_key(uint block) const
    {
        return largest[block] == 0x7f800000u ? UINT_MAX : key_of(largest[block]);
    }

    ulong place(uint token) const
    {
        return token < n ? ulong(key_of(x[token])) << 32 | ~token : 0;
    }
};

struct thread_place {
    uint in_group, simd, lane;
};

/* Those of a simdgroup's blocks, every SIMDGROUPS-th, that may have something of a key or above, by
 * rising number. Lanes look at 32 of them at once. */
struct live_blocks {
    uint next_first, first, left;   /* left: bit l is the simdgroup's block first + l */

    bool next(logit_row row, uint key, thread_place at, thread uint &block)
    {
        while (left == 0) {
            first = next_first;
            next_first += 32;
            if (first * SIMDGROUPS >= row.n_blocks) return false;
            const uint mine = (first + at.lane) * SIMDGROUPS + at.simd;
            const bool is_live = mine < row.n_blocks && row.block_key(mine) >= key;
            left = simd_or(is_live ? 1u << at.lane : 0u);
        }
        block = (first + ctz(left)) * SIMDGROUPS + at.simd;
        left &= left - 1;
        return true;
    }
};

/* What is known of a threshold: how many places are at or above it, and the sum of their
 * exp(value - largest). */
struct rung {
    ulong at;
    uint n;
    float mass;
};

struct sampling_shared {
    rung ladder[RUNGS], step[RUNGS];
    uint part_n[RUNGS][SIMDGROUPS];
    float part_mass[RUNGS][SIMDGROUPS];
    ulong found[MANY_CANDIDATES], sorted[MANY_CANDIDATES];
    uint part_key[SIMDGROUPS], part_token[SIMDGROUPS];
    atomic_uint n_found;
};

/* ---- the largest ---------------------------------------------------------------------------- */

/* 0: the row has no finite value. */
static inline uint largest_key(logit_row row, threadgroup sampling_shared &s, thread_place at)
{
    uint most = 0;
    for (uint block = at.in_group; block < row.n_blocks; block += SAMPLING_THREADS) {
        uint key = row.block_key(block);
        if (key == UINT_MAX) {      /* rare: a broken row */
            key = 0;
            for (uint i = 0; i < LOGIT_BLOCK; i++)
                key = max(key, key_at(row.place(block * LOGIT_BLOCK + i)));
        }
        most = max(most, key);
    }
    most = simd_max(most);
    if (at.lane == 0) s.part_key[at.simd] = most;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = 0; i < SIMDGROUPS; i++) most = max(most, s.part_key[i]);
    return most;
}

static inline uint first_of_key(logit_row row, uint key, threadgroup sampling_shared &s,
                                thread_place at)
{
    uint first = UINT_MAX, block;
    live_blocks blocks = { 0, 0, 0 };
    while (blocks.next(row, key, at, block))
        for (uint i = 0; i < OF_LANE; i++) {
            const uint token = block * LOGIT_BLOCK + i * 32 + at.lane;
            if (key_at(row.place(token)) == key) first = min(first, token);
        }
    first = simd_min(first);
    if (at.lane == 0) s.part_token[at.simd] = first;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = 0; i < SIMDGROUPS; i++) first = min(first, s.part_token[i]);
    return first;
}

/* ---- the search for a border ---------------------------------------------------------------- */

/* Fills n and mass of rungs whose thresholds rise. Sums: of a lane in a block, of its blocks, of
 * the lanes, of the simdgroups. */
static inline void measure(logit_row row, float most, threadgroup rung *rungs,
                           threadgroup sampling_shared &s, thread_place at)
{
    uint n[RUNGS], block;
    float mass[RUNGS];
    for (uint r = 0; r < RUNGS; r++) {
        n[r] = 0;
        mass[r] = 0;
    }
    live_blocks blocks = { 0, 0, 0 };
    while (blocks.next(row, key_at(rungs[0].at), at, block)) {
        const uint key = row.block_key(block);
        ulong place[OF_LANE];
        float weight[OF_LANE];
        for (uint i = 0; i < OF_LANE; i++) {
            place[i] = row.place(block * LOGIT_BLOCK + i * 32 + at.lane);
            weight[i] = key_at(place[i]) ? exp(value_of(key_at(place[i])) - most) : 0.0f;
        }
        for (uint r = 0; r < RUNGS; r++) {
            const ulong threshold = rungs[r].at;
            if (key_at(threshold) > key) break;     /* nor is anything above the next ones */
            float sum = 0;
            for (uint i = 0; i < OF_LANE; i++) {
                n[r] += place[i] >= threshold;
                sum += place[i] >= threshold ? weight[i] : 0.0f;
            }
            mass[r] += sum;
        }
    }
    for (uint r = 0; r < RUNGS; r++) {
        const uint all_n = simd_sum(n[r]);
        const float all_mass = simd_sum(mass[r]);
        if (at.lane) continue;
        s.part_n[r][at.simd] = all_n;
        s.part_mass[r][at.simd] = all_mass;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (at.in_group < RUNGS) {
        uint all_n = 0;
        float all_mass = 0;
        for (uint i = 0; i < SIMDGROUPS; i++) {
            all_n += s.part_n[at.in_group][i];
            all_mass += s.part_mass[at.in_group][i];
        }
        rungs[at.in_group].n = all_n;
        rungs[at.in_group].mass = all_mass;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

/* The whole row, and 64, 32, ... 1 below its largest. */
static inline void measure_ladder(logit_row row, float most, threadgroup sampling_shared &s,
                                  thread_place at)
{
    if (at.in_group < RUNGS) {
        const uint key = key_of(most - 128.0f / float(1u << at.in_group));
        s.ladder[at.in_group].at =
            below_key(at.in_group == 0 ? uint(LEAST_KEY) : max(key, uint(LEAST_KEY)));
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    measure(row, most, s.ladder, s, at);
}

/* A border lies between `low`, at or above which is enough, and `high`, where there is too
 * little. */
struct bracket {
    ulong low, high;
    uint n_low, n_high;
    float mass_low;

    /* Step i of RUNGS. By value: 0, and of no use, where the difference is not finite. */
    ulong between(uint i, bool is_by_value) const
    {
        const float least = value_of(key_at(low)), most = value_of(key_at(high));
        const float part = float(i + 1) / float(RUNGS + 1);
        const ulong step = max((high - low) / (RUNGS + 1), ulong(1));
        return is_by_value ? below_key(key_of(fma(most - least, part, least)))
                           : low + step * (i + 1);
    }

    void narrow(threadgroup const rung *rungs, uint n_wanted, float mass_wanted)
    {
        for (uint r = 0; r < RUNGS; r++) {
            const ulong at = rungs[r].at;
            if (at <= low || at >= high) continue;
            if (rungs[r].n >= n_wanted && rungs[r].mass >= mass_wanted) {
                low = at;
                n_low = rungs[r].n;
                mass_low = rungs[r].mass;
            } else {
                high = at;
                n_high = rungs[r].n;
            }
        }
    }
};

/* A filter's result: what is at or above `at`. */
struct kept {
    ulong at;
    uint n;
    float mass;
};

/* The fewest of the best of `from`, all of which have n_wanted places and mass_wanted at least,
 * that have both, too. Ends where one place is left between the bracket's ends. */
static inline kept keep_fewest(logit_row row, uint most_key, kept from, uint n_wanted,
                               float mass_wanted, threadgroup sampling_shared &s, thread_place at)
{
    bracket b = { from.at, below_key(most_key + 1), from.n, 0, from.mass };
    b.narrow(s.ladder, n_wanted, mass_wanted);
    for (uint pass = 0; b.n_low > n_wanted && b.n_low > b.n_high + 1; pass++) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (at.in_group < RUNGS) s.step[at.in_group].at = b.between(at.in_group, pass == 0);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        measure(row, value_of(most_key), s.step, s, at);
        b.narrow(s.step, n_wanted, mass_wanted);
    }
    const kept result = { b.low, b.n_low, b.mass_low };
    return result;
}

/* Where the filters' candidates end: top-k, then top-p of what that left, then min-p. */
static inline ulong find_border(logit_row row, uint most_key, device const row_pick *p,
                                threadgroup sampling_shared &s, thread_place at)
{
    const float most = value_of(most_key);
    ulong border = below_key(LEAST_KEY);
    if (p->top_k || p->top_p < 1.0f) {
        measure_ladder(row, most, s, at);
        kept all = { border, s.ladder[0].n, s.ladder[0].mass };
        if (p->top_k && p->top_k < all.n)
            all = keep_fewest(row, most_key, all, p->top_k, 0.0f, s, at);
        if (p->top_p < 1.0f)
            all = keep_fewest(row, most_key, all, 1, p->top_p * all.mass, s, at);
        border = all.at;
    }
    return max(border, below_key(key_of(most + p->log_min_p)));
}

/* ---- drawing -------------------------------------------------------------------------------- */

/* The first of n items at which the running sum of weights exceeds `unit` times all weight plus
 * `left`; where rounding leaves none, the last that has any weight. `left` becomes what of that
 * lies within the item. By one simdgroup: a lane has neighbouring items, and lanes' intervals join
 * without a gap, as a lane's begins with the very sum that ends the one before. */
template <typename W>
static inline uint find_item(W weights, uint n, float unit, thread float &left, uint lane)
{
    const uint share = (n + 31) / 32, first = min(lane * share, n), end = min(first + share, n);
    float mine = 0, before = 0, all = 0;
    for (uint i = first; i < end; i++) mine += weights.of(i);
    for (uint l = 0; l < 32; l++) {
        if (l == lane) before = all;
        all += simd_shuffle(mine, ushort(l));
    }
    const float target = fma(unit, all, left);
    uint chosen = simd_min(mine > 0.0f && before + mine > target ? lane : 32u);
    if (chosen == 32) chosen = simd_max(mine > 0.0f ? lane : 0u);

    uint item = first;
    float rest = target - before, inside = rest;
    for (uint i = first; i < end && lane == chosen; i++) {
        const float weight = weights.of(i);
        if (weight > 0.0f) {
            item = i;
            inside = rest;
        }
        if (weight > rest) break;
        rest -= weight;
    }
    left = simd_shuffle(inside, ushort(chosen));
    return simd_shuffle(item, ushort(chosen));
}

static inline float weight_at(ulong place, float most, float scale)
{
    return exp((value_of(key_at(place)) - most) * scale);
}

struct sorted_weights {
    threadgroup const ulong *place;
    float most, scale;

    float of(uint i) const { return weight_at(place[i], most, scale); }
};

struct token_weights {
    logit_row row;
    uint first;                     /* token */
    ulong border;
    float most, scale;

    float of(uint i) const
    {
        const ulong place = row.place(first + i);
        return place >= border ? weight_at(place, most, scale) : 0.0f;
    }
};

struct block_weights {
    logit_row row;
    device const float *sum;
    ulong border;

    float of(uint i) const { return row.block_key(i) >= key_at(border) ? sum[i] : 0.0f; }
};

/* All at or above the border, in no order; more than MANY_CANDIDATES: there are too many. */
static inline uint gather(logit_row row, ulong border, threadgroup sampling_shared &s,
                          thread_place at)
{
    if (at.in_group == 0) atomic_store_explicit(&s.n_found, 0u, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint block;
    live_blocks blocks = { 0, 0, 0 };
    while (blocks.next(row, key_at(border), at, block))
        for (uint i = 0; i < OF_LANE; i++) {
            const ulong place = row.place(block * LOGIT_BLOCK + i * 32 + at.lane);
            if (place < border) continue;
            if (atomic_load_explicit(&s.n_found, memory_order_relaxed) > MANY_CANDIDATES) continue;
            const uint to = atomic_fetch_add_explicit(&s.n_found, 1u, memory_order_relaxed);
            if (to < MANY_CANDIDATES) s.found[to] = place;
        }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return atomic_load_explicit(&s.n_found, memory_order_relaxed);
}

/* A place's index is the number of those above it. */
static inline void sort_found(uint n, threadgroup sampling_shared &s, thread_place at)
{
    for (uint i = at.in_group; i < n; i += SAMPLING_THREADS) {
        uint n_better = 0;
        for (uint k = 0; k < n; k++) n_better += s.found[k] > s.found[i];
        s.sorted[n_better] = s.found[i];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

/* First the block, then the token in it. The result is simdgroup 0's. */
static inline uint draw_by_token(logit_row row, ulong border, float most, float scale, float unit,
                                 device float *block_sum, thread_place at)
{
    uint block;
    live_blocks blocks = { 0, 0, 0 };
    while (blocks.next(row, key_at(border), at, block)) {
        const token_weights weights = { row, block * LOGIT_BLOCK, border, most, scale };
        float sum = 0;
        for (uint i = 0; i < OF_LANE; i++) sum += weights.of(i * 32 + at.lane);
        sum = simd_sum(sum);
        if (at.lane == 0) block_sum[block] = sum;
    }
    threadgroup_barrier(mem_flags::mem_device);
    if (at.simd) return 0;
    float left = 0;
    const block_weights of_blocks = { row, block_sum, border };
    block = find_item(of_blocks, row.n_blocks, unit, left, at.lane);
    const token_weights of_tokens = { row, block * LOGIT_BLOCK, border, most, scale };
    return block * LOGIT_BLOCK + find_item(of_tokens, LOGIT_BLOCK, 0.0f, left, at.lane);
}

/* Grid: rows, SAMPLING_THREADS each. block_sum: (rows, n_blocks), the kernel's own. token: -1 where
 * a row has no finite value; left alone where the pick is the host's. */
[[max_total_threads_per_threadgroup(SAMPLING_THREADS)]]
kernel void pick_tokens(device const uint *logits [[buffer(0)]],
                        device const uint *largest [[buffer(1)]],
                        device const row_pick *picks [[buffer(2)]],
                        device float *block_sum [[buffer(3)]],
                        device int *token [[buffer(4)]],
                        constant sampling_args &a [[buffer(5)]],
                        uint group [[threadgroup_position_in_grid]],
                        uint thread_index [[thread_index_in_threadgroup]],
                        uint simd [[simdgroup_index_in_threadgroup]],
                        uint lane [[thread_index_in_simdgroup]])
{
    threadgroup sampling_shared s;
    const ulong first_block = ulong(group) * a.n_blocks;
    const thread_place at = { thread_index, simd, lane };
    const logit_row row = { logits + ulong(group) * a.ld_vocab, largest + first_block, a.n_vocab,
                            a.n_blocks };
    device const row_pick *p = picks + group;
    uint picked;

    if (p->kind == PICK_BY_HOST) return;
    const uint most_key = largest_key(row, s, at);
    const float most = value_of(most_key);
    if (most_key == 0) {
        picked = uint(-1);
    } else if (p->kind == PICK_LARGEST) {
        picked = first_of_key(row, most_key, s, at);
    } else {
        const bool is_filtered = p->kind == PICK_FROM_BEST;
        const ulong border =
            is_filtered ? find_border(row, most_key, p, s, at) : below_key(LEAST_KEY);
        const uint n = is_filtered ? gather(row, border, s, at) : UINT_MAX;
        if (n > MANY_CANDIDATES) {
            picked = draw_by_token(row, border, most, p->scale, p->unit, block_sum + first_block,
                                   at);
        } else {
            sort_found(n, s, at);
            if (simd) return;
            float left = 0;
            const sorted_weights weights = { s.sorted, most, p->scale };
            picked = token_at(s.sorted[find_item(weights, n, p->unit, left, lane)]);
        }
    }
    if (thread_index == 0) token[group] = int(picked);
}

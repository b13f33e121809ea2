/* Picks a row's token: a block of threads a row, whatever the row's length.
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
 * but places end a search among equal values, too. Blocks of 256 logits whose largest lies below
 * are not looked into.
 *
 * Where few candidates are left they are sorted and drawn from best first, as on the CPU. Where
 * many are, and where there is no filter, in the order of tokens; many are not in that order on
 * the CPU, so there a seed may give another token, of the same distribution.
 *
 * The token follows from the row and its pick alone. Counts are integers; every sum of floats has
 * an order that the vocabulary's size gives. */
#include "backend/cuda/device.cuh"
#include "backend/cuda/ptx.cuh"

static constexpr int WARP = 32, WARPS = SAMPLING_THREADS / WARP, BLOCK = LOGITS_A_BLOCK;
static constexpr int OF_LANE = BLOCK / WARP;    /* logits of a block that a lane looks at */
static constexpr int RUNGS = 8;                 /* thresholds that are measured at once */
static constexpr uint32_t LEAST_KEY = 0x00800000;   /* of the lowest finite number */
static constexpr uint32_t NO_KEY = 0xffffffffu;
static constexpr uint32_t ALL = 0xffffffffu;

/* ---- what the lanes of a warp know together ------------------------------------------------- */

DEV uint32_t lanes_sum(uint32_t x) { return __reduce_add_sync(ALL, x); }
DEV uint32_t lanes_min(uint32_t x) { return __reduce_min_sync(ALL, x); }
DEV uint32_t lanes_max(uint32_t x) { return __reduce_max_sync(ALL, x); }

DEV float lanes_sum(float x)
{
    #pragma unroll
    for (int i = WARP / 2; i; i /= 2) x += __shfl_xor_sync(ALL, x, i);
    return x;
}

/* ---- places --------------------------------------------------------------------------------- */

/* Of a float's bits: rises with the value; 0 for what is not finite and so never a candidate. */
DEV uint32_t key_of(uint32_t bits)
{
    if ((bits & 0x7f800000u) == 0x7f800000u) return 0;
    if (bits == 0x80000000u) bits = 0;      /* minus zero is zero */
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

DEV uint32_t key_of(float x) { return key_of(__float_as_uint(x)); }

DEV float value_of(uint32_t key)
{
    return __uint_as_float(key & 0x80000000u ? key ^ 0x80000000u : ~key);
}

DEV uint32_t key_at(uint64_t place) { return (uint32_t)(place >> 32); }
DEV uint32_t token_at(uint64_t place) { return ~(uint32_t)place; }

/* Better than all of a lower key, worse than all of this one. */
DEV uint64_t below_key(uint32_t key) { return (uint64_t)key << 32; }

/* ---- a row and its threads ------------------------------------------------------------------ */

struct logit_row {
    const uint32_t *x;          /* (n) floats, as bits: only finite ones become floats here */
    const uint32_t *largest;    /* (n_blocks) of every 256, likewise */
    uint32_t n, n_blocks;

    /* No key of the block is above. Where the largest is infinite, the others may be anything. */
    DEV uint32_t block_key(uint32_t block) const
    {
        return largest[block] == 0x7f800000u ? NO_KEY : key_of(largest[block]);
    }
    DEV uint64_t place(uint32_t token) const
    {
        return token < n ? (uint64_t)key_of(x[token]) << 32 | (uint32_t)~token : 0;
    }
};

struct thread_place {
    uint32_t in_block, warp, lane;
};

/* Those of a warp's blocks, every WARPS-th, that may have something of a key or above, by rising
 * number. Lanes look at 32 of them at once. */
struct live_blocks {
    uint32_t next_first, first, left;   /* left: bit l is the warp's block first + l */

    DEV bool next(const logit_row &row, uint32_t key, const thread_place &at, uint32_t &block)
    {
        while (left == 0) {
            first = next_first;
            next_first += WARP;
            if (first * WARPS >= row.n_blocks) return false;
            const uint32_t mine = (first + at.lane) * WARPS + at.warp;
            left = __ballot_sync(ALL, mine < row.n_blocks && row.block_key(mine) >= key);
        }
        block = (first + __ffs(left) - 1) * WARPS + at.warp;
        left &= left - 1;
        return true;
    }
};

/* What is known of a threshold: how many places are at or above it, and the sum of their
 * exp(value - largest). */
struct rung {
    uint64_t at;
    uint32_t n;
    float mass;
};

struct sampling_shared {
    rung ladder[RUNGS], step[RUNGS];
    uint32_t part_n[RUNGS][WARPS];
    float part_mass[RUNGS][WARPS];
    uint64_t found[MANY_CANDIDATES], sorted[MANY_CANDIDATES];
    uint32_t part_key[WARPS], part_token[WARPS];
    uint32_t n_found;
};

/* ---- the largest ---------------------------------------------------------------------------- */

/* 0: the row has no finite value. */
DEV uint32_t largest_key(const logit_row &row, sampling_shared &s, const thread_place &at)
{
    uint32_t most = 0;
    for (uint32_t block = at.in_block; block < row.n_blocks; block += SAMPLING_THREADS) {
        uint32_t key = row.block_key(block);
        if (key == NO_KEY) {        /* rare: a broken row */
            key = 0;
            for (uint32_t i = 0; i < BLOCK; i++)
                key = max(key, key_at(row.place(block * BLOCK + i)));
        }
        most = max(most, key);
    }
    most = lanes_max(most);
    if (at.lane == 0) s.part_key[at.warp] = most;
    __syncthreads();
    for (int i = 0; i < WARPS; i++) most = max(most, s.part_key[i]);
    return most;
}

DEV uint32_t first_of_key(const logit_row &row, uint32_t key, sampling_shared &s,
                          const thread_place &at)
{
    uint32_t first = NO_KEY, block;
    live_blocks blocks = { 0, 0, 0 };
    while (blocks.next(row, key, at, block))
        for (uint32_t i = 0; i < OF_LANE; i++) {
            const uint32_t token = block * BLOCK + i * WARP + at.lane;
            if (key_at(row.place(token)) == key) first = min(first, token);
        }
    first = lanes_min(first);
    if (at.lane == 0) s.part_token[at.warp] = first;
    __syncthreads();
    for (int i = 0; i < WARPS; i++) first = min(first, s.part_token[i]);
    return first;
}

/* ---- the search for a border ---------------------------------------------------------------- */

/* Fills n and mass of rungs whose thresholds rise. Sums: of a lane in a block, of its blocks, of
 * the lanes, of the warps. */
DEV void measure_rungs(const logit_row &row, float most, rung *rungs, sampling_shared &s,
                       const thread_place &at)
{
    uint32_t n[RUNGS], block;
    float mass[RUNGS];
    #pragma unroll
    for (int r = 0; r < RUNGS; r++) n[r] = 0, mass[r] = 0;
    live_blocks blocks = { 0, 0, 0 };
    while (blocks.next(row, key_at(rungs[0].at), at, block)) {
        uint64_t place[OF_LANE];
        float weight[OF_LANE];
        #pragma unroll
        for (int i = 0; i < OF_LANE; i++) {
            place[i] = row.place(block * BLOCK + i * WARP + at.lane);
            weight[i] = key_at(place[i]) ? expf(value_of(key_at(place[i])) - most) : 0.0f;
        }
        #pragma unroll
        for (int r = 0; r < RUNGS; r++) {
            const uint64_t threshold = rungs[r].at;
            float sum = 0;
            #pragma unroll
            for (int i = 0; i < OF_LANE; i++) {
                n[r] += place[i] >= threshold;
                sum += place[i] >= threshold ? weight[i] : 0.0f;
            }
            mass[r] += sum;
        }
    }
    #pragma unroll
    for (int r = 0; r < RUNGS; r++) {
        const uint32_t all_n = lanes_sum(n[r]);
        const float all_mass = lanes_sum(mass[r]);
        if (at.lane) continue;
        s.part_n[r][at.warp] = all_n;
        s.part_mass[r][at.warp] = all_mass;
    }
    __syncthreads();
    if (at.in_block < RUNGS) {
        uint32_t all_n = 0;
        float all_mass = 0;
        for (int i = 0; i < WARPS; i++) {
            all_n += s.part_n[at.in_block][i];
            all_mass += s.part_mass[at.in_block][i];
        }
        rungs[at.in_block].n = all_n;
        rungs[at.in_block].mass = all_mass;
    }
    __syncthreads();
}

/* The whole row, and 64, 32, ... 1 below its largest. */
DEV void measure_ladder(const logit_row &row, float most, sampling_shared &s,
                        const thread_place &at)
{
    if (at.in_block < RUNGS) {
        const uint32_t key = key_of(most - 128.0f / (float)(1u << at.in_block));
        s.ladder[at.in_block].at = below_key(at.in_block == 0 ? LEAST_KEY : max(key, LEAST_KEY));
    }
    __syncthreads();
    measure_rungs(row, most, s.ladder, s, at);
}

/* A border lies between `low`, at or above which is enough, and `high`, where there is too
 * little. */
struct bracket {
    uint64_t low, high;
    uint32_t n_low, n_high;
    float mass_low;

    /* Step i of RUNGS. By value: 0, and of no use, where the difference is not finite. */
    DEV uint64_t between(uint32_t i, bool is_by_value) const
    {
        const float least = value_of(key_at(low)), most = value_of(key_at(high));
        const float part = (float)(i + 1) / (float)(RUNGS + 1);
        const uint64_t gap = (high - low) / (RUNGS + 1), step = gap > 1 ? gap : 1;
        return is_by_value ? below_key(key_of(__fmaf_rn(most - least, part, least)))
                           : low + step * (i + 1);
    }
    DEV void narrow(const rung *rungs, uint32_t n_wanted, float mass_wanted)
    {
        for (int r = 0; r < RUNGS; r++) {
            const uint64_t at = rungs[r].at;
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
    uint64_t at;
    uint32_t n;
    float mass;
};

/* The fewest of the best of `from`, all of which have n_wanted places and mass_wanted at least,
 * that have both, too. Ends where one place is left between the bracket's ends. */
DEV kept keep_fewest(const logit_row &row, uint32_t most_key, const kept &from, uint32_t n_wanted,
                     float mass_wanted, sampling_shared &s, const thread_place &at)
{
    bracket b = { from.at, below_key(most_key + 1), from.n, 0, from.mass };
    b.narrow(s.ladder, n_wanted, mass_wanted);
    for (uint32_t pass = 0; b.n_low > n_wanted && b.n_low > b.n_high + 1; pass++) {
        __syncthreads();
        if (at.in_block < RUNGS) s.step[at.in_block].at = b.between(at.in_block, pass == 0);
        __syncthreads();
        measure_rungs(row, value_of(most_key), s.step, s, at);
        b.narrow(s.step, n_wanted, mass_wanted);
    }
    return { b.low, b.n_low, b.mass_low };
}

/* Where the filters' candidates end: top-k, then top-p of what that left, then min-p. */
DEV uint64_t find_border(const logit_row &row, uint32_t most_key, const row_pick &p,
                         sampling_shared &s, const thread_place &at)
{
    const float most = value_of(most_key);
    uint64_t border = below_key(LEAST_KEY);
    if (p.top_k || p.top_p < 1.0f) {
        measure_ladder(row, most, s, at);
        kept all = { border, s.ladder[0].n, s.ladder[0].mass };
        if (p.top_k && p.top_k < all.n)
            all = keep_fewest(row, most_key, all, p.top_k, 0.0f, s, at);
        if (p.top_p < 1.0f)
            all = keep_fewest(row, most_key, all, 1, p.top_p * all.mass, s, at);
        border = all.at;
    }
    const uint64_t least = below_key(key_of(most + p.log_min_p));
    return border > least ? border : least;
}

/* ---- drawing -------------------------------------------------------------------------------- */

/* The first of n items at which the running sum of weights exceeds `unit` times all weight plus
 * `left`; where rounding leaves none, the last that has any weight. `left` becomes what of that
 * lies within the item. By one warp: a lane has neighbouring items, and lanes' intervals join
 * without a gap, as a lane's begins with the very sum that ends the one before. */
template <typename W>
DEV uint32_t find_item(const W &weights, uint32_t n, float unit, float &left, uint32_t lane)
{
    const uint32_t share = (n + WARP - 1) / WARP, first = min(lane * share, n);
    const uint32_t end = min(first + share, n);
    float mine = 0, before = 0, all = 0;
    for (uint32_t i = first; i < end; i++) mine += weights.of(i);
    for (uint32_t l = 0; l < WARP; l++) {
        if (l == lane) before = all;
        all += __shfl_sync(ALL, mine, l);
    }
    const float target = __fmaf_rn(unit, all, left);
    uint32_t chosen = lanes_min(mine > 0.0f && before + mine > target ? lane : (uint32_t)WARP);
    if (chosen == WARP) chosen = lanes_max(mine > 0.0f ? lane : 0u);

    uint32_t item = first;
    float rest = target - before, inside = rest;
    for (uint32_t i = first; i < end && lane == chosen; i++) {
        const float weight = weights.of(i);
        if (weight > 0.0f) {
            item = i;
            inside = rest;
        }
        if (weight > rest) break;
        rest -= weight;
    }
    __syncwarp();
    left = __shfl_sync(ALL, inside, chosen);
    return __shfl_sync(ALL, item, chosen);
}

DEV float weight_at(uint64_t place, float most, float scale)
{
    return expf((value_of(key_at(place)) - most) * scale);
}

struct sorted_weights {
    const uint64_t *place;
    float most, scale;

    DEV float of(uint32_t i) const { return weight_at(place[i], most, scale); }
};

struct token_weights {
    const logit_row &row;
    uint32_t first;                     /* token */
    uint64_t border;
    float most, scale;

    DEV float of(uint32_t i) const
    {
        const uint64_t place = row.place(first + i);
        return place >= border ? weight_at(place, most, scale) : 0.0f;
    }
};

struct block_weights {
    const logit_row &row;
    const float *sum;
    uint64_t border;

    DEV float of(uint32_t i) const
    {
        return row.block_key(i) >= key_at(border) ? __ldcg(sum + i) : 0.0f;
    }
};

/* All at or above the border, in no order; more than MANY_CANDIDATES: there are too many. */
DEV uint32_t gather_found(const logit_row &row, uint64_t border, sampling_shared &s,
                          const thread_place &at)
{
    if (at.in_block == 0) s.n_found = 0;
    __syncthreads();
    uint32_t block;
    live_blocks blocks = { 0, 0, 0 };
    while (blocks.next(row, key_at(border), at, block))
        for (uint32_t i = 0; i < OF_LANE; i++) {
            const uint64_t place = row.place(block * BLOCK + i * WARP + at.lane);
            if (place < border) continue;
            const uint32_t to = atomicAdd(&s.n_found, 1u);
            if (to < MANY_CANDIDATES) s.found[to] = place;
        }
    __syncthreads();
    return s.n_found;
}

/* A place's index is the number of those above it. */
DEV void sort_found(uint32_t n, sampling_shared &s, const thread_place &at)
{
    for (uint32_t i = at.in_block; i < n; i += SAMPLING_THREADS) {
        uint32_t n_better = 0;
        for (uint32_t k = 0; k < n; k++) n_better += s.found[k] > s.found[i];
        s.sorted[n_better] = s.found[i];
    }
    __syncthreads();
}

/* First the block, then the token in it. The result is warp 0's. */
DEV uint32_t draw_by_token(const logit_row &row, uint64_t border, float most, float scale,
                           float unit, float *block_sum, const thread_place &at)
{
    uint32_t block;
    live_blocks blocks = { 0, 0, 0 };
    while (blocks.next(row, key_at(border), at, block)) {
        const token_weights weights = { row, block * BLOCK, border, most, scale };
        float sum = 0;
        for (uint32_t i = 0; i < OF_LANE; i++) sum += weights.of(i * WARP + at.lane);
        sum = lanes_sum(sum);
        if (at.lane == 0) __stcg(block_sum + block, sum);
    }
    __threadfence_block();
    __syncthreads();
    if (at.warp) return 0;
    float left = 0;
    const block_weights of_blocks = { row, block_sum, border };
    block = find_item(of_blocks, row.n_blocks, unit, left, at.lane);
    const token_weights of_tokens = { row, block * BLOCK, border, most, scale };
    return block * BLOCK + find_item(of_tokens, BLOCK, 0.0f, left, at.lane);
}

DEV thread_place this_thread(void)
{
    return { threadIdx.x, threadIdx.x / WARP, threadIdx.x % WARP };
}

DEV logit_row row_of(const sampling_args &a, uint32_t row)
{
    return { a.logits + (size_t)row * a.ld_vocab, a.largest + (size_t)row * a.n_blocks, a.n_vocab,
             a.n_blocks };
}

/* Grid: rows. token: -1 where a row has no finite value; left alone where the host picks. */
static __global__ void __launch_bounds__(SAMPLING_THREADS) pick_kernel(const sampling_args a)
{
    __shared__ sampling_shared s;
    pdl_release();
    pdl_wait();
    const thread_place at = this_thread();
    const logit_row row = row_of(a, blockIdx.x);
    const row_pick p = a.pick[blockIdx.x];
    uint32_t picked;

    if (p.kind == PICK_BY_HOST) return;
    const uint32_t most_key = largest_key(row, s, at);
    const float most = value_of(most_key);
    if (most_key == 0) {
        picked = NO_KEY;
    } else if (p.kind == PICK_LARGEST) {
        picked = first_of_key(row, most_key, s, at);
    } else {
        const bool is_filtered = p.kind == PICK_FROM_BEST;
        const uint64_t border =
            is_filtered ? find_border(row, most_key, p, s, at) : below_key(LEAST_KEY);
        const uint32_t n = is_filtered ? gather_found(row, border, s, at) : NO_KEY;
        if (n > MANY_CANDIDATES) {
            picked = draw_by_token(row, border, most, p.scale, p.unit,
                                   a.block_sum + (size_t)blockIdx.x * a.n_blocks, at);
        } else {
            sort_found(n, s, at);
            if (at.warp) return;
            float left = 0;
            const sorted_weights weights = { s.sorted, most, p.scale };
            picked = token_at(s.sorted[find_item(weights, n, p.unit, left, at.lane)]);
        }
    }
    if (at.in_block == 0) a.token[blockIdx.x] = (int32_t)picked;
}

void launch_pick(cuda_device *d, const sampling_args *a)
{
    launch(d, pick_kernel, dim3(a->n_rows), SAMPLING_THREADS, 0, *a);
}

/* ---- log-probabilities and penalties -------------------------------------------------------- */

/* Sum and best tokens of the row as the model gave it. */
static __global__ void __launch_bounds__(SAMPLING_THREADS) measure_kernel(const sampling_args a)
{
    __shared__ sampling_shared s;
    pdl_release();
    pdl_wait();
    const thread_place at = this_thread();
    const logit_row row = row_of(a, blockIdx.x);
    row_probs *to = a.probs + blockIdx.x;

    if (!(a.pick[blockIdx.x].flags & PICK_WANTS_PROBS)) return;
    const uint32_t most_key = largest_key(row, s, at), n_top = a.pick[blockIdx.x].n_top;
    const float most = value_of(most_key);
    if (most_key == 0) {
        if (at.in_block == 0) to->n_top = 0;
        return;
    }
    measure_ladder(row, most, s, at);
    kept best = { below_key(LEAST_KEY), s.ladder[0].n, s.ladder[0].mass };
    const float log_sum = logf(best.mass);
    if (n_top && n_top < best.n) best = keep_fewest(row, most_key, best, n_top, 0.0f, s, at);
    const uint32_t n = n_top ? gather_found(row, best.at, s, at) : 0;
    sort_found(n, s, at);
    if (at.in_block < n) {
        to->token[at.in_block] = (int32_t)token_at(s.sorted[at.in_block]);
        to->top[at.in_block] = (value_of(key_at(s.sorted[at.in_block])) - most) - log_sum;
    }
    if (at.in_block) return;
    to->largest = most;
    to->log_sum = log_sum;
    to->n_top = n;
}

void launch_measure_probs(cuda_device *d, const sampling_args *a)
{
    launch(d, measure_kernel, dim3(a->n_rows), SAMPLING_THREADS, 0, *a);
}

/* What is not finite stays as it is: no float is made of it. */
DEV void touch_logit(uint32_t *x, row_touch *t, const row_pick &p, uint32_t count)
{
    const uint32_t bits = x[t->token];
    if (key_of(bits) == 0) return;
    float logit = __uint_as_float(bits);
    t->logit = logit;
    if (count) {
        if (p.repetition_penalty > 0.0f)
            logit = logit > 0.0f ? logit / p.repetition_penalty : logit * p.repetition_penalty;
        logit = __fsub_rn(__fsub_rn(logit, __fmul_rn((float)count, p.frequency_penalty)),
                          p.presence_penalty);
    }
    const bool is_forbidden = key_of(t->bias) == 0;
    x[t->token] = is_forbidden ? 0xff800000u : __float_as_uint(logit + t->bias);
}

/* Changes the row, and keeps what was there. */
static __global__ void __launch_bounds__(SAMPLING_THREADS) touch_kernel(const sampling_args a)
{
    __shared__ bool is_found;
    pdl_release();
    pdl_wait();
    const row_pick p = a.pick[blockIdx.x];
    row_touch *touch = a.touch + (size_t)blockIdx.x * (a.max_touched + 1);
    uint32_t *x = a.logits + (size_t)blockIdx.x * a.ld_vocab;

    if (!(p.flags & PICK_TOUCHES)) return;
    int32_t last = p.last;
    if (last < 0) last = last == NO_LAST_TOKEN ? -1 : a.picked[-1 - last];
    if (threadIdx.x == 0) is_found = last < 0;
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < p.n_touched; i += SAMPLING_THREADS) {
        const bool is_last = touch[i].token == last;
        if (is_last) is_found = true;
        touch_logit(x, touch + i, p, touch[i].count + is_last);
    }
    __syncthreads();
    if (threadIdx.x) return;
    row_touch *own = touch + p.n_touched;
    own->token = is_found ? -1 : last;
    own->bias = 0.0f;
    if (!is_found) touch_logit(x, own, p, 1);
}

void launch_touch(cuda_device *d, const sampling_args *a)
{
    launch(d, touch_kernel, dim3(a->n_rows), SAMPLING_THREADS, 0, *a);
}

/* The log-probability of the token picked. Grid: rows, a warp each. */
static __global__ void __launch_bounds__(WARP) finish_kernel(const sampling_args a)
{
    pdl_release();
    pdl_wait();
    const row_pick p = a.pick[blockIdx.x];
    const row_touch *touch = a.touch + (size_t)blockIdx.x * (a.max_touched + 1);
    const int32_t picked = a.token[blockIdx.x];

    if (!(p.flags & PICK_WANTS_PROBS) || picked < 0) return;
    const uint32_t n = p.flags & PICK_TOUCHES ? p.n_touched + 1 : 0;
    uint32_t at = 0;
    for (uint32_t i = threadIdx.x; i < n; i += WARP)
        if (touch[i].token == picked) at = i + 1;
    at = lanes_max(at);
    if (threadIdx.x) return;
    row_probs *to = a.probs + blockIdx.x;
    const float logit =
        at ? touch[at - 1].logit
           : __uint_as_float(a.logits[(size_t)blockIdx.x * a.ld_vocab + (uint32_t)picked]);
    to->logprob = (logit - to->largest) - to->log_sum;
}

void launch_finish_probs(cuda_device *d, const sampling_args *a)
{
    launch(d, finish_kernel, dim3(a->n_rows), WARP, 0, *a);
}

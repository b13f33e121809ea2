/* Tokens out of logits: a threadgroup for each row that asks for one.
 *
 * Every filter keeps a beginning of one order: larger logits first, the smaller token first among
 * equal ones. So what is left of the row is all that is not beyond a border, a logit and a token,
 * and a filter only moves the border: top-k to where the count is k, top-p to where the mass is p
 * of what top-k left, min-p to a logit. The border is searched by halving the integers that order
 * floats as their bits do; blocks whose largest logit is beyond it are not read. A few survivors
 * are put in that order and drawn from by it, as the CPU's sampler does; many are drawn from by
 * token.
 *
 * What a row gets depends on the row and its pick alone: each lane adds up its own values by rising
 * block, lanes and simdgroups are then added in one order. Sums are f32: of n logits with an error
 * of about 2^-24 sqrt(n / 256) of the whole, which is how far from its border a draw is exact. */

enum { PICK_SIMDGROUPS = PICK_THREADS / 32 };

/* Larger floats have larger keys; what is not finite counts as minus infinity, the least of keys.
 */
constant uint KEY_OF_NOTHING = 0x007fffffu;
constant uint KEY_OF_LEAST = 0x00800000u;       /* -FLT_MAX's */

static inline uint key_of(float x)
{
    const uint bits = as_type<uint>(x);
    if ((bits & 0x7f800000u) == 0x7f800000u) return KEY_OF_NOTHING;
    if (bits == 0x80000000u) return 0x80000000u;        /* -0 is 0 */
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static inline float value_of(uint key)
{
    return as_type<float>(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/* What is not beyond it is left: greater keys, and of its own key the tokens up to its own. */
struct border {
    uint key, token;
};

static inline bool is_left(uint key, uint token, border at)
{
    return key > at.key || (key == at.key && token <= at.token);
}

/* Of what is left: how many, and the sum of exp(logit - largest). */
struct amount {
    uint count;
    float mass;
};

/* What the threads of a row share. */
struct pick_shared {
    uint count[PICK_SIMDGROUPS];
    float mass[PICK_SIMDGROUPS];
    float part[32];
    atomic_uint n_few;
    uint few_key[PICK_FEW], few_token[PICK_FEW];
};

/* A row, and who this thread is. */
struct pick_row {
    device const float *x;
    device float *largest;      /* of each block, none infinite; in the end a block's mass */
    threadgroup pick_shared *shared;
    uint n, n_blocks;
    float max;
    uint thread_index, simd, lane;
};

static inline uint end_of(pick_row r, uint block)
{
    return min(block * PICK_BLOCK + PICK_BLOCK, r.n);
}

static inline uint max_of_group(pick_row r, uint mine)
{
    mine = simd_max(mine);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (r.lane == 0) r.shared->count[r.simd] = mine;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint s = 0; s < PICK_SIMDGROUPS; s++) mine = max(mine, r.shared->count[s]);
    return mine;
}

/* Makes the largest of each block a finite value or minus infinity; returns the key of them all. */
static inline uint find_max(pick_row r)
{
    uint most = KEY_OF_NOTHING;
    for (uint b = r.thread_index; b < r.n_blocks; b += PICK_THREADS) {
        uint key = key_of(r.largest[b]);
        if (key == KEY_OF_NOTHING && r.largest[b] > 0)  /* an infinite logit hides the others */
            for (uint i = b * PICK_BLOCK; i < end_of(r, b); i++)
                key = max(key, key_of(r.x[i]));
        r.largest[b] = key == KEY_OF_NOTHING ? -INFINITY : value_of(key);
        most = max(most, key);
    }
    most = max_of_group(r, most);
    threadgroup_barrier(mem_flags::mem_device);
    return most;
}

/* The first token that has this key. */
static inline uint first_of(pick_row r, uint key)
{
    uint last_from_end = 0;         /* n minus the token: the largest is the first's */
    for (uint b = r.simd; b < r.n_blocks; b += PICK_SIMDGROUPS) {
        if (key_of(r.largest[b]) < key) continue;
        for (uint i = b * PICK_BLOCK + r.lane; i < end_of(r, b); i += 32)
            if (key_of(r.x[i]) == key) last_from_end = max(last_from_end, r.n - i);
    }
    return r.n - max_of_group(r, last_from_end);
}

static inline amount amount_left(pick_row r, border at)
{
    amount mine = { 0, 0 };
    for (uint b = r.simd; b < r.n_blocks; b += PICK_SIMDGROUPS) {
        if (key_of(r.largest[b]) < at.key) continue;
        for (uint i = b * PICK_BLOCK + r.lane; i < end_of(r, b); i += 32) {
            const uint key = key_of(r.x[i]);
            if (!is_left(key, i, at)) continue;
            mine.count++;
            mine.mass += exp(value_of(key) - r.max);
        }
    }
    const uint count = simd_sum(mine.count);
    const float mass = simd_sum(mine.mass);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (r.lane == 0) {
        r.shared->count[r.simd] = count;
        r.shared->mass[r.simd] = mass;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    amount all = { 0, 0 };
    for (uint s = 0; s < PICK_SIMDGROUPS; s++) {
        all.count += r.shared->count[s];
        all.mass += r.shared->mass[s];
    }
    return all;
}

/* ---- filters -------------------------------------------------------------------------------- */

static inline bool is_enough(pick_row r, border at, amount wanted)
{
    const amount left = amount_left(r, at);
    return left.count >= wanted.count && left.mass >= wanted.mass;
}

/* The highest border from `at` on that still leaves `wanted`, or `at`, where even that leaves less:
 * first its key, with all tokens of that key; then as few of those, from the first on, as will do.
 */
static inline border raise(pick_row r, border at, uint highest, amount wanted)
{
    uint low = at.key, high = highest;
    while (low < high) {
        const uint middle = low + (high - low + 1) / 2;
        if (is_enough(r, border{ middle, r.n }, wanted)) low = middle;
        else high = middle - 1;
    }
    uint first = 0, last = low == at.key ? at.token : r.n;
    const uint n_equal =
        amount_left(r, border{ low, last }).count - amount_left(r, border{ low + 1, r.n }).count;
    while (first < last && n_equal > 1) {
        const uint middle = first + (last - first) / 2;
        if (is_enough(r, border{ low, middle }, wanted)) last = middle;
        else first = middle + 1;
    }
    return border{ low, last };
}

/* ---- drawing -------------------------------------------------------------------------------- */

/* Goes through weights in order until their sum exceeds the target. Where rounding leaves none that
 * does, the last that has any weight is it. */
struct walk {
    float target;
    uint last;

    bool ends_at(uint index, float weight)
    {
        if (!(weight > 0)) return false;
        last = index;
        if (target < weight) return true;
        target -= weight;
        return false;
    }
};

/* By token, out of all that is left. Thread 0 knows the result. */
static inline uint draw_by_token(pick_row r, border at, float scale, float unit)
{
    for (uint b = r.simd; b < r.n_blocks; b += PICK_SIMDGROUPS) {
        float mass = 0;
        if (key_of(r.largest[b]) >= at.key)
            for (uint i = b * PICK_BLOCK + r.lane; i < end_of(r, b); i += 32) {
                const uint key = key_of(r.x[i]);
                if (is_left(key, i, at)) mass += exp((value_of(key) - r.max) * scale);
            }
        mass = simd_sum(mass);
        simdgroup_barrier(mem_flags::mem_device);
        if (r.lane == 0) r.largest[b] = mass;
    }
    threadgroup_barrier(mem_flags::mem_device);
    const uint n_in_part = (r.n_blocks + 31) / 32;
    if (r.simd == 0) {
        float mass = 0;
        for (uint b = r.lane * n_in_part; b < min((r.lane + 1) * n_in_part, r.n_blocks); b++)
            mass += r.largest[b];
        r.shared->part[r.lane] = mass;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (r.thread_index) return 0;

    float all = 0;
    for (uint i = 0; i < 32; i++) all += r.shared->part[i];
    walk parts = { unit * all, 0 };
    bool is_found = false;
    for (uint i = 0; i < 32 && !is_found; i++) is_found = parts.ends_at(i, r.shared->part[i]);
    walk blocks = { is_found ? parts.target : INFINITY, 0 };
    is_found = false;
    const uint first = parts.last * n_in_part;
    for (uint b = first; b < min(first + n_in_part, r.n_blocks) && !is_found; b++)
        is_found = blocks.ends_at(b, r.largest[b]);
    walk tokens = { is_found ? blocks.target : INFINITY, 0 };
    is_found = false;
    const uint begin = blocks.last * PICK_BLOCK;
    for (uint i = begin; i < end_of(r, blocks.last) && !is_found; i++) {
        const uint key = key_of(r.x[i]);
        if (is_left(key, i, at))
            is_found = tokens.ends_at(i, exp((value_of(key) - r.max) * scale));
    }
    return tokens.last;
}

/* Into threadgroup memory, in whatever order threads come. */
static inline void gather(pick_row r, border at)
{
    threadgroup pick_shared *s = r.shared;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (r.thread_index == 0) atomic_store_explicit(&s->n_few, 0u, memory_order_relaxed);
    for (uint i = r.thread_index; i < PICK_FEW; i += PICK_THREADS) {
        s->few_key[i] = 0;
        s->few_token[i] = r.n;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint b = r.simd; b < r.n_blocks; b += PICK_SIMDGROUPS) {
        if (key_of(r.largest[b]) < at.key) continue;
        for (uint i = b * PICK_BLOCK + r.lane; i < end_of(r, b); i += 32) {
            const uint key = key_of(r.x[i]);
            if (!is_left(key, i, at)) continue;
            const uint to = atomic_fetch_add_explicit(&s->n_few, 1u, memory_order_relaxed);
            s->few_key[to] = key;
            s->few_token[to] = i;
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
}

/* Best first: a bitonic network (Batcher 1968) over the first `width`, a power of two. */
static inline void sort_few(pick_row r, uint width)
{
    threadgroup pick_shared *s = r.shared;
    for (uint run = 2; run <= width; run *= 2) {
        for (uint apart = run / 2; apart > 0; apart /= 2) {
            for (uint i = r.thread_index; i < width; i += PICK_THREADS) {
                const uint k = i ^ apart;
                if (k < i) continue;
                const bool is_behind =
                    s->few_key[i] < s->few_key[k] ||
                    (s->few_key[i] == s->few_key[k] && s->few_token[i] > s->few_token[k]);
                if (is_behind != ((i & run) == 0)) continue;
                const uint key = s->few_key[i], token = s->few_token[i];
                s->few_key[i] = s->few_key[k];
                s->few_token[i] = s->few_token[k];
                s->few_key[k] = key;
                s->few_token[k] = token;
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
}

/* Best first, out of n that are left. Thread 0 knows the result. */
static inline uint draw_from_few(pick_row r, border at, uint n, float scale, float unit)
{
    threadgroup pick_shared *s = r.shared;
    uint width = 2;
    while (width < n) width *= 2;
    gather(r, at);
    sort_few(r, width);
    for (uint i = r.thread_index; i < n; i += PICK_THREADS)
        s->few_key[i] = as_type<uint>(exp((value_of(s->few_key[i]) - r.max) * scale));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (r.thread_index) return 0;

    float all = 0;
    for (uint i = 0; i < n; i++) all += as_type<float>(s->few_key[i]);
    walk few = { unit * all, 0 };
    for (uint i = 0; i < n; i++)
        if (few.ends_at(i, as_type<float>(s->few_key[i]))) return s->few_token[i];
    return s->few_token[0];
}

/* ---- a row ---------------------------------------------------------------------------------- */

static inline uint draw(pick_row r, device const pick_args &p, uint highest)
{
    border at = { KEY_OF_LEAST, r.n };
    bool is_filtered = false;
    if (p.top_k) {
        at = raise(r, at, highest, amount{ p.top_k, 0 });
        is_filtered = true;
    }
    if (p.top_p < 1) {
        at = raise(r, at, highest, amount{ 1, p.top_p * amount_left(r, at).mass });
        is_filtered = true;
    }
    if (p.min_distance < INFINITY) {
        const uint key = key_of(r.max - p.min_distance);
        if (key > at.key) at = border{ key, r.n };
        is_filtered = true;
    }
    const uint n = is_filtered ? amount_left(r, at).count : r.n;
    return is_filtered && n <= PICK_FEW ? draw_from_few(r, at, n, p.scale, p.unit)
                                        : draw_by_token(r, at, p.scale, p.unit);
}

/* Grid: rows, PICK_THREADS each. tokens: of rows without a finite logit -1; of rows whose pick is
 * not for here, left alone. */
kernel void pick(device const float *logits [[buffer(0)]],
                 device float *largest [[buffer(1)]],
                 device const pick_args *picks [[buffer(2)]],
                 device int *tokens [[buffer(3)]],
                 constant sample_args &a [[buffer(4)]],
                 uint group [[threadgroup_position_in_grid]],
                 uint thread_index [[thread_index_in_threadgroup]],
                 uint simd [[simdgroup_index_in_threadgroup]],
                 uint lane [[thread_index_in_simdgroup]])
{
    threadgroup pick_shared shared;
    device const pick_args &p = picks[group];
    if (!p.is_wanted) return;
    pick_row r = { logits + ulong(group) * a.ld_logits, largest + group * a.n_blocks, &shared,
                   a.n_vocab, a.n_blocks, 0, thread_index, simd, lane };
    const uint highest = find_max(r);
    if (highest == KEY_OF_NOTHING) {
        if (thread_index == 0) tokens[group] = -1;
        return;
    }
    r.max = value_of(highest);
    const uint token = p.is_greedy ? first_of(r, highest) : draw(r, p, highest);
    if (thread_index == 0) tokens[group] = int(token);
}

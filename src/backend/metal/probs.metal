/* Beside the draw of sampling.metal, a threadgroup a row each: what penalties and biases do to the
 * logits before it, and log-probabilities of the distribution as it was. In this order:
 *     measure_probs   sum and best tokens of the row as the model gave it
 *     touch_logits    changes it, and keeps what was there
 *     (largest, pick_tokens)
 *     finish_probs    the log-probability of the token picked
 *
 * The CPU's sampler takes sums in double: log-probabilities differ from its by what floats round,
 * some 1e-6. */

/* Grid: rows, SAMPLING_THREADS each. */
[[max_total_threads_per_threadgroup(SAMPLING_THREADS)]]
kernel void measure_probs(device const uint *logits [[buffer(0)]],
                          device const uint *largest [[buffer(1)]],
                          device const row_pick *picks [[buffer(2)]],
                          device row_probs *probs [[buffer(3)]],
                          constant sampling_args &a [[buffer(4)]],
                          uint group [[threadgroup_position_in_grid]],
                          uint thread_index [[thread_index_in_threadgroup]],
                          uint simd [[simdgroup_index_in_threadgroup]],
                          uint lane [[thread_index_in_simdgroup]])
{
    threadgroup sampling_shared s;
    const thread_place at = { thread_index, simd, lane };
    const logit_row row = { logits + ulong(group) * a.ld_vocab,
                            largest + ulong(group) * a.n_blocks, a.n_vocab, a.n_blocks };
    device row_probs *to = probs + group;

    if (!(picks[group].flags & PICK_WANTS_PROBS)) return;
    const uint most_key = largest_key(row, s, at), n_top = picks[group].n_top;
    const float most = value_of(most_key);
    if (most_key == 0) {
        if (thread_index == 0) to->n_top = 0;
        return;
    }
    measure_ladder(row, most, s, at);
    kept best = { below_key(LEAST_KEY), s.ladder[0].n, s.ladder[0].mass };
    const float log_sum = log(best.mass);
    if (n_top && n_top < best.n) best = keep_fewest(row, most_key, best, n_top, 0.0f, s, at);
    const uint n = n_top ? gather(row, best.at, s, at) : 0;
    sort_found(n, s, at);
    if (thread_index < n) {
        to->token[thread_index] = int(token_at(s.sorted[thread_index]));
        to->top[thread_index] = (value_of(key_at(s.sorted[thread_index])) - most) - log_sum;
    }
    if (thread_index) return;
    to->largest = most;
    to->log_sum = log_sum;
    to->n_top = n;
}

/* What is not finite stays as it is: no float is made of it. */
static inline void touch_logit(device uint *x, device row_touch *t, device const row_pick *p,
                               uint count)
{
    const uint bits = x[t->token];
    if (key_of(bits) == 0) return;
    float logit = as_type<float>(bits);
    t->logit = logit;
    if (count) {
        if (p->repetition_penalty > 0.0f)
            logit = logit > 0.0f ? logit / p->repetition_penalty : logit * p->repetition_penalty;
        logit = logit - float(count) * p->frequency_penalty - p->presence_penalty;
    }
    const bool is_forbidden = key_of(as_type<uint>(t->bias)) == 0;
    x[t->token] = is_forbidden ? 0xff800000u : as_type<uint>(logit + t->bias);
}

/* picked: by the step before. Grid: rows, SAMPLING_THREADS each. */
[[max_total_threads_per_threadgroup(SAMPLING_THREADS)]]
kernel void touch_logits(device uint *logits [[buffer(0)]],
                         device const row_pick *picks [[buffer(1)]],
                         device row_touch *touches [[buffer(2)]],
                         device const int *picked [[buffer(3)]],
                         constant sampling_args &a [[buffer(4)]],
                         uint group [[threadgroup_position_in_grid]],
                         uint thread_index [[thread_index_in_threadgroup]])
{
    threadgroup bool is_found;
    device const row_pick *p = picks + group;
    device row_touch *touch = touches + ulong(group) * (a.max_touched + 1);
    device uint *x = logits + ulong(group) * a.ld_vocab;

    if (!(p->flags & PICK_TOUCHES)) return;
    int last = p->last;
    if (last < 0) last = last == NO_LAST_TOKEN ? -1 : picked[-1 - last];
    if (thread_index == 0) is_found = last < 0;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = thread_index; i < p->n_touched; i += SAMPLING_THREADS) {
        const bool is_last = touch[i].token == last;
        if (is_last) is_found = true;
        touch_logit(x, touch + i, p, touch[i].count + is_last);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (thread_index) return;
    device row_touch *own = touch + p->n_touched;
    own->token = is_found ? -1 : last;
    own->bias = 0.0f;
    if (!is_found) touch_logit(x, own, p, 1);
}

/* Grid: rows, a simdgroup each. */
kernel void finish_probs(device const float *logits [[buffer(0)]],
                         device const row_pick *picks [[buffer(1)]],
                         device const row_touch *touches [[buffer(2)]],
                         device const int *token [[buffer(3)]],
                         device row_probs *probs [[buffer(4)]],
                         constant sampling_args &a [[buffer(5)]],
                         uint group [[threadgroup_position_in_grid]],
                         uint lane [[thread_index_in_simdgroup]])
{
    device const row_pick *p = picks + group;
    device const row_touch *touch = touches + ulong(group) * (a.max_touched + 1);
    const int picked = token[group];

    if (!(p->flags & PICK_WANTS_PROBS) || picked < 0) return;
    const uint n = p->flags & PICK_TOUCHES ? p->n_touched + 1 : 0;
    uint at = 0;
    for (uint i = lane; i < n; i += 32)
        if (touch[i].token == picked) at = i + 1;
    at = simd_max(at);
    if (lane) return;
    const float logit =
        at ? touch[at - 1].logit : logits[ulong(group) * a.ld_vocab + uint(picked)];
    probs[group].logprob = (logit - probs[group].largest) - probs[group].log_sum;
}

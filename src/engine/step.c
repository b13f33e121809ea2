/* The engine thread: one round is one step of the batch. */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/row.h"

static struct pl_stream *stream_of(struct seq *q)
{
    return (struct pl_stream *)q;   /* its first member */
}

static struct reply_context reply_context(struct pl_engine *e)
{
    return (struct reply_context){ e->text.tokenizer, e->reply_text, &e->stats };
}

/* ---- streams come and go -------------------------------------------------------------------- */

static void leave_queue(struct pl_engine *e, struct pl_stream *s, bool into_slot)
{
    s->is_queued = false;
    pthread_mutex_lock(&e->lock);
    e->n_queued--;
    e->n_running += into_slot;
    e->n_queued_tokens -= s->seq.n_prompt;
    pthread_mutex_unlock(&e->lock);
}

/* The source is known by the id it had: its object may be another stream's by now. */
static struct seq *fork_source(const struct pl_stream *s)
{
    return s->fork_of && s->fork_of->live_id == s->fork_id ? &s->fork_of->seq : NULL;
}

static void take_stream(struct pl_engine *e, struct pl_stream *s)
{
    s->live_id = s->seq.id;
    s->live_index = e->n_live;
    e->live[e->n_live++] = s;
    s->seq.fork_of = fork_source(s);
    scheduler_add(e->scheduler, &s->seq);
    /* the wish may have been noticed in a round before the stream was */
    if (atomic_load_explicit(&s->flags, memory_order_acquire) & STREAM_CANCELLED)
        atomic_store_explicit(&e->has_cancels, true, memory_order_relaxed);
}

/* Not between plan and commit. The stream leaves scheduler and live list and gets its last event;
 * let_go must follow once its reader may be told. */
static void end_stream(struct pl_engine *e, struct pl_stream *s, pl_finish finish,
                       int32_t stop_index)
{
    const struct reply_context c = reply_context(e);
    scheduler_remove(e->scheduler, &s->seq);
    if (s->is_queued) leave_queue(e, s, false);
    e->live[s->live_index] = e->live[--e->n_live];
    e->live[s->live_index]->live_index = s->live_index;
    s->live_id = 0;
    stats_lock(&e->stats);
    reply_end(&c, s, finish, stop_index, clock_ns());
    stats_unlock(&e->stats);
}

/* Tells the reader; a stream that ended is its consumer's from here on. */
static void let_go(struct pl_engine *e, struct pl_stream *s)
{
    const bool has_ended = s->live_id == 0;
    stream_wake(s);
    if (!has_ended) return;
    const uint32_t before =
        atomic_fetch_or_explicit(&s->flags, STREAM_ENDED, memory_order_acq_rel);
    if (before & STREAM_CLOSED) engine_free_stream(e, s);
}

static void end_cancelled(struct pl_engine *e, bool all)
{
    if (!all && !atomic_exchange_explicit(&e->has_cancels, false, memory_order_acquire)) return;
    for (uint32_t i = e->n_live; i-- > 0;) {    /* the one that fills the gap was looked at */
        struct pl_stream *s = e->live[i];
        const uint32_t flags = atomic_load_explicit(&s->flags, memory_order_acquire);
        if (!all && !(flags & STREAM_CANCELLED)) continue;
        end_stream(e, s, PL_FINISH_CANCELLED, -1);
        let_go(e, s);
    }
}

/* ---- pausing -------------------------------------------------------------------------------- */

static void resume_drained(struct pl_engine *e)
{
    for (uint32_t i = 0; i < e->plan.public.n_streams; i++) {
        struct seq *q = scheduler_slot(e->scheduler, i);
        if (q && q->is_paused && stream_may_resume(stream_of(q))) q->is_paused = false;
    }
}

/* ---- a step --------------------------------------------------------------------------------- */

static uint32_t claim_room(struct sample_room *rooms)
{
    for (uint32_t i = 0;; i = (i + 1) % rooms->n_rooms) {
        bool is_free = false;
        if (atomic_compare_exchange_strong_explicit(&rooms->is_taken[i], &is_free, true,
                                                    memory_order_acquire, memory_order_relaxed))
            return i;
    }
}

_Static_assert((int)ROW_BLOCK == LOGIT_BLOCK, "the backend measures the blocks of a row");

static void score_row(struct pl_stream *s, uint32_t pos, const struct row *row)
{
    const struct score_job *job = s->score;
    const bool has_next = pos + 1 < s->seq.n_prompt;
    const float nll = sampler_score(row, has_next ? s->seq.token[pos + 1] : -1,
                                    job->n_top, job->top + (size_t)pos * job->n_top);
    if (has_next) job->nll[pos] = nll;
}

/* On any of the backend's threads. Never more of them than rooms, so a room is free soon. */
static void sample_row(void *arg, uint32_t out, float *logits, float *largest)
{
    struct pl_engine *e = arg;
    struct pl_stream *s = stream_of(e->step->out_seq[out]);
    const uint32_t n_vocab = e->plan.public.n_vocab;
    const struct row row = { logits, largest, n_vocab };
    if (s->score) {
        score_row(s, e->step->out_pos[out], &row);
        return;
    }
    const uint32_t room = claim_room(&e->rooms);
    sampler_pick(&s->sampler, &row, s->seq.token, s->seq.n_tokens, s->logprobs, s->n_top,
                 e->rooms.scratch + room * sampler_scratch_n(n_vocab), &e->sampled[out]);
    atomic_store_explicit(&e->rooms.is_taken[room], false, memory_order_release);
}

static void admit(struct pl_engine *e, const struct step *step)
{
    if (!step->n_admitted) return;
    const uint64_t now_ns = clock_ns();
    for (uint32_t i = 0; i < step->n_admitted; i++) {
        struct pl_stream *s = stream_of(step->admitted[i]);
        s->admitted_ns = now_ns;
        stats_lock(&e->stats);
        stats_observe(&e->stats.now.queue, now_ns - s->submitted_ns);
        e->stats.now.n_cached_tokens += s->seq.n_cached;
        stats_unlock(&e->stats);
        leave_queue(e, s, true);
        stream_emit_admitted(s);
        stream_wake(s);
    }
}

/* With the statistics locked. */
static void count_operations(struct pl_engine *e, bool is_prefill)
{
    const char *name[PL_OPERATIONS_MAX];
    uint64_t ns[PL_OPERATIONS_MAX];
    const uint32_t n = e->backend->ops->timings(e->backend, name, ns, PL_OPERATIONS_MAX);
    for (uint32_t i = 0; i < n; i++) stats_operation(&e->stats, name[i], ns[i], is_prefill);
}

static void count_step(struct pl_engine *e, const struct step *step, uint64_t ns)
{
    pl_stats *now = &e->stats.now;
    stats_lock(&e->stats);
    if (e->is_timing) count_operations(e, step->n_prefill_cols > 0);
    now->n_steps++;
    if (step->n_prefill_cols) {
        now->n_prefill_step_tokens += step->n_prefill_cols;
        now->prefill_step_ns += ns;
    } else {
        now->n_decode_step_tokens += step->n_decode_cols;
        now->decode_step_ns += ns;
    }
    stats_unlock(&e->stats);
}

/* A scored prompt ends with its last position; its results are where they belong already. */
static void finish_score(struct pl_engine *e, struct pl_stream *s, uint32_t pos)
{
    if (pos + 1 == s->seq.n_prompt) end_stream(e, s, PL_FINISH_LENGTH, -1);
}

static void deliver(struct pl_engine *e, uint32_t out, uint64_t now_ns)
{
    struct pl_stream *s = stream_of(e->step->out_seq[out]);
    if (s->score) {
        finish_score(e, s, e->step->out_pos[out]);
        return;
    }
    const struct reply_context c = reply_context(e);
    int32_t stop_index;
    stats_lock(&e->stats);
    const pl_finish finish = reply_token(&c, s, &e->sampled[out], now_ns, &stop_index);
    stats_unlock(&e->stats);
    if (finish != PL_FINISH_NONE)
        end_stream(e, s, finish, stop_index);
    else
        s->seq.is_paused = stream_must_pause(s);
}

/* What pl_stats_read and pl_slots_read show of now. */
static void publish(struct pl_engine *e)
{
    const struct kv_pool_counts kv = kv_pool_counts(e->kv);
    const uint64_t now_ns = clock_ns();
    stats_lock(&e->stats);
    pl_stats *now = &e->stats.now;
    now->n_running = scheduler_n_running(e->scheduler);
    now->n_pages_total = kv.n_pages;
    now->n_pages_used = kv.n_held;
    now->n_pages_cached = kv.n_cached;
    for (uint32_t i = 0; i < e->plan.public.n_streams; i++) {
        struct seq *q = scheduler_slot(e->scheduler, i);
        e->slot[i] = (pl_slot){ .id = i };
        if (!q) continue;
        const bool is_prefill = q->state == SEQ_PREFILL;
        e->slot[i] = (pl_slot){
            .id = i, .state = is_prefill ? PL_SLOT_PREFILL : PL_SLOT_DECODE, .stream_id = q->id,
            .n_prompt = q->n_prompt, .n_cached = q->n_cached,
            .n_prompt_done = q->n_computed < q->n_prompt ? q->n_computed : q->n_prompt,
            .n_reply = q->n_tokens - q->n_prompt, .max_tokens = q->max_tokens,
            .age_ns = now_ns - stream_of(q)->admitted_ns };
    }
    stats_unlock(&e->stats);
}

/* The machine failed the step: its streams end, those that had no column in it go on. */
static void fail_step(struct pl_engine *e, const struct step *step)
{
    scheduler_abandon(e->scheduler);
    for (uint32_t i = 0; i < step->batch.n_spans; i++)
        end_stream(e, stream_of(step->span_seq[i]), PL_FINISH_ERROR, -1);
    publish(e);
    for (uint32_t i = 0; i < step->batch.n_spans; i++) let_go(e, stream_of(step->span_seq[i]));
    atomic_store_explicit(&e->busy_since_ns, 0, memory_order_relaxed);
}

/* Everything that statistics say of a step is said before a reader can be woken by it. */
static void run_step(struct pl_engine *e, const struct step *step)
{
    const uint64_t begin_ns = clock_ns();
    atomic_store_explicit(&e->busy_since_ns, begin_ns, memory_order_relaxed);
    e->step = step;
    pl_err err;
    if (model_forward(e->model, &step->batch, sample_row, e, &err)) {
        PL_LOG(ERROR, "engine", "a step failed, and with it %u requests: %s", step->batch.n_spans,
               err.text);
        fail_step(e, step);
        return;
    }
    scheduler_commit(e->scheduler);
    const uint64_t end_ns = clock_ns();
    count_step(e, step, end_ns - begin_ns);

    const uint32_t n_outs = step->batch.n_outs;
    for (uint32_t i = 0; i < n_outs; i++) deliver(e, i, end_ns);
    publish(e);
    for (uint32_t i = 0; i < n_outs; i++) {
        /* of a scored stream, the last output; it may be freed then */
        struct pl_stream *s = stream_of(step->out_seq[i]);
        if (!s->score || step->out_pos[i] + 1 == s->seq.n_prompt) let_go(e, s);
    }
    atomic_store_explicit(&e->busy_since_ns, 0, memory_order_relaxed);
}

/* ---- rounds --------------------------------------------------------------------------------- */

/* Sleeps if the last round had nothing to compute and nothing came since. */
static struct pl_stream *wait_for_work(struct pl_engine *e, bool is_idle, bool *is_stopping)
{
    pthread_mutex_lock(&e->lock);
    e->n_running = scheduler_n_running(e->scheduler);
    while (is_idle && !e->is_wake_pending && !e->is_stopping)
        pthread_cond_wait(&e->changed, &e->lock);
    e->is_wake_pending = false;
    struct pl_stream *first = e->new_first;
    e->new_first = e->new_last = NULL;
    *is_stopping = e->is_stopping;
    pthread_mutex_unlock(&e->lock);
    return first;
}

void *engine_run(void *arg)
{
    struct pl_engine *e = arg;
    bool is_idle = false, is_stopping = false;

    e->backend->ops->pin_caller(e->backend);
    publish(e);
    while (!is_stopping) {
        struct step step;
        for (struct pl_stream *s = wait_for_work(e, is_idle, &is_stopping), *next; s; s = next) {
            next = s->next;
            take_stream(e, s);
        }
        end_cancelled(e, is_stopping);
        resume_drained(e);
        scheduler_plan(e->scheduler, &step);
        admit(e, &step);
        is_idle = step.batch.n_cols == 0;
        if (is_idle)
            publish(e);
        else
            run_step(e, &step);
    }
    return NULL;
}

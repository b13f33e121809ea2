/* The engine thread: one round ends one step of the batch. */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine.h"

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

/* The stream leaves scheduler and live list and gets its last event;
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

/* The time of a step that ran ahead begins where the one before ended. */
static void count_step(struct pl_engine *e, const struct flight *f, uint64_t end_ns)
{
    const struct step *step = &f->step;
    const uint64_t ns = end_ns - (f->begin_ns > e->last_end_ns ? f->begin_ns : e->last_end_ns);
    e->last_end_ns = end_ns;
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

static void deliver(struct pl_engine *e, const struct step *step, uint32_t out, uint64_t now_ns)
{
    struct pl_stream *s = stream_of(step->out_seq[out]);
    if (s->score) {
        finish_score(e, s, step->out_pos[out]);
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

/* The i-th step in flight, the oldest first; i = n_in_flight: the next. */
static struct flight *flight_at(struct pl_engine *e, uint32_t i)
{
    return &e->flight[(e->oldest + i) % MAX_IN_FLIGHT];
}

/* The machine failed a step: its streams end, and those of a step before or after it that was in
 * flight too; those that had no column go on. n_unfinished: steps that the backend is still at. */
static void fail_steps(struct pl_engine *e, uint32_t n_unfinished, const pl_err *why)
{
    uint32_t n_failed = 0;
    for (; n_unfinished; n_unfinished--) {
        const int32_t *unused;
        pl_err also;
        if (e->backend->ops->finish(e->backend, &unused, &also))
            PL_LOG(ERROR, "engine", "and a step beside it: %s", also.text);
    }
    for (uint32_t k = 0; k < e->n_in_flight; k++) {
        const struct step *step = &flight_at(e, k)->step;
        for (uint32_t i = 0; i < step->batch.n_spans; i++) {
            if (!step->span_seq[i]) continue;
            struct pl_stream *s = stream_of(step->span_seq[i]);
            end_stream(e, s, PL_FINISH_ERROR, -1);
            publish(e);
            let_go(e, s);
            n_failed++;
        }
    }
    scheduler_abandon(e->scheduler);
    e->n_in_flight = 0;
    PL_LOG(ERROR, "engine", "a step failed, and with it %u requests: %s", n_failed, why->text);
    atomic_store_explicit(&e->busy_since_ns, 0, memory_order_relaxed);
}

/* Plans a step and hands it to the backend; one whose steps do not run ahead has computed it on
 * return. False: there is nothing to compute. */
static bool launch(struct pl_engine *e)
{
    const struct backend_ops *ops = e->backend->ops;
    struct flight *f = flight_at(e, e->n_in_flight);
    scheduler_plan(e->scheduler, &f->step);
    admit(e, &f->step);
    if (!f->step.batch.n_cols) return false;

    f->begin_ns = clock_ns();
    if (!e->n_in_flight++)
        atomic_store_explicit(&e->busy_since_ns, f->begin_ns, memory_order_relaxed);
    e->step = &f->step;
    engine_fill_picks(e, f);
    model_record(e->model, &f->step.batch, engine_sample_row, e);
    pl_err err;
    if (ops->start ? ops->start(e->backend, &err) : ops->submit(e->backend, &err))
        fail_steps(e, e->n_in_flight - 1, &err);
    return true;
}

static bool may_run_ahead(struct pl_engine *e)
{
    return e->n_in_flight == 1 && flight_at(e, 0)->is_all_picked && !e->is_timing &&
           scheduler_may_run_ahead(e->scheduler);
}

static void take_picked(struct pl_engine *e, const struct flight *f, const int32_t *picked)
{
    for (uint32_t i = 0; i < f->step.batch.n_outs; i++)
        if (f->pick[i].is_by_backend) e->sampled[i] = (struct sampled){ .token = picked[i] };
}

/* Everything that statistics say of a step is said before a reader can be woken by it. */
static void deliver_all(struct pl_engine *e, const struct step *step, uint64_t end_ns)
{
    const uint32_t n_outs = step->batch.n_outs;
    for (uint32_t i = 0; i < n_outs; i++)
        if (step->out_seq[i]) deliver(e, step, i, end_ns);
    publish(e);
    for (uint32_t i = 0; i < n_outs; i++) {
        if (!step->out_seq[i]) continue;
        /* of a scored stream, the last output; it may be freed then */
        struct pl_stream *s = stream_of(step->out_seq[i]);
        if (!s->score || step->out_pos[i] + 1 == s->seq.n_prompt) let_go(e, s);
    }
}

/* Waits for the oldest step in flight, and turns what was picked into events. */
static void land(struct pl_engine *e)
{
    const struct flight *f = flight_at(e, 0);
    const struct backend_ops *ops = e->backend->ops;
    const int32_t *picked;
    pl_err err;
    e->step = &f->step;
    if (ops->finish) {
        if (ops->finish(e->backend, &picked, &err)) {
            fail_steps(e, e->n_in_flight - 1, &err);
            return;
        }
        take_picked(e, f, picked);
    }
    e->oldest = (e->oldest + 1) % MAX_IN_FLIGHT;
    e->n_in_flight--;
    scheduler_commit(e->scheduler);

    const uint64_t end_ns = clock_ns();
    count_step(e, f, end_ns);
    deliver_all(e, &f->step, end_ns);
    atomic_store_explicit(&e->busy_since_ns, e->n_in_flight ? end_ns : 0, memory_order_relaxed);
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
        for (struct pl_stream *s = wait_for_work(e, is_idle, &is_stopping), *next; s; s = next) {
            next = s->next;
            take_stream(e, s);
        }
        end_cancelled(e, is_stopping);
        resume_drained(e);
        if (!e->n_in_flight) is_idle = !launch(e);
        if (may_run_ahead(e)) launch(e);
        if (e->n_in_flight) land(e);
        if (is_idle) publish(e);
    }
    assert(!e->n_in_flight);    /* the last round ended all streams before it planned */
    return NULL;
}

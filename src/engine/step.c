/* The engine thread: one round ends one step of the batch. */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/engine_wake.h"
#include "engine/outputs.h"
#include "engine/recompute.h"
#include "engine/reply.h"

static struct reply_context reply_context(struct pl_engine *e)
{
    return (struct reply_context){ e->text.tokenizer, e->reply_text, &e->stats };
}

/* ---- streams come and go -------------------------------------------------------------------- */

/* n_running: 1 it enters a slot, -1 it leaves one. */
static void leave_queue(struct pl_engine *e, struct pl_stream *s, int n_running)
{
    pthread_mutex_lock(&e->lock);
    engine_leave_queue(e, s);
    e->n_running += (uint32_t)n_running;
    pthread_mutex_unlock(&e->lock);
}

/* The source is known by the id it had: its object may be another stream's by now. */
static struct seq *fork_source(const struct pl_stream *s)
{
    return s->fork_of && s->fork_of->live_id == s->fork_id ? &s->fork_of->seq : NULL;
}

/* What it is going to cost, as far as that is known. */
static uint32_t cost_of(const struct pl_stream *s)
{
    const uint32_t n_reply = s->seq.max_tokens - s->seq.n_prompt;
    return s->seq.n_prompt + (n_reply < TURN_REPLY_TOKENS ? n_reply : TURN_REPLY_TOKENS);
}

/* A fork's turn is never before its source's. */
static int64_t rank_of(struct pl_engine *e, const struct pl_stream *s)
{
    const int64_t rank = turns_come(&e->turns, s->who, s->priority, cost_of(s));
    const struct seq *source = s->seq.fork_of;
    return source && source->rank > rank ? source->rank : rank;
}

static void take_stream(struct pl_engine *e, struct pl_stream *s)
{
    s->live_id = s->seq.id;
    s->live_index = e->n_live;
    e->live[e->n_live++] = s;
    s->seq.fork_of = fork_source(s);
    s->seq.rank = rank_of(e, s);
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
    const bool is_waiting = s->seq.state == SEQ_WAITING;
    leave_queue(e, s, is_waiting ? 0 : -1);
    turns_leave(&e->turns, s->who, is_waiting ? cost_of(s) : 0);
    scheduler_remove(e->scheduler, &s->seq);
    e->live[s->live_index] = e->live[--e->n_live];
    e->live[s->live_index]->live_index = s->live_index;
    s->live_id = 0;
    constraint_close(s->constraint);
    s->constraint = NULL;
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

/* ---- slow readers --------------------------------------------------------------------------- */

static void let_drained_go_on(struct pl_engine *e)
{
    for (uint32_t i = 0; i < e->plan.public.n_streams; i++) {
        struct seq *q = scheduler_slot(e->scheduler, i);
        if (q && q->is_stalled && stream_may_go_on(stream_of(q)))
            scheduler_stall(e->scheduler, q, false);
    }
}

/* ---- a step --------------------------------------------------------------------------------- */

/* Prompt tokens that were at hand, of those admitted and of those that looked again. */
static void count_cached(struct pl_engine *e, uint32_t n)
{
    stats_lock(&e->stats);
    e->stats.now.n_cached_tokens += n;
    e->stats.now.n_prompt_tokens += n;
    stats_unlock(&e->stats);
}

static void count_paused(struct pl_engine *e, uint32_t n)
{
    stats_lock(&e->stats);
    e->stats.now.n_pauses += n;
    stats_unlock(&e->stats);
    PL_LOG(DEBUG, "engine", "paused streams=%u now=%u", n, scheduler_n_paused(e->scheduler));
}

static void admit(struct pl_engine *e, const struct step *step)
{
    if (step->n_cached_tokens) count_cached(e, step->n_cached_tokens);
    if (step->n_paused) count_paused(e, step->n_paused);
    if (!step->n_admitted) return;
    const uint64_t now_ns = clock_ns();
    stats_lock(&e->stats);
    stats_left_queue(&e->stats, now_ns, step->n_admitted, scheduler_n_waiting(e->scheduler) > 0);
    stats_unlock(&e->stats);
    for (uint32_t i = 0; i < step->n_admitted; i++) {
        struct pl_stream *s = stream_of(step->admitted[i]);
        s->admitted_ns = now_ns;
        turns_start(&e->turns, s->seq.rank, cost_of(s));
        stats_lock(&e->stats);
        stats_observe(&e->stats.now.queue, now_ns - s->submitted_ns);
        stats_unlock(&e->stats);
        leave_queue(e, s, 1);
        stream_emit_admitted(s);
        stream_wake(s);
    }
}

/* With the statistics locked. */
static void count_operations(struct pl_engine *e, bool is_prefill)
{
    const char *name[PL_OPERATIONS_MAX];
    uint64_t ns[PL_OPERATIONS_MAX];
    const struct homes *homes = &e->plan.homes;
    for (const struct home *h = homes->home; h < homes->home + homes->n; h++) {
        const uint32_t n = h->ops->timings(h->backend, name, ns, PL_OPERATIONS_MAX);
        for (uint32_t i = 0; i < n; i++) stats_operation(&e->stats, name[i], ns[i], is_prefill);
    }
}

/* The time of a step that ran ahead begins where the one before ended. */
static void count_step(struct pl_engine *e, const struct step *step, uint64_t end_ns)
{
    const uint64_t begin_ns = step->begin_ns > e->last_end_ns ? step->begin_ns : e->last_end_ns;
    const uint64_t ns = end_ns - begin_ns;
    e->last_end_ns = end_ns;
    step_watch_measure(&e->watch, step->work, ns);
    pl_stats *now = &e->stats.now;
    stats_lock(&e->stats);
    if (e->is_timing) count_operations(e, step->n_prefill_cols > 0);
    now->n_steps++;
    now->n_prompt_tokens += step->n_prompt_cols;
    now->n_recomputed_tokens += step->n_recomputed_cols;
    if (step->n_prefill_cols) {
        now->n_prefill_step_tokens += step->n_prefill_cols;
        now->prefill_step_ns += ns;
    } else {
        now->n_decode_step_tokens += step->n_decode_cols;
        now->decode_step_ns += ns;
    }
    stats_unlock(&e->stats);
}

/* Whether the output is its prompt's last; what is made of the prompt is where it belongs already.
 */
static bool is_last_of_prompt(const struct batch *b, const struct output *o,
                              const struct pl_stream *s)
{
    return b->pos[o->first_col] + o->n_cols == s->seq.n_prompt;
}

static void deliver(struct pl_engine *e, const struct step *step, uint32_t output, uint64_t now_ns)
{
    const struct output *o = &step->batch.output[output];
    struct pl_stream *s = stream_of(step_seq(step, output));
    const bool is_last = is_last_of_prompt(&step->batch, o, s);
    if (!s->has_reply) {
        if (is_last) end_stream(e, s, PL_FINISH_LENGTH, -1);
        return;
    }
    if (!is_last && step->batch.pos[o->first_col] < s->seq.n_prompt) return;    /* scores alone */
    const struct reply_context c = reply_context(e);
    int32_t stop_index;
    stats_lock(&e->stats);
    const pl_finish finish = reply_token(&c, s, &e->picked[o->first_row + o->n_cols - 1], now_ns,
                                         &stop_index);
    stats_unlock(&e->stats);
    if (finish != PL_FINISH_NONE)
        end_stream(e, s, finish, stop_index);
    else
        scheduler_stall(e->scheduler, &s->seq, stream_must_stall(s));
}

/* How far its prompt is read: of one that was paused what it had counts, and not what it has again.
 */
static uint32_t n_prompt_done(const struct seq *q)
{
    const uint32_t n = q->n_computed > q->n_reached ? q->n_computed : q->n_reached;
    return n < q->n_prompt ? n : q->n_prompt;
}

static pl_slot_state slot_state(const struct seq *q)
{
    if (q->state == SEQ_PAUSED) return PL_SLOT_PAUSED;
    return q->state == SEQ_PREFILL ? PL_SLOT_PREFILL : PL_SLOT_DECODE;
}

/* What pl_stats_read and pl_slots_read show of now. */
static void post_stats(struct pl_engine *e)
{
    const struct kv_pool_counts kv = kv_pool_counts(e->kv[0]);
    const uint64_t now_ns = clock_ns();
    stats_lock(&e->stats);
    pl_stats *now = &e->stats.now;
    now->n_running = scheduler_n_running(e->scheduler);
    now->n_paused = scheduler_n_paused(e->scheduler);
    if (!scheduler_n_waiting(e->scheduler)) e->stats.left_queue_ns = 0;
    now->n_pages_total = kv.n_pages;
    now->n_pages_used = kv.n_held;
    now->n_pages_cached = kv.n_cached;
    for (uint32_t i = 0; i < e->plan.public.n_streams; i++) {
        struct seq *q = scheduler_slot(e->scheduler, i);
        e->slot[i] = (pl_slot){ .id = i };
        if (!q) continue;
        e->slot[i] = (pl_slot){
            .id = i, .state = slot_state(q), .stream_id = q->id,
            .n_prompt = q->n_prompt, .n_cached = q->n_cached,
            .n_prompt_done = n_prompt_done(q),
            .n_reply = q->n_tokens - q->n_prompt, .max_tokens = q->max_tokens,
            .age_ns = now_ns - stream_of(q)->admitted_ns };
    }
    stats_unlock(&e->stats);
}

/* Waits for steps that the backend is still at, behind one that failed, and forgets them. */
static void drain(struct pl_engine *e, uint32_t n_unfinished)
{
    const struct home *last = homes_last(&e->plan.homes);
    pl_err also;
    while (n_unfinished--)
        if (last->ops->finish(last->backend, e->picked, &also))
            PL_LOG(WARN, "engine", "and a step beside it: %s", also.text);
}

/* The machine failed a step: its streams end, and those of a step before or after it that was in
 * flight too; those that had no column go on. The backend is at none of them. */
static void fail_steps(struct pl_engine *e, const pl_err *why)
{
    uint32_t n_failed = 0;
    for (uint32_t k = 0; k < scheduler_n_in_flight(e->scheduler); k++) {
        const struct step *step = scheduler_step(e->scheduler, k);
        for (uint32_t i = 0; i < step->batch.n_spans; i++) {
            if (!step->span_seq[i]) continue;
            struct pl_stream *s = stream_of(step->span_seq[i]);
            end_stream(e, s, PL_FINISH_ERROR, -1);
            post_stats(e);
            let_go(e, s);
            n_failed++;
        }
    }
    scheduler_abandon(e->scheduler);
    PL_LOG(ERROR, "engine", "a step failed, and with it %u requests: %s", n_failed, why->text);
    step_watch_rest(&e->watch);
}

/* Or only begins to, where steps run ahead. */
static pl_status compute(struct pl_engine *e, struct step *step, pl_err *err)
{
    const struct home *last = homes_last(&e->plan.homes);
    const pl_status st = model_record(e->model, &step->batch, e->x, outputs_sample, step, err);
    if (st) return st;
    return plan_runs_ahead(&e->plan) ? last->ops->start(last->backend, err)
                                     : last->ops->submit(last->backend, err);
}

/* Plans a step and hands it to the backend; one whose steps do not run ahead has computed it on
 * return. False: there is nothing to compute. */
static bool launch(struct pl_engine *e)
{
    struct step *step = scheduler_compose(e->scheduler);
    admit(e, step);
    if (!step->batch.n_cols) return false;

    const uint32_t n_before = scheduler_n_in_flight(e->scheduler) - 1;
    step->begin_ns = clock_ns();
    step->work = step_watch_work(&step->batch);
    if (!n_before) step_watch_begin(&e->watch, step->work, step->begin_ns);
    outputs_fill_picks(e, step);
    pl_err err;
    pl_status st = compute(e, step, &err);
    if (st) drain(e, n_before);
    if (st == PL_E_INTERRUPTED && !n_before) st = recompute_step(e, step, &err);
    if (st) fail_steps(e, &err);
    return true;
}

static bool may_run_ahead(struct pl_engine *e)
{
    return scheduler_n_in_flight(e->scheduler) == 1 && !e->is_timing &&
           scheduler_step(e->scheduler, 0)->is_all_picked && scheduler_may_run_ahead(e->scheduler);
}

/* Everything that statistics say of a step is said before a reader can be woken by it. */
static void deliver_all(struct pl_engine *e, const struct step *step, uint64_t end_ns)
{
    const uint32_t n_outputs = step->batch.n_outputs;
    for (uint32_t i = 0; i < n_outputs; i++)
        if (step_seq(step, i)) deliver(e, step, i, end_ns);
    post_stats(e);
    for (uint32_t i = 0; i < n_outputs; i++)
        if (step_seq(step, i)) let_go(e, stream_of(step_seq(step, i)));
}

/* The oldest step in flight, which the backend was at when another was interrupted. */
static void launch_again(struct pl_engine *e)
{
    struct step *step = scheduler_step(e->scheduler, 0);
    pl_err err;
    recompute_prepare(e, step);
    if (compute(e, step, &err)) fail_steps(e, &err);
}

/* Waits for the oldest step in flight. One that was interrupted is computed again, and
 * *is_next_lost is set where another was on top of it, which is forgotten by the backend. */
static pl_status finish(struct pl_engine *e, bool *is_next_lost, pl_err *err)
{
    const struct home *last = homes_last(&e->plan.homes);
    const uint32_t n_behind = scheduler_n_in_flight(e->scheduler) - 1;
    *is_next_lost = false;
    pl_status st = plan_runs_ahead(&e->plan) ? last->ops->finish(last->backend, e->picked, err)
                                             : PL_OK;
    if (st) drain(e, n_behind);
    if (st != PL_E_INTERRUPTED) return st;
    *is_next_lost = n_behind > 0;
    return recompute_step(e, scheduler_step(e->scheduler, 0), err);
}

/* Turns what the oldest step in flight picked into events. */
static void land(struct pl_engine *e)
{
    const struct step *step = scheduler_step(e->scheduler, 0);
    bool is_next_lost;
    pl_err err;
    if (finish(e, &is_next_lost, &err)) {
        fail_steps(e, &err);
        return;
    }
    scheduler_commit(e->scheduler);

    const uint64_t end_ns = clock_ns();
    count_step(e, step, end_ns);
    deliver_all(e, step, end_ns);
    if (is_next_lost) launch_again(e);
    if (scheduler_n_in_flight(e->scheduler))
        step_watch_begin(&e->watch, scheduler_step(e->scheduler, 0)->work, end_ns);
    else
        step_watch_rest(&e->watch);
}

/* ---- rounds --------------------------------------------------------------------------------- */

/* Sleeps if the last round had nothing to compute and nothing came since. */
static struct pl_stream *wait_for_work(struct pl_engine *e, bool is_idle, bool *is_stopping)
{
    pthread_mutex_lock(&e->lock);
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

    const struct home *first = &e->plan.homes.home[0];
    first->ops->pin_caller(first->backend);
    post_stats(e);
    while (!is_stopping) {
        for (struct pl_stream *s = wait_for_work(e, is_idle, &is_stopping), *next; s; s = next) {
            next = s->next;
            take_stream(e, s);
        }
        end_cancelled(e, is_stopping);
        let_drained_go_on(e);
        if (!scheduler_n_in_flight(e->scheduler)) is_idle = !launch(e);
        if (may_run_ahead(e)) launch(e);
        if (scheduler_n_in_flight(e->scheduler)) land(e);
        if (is_idle) post_stats(e);
    }
    /* the last round ended all streams before it composed */
    assert(!scheduler_n_in_flight(e->scheduler));
    return NULL;
}

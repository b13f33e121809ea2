/* Everything that could fail later is checked here: the engine thread has no errors to report. */
#include "engine/submit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/sampler_mirostat.h"
#include "engine/sampler_order.h"
#include "engine/sampling_params.h"

/* ---- checks --------------------------------------------------------------------------------- */

static pl_status check_stops(const pl_request *r, pl_err *err)
{
    if (r->n_stop > STOP_MAX_STRINGS)
        return pl_fail(err, PL_E_PARAM, "%zu stop strings; at most %d are allowed", r->n_stop,
                       STOP_MAX_STRINGS);
    for (size_t i = 0; i < r->n_stop; i++) {
        const size_t n = r->stop[i] ? strlen(r->stop[i]) : 0;
        if (n == 0 || n > STOP_MAX_BYTES)
            return pl_fail(err, PL_E_PARAM, "stop string %zu has %zu bytes; 1 to %d are allowed", i,
                           n, STOP_MAX_BYTES);
    }
    return PL_OK;
}

static pl_status check_tokens(const struct pl_engine *e, const pl_request *r, pl_err *err)
{
    const uint32_t n_vocab = e->plan.public.n_vocab;
    if (r->n_tokens == 0 || !r->tokens)
        return pl_fail(err, PL_E_PARAM, "the prompt is empty; at least one token is wanted");
    for (size_t i = 0; i < r->n_tokens && i < e->plan.public.ctx_tokens; i++)
        if (r->tokens[i] < 0 || (uint32_t)r->tokens[i] >= n_vocab)
            return pl_fail(err, PL_E_PARAM,
                           "token %zu of the prompt is %" PRId32 "; 0 to %" PRIu32 " are wanted", i,
                           r->tokens[i], n_vocab - 1);
    return PL_OK;
}

static pl_status check_fork(const struct pl_engine *e, const pl_request *r, pl_err *err)
{
    const pl_stream *source = r->fork_of;
    if (!source) return PL_OK;
    if (source->engine != e || source->seq.n_prompt != r->n_tokens ||
        memcmp(source->seq.token, r->tokens, r->n_tokens * sizeof *r->tokens))
        return pl_fail(err, PL_E_PARAM, "fork_of is a stream of another prompt or engine");
    return PL_OK;
}

/* Tokens of prompt and reply together that the stream may come to. */
static pl_status total_tokens(const struct pl_engine *e, const pl_request *r, bool has_reply,
                              uint32_t *out, pl_err *err)
{
    const pl_plan *p = &e->plan.public;
    const uint64_t wanted = (uint64_t)r->n_tokens + has_reply;
    uint64_t total = !has_reply      ? r->n_tokens
                     : r->max_tokens ? (uint64_t)r->n_tokens + r->max_tokens
                                     : p->ctx_tokens;
    if (wanted > p->ctx_tokens)
        return pl_fail(
            err, PL_E_CONTEXT,
            "the prompt has %zu tokens, which leaves no room for a reply in a context of "
            "%" PRIu32 ": shorten it or raise ctx_tokens (--ctx-size%s)",
            r->n_tokens, p->ctx_tokens, p->ctx_tokens == p->kv_tokens ? ", --kv-tokens" : "");
    *out = total > p->ctx_tokens ? p->ctx_tokens : (uint32_t)total;
    return PL_OK;
}

/* ---- a place in the queue ------------------------------------------------------------------- */

/* Under the engine's lock. Free slots count as places; a prompt longer than the queue may hold is
 * taken when nothing else waits. */
static pl_status find_place(const struct pl_engine *e, size_t n_tokens, pl_err *err)
{
    const pl_plan *p = &e->plan.public;
    const uint32_t n_free_slots = p->n_streams - e->n_running;
    if (e->is_draining) return pl_fail(err, PL_E_CLOSING, "the engine is shutting down");
    if (e->n_queued >= p->queue_requests + n_free_slots)
        return pl_fail(err, PL_E_BUSY, "%" PRIu32 " requests wait for a slot; at most %" PRIu32
                       " may (--queue-requests)", e->n_queued, p->queue_requests);
    if (e->n_queued && e->n_queued_tokens + n_tokens > p->queue_tokens)
        return pl_fail(err, PL_E_BUSY, "prompts of %" PRIu64 " tokens wait; with this one's %zu "
                       "they would pass %" PRIu64 " (--queue-tokens)", e->n_queued_tokens, n_tokens,
                       p->queue_tokens);
    return PL_OK;
}

static pl_status find_extra_place(const struct pl_engine *e, pl_err *err)
{
    if (e->n_extra < e->plan.public.n_streams) return PL_OK;
    return pl_fail(err, PL_E_BUSY, "%" PRIu32 " streams wait beside the queue: as many as may",
                   e->n_extra);
}

/* Under the engine's lock. */
static pl_status take_place(struct pl_engine *e, size_t n_tokens, enum submit_place place,
                            struct pl_stream **out, pl_err *err)
{
    if (e->is_stopping) return pl_fail(err, PL_E_CLOSING, "the engine is shutting down");
    const pl_status st = place == PLACE_NEW     ? find_place(e, n_tokens, err)
                         : place == PLACE_EXTRA ? find_extra_place(e, err)
                                                : PL_OK;
    if (st) return st;
    if (!(*out = stream_pool_take(&e->streams)))
        return pl_fail(err, PL_E_BUSY, "all %" PRIu32 " stream objects are in use: close streams "
                       "that ended", e->streams.layout.n_objects);
    (*out)->is_extra = place == PLACE_EXTRA;
    (*out)->is_queued = !(*out)->is_extra;
    e->n_extra += (*out)->is_extra;
    e->n_queued += (*out)->is_queued;
    if ((*out)->is_queued) e->n_queued_tokens += n_tokens;
    (*out)->seq.id = ++e->last_id;
    return PL_OK;
}

static void count(struct pl_engine *e, enum submit_place place, pl_status st)
{
    pl_stats *now = &e->stats.now;
    stats_lock(&e->stats);
    if (st == PL_E_BUSY && place != PLACE_EXTRA) now->n_rejected_busy++;
    if (st == PL_E_CONTEXT) now->n_rejected_context++;
    if (st == PL_E_CLOSING) now->n_rejected_closing++;
    if (st == PL_OK) now->n_requests++;
    stats_unlock(&e->stats);
}

/* ---- filling in ----------------------------------------------------------------------------- */

static void copy_stops(struct pl_stream *s, const pl_request *r, char *to)
{
    s->stop = (struct stop_strings){ .n = (uint32_t)r->n_stop };
    for (size_t i = 0; i < r->n_stop; i++, to += STOP_MAX_BYTES) {
        s->stop.n_bytes[i] = (uint32_t)strlen(r->stop[i]);
        s->stop.string[i] = memcpy(to, r->stop[i], s->stop.n_bytes[i]);
    }
}

/* The strings stand behind the pointers to them. */
static void copy_breakers(pl_sampling *p, const char **to)
{
    char *text = (char *)(to + SAMPLING_MAX_BREAKERS);
    for (size_t i = 0; i < p->n_dry_breakers; i++, text += SAMPLING_MAX_BREAKER_BYTES + 1)
        to[i] = strcpy(text, p->dry_breaker[i]);
    p->dry_breaker = to;
}

static void copy_sampling(struct pl_stream *s, const pl_request *r, pl_logit_bias *bias,
                          const char **breaker)
{
    s->sampling = r->sampling;
    if (r->sampling.n_bias) memcpy(bias, r->sampling.bias, r->sampling.n_bias * sizeof *bias);
    s->sampling.bias = bias;
    copy_breakers(&s->sampling, breaker);
    sampler_order_settle(&s->sampling);
    s->mu = s->next_mu = mirostat_first(&s->sampling);
}

static enum seq_hidden hidden_of(const struct embed_job *job)
{
    if (!job) return HIDDEN_NONE;
    return job->pooling == PL_POOLING_LAST ? HIDDEN_LAST : HIDDEN_EVERY;
}

static void fill_seq(struct pl_stream *s, const pl_request *r, uint32_t max_tokens,
                     unsigned char *storage, const struct stream_layout *l)
{
    s->seq = (struct seq){ .id = s->seq.id,
                           .token = (int32_t *)(void *)(storage + l->token_offset),
                           .n_prompt = (uint32_t)r->n_tokens,
                           .max_tokens = max_tokens,
                           .wants_every_logit = s->score && s->score->nll,
                           .hidden = hidden_of(s->embed),
                           .computes_prompt = r->computes_prompt };
    for (uint32_t g = 0; g < l->n_kv_groups; g++)
        s->seq.page[g] = (uint32_t *)(void *)(storage + l->page_offset) + g * stream_table_pages(l);
    memcpy(s->seq.token, r->tokens, r->n_tokens * sizeof *r->tokens);
}

static void fill(struct pl_engine *e, struct pl_stream *s, const pl_request *r,
                 const struct prompt_job *job, struct constraint *constraint, uint32_t max_tokens)
{
    const struct stream_layout *l = &e->streams.layout;
    unsigned char *storage = stream_storage(&e->streams, s);

    s->score = job->score;
    s->has_reply = job->has_reply;
    s->owns_score = r->prompt_logprobs;
    s->embed = job->embed;
    s->embed_memory = s->embed ? s->embed->memory : NULL;
    if (s->embed_memory) embed_memory_hold(s->embed_memory);
    s->constraint = constraint;
    if (constraint) constraint_start(constraint);
    fill_seq(s, r, max_tokens, storage, l);
    copy_stops(s, r, (char *)storage + l->stop_offset);
    copy_sampling(s, r, (pl_logit_bias *)(void *)(storage + l->bias_offset),
                  (const char **)(void *)(storage + l->breaker_offset));
    s->ending = ending_copy(r, (int32_t *)(void *)(storage + l->ending_offset));
    s->thought = thought_copy(&r->thoughts);
    s->ignore_eos = r->ignore_eos;
    s->logprobs = r->logprobs;
    s->control_text = r->control_text;
    s->n_top = r->n_top_logprobs;
    s->on_event = r->on_event;
    s->arg = r->arg;
    s->fork_of = r->fork_of;
    s->fork_id = r->fork_of ? r->fork_of->seq.id : 0;
    s->who = r->who;
    s->priority = r->priority;
    s->submitted_ns = clock_ns();
    s->has_events = s->has_front = s->is_reader_asleep = s->is_reader_awaited = false;
    s->utf8 = (struct utf8_stream){ 0 };
    s->n_reply = 0;
    s->admitted_ns = s->first_token_ns = s->last_token_ns = 0;
    atomic_store_explicit(&s->flags, 0, memory_order_relaxed);
    ring_init(&s->ring, storage + l->ring_offset, l->ring_bytes);
}

/* *out is NULL where the request has no grammar. */
static pl_status open_constraint(struct pl_engine *e, const pl_request *r, struct constraint **out,
                                 pl_err *err)
{
    *out = NULL;
    if (r->grammar.kind == PL_GRAMMAR_NONE) return PL_OK;
    return constraint_open(out, &e->constraints, &r->grammar, r->ignore_eos, err);
}

/* One block: the job, then its arrays. *out stays as it is where the request has no scores. */
static pl_status open_score(const pl_request *r, struct score_job **out, pl_err *err)
{
    const size_t n = r->n_tokens, n_top = n * r->n_top_logprobs;
    if (!r->prompt_logprobs) return PL_OK;
    struct score_job *job =
        calloc(1, sizeof *job + n_top * sizeof *job->top + n * sizeof *job->nll);
    if (!job)
        return pl_fail(err, PL_E_MEMORY, "no memory for the log-probabilities of %zu tokens", n);
    job->top = (pl_token_prob *)(job + 1);
    job->nll = (float *)(job->top + n_top);
    job->n_top = r->n_top_logprobs;
    *out = job;
    return PL_OK;
}

static void put_on_list(struct pl_engine *e, struct pl_stream *s)
{
    pthread_mutex_lock(&e->lock);
    s->next = NULL;
    if (e->new_first)
        e->new_last->next = s;
    else
        e->new_first = s;
    e->new_last = s;
    e->is_wake_pending = true;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

pl_status engine_submit(struct pl_engine *e, const pl_request *r, const struct prompt_job *job,
                        pl_stream **out, pl_err *err)
{
    struct prompt_job own = *job;
    *out = NULL;
    if (e->is_text_only)
        return pl_fail(err, PL_E_PARAM, "the engine was opened for text alone (text_only)");

    uint32_t max_tokens = 0;
    struct constraint *constraint = NULL;
    pl_status st = check_tokens(e, r, err);
    if (!st) st = sampling_check(&r->sampling, e->plan.public.n_vocab, err);
    if (!st) st = check_stops(r, err);
    if (!st) st = ending_check(r, e->plan.public.n_vocab, err);
    if (!st) st = thought_check(&r->thoughts, e->plan.public.n_vocab, err);
    if (!st && r->n_top_logprobs > PICK_MAX_TOP)
        st = pl_fail(err, PL_E_PARAM, "n_top_logprobs is %" PRIu32 "; at most %d is allowed",
                     r->n_top_logprobs, PICK_MAX_TOP);
    if (!st && (r->priority > PL_MAX_PRIORITY || r->priority < -PL_MAX_PRIORITY))
        st = pl_fail(err, PL_E_PARAM, "priority is %" PRId32 "; %d to %d are wanted", r->priority,
                     -PL_MAX_PRIORITY, PL_MAX_PRIORITY);
    if (!st) st = check_fork(e, r, err);
    if (!st) st = total_tokens(e, r, job->has_reply, &max_tokens, err);
    if (!st) st = open_constraint(e, r, &constraint, err);
    if (!st) st = open_score(r, &own.score, err);
    if (!st) {
        pthread_mutex_lock(&e->lock);
        st = take_place(e, r->n_tokens, job->place, out, err);
        pthread_mutex_unlock(&e->lock);
    }
    count(e, job->place, st);
    if (st) {
        constraint_close(constraint);
        if (r->prompt_logprobs) free(own.score);
        return st;
    }
    fill(e, *out, r, &own, constraint, max_tokens);
    put_on_list(e, *out);
    return PL_OK;
}

PL_API pl_status pl_submit(pl_engine *e, const pl_request *r, pl_stream **out, pl_err *err)
{
    return engine_submit(e, r, &(struct prompt_job){ .has_reply = true }, out, err);
}

PL_API pl_status pl_queue_check(pl_engine *e, pl_err *err)
{
    pthread_mutex_lock(&e->lock);
    const pl_status st = find_place(e, 0, err);
    pthread_mutex_unlock(&e->lock);
    if (st) count(e, PLACE_NEW, st);
    return st;
}

PL_API const pl_token_prob *pl_stream_prompt_logprob(const pl_stream *s, size_t position,
                                                     float *logprob)
{
    const struct score_job *job = s->score;
    *logprob = position ? -job->nll[position - 1] : 0;
    return position ? job->top + (position - 1) * job->n_top : job->top;
}

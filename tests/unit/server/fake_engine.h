/* An engine without a model, for tests of what stands before it: it implements the part of
 * paceline.h that the server calls. Included once by a test program, whose definitions then stand
 * in for those of the engine's library.
 *
 * A token is a byte. The reply to a prompt is the prompt itself, one token a step, up to
 * max_tokens. A prompt may begin with an order:
 *   !busy !context !closing   pl_submit fails so            !template   pl_chat_prompt fails
 *   !slow    tokenizing waits for fake_release              !error      ends so after two tokens
 *   !held    its tokens do
 *   !stuck   no token ever comes; can be cancelled          !dead       not even that
 *
 * One lock guards everything; wake-ups run under it, as the real engine's do under the stream's. */
#ifndef FAKE_ENGINE_H
#define FAKE_ENGINE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/status.h"
#include "paceline.h"

enum { FAKE_RING = 64, FAKE_EOS = 256, FAKE_VOCAB = 257 };

struct pl_stream {
    struct pl_engine *engine;
    pl_stream *next;
    uint64_t id;
    char *prompt;                   /* (n_prompt) and a zero */
    uint32_t n_prompt, n_reply, max_tokens, n_top;
    bool logprobs, is_admitted, is_cancelled, is_closed, has_ended;
    pl_wake_fn *on_event;
    void *arg;
    pl_event ring[FAKE_RING];       /* written % FAKE_RING */
    uint64_t n_written, n_read;
    char text[4];                   /* of the event handed out last, with its alternatives */
    pl_token_prob top[20];
};

struct pl_engine {
    pl_plan plan;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed, released;
    pl_stream *first;
    pl_stats stats;
    uint64_t last_id;
    long step_ns;
    long next_gap_ms, submit_gap_ms; /* widen races: a pause after "no event", after pl_submit */
    uint32_t n_tokenizing;      /* what begins with !slow and waits */
    bool is_draining, is_stopping, is_unhealthy, is_released;
};

static inline bool fake_is_ordered(const char *prompt, const char *order)
{
    return !strncmp(prompt, order, strlen(order));
}

static inline void fake_sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* ---- the engine thread ---------------------------------------------------------------------- */

static void fake_emit(pl_stream *s, pl_event event)
{
    s->ring[s->n_written++ % FAKE_RING] = event;
    if (s->on_event && !s->is_closed) s->on_event(s->arg);
}

static void fake_end(pl_stream *s, pl_finish finish)
{
    s->has_ended = true;
    s->engine->stats.n_finished[finish]++;
    fake_emit(s, (pl_event){ .kind = PL_EVENT_END, .finish = finish, .stop_index = -1, .text = "",
                             .usage = { .n_prompt = s->n_prompt, .n_reply = s->n_reply,
                                        .n_cached = s->n_prompt / 16 * 16 } });
}

static void fake_step(pl_stream *s)
{
    const bool is_full = s->n_written - s->n_read >= FAKE_RING - 2;
    if (s->has_ended || fake_is_ordered(s->prompt, "!dead")) return;
    if (s->is_cancelled || s->is_closed) fake_end(s, PL_FINISH_CANCELLED);
    else if (!s->is_admitted) {
        s->is_admitted = true;
        fake_emit(s, (pl_event){ .kind = PL_EVENT_ADMITTED, .text = "" });
    } else if (is_full || fake_is_ordered(s->prompt, "!stuck")) return;
    else if (!s->engine->is_released && fake_is_ordered(s->prompt, "!held")) return;
    else if (fake_is_ordered(s->prompt, "!error") && s->n_reply == 2) fake_end(s, PL_FINISH_ERROR);
    else if (s->n_reply == s->n_prompt) fake_end(s, PL_FINISH_STOP);
    else if (s->n_reply == s->max_tokens) fake_end(s, PL_FINISH_LENGTH);
    else {
        const unsigned char token = (unsigned char)s->prompt[s->n_reply++];
        s->engine->stats.n_reply_tokens++;
        fake_emit(s, (pl_event){ .kind = PL_EVENT_TOKEN, .token = token, .n_text_bytes = 1,
                                 .logprob = -(float)token / 256, .n_top = s->n_top });
    }
}

static void fake_free(pl_stream *s)
{
    free(s->prompt);
    free(s);
}

static void fake_sweep(pl_engine *e)
{
    for (pl_stream **at = &e->first; *at;) {
        pl_stream *s = *at;
        if (s->is_closed && (s->has_ended || fake_is_ordered(s->prompt, "!dead"))) {
            *at = s->next;
            fake_free(s);
        } else {
            at = &s->next;
        }
    }
}

static void *fake_run(void *arg)
{
    pl_engine *e = arg;
    pthread_mutex_lock(&e->lock);
    while (!e->is_stopping) {
        uint32_t n_running = 0;
        for (pl_stream *s = e->first; s; s = s->next) {
            const bool is_leaving = s->is_cancelled || s->is_closed;
            if (s->has_ended || (!is_leaving && ++n_running > e->plan.n_streams)) continue;
            fake_step(s);
        }
        fake_sweep(e);
        if (e->first) {
            pthread_mutex_unlock(&e->lock);
            nanosleep(&(struct timespec){ .tv_nsec = e->step_ns }, NULL);
            pthread_mutex_lock(&e->lock);
        } else {
            pthread_cond_wait(&e->changed, &e->lock);
        }
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* ---- opening -------------------------------------------------------------------------------- */

static inline pl_engine *fake_open(uint32_t n_streams, uint32_t queue_requests, long step_ns)
{
    pl_engine *e = calloc(1, sizeof *e);
    if (!e) abort();
    e->plan = (pl_plan){ .model_name = "fake", .architecture = "bytes", .backend = "none",
                         .isa = "none", .quantisation = "none", .n_streams = n_streams,
                         .ctx_tokens = 1 << 20, .queue_requests = queue_requests,
                         .n_vocab = FAKE_VOCAB, .kv_tokens = 1 << 20,
                         .d_model = 4, .pooling = PL_POOLING_LAST };
    e->step_ns = step_ns;
    e->stats.n_pages_total = 64;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    pthread_cond_init(&e->released, NULL);
    if (pthread_create(&e->thread, NULL, fake_run, e)) abort();
    return e;
}

void pl_close(pl_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->is_stopping = true;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    for (pl_stream *s = e->first, *next; s; s = next) {
        if (!s->is_closed) abort();         /* the server must close what it opens */
        next = s->next;
        fake_free(s);
    }
    pthread_cond_destroy(&e->changed);
    pthread_cond_destroy(&e->released);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

void pl_drain(pl_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->is_draining = true;
    pthread_mutex_unlock(&e->lock);
}

const pl_plan *pl_engine_plan(const pl_engine *e)
{
    return &e->plan;
}

bool pl_is_healthy(pl_engine *e)
{
    return !e->is_unhealthy;
}

/* ---- text ----------------------------------------------------------------------------------- */

void pl_tokens_free(pl_tokens *t)
{
    free(t->ids);
    *t = (pl_tokens){ 0 };
}

void pl_text_free(pl_text *t)
{
    free(t->bytes);
    *t = (pl_text){ 0 };
}

static void fake_wait_for_release(pl_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->n_tokenizing++;
    while (!e->is_released) pthread_cond_wait(&e->released, &e->lock);
    e->n_tokenizing--;
    pthread_mutex_unlock(&e->lock);
}

/* From here on nothing waits any more. */
static inline void fake_release(pl_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->is_released = true;
    pthread_cond_broadcast(&e->released);
    pthread_mutex_unlock(&e->lock);
}

pl_status pl_tokenize(const pl_engine *e, const char *text, size_t n_bytes, unsigned flags,
                      pl_tokens *out, pl_err *err)
{
    (void)flags, (void)err;
    if (n_bytes > 5 && fake_is_ordered(text, "!slow")) fake_wait_for_release((pl_engine *)e);
    *out = (pl_tokens){ malloc((n_bytes + 1) * sizeof *out->ids), n_bytes };
    if (!out->ids) abort();
    for (size_t i = 0; i < n_bytes; i++) out->ids[i] = (unsigned char)text[i];
    return PL_OK;
}

pl_status pl_detokenize(const pl_engine *e, const int32_t *ids, size_t n, bool special,
                        pl_text *out, pl_err *err)
{
    (void)e, (void)special;
    *out = (pl_text){ malloc(n + 1), n };
    if (!out->bytes) abort();
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] > 255) {
            pl_text_free(out);
            return pl_fail(err, PL_E_PARAM, "token %d is no byte", ids[i]);
        }
        out->bytes[i] = (char)ids[i];
    }
    out->bytes[n] = 0;
    return PL_OK;
}

const char *pl_token_bytes(const pl_engine *e, int32_t id, size_t *n_bytes)
{
    static char bytes[256];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    (void)e;
    *n_bytes = id >= 0 && id < 256;
    if (!*n_bytes) return "";
    pthread_mutex_lock(&lock);
    if (bytes[id] != (char)id) bytes[id] = (char)id;
    pthread_mutex_unlock(&lock);
    return &bytes[id];
}

/* The rendered prompt is the last message's content. */
pl_status pl_chat_prompt(const pl_engine *e, const char *json, size_t n_bytes, pl_text *text_out,
                         pl_tokens *tokens_out, pl_err *err)
{
    json_t *chat = json_loadb(json, n_bytes, JSON_ALLOW_NUL, NULL);
    const json_t *messages = json_object_get(chat, "messages");
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const json_t *content = json_object_get(last, "content");
    const char *text = json_is_string(content) ? json_string_value(content) : "";
    const size_t n = json_string_length(content);
    pl_status st = PL_OK;
    if (fake_is_ordered(text, "!template"))
        st = pl_fail(err, PL_E_TEMPLATE, "the model has no chat template");
    if (!st && tokens_out) st = pl_tokenize(e, text, n, 0, tokens_out, err);
    if (!st && text_out) {
        *text_out = (pl_text){ malloc(n + 1), n };
        if (!text_out->bytes) abort();
        memcpy(text_out->bytes, text, n + 1);
    }
    json_decref(chat);
    return st;
}

const char *pl_chat_template(const pl_engine *e)
{
    (void)e;
    return NULL;
}

/* ---- streams -------------------------------------------------------------------------------- */

static pl_stream *fake_stream(pl_engine *e, const pl_request *r)
{
    pl_stream *s = calloc(1, sizeof *s);
    if (!s || !(s->prompt = malloc(r->n_tokens + 1))) abort();
    for (size_t i = 0; i < r->n_tokens; i++) s->prompt[i] = (char)r->tokens[i];
    s->prompt[r->n_tokens] = 0;
    s->engine = e;
    s->n_prompt = (uint32_t)r->n_tokens;
    s->max_tokens = r->max_tokens ? r->max_tokens : UINT32_MAX;
    s->logprobs = r->logprobs;
    s->n_top = r->n_top_logprobs;
    s->on_event = r->on_event;
    s->arg = r->arg;
    return s;
}

static pl_status fake_check(pl_engine *e, const pl_stream *s, pl_err *err)
{
    uint32_t n_open = 0;
    for (const pl_stream *o = e->first; o; o = o->next) n_open += !o->has_ended;
    if (!s->n_prompt) return pl_fail(err, PL_E_PARAM, "the prompt is empty");
    if (e->is_draining || fake_is_ordered(s->prompt, "!closing"))
        return pl_fail(err, PL_E_CLOSING, "the engine is shutting down");
    if (fake_is_ordered(s->prompt, "!context"))
        return pl_fail(err, PL_E_CONTEXT, "the prompt has 9 tokens; 8 fit");
    if (fake_is_ordered(s->prompt, "!busy") || n_open >= e->plan.n_streams + e->plan.queue_requests)
        return pl_fail(err, PL_E_BUSY, "the queue is full");
    return PL_OK;
}

pl_status pl_queue_check(pl_engine *e, pl_err *err)
{
    (void)e, (void)err;
    return PL_OK;
}

pl_status pl_submit(pl_engine *e, const pl_request *r, pl_stream **out, pl_err *err)
{
    pl_stream *s = fake_stream(e, r);
    pthread_mutex_lock(&e->lock);
    const pl_status st = fake_check(e, s, err);
    e->stats.n_rejected_busy += st == PL_E_BUSY;
    if (!st) {
        pl_stream **at = &e->first;
        while (*at) at = &(*at)->next;
        *at = *out = s;
        s->id = ++e->last_id;
        e->stats.n_requests++;
        pthread_cond_signal(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    if (st) fake_free(s);
    if (e->submit_gap_ms) fake_sleep_ms(e->submit_gap_ms);
    return st;
}

bool pl_stream_next(pl_stream *s, pl_event *out)
{
    pthread_mutex_lock(&s->engine->lock);
    const bool has = s->n_read < s->n_written;
    if (has) {
        *out = s->ring[s->n_read++ % FAKE_RING];
        s->text[0] = (char)out->token;
        out->text = s->text;
        out->top = s->top;
        for (uint32_t i = 0; i < out->n_top; i++)
            s->top[i] = (pl_token_prob){ (out->token + (int32_t)i) % 256, out->logprob - (float)i };
    }
    pthread_mutex_unlock(&s->engine->lock);
    if (!has && s->engine->next_gap_ms) fake_sleep_ms(s->engine->next_gap_ms);
    return has;
}

/* -1/8 for each position; the best there is the token 'a' + position. */
const pl_token_prob *pl_stream_prompt_logprob(const pl_stream *s, size_t position, float *logprob)
{
    static pl_token_prob top[20];
    (void)s;
    *logprob = -(float)position / 8;
    for (int i = 0; i < 20; i++)
        top[i] = (pl_token_prob){ (int32_t)('a' + position) + i, *logprob - (float)i };
    return top;
}

void pl_stream_cancel(pl_stream *s)
{
    pthread_mutex_lock(&s->engine->lock);
    s->is_cancelled = true;
    pthread_mutex_unlock(&s->engine->lock);
}

void pl_stream_close(pl_stream *s)
{
    if (!s) return;
    pl_engine *e = s->engine;
    pthread_mutex_lock(&e->lock);
    s->is_closed = true;
    pthread_mutex_unlock(&e->lock);
}

/* ---- what it does --------------------------------------------------------------------------- */

static inline uint32_t fake_n_open(pl_engine *e)
{
    uint32_t n = 0;
    pthread_mutex_lock(&e->lock);
    for (pl_stream *s = e->first; s; s = s->next) n += !s->is_closed;
    pthread_mutex_unlock(&e->lock);
    return n;
}

static inline uint32_t fake_n_admitted(pl_engine *e)
{
    uint32_t n = 0;
    pthread_mutex_lock(&e->lock);
    for (pl_stream *s = e->first; s; s = s->next) n += s->is_admitted && !s->has_ended;
    pthread_mutex_unlock(&e->lock);
    return n;
}

static inline uint32_t fake_n_tokenizing(pl_engine *e)
{
    pthread_mutex_lock(&e->lock);
    const uint32_t n = e->n_tokenizing;
    pthread_mutex_unlock(&e->lock);
    return n;
}

void pl_stats_read(pl_engine *e, pl_stats *out)
{
    pthread_mutex_lock(&e->lock);
    *out = e->stats;
    pthread_mutex_unlock(&e->lock);
}

uint32_t pl_slots_read(pl_engine *e, pl_slot *out, uint32_t max_slots)
{
    uint32_t n = 0;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < max_slots; i++) out[i] = (pl_slot){ .id = i };
    for (pl_stream *s = e->first; s && n < max_slots; s = s->next)
        if (s->is_admitted && !s->has_ended)
            out[n] = (pl_slot){ .id = n, .state = PL_SLOT_DECODE, .stream_id = s->id,
                                .n_prompt = s->n_prompt, .n_reply = s->n_reply },
            n++;
    pthread_mutex_unlock(&e->lock);
    return e->plan.n_streams;
}

#include "unit/server/fake_embedding.h"

#endif

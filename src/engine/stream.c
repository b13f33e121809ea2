/* Events of a stream: the engine's writing end and the consumer's reading end. */
#include "engine/stream.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "engine/engine_wake.h"
#include "engine/record.h"

/* ---- engine thread -------------------------------------------------------------------------- */

void record_emit(struct pl_stream *s, const struct record *r, const pl_token_prob *top,
                 const pl_usage *usage, const char *text)
{
    const size_t n_top = r->n_top * sizeof *top, n_usage = usage ? sizeof *usage : 0;
    unsigned char *to = ring_reserve(&s->ring, sizeof *r + n_top + n_usage + r->n_text_bytes);
    assert(to);     /* stream_must_stall keeps room */

    memcpy(to, r, sizeof *r);
    to += sizeof *r;
    if (n_top) memcpy(to, top, n_top);
    to += n_top;
    if (usage) memcpy(to, usage, n_usage);
    to += n_usage;
    if (r->n_text_bytes) memcpy(to, text, r->n_text_bytes);
    ring_publish(&s->ring);
    s->has_events = true;
}

void stream_emit_admitted(struct pl_stream *s)
{
    const struct record record = { .kind = PL_EVENT_ADMITTED, .token = -1, .stop_index = -1 };
    const pl_token_prob none = { 0 };
    record_emit(s, &record, &none, NULL, "");
}

void stream_wake(struct pl_stream *s)
{
    if (!s->has_events) return;
    s->has_events = false;
    pthread_mutex_lock(&s->lock);
    if (s->is_reader_asleep) pthread_cond_signal(&s->changed);
    const bool is_closed = atomic_load_explicit(&s->flags, memory_order_relaxed) & STREAM_CLOSED;
    if (s->on_event && !is_closed) s->on_event(s->arg);
    pthread_mutex_unlock(&s->lock);
}

bool stream_may_go_on(const struct pl_stream *s)
{
    return ring_room(&s->ring) >= s->ring.capacity / 2;
}

bool stream_must_stall(struct pl_stream *s)
{
    const struct stream_layout *l = &s->engine->streams.layout;
    const size_t wanted = STREAM_MIN_RECORDS * (record_max_bytes(l) + 16);
    if (ring_room(&s->ring) >= wanted) return false;

    pthread_mutex_lock(&s->lock);
    const bool must_stall = !stream_may_go_on(s);
    if (must_stall) s->is_reader_awaited = true;
    pthread_mutex_unlock(&s->lock);
    return must_stall;
}

/* ---- consumer ------------------------------------------------------------------------------- */

/* Frees the record handed out last. The engine may be waiting for the room. */
static void pop_front(pl_stream *s)
{
    if (!s->has_front) return;
    s->has_front = false;
    ring_pop(&s->ring);

    pthread_mutex_lock(&s->lock);
    const bool is_awaited = s->is_reader_awaited && stream_may_go_on(s);
    if (is_awaited) s->is_reader_awaited = false;
    pthread_mutex_unlock(&s->lock);
    if (is_awaited) engine_wake(s->engine);
}

PL_API bool pl_stream_next(pl_stream *s, pl_event *out)
{
    pop_front(s);
    const struct record *r = ring_front(&s->ring);
    if (!r) return false;
    s->has_front = true;

    const unsigned char *at = (const unsigned char *)(r + 1);
    *out = (pl_event){ .kind = (pl_event_kind)r->kind, .token = r->token, .logprob = r->logprob,
                       .n_top = r->n_top, .n_text_bytes = r->n_text_bytes,
                       .finish = (pl_finish)r->finish, .stop_index = r->stop_index };
    out->top = (const pl_token_prob *)(const void *)at;
    at += r->n_top * sizeof *out->top;
    if (out->kind == PL_EVENT_END) {
        memcpy(&out->usage, at, sizeof out->usage);
        at += sizeof out->usage;
    }
    out->text = (const char *)at;
    return true;
}

static bool has_event(pl_stream *s)
{
    return s->has_front ? ring_has_second(&s->ring) : ring_front(&s->ring) != NULL;
}

PL_API bool pl_stream_wait(pl_stream *s, uint32_t timeout_ms)
{
    if (has_event(s)) return true;
    const uint64_t deadline_ns = clock_ns() + (uint64_t)timeout_ms * 1000000u;
    bool has = false;

    pthread_mutex_lock(&s->lock);
    s->is_reader_asleep = true;
    while (!(has = has_event(s)) && clock_ns() < deadline_ns)
        cond_wait_until(&s->changed, &s->lock, deadline_ns);
    s->is_reader_asleep = false;
    pthread_mutex_unlock(&s->lock);
    return has;
}

PL_API void pl_stream_cancel(pl_stream *s)
{
    const uint32_t before =
        atomic_fetch_or_explicit(&s->flags, STREAM_CANCELLED, memory_order_acq_rel);
    if (before & (STREAM_CANCELLED | STREAM_ENDED)) return;
    engine_give_place(s->engine, s);
    engine_cancel_wake(s->engine);
}

PL_API void pl_stream_close(pl_stream *s)
{
    if (!s) return;
    struct pl_engine *engine = s->engine;   /* the object may be another request's in a moment */

    engine_give_place(engine, s);
    pthread_mutex_lock(&s->lock);
    const uint32_t before = atomic_fetch_or_explicit(
        &s->flags, STREAM_CANCELLED | STREAM_CLOSED, memory_order_acq_rel);
    pthread_mutex_unlock(&s->lock);

    if (before & STREAM_ENDED)
        engine_free_stream(engine, s);
    else
        engine_cancel_wake(engine);
}

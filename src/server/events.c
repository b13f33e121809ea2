#include "server/events.h"

#include <string.h>

#include "base/clock.h"
#include "server/active.h"
#include "server/answer.h"
#include "server/dialect.h"

enum {
    MAX_PENDING_BYTES = 32 << 10,   /* of an answer, before events are left in their rings */
    BLOCK_BYTES = 16 << 10,         /* what libmicrohttpd asks a reader for at once */
};

/* ---- events --------------------------------------------------------------------------------- */

static void write_failure(struct completion *c)
{
    const struct active_end why = active_end(c->exchange);
    c->dialect->failure(c, why.status, why.code, why.text);
}

/* What is told of an event where no reply is wanted: the prompt is read for the sake of its KV, and
 * the one token that comes with it is kept back. */
static pl_event silent(const pl_event *e)
{
    pl_event to = *e;
    to.n_text_bytes = 0;
    to.usage.n_reply = 0;
    if (e->kind == PL_EVENT_END && e->finish == PL_FINISH_STOP) to.finish = PL_FINISH_LENGTH;
    if (e->kind == PL_EVENT_TOKEN) to.kind = PL_EVENT_ADMITTED;
    return to;
}

/* A chat's text goes through its reader. */
static void read_text(struct completion *c, struct choice *ch, const pl_event *e)
{
    reply_reader_push(&ch->reader, e->text, e->n_text_bytes, e->kind == PL_EVENT_END);
    if (ch->reader.failed) c->out.failed = ch->text.failed = true;
}

static void take_event(struct completion *c, uint32_t i, const pl_event *e)
{
    struct choice *ch = &c->choice[i];
    const bool is_streaming = c->request.stream;

    if (!ch->has_started) {
        ch->has_started = true;
        if (is_streaming && c->dialect->start) c->dialect->start(c, i);
    }
    if (e->kind == PL_EVENT_ADMITTED) return;
    ch->n_tokens += e->kind == PL_EVENT_TOKEN;
    if (c->dialect->take_token) c->dialect->take_token(c, i, e);
    if (c->request.is_chat) read_text(c, ch, e);
    else if (!is_streaming) strbuf_add(&ch->text, e->text, e->n_text_bytes);
    if (e->kind == PL_EVENT_END) {
        ch->has_ended = true;
        ch->finish = e->finish;
        ch->stop_index = e->stop_index;
        ch->usage = e->usage;
        c->n_ended++;
    }
    if (is_streaming && ch->has_ended && choice_has_failed(ch)) write_failure(c);
    else if (is_streaming || c->dialect->has_all_events) c->dialect->event(c, i, e);
}

/* Takes what the streams have; stops early when enough is waiting to be sent. */
static void take_events(struct completion *c)
{
    for (uint32_t i = 0; i < c->n_choices; i++) {
        struct choice *ch = &c->choice[i];
        pl_event event;
        while (!ch->has_ended && c->out.n - c->out_at < MAX_PENDING_BYTES &&
               pl_stream_next(ch->stream, &event)) {
            if (c->request.no_reply) event = silent(&event);
            take_event(c, i, &event);
        }
    }
}

/* ---- streaming ------------------------------------------------------------------------------ */

static void finish_stream(struct completion *c)
{
    c->dialect->end(c);
    c->is_finished = true;
}

/* libmicrohttpd asks for the next bytes of the answer. */
static ssize_t read_stream(void *arg, uint64_t pos, char *to, size_t max)
{
    struct exchange *x = arg;
    struct completion *c = x->completion;
    (void)pos;
    for (;;) {
        bool is_ping_due;
        const bool is_gone = wake_take_news(&x->wake, &is_ping_due);
        const bool is_taken = c->is_finished && c->out.n == c->out_at;
        if (is_gone && !is_taken) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (!c->is_finished) take_events(c);
        if (!c->is_finished && c->n_ended == c->n_choices) finish_stream(c);
        if (c->out.failed) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (c->out.n == c->out_at && is_ping_due && c->dialect->ping)
            strbuf_add_str(&c->out, c->dialect->ping);
        if (c->out.n > c->out_at) {
            atomic_store(&x->last_sent_ns, clock_ns());
            return (ssize_t)strbuf_take(&c->out, &c->out_at, to, max);
        }
        if (c->is_finished) return MHD_CONTENT_READER_END_OF_STREAM;
        if (wake_suspend(&x->wake)) return 0;
    }
}

enum MHD_Result events_stream(struct exchange *x)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, x, NULL);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Cache-Control", "no-cache");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");   /* nginx: pass each event on */
    return answer_set(x, 200, response, x->completion->dialect->stream_type);
}

/* ---- one document --------------------------------------------------------------------------- */

static enum MHD_Result send_document(struct exchange *x)
{
    struct completion *c = x->completion;
    struct strbuf document = { 0 };
    for (uint32_t i = 0; i < c->n_choices; i++) {
        if (choice_has_failed(&c->choice[i])) {
            const struct active_end why = active_end(x);
            return answer_fail(x, why.status, NULL, why.code, "%s", why.text);
        }
        if (c->choice[i].text.failed) return answer_fail(x, 500, NULL, NULL, "out of memory");
    }
    c->dialect->document(c, &document);
    return answer_text(x, &document);
}

enum MHD_Result events_document(struct exchange *x)
{
    struct completion *c = x->completion;
    for (;;) {
        bool is_ping_due;
        if (wake_take_news(&x->wake, &is_ping_due)) return MHD_NO;
        take_events(c);
        if (c->n_ended == c->n_choices) return send_document(x);
        if (wake_suspend(&x->wake)) return MHD_YES;
    }
}

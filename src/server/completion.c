/* Requests for text: from the body to streams, from their events to the answer. The states are drawn
 * in exchange.h. */
#include "server/completion.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "server/http.h"
#include "server/json_text.h"

enum {
    MAX_PENDING_BYTES = 32 << 10,   /* of an answer, before events are left in their rings */
    BLOCK_BYTES = 16 << 10,         /* what libmicrohttpd asks a reader for at once */
};

/* ---- prompts -------------------------------------------------------------------------------- */

static bool is_id_array(const json_t *v)
{
    return json_is_array(v) && json_array_size(v) && json_is_integer(json_array_get(v, 0));
}

static pl_status tokens_of_ids(const json_t *ids, pl_tokens *out, pl_err *err)
{
    size_t i;
    json_t *id;
    out->ids = malloc((json_array_size(ids) + 1) * sizeof *out->ids);
    if (!out->ids) {
        *err = (pl_err){ PL_E_MEMORY, "out of memory" };
        return PL_E_MEMORY;
    }
    json_array_foreach((json_t *)(uintptr_t)ids, i, id) {
        const json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value > INT32_MAX) {
            *err = (pl_err){ PL_E_PARAM, "prompt: an array of token ids holds something else" };
            return PL_E_PARAM;
        }
        out->ids[out->n++] = (int32_t)value;
    }
    return PL_OK;
}

static pl_status tokens_of_prompt(const struct completion *c, const json_t *prompt, pl_tokens *out,
                                  pl_err *err)
{
    if (json_is_string(prompt))
        return pl_tokenize(c->engine, json_string_value(prompt), json_string_length(prompt),
                           PL_TOKENIZE_SPECIAL | PL_TOKENIZE_BOS, out, err);
    if (is_id_array(prompt)) return tokens_of_ids(prompt, out, err);
    *err = (pl_err){ PL_E_PARAM, "prompt: a string, an array of strings, an array of token ids or "
                                 "an array of such arrays is wanted" };
    return PL_E_PARAM;
}

/* Fills c->prompt. */
static pl_status read_prompts(struct completion *c, pl_err *err)
{
    const json_t *prompt = c->request.prompt;
    const bool is_list = !c->request.is_chat && json_is_array(prompt) && !is_id_array(prompt);
    const size_t n = is_list ? json_array_size(prompt) : 1;
    if (n < 1 || n > REQUEST_MAX_PROMPTS) {
        *err = (pl_err){ PL_E_PARAM, "prompt: an array of 1 to 64 prompts is wanted" };
        return PL_E_PARAM;
    }
    c->prompt = calloc(n, sizeof *c->prompt);
    c->choice = calloc(n * c->request.n, sizeof *c->choice);
    if (!c->prompt || !c->choice) {
        *err = (pl_err){ PL_E_MEMORY, "out of memory" };
        return PL_E_MEMORY;
    }
    for (; c->n_prompts < n; c->n_prompts++) {
        pl_tokens *to = &c->prompt[c->n_prompts];
        const pl_status st =
            c->request.is_chat
                ? pl_chat_prompt(c->engine, c->request.chat, strlen(c->request.chat), NULL, to, err)
                : tokens_of_prompt(c, is_list ? json_array_get(prompt, c->n_prompts) : prompt, to,
                                   err);
        if (st) {
            pl_tokens_free(to);
            return st;
        }
    }
    return PL_OK;
}

/* ---- streams -------------------------------------------------------------------------------- */

static void on_event(void *arg)
{
    exchange_wake(arg);
}

/* A seed of its own for each choice: splitmix64's steps keep n replies apart. */
static uint64_t seed_of(const struct completion *c, uint32_t reply)
{
    const uint64_t base = c->request.has_seed ? c->request.sampling.seed : clock_ns() ^ (uint64_t)
                                                                           (uintptr_t)c;
    return base + reply * 0x9e3779b97f4a7c15u;
}

static pl_status submit_all(struct completion *c, pl_err *err)
{
    const struct request *r = &c->request;
    for (uint32_t p = 0; p < c->n_prompts; p++)
        for (uint32_t i = 0; i < r->n; i++) {
            struct choice *ch = &c->choice[c->n_choices];
            pl_request request = {
                .tokens = c->prompt[p].ids, .n_tokens = c->prompt[p].n,
                .max_tokens = r->max_tokens, .sampling = r->sampling, .stop = r->stop,
                .n_stop = r->n_stop, .ignore_eos = r->ignore_eos, .logprobs = r->logprobs,
                .n_top_logprobs = r->n_top_logprobs,
                .fork_of = i ? c->choice[c->n_choices - i].stream : NULL, .on_event = on_event,
                .arg = c->exchange,
            };
            request.sampling.seed = seed_of(c, i);
            ch->prompt = p;
            const pl_status st = pl_submit(c->engine, &request, &ch->stream, err);
            if (st) return st;
            c->n_choices++;
        }
    return PL_OK;
}

void completion_cancel(struct completion *c)
{
    for (uint32_t i = 0; i < c->n_choices; i++) pl_stream_cancel(c->choice[i].stream);
}

void completion_free(struct completion *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->n_choices; i++) {
        struct choice *ch = &c->choice[i];
        pl_stream_close(ch->stream);
        strbuf_free(&ch->text);
        strbuf_free(&ch->logprobs);
        strbuf_free(&ch->token_logprobs);
        strbuf_free(&ch->top_logprobs);
        strbuf_free(&ch->text_offset);
    }
    for (uint32_t i = 0; i < c->n_prompts; i++) pl_tokens_free(&c->prompt[i]);
    free(c->choice);
    free(c->prompt);
    request_free(&c->request);
    strbuf_free(&c->out);
    free(c);
}

/* ---- events --------------------------------------------------------------------------------- */

static void take_event(struct completion *c, uint32_t i, const pl_event *e)
{
    struct choice *ch = &c->choice[i];
    const bool is_streaming = c->request.stream;

    if (!ch->has_started) {
        ch->has_started = true;
        if (is_streaming) shape_chunk_role(c, i);
    }
    if (e->kind == PL_EVENT_ADMITTED) return;
    shape_take_logprobs(c, ch, e);
    ch->n_text_bytes += e->n_text_bytes;
    if (!is_streaming) strbuf_add(&ch->text, e->text, e->n_text_bytes);
    if (e->kind == PL_EVENT_END) {
        ch->has_ended = true;
        ch->finish = e->finish;
        ch->usage = e->usage;
        c->n_ended++;
    }
    if (is_streaming && e->finish == PL_FINISH_ERROR && e->kind == PL_EVENT_END) {
        strbuf_add_str(&c->out, "data: ");
        http_error_text(&c->out, 500, "internal_error", "the reply could not be continued");
        strbuf_add_str(&c->out, "\n\n");
    } else if (is_streaming) {
        shape_chunk_event(c, i, e);
    }
}

/* Takes what the streams have; stops early when enough is waiting to be sent. */
static void take_events(struct completion *c)
{
    for (uint32_t i = 0; i < c->n_choices; i++) {
        struct choice *ch = &c->choice[i];
        pl_event event;
        while (!ch->has_ended && c->out.n - c->out_at < MAX_PENDING_BYTES &&
               pl_stream_next(ch->stream, &event))
            take_event(c, i, &event);
    }
}

/* Nothing to do until somebody wakes the exchange. False: there are news, look again. */
static bool suspend(struct exchange *x)
{
    pthread_mutex_lock(&x->lock);
    const bool is_idle = !x->has_news && !x->is_gone;
    if (is_idle) {
        x->is_suspended = true;
        MHD_suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->lock);
    return is_idle;
}

/* Takes note of the news; true: the client left. */
static bool take_news(struct exchange *x, bool *is_ping_due)
{
    pthread_mutex_lock(&x->lock);
    const bool is_gone = x->is_gone;
    x->has_news = false;
    *is_ping_due = x->is_ping_due;
    x->is_ping_due = false;
    pthread_mutex_unlock(&x->lock);
    return is_gone;
}

/* ---- streaming ------------------------------------------------------------------------------ */

static void finish_stream(struct completion *c)
{
    if (c->request.include_usage) shape_chunk_usage(c);
    strbuf_add_str(&c->out, "data: [DONE]\n\n");
    c->is_finished = true;
}

static ssize_t take_out(struct completion *c, char *to, size_t max)
{
    const size_t n = c->out.n - c->out_at < max ? c->out.n - c->out_at : max;
    memcpy(to, c->out.bytes + c->out_at, n);
    c->out_at += n;
    if (c->out_at == c->out.n) {
        strbuf_clear(&c->out);
        c->out_at = 0;
    }
    return (ssize_t)n;
}

/* libmicrohttpd asks for the next bytes of the answer. */
static ssize_t read_stream(void *arg, uint64_t pos, char *to, size_t max)
{
    struct exchange *x = arg;
    struct completion *c = x->completion;
    (void)pos;
    for (;;) {
        bool is_ping_due;
        if (take_news(x, &is_ping_due)) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (!c->is_finished) take_events(c);
        if (!c->is_finished && c->n_ended == c->n_choices) finish_stream(c);
        if (c->out.failed) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (c->out.n == c->out_at && is_ping_due) strbuf_add_str(&c->out, ": ping\n\n");
        if (c->out.n > c->out_at) {
            atomic_store(&x->last_sent_ns, clock_ns());
            return take_out(c, to, max);
        }
        if (c->is_finished) return MHD_CONTENT_READER_END_OF_STREAM;
        if (suspend(x)) return 0;
    }
}

static enum MHD_Result start_stream(struct exchange *x)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, x, NULL);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "Cache-Control", "no-cache");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");   /* nginx: pass each event on */
    http_common_headers(x, response);
    x->is_answered = true;
    const enum MHD_Result result = MHD_queue_response(x->connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- one document --------------------------------------------------------------------------- */

static enum MHD_Result send_document(struct exchange *x)
{
    struct completion *c = x->completion;
    struct strbuf document = { 0 };
    for (uint32_t i = 0; i < c->n_choices; i++)
        if (c->choice[i].finish == PL_FINISH_ERROR || c->choice[i].text.failed)
            return http_fail(x, 500, NULL, "internal_error", "the reply could not be continued");
    shape_document(c, &document);
    const enum MHD_Result result =
        document.failed ? http_fail(x, 500, NULL, NULL, "out of memory")
                        : http_send(x, 200, "application/json", document.bytes, document.n);
    strbuf_free(&document);
    return result;
}

enum MHD_Result completion_resume(struct exchange *x)
{
    struct completion *c = x->completion;
    for (;;) {
        bool is_ping_due;
        if (take_news(x, &is_ping_due)) return HTTP_CLOSE;
        take_events(c);
        if (c->n_ended == c->n_choices) return send_document(x);
        if (suspend(x)) return MHD_YES;
    }
}

/* ---- start ---------------------------------------------------------------------------------- */

static bool equals_n(const char *a, const char *b, size_t n)
{
    return b && strlen(b) >= n && strlen(a) == n && !memcmp(a, b, n);
}

static bool knows_model(const struct server *s, const char *name)
{
    if (!name || !*name || (s->alias && !strcmp(s->alias, name))) return true;
    const size_t n = s->file_name ? strlen(s->file_name) : 0;
    const size_t n_stem = n > 5 && !strcmp(s->file_name + n - 5, ".gguf") ? n - 5 : n;
    return equals_n(name, s->file_name, n) || equals_n(name, s->file_name, n_stem) ||
           (s->model_path && !strcmp(s->model_path, name));
}

static const char *param_of(const struct completion *c, const pl_err *err)
{
    if (err->status != PL_E_PARAM && err->status != PL_E_CONTEXT && err->status != PL_E_TEMPLATE)
        return NULL;
    return c->request.is_chat ? "messages" : "prompt";
}

/* Parses, renders, tokenizes and submits. An error is answered, *result is that answer's. */
static bool begin(struct exchange *x, struct completion *c, const json_t *body, bool is_chat,
                  enum MHD_Result *result)
{
    const struct server *s = x->server;
    const struct request_defaults defaults = { s->sampling, s->max_tokens };
    struct request_error error;
    pl_err err = { 0 };

    if (!request_parse(&c->request, body, is_chat, &defaults, &error)) {
        *result = http_fail(x, 400, error.param, "invalid_parameter", "%s", error.text);
        return false;
    }
    if (!knows_model(s, c->request.model)) {
        *result = http_fail(x, 404, "model", "model_not_found",
                            "the model \"%.100s\" is not here; \"%s\" is", c->request.model,
                            s->alias ? s->alias : s->file_name);
        return false;
    }
    if (atomic_load(&x->server->is_draining)) {
        *result = http_fail(x, 503, NULL, "shutting_down", "the server is shutting down");
        return false;
    }
    pl_status st = read_prompts(c, &err);
    if (!st) st = submit_all(c, &err);
    if (st) *result = http_fail_engine(x, &err, param_of(c, &err));
    return !st;
}

enum MHD_Result completion_start(struct exchange *x, bool is_chat)
{
    enum MHD_Result result;
    json_t *body = http_body(x, &result);
    if (!body) return result;
    struct completion *c = calloc(1, sizeof *c);
    if (!c) {
        json_decref(body);
        return http_fail(x, 500, NULL, NULL, "out of memory");
    }
    c->exchange = x;
    c->engine = atomic_load_explicit(&x->server->engine, memory_order_acquire);
    c->created_s = (uint64_t)time(NULL);
    snprintf(c->id, sizeof c->id, "%s-%lx%08lx", is_chat ? "chatcmpl" : "cmpl",
             (unsigned long)x->server->started_s, atomic_fetch_add(&x->server->n_ids, 1));
    x->json = body;             /* the request points into it */
    if (!begin(x, c, body, is_chat, &result)) {
        completion_free(c);
        return result;
    }
    x->completion = c;
    atomic_store(&x->last_sent_ns, clock_ns());
    atomic_fetch_add(&x->server->n_active, 1);
    watcher_add(x);
    return c->request.stream ? start_stream(x) : completion_resume(x);
}

enum MHD_Result route_chat(struct exchange *x)
{
    return completion_start(x, true);
}

enum MHD_Result route_completions(struct exchange *x)
{
    return completion_start(x, false);
}

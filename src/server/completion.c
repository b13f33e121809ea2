/* Requests for text: from the body to streams, from their events to the answer. The states are
 * drawn in exchange.h. */
#include "server/completion.h"

#include <stdio.h>
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

/* A string is given back as it came; of tokens the text is. */
static pl_status echo_of_prompt(const struct completion *c, const json_t *prompt, struct prompt *to,
                                pl_err *err)
{
    pl_text text = { 0 };
    if (json_is_string(prompt)) {
        strbuf_add(&to->echo, json_string_value(prompt), json_string_length(prompt));
        return PL_OK;
    }
    const pl_status st = pl_detokenize(c->engine, to->tokens.ids, to->tokens.n, true, &text, err);
    if (!st) strbuf_add(&to->echo, text.bytes, text.n);
    pl_text_free(&text);
    return st;
}

static pl_status read_prompt(const struct completion *c, const json_t *prompt, struct prompt *to,
                             pl_err *err)
{
    const struct request *r = &c->request;
    if (r->is_chat)
        return pl_chat_prompt(c->engine, r->chat, strlen(r->chat), NULL, &to->tokens, err);
    pl_status st = tokens_of_prompt(c, prompt, &to->tokens, err);
    if (!st && r->echo) st = echo_of_prompt(c, prompt, to, err);
    return st;
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
    while (c->n_prompts < n) {
        const uint32_t i = c->n_prompts++;
        struct prompt *to = &c->prompt[i];
        const pl_status st = read_prompt(c, is_list ? json_array_get(prompt, i) : prompt, to, err);
        if (st) return st;
        to->n_tokens = to->tokens.n;
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
                .tokens = c->prompt[p].tokens.ids, .n_tokens = c->prompt[p].n_tokens,
                .max_tokens = r->max_tokens, .sampling = r->sampling, .stop = r->stop,
                .n_stop = r->n_stop, .ignore_eos = r->ignore_eos, .logprobs = r->logprobs,
                .n_top_logprobs = r->n_top_logprobs,
                .fork_of = i ? c->choice[c->n_choices - i].stream : NULL, .on_event = on_event,
                .arg = c->exchange,
            };
            request.sampling.seed = seed_of(c, i);
            ch->prompt = p;
            ch->n_characters = json_text_characters(c->prompt[p].echo.bytes, c->prompt[p].echo.n);
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
    for (uint32_t i = 0; i < c->n_prompts; i++) {
        pl_tokens_free(&c->prompt[i].tokens);
        strbuf_free(&c->prompt[i].echo);
    }
    free(c->choice);
    free(c->prompt);
    free(c->model);
    request_free(&c->request);
    strbuf_free(&c->out);
    free(c);
}

/* ---- events --------------------------------------------------------------------------------- */

static bool has_failed(pl_finish finish)
{
    return finish == PL_FINISH_ERROR || finish == PL_FINISH_CANCELLED;
}

/* Why a reply that was not given up by its client ended early. */
struct failure {
    unsigned status;
    const char *code, *text;
};

static struct failure failure_of(const struct exchange *x)
{
    if (atomic_load(&x->server->is_draining))
        return (struct failure){ 503, "shutting_down", "the server is shutting down" };
    return (struct failure){ 500, "internal_error", "the reply could not be continued" };
}

static void write_failure(struct completion *c)
{
    const struct failure why = failure_of(c->exchange);
    strbuf_add_str(&c->out, "data: ");
    http_error_text(&c->out, why.status, why.code, why.text);
    strbuf_add_str(&c->out, "\n\n");
}

static void take_event(struct completion *c, uint32_t i, const pl_event *e)
{
    struct choice *ch = &c->choice[i];
    const bool is_streaming = c->request.stream;

    if (!ch->has_started) {
        ch->has_started = true;
        if (is_streaming) shape_chunk_first(c, i);
    }
    if (e->kind == PL_EVENT_ADMITTED) return;
    shape_take_logprobs(c, ch, e);
    if (!is_streaming) strbuf_add(&ch->text, e->text, e->n_text_bytes);
    if (e->kind == PL_EVENT_END) {
        ch->has_ended = true;
        ch->finish = e->finish;
        ch->usage = e->usage;
        c->n_ended++;
    }
    if (is_streaming && ch->has_ended && has_failed(e->finish)) write_failure(c);
    else if (is_streaming) shape_chunk_event(c, i, e);
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
        if (exchange_take_news(x, &is_ping_due)) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (!c->is_finished) take_events(c);
        if (!c->is_finished && c->n_ended == c->n_choices) finish_stream(c);
        if (c->out.failed) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (c->out.n == c->out_at && is_ping_due) strbuf_add_str(&c->out, ": ping\n\n");
        if (c->out.n > c->out_at) {
            atomic_store(&x->last_sent_ns, clock_ns());
            return take_out(c, to, max);
        }
        if (c->is_finished) return MHD_CONTENT_READER_END_OF_STREAM;
        if (exchange_suspend(x)) return 0;
    }
}

static enum MHD_Result start_stream(struct exchange *x)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, x, NULL);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Cache-Control", "no-cache");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");   /* nginx: pass each event on */
    return http_answer(x, 200, response, "text/event-stream; charset=utf-8");
}

/* ---- one document --------------------------------------------------------------------------- */

static enum MHD_Result send_document(struct exchange *x)
{
    struct completion *c = x->completion;
    struct strbuf document = { 0 };
    for (uint32_t i = 0; i < c->n_choices; i++) {
        if (has_failed(c->choice[i].finish)) {
            const struct failure why = failure_of(x);
            return http_fail(x, why.status, NULL, why.code, "%s", why.text);
        }
        if (c->choice[i].text.failed) return http_fail(x, 500, NULL, NULL, "out of memory");
    }
    shape_document(c, &document);
    return http_send_text(x, &document);
}

enum MHD_Result completion_advance(struct exchange *x)
{
    struct completion *c = x->completion;
    for (;;) {
        bool is_ping_due;
        if (exchange_take_news(x, &is_ping_due)) return MHD_NO;
        take_events(c);
        if (c->n_ended == c->n_choices) return send_document(x);
        if (exchange_suspend(x)) return MHD_YES;
    }
}

/* ---- start ---------------------------------------------------------------------------------- */

static bool equals_n(const char *a, const char *b, size_t n)
{
    return b && strlen(b) >= n && strlen(a) == n && !memcmp(a, b, n);
}

bool server_knows_model(const struct server *s, const char *name)
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

/* False: refused, *result is the answer's. */
static bool check(struct exchange *x, const struct completion *c, enum MHD_Result *result)
{
    const struct server *s = x->server;
    const struct request *r = &c->request;
    const uint32_t n_vocab = pl_engine_plan(c->engine)->n_vocab;
    if (!server_knows_model(s, r->model)) {
        *result = http_fail(x, 404, "model", "model_not_found",
                            "the model \"%.100s\" is not here; \"%s\" is", r->model,
                            s->alias ? s->alias : s->file_name);
        return false;
    }
    for (size_t i = 0; i < r->sampling.n_bias; i++) {
        if ((uint32_t)r->bias[i].token < n_vocab) continue;
        *result = http_fail(x, 400, "logit_bias", "invalid_parameter",
                            "logit_bias names token %d; 0 to %u are wanted", r->bias[i].token,
                            n_vocab - 1);
        return false;
    }
    return true;
}

/* The request keeps nothing of the body: a request that waits for a slot costs little memory. */
static bool let_go_of_body(struct completion *c)
{
    struct request *r = &c->request;
    if (r->model && *r->model && !(c->model = strdup(r->model))) return false;
    for (uint32_t i = 0; i < c->n_prompts; i++) pl_tokens_free(&c->prompt[i].tokens);
    request_free(r);
    r->model = NULL;
    r->prompt = NULL;
    r->n_stop = r->sampling.n_bias = 0;
    r->sampling.bias = NULL;
    return true;
}

/* Parses, renders, tokenizes and submits. False: refused, *result is the answer's. */
static bool begin(struct exchange *x, struct completion *c, const json_t *body, bool is_chat,
                  enum MHD_Result *result)
{
    const struct request_defaults defaults = { x->server->sampling, x->server->max_tokens };
    struct request_error error;
    pl_err err = { 0 };

    if (!request_parse(&c->request, body, is_chat, &defaults, &error)) {
        *result = http_fail(x, 400, error.param, "invalid_parameter", "%s", error.text);
        return false;
    }
    if (!check(x, c, result)) return false;
    pl_status st = read_prompts(c, &err);
    if (!st) st = submit_all(c, &err);
    if (!st && !let_go_of_body(c)) err = (pl_err){ st = PL_E_MEMORY, "out of memory" };
    if (st) *result = http_fail_engine(x, &err, param_of(c, &err));
    return !st;
}

static struct completion *new_completion(struct exchange *x, bool is_chat)
{
    struct completion *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->exchange = x;
    c->engine = server_engine(x);
    c->created_s = (uint64_t)time(NULL);
    snprintf(c->id, sizeof c->id, "%s-%lx%08lx", is_chat ? "chatcmpl" : "cmpl",
             (unsigned long)x->server->started_s, atomic_fetch_add(&x->server->n_ids, 1));
    return c;
}

enum MHD_Result completion_start(struct exchange *x, bool is_chat)
{
    enum MHD_Result result;
    atomic_fetch_add(&x->server->n_active, 1);      /* first: see is_draining in exchange.h */
    x->is_active = true;
    if (atomic_load(&x->server->is_draining)) {
        atomic_fetch_add(&x->server->n_refused_draining, 1);
        return http_fail(x, 503, NULL, "shutting_down", "the server is shutting down");
    }
    json_t *body = http_body(x, &result);
    if (!body) return result;
    struct completion *c = new_completion(x, is_chat);
    const bool has_begun = c && begin(x, c, body, is_chat, &result);
    json_decref(body);
    if (!has_begun) {
        completion_free(c);
        return c ? result : http_fail(x, 500, NULL, NULL, "out of memory");
    }
    x->completion = c;
    atomic_store(&x->last_sent_ns, clock_ns());
    return c->request.stream ? start_stream(x) : MHD_YES;
}

enum MHD_Result route_chat(struct exchange *x)
{
    return completion_start(x, true);
}

enum MHD_Result route_completions(struct exchange *x)
{
    return completion_start(x, false);
}

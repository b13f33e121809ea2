/* libpaceline for Node: what index.js builds on. Handles are externals; a stream holds on to its
 * engine. All of it runs on Node's own thread but for the loading of a model, which is on one of
 * libuv's, and on_event, which is on the engine's.
 *
 * on_event tells Node through one thread-safe function an engine that some stream has something
 * new. It holds the process open as long as there are streams, and no longer. */
#define NAPI_VERSION 8
#include <node_api.h>
#include <paceline.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STOPS = 16, MAX_NAME = 64 };

struct stream;

struct engine {
    pl_engine *raw;             /* NULL: closed */
    napi_threadsafe_function news;
    atomic_bool is_told;        /* a call of `news` is under way */
    struct stream *first;       /* open ones */
    unsigned n_open, n_holders; /* streams; externals, of the engine and of streams */
};

struct stream {
    struct engine *engine;
    pl_stream *raw;             /* NULL: closed */
    struct stream *next, *previous;
};

/* ---- errors --------------------------------------------------------------------------------- */

static napi_value error_of(napi_env env, const pl_err *err)
{
    napi_value code, text, error;
    napi_create_string_utf8(env, pl_status_name(err->status), NAPI_AUTO_LENGTH, &code);
    napi_create_string_utf8(env, err->text, NAPI_AUTO_LENGTH, &text);
    napi_create_error(env, code, text, &error);
    return error;
}

static napi_value refuse(napi_env env, const pl_err *err)
{
    napi_throw(env, error_of(env, err));
    return NULL;
}

static napi_value refuse_type(napi_env env, const char *text)
{
    napi_throw_type_error(env, "invalid_parameter", text);
    return NULL;
}

/* ---- values --------------------------------------------------------------------------------- */

/* A member that is there and neither undefined nor null. */
static bool member(napi_env env, napi_value object, const char *name, napi_value *out)
{
    napi_valuetype type;
    return napi_get_named_property(env, object, name, out) == napi_ok &&
           napi_typeof(env, *out, &type) == napi_ok && type != napi_undefined && type != napi_null;
}

static bool fail_type(napi_env env, const char *name, const char *wanted)
{
    char text[MAX_NAME + 64];
    snprintf(text, sizeof text, "%s: %s is wanted", name, wanted);
    refuse_type(env, text);
    return false;
}

/* False: thrown. What is not there stays as it is. */
static bool read_number(napi_env env, napi_value object, const char *name, double least,
                        double most, double *out)
{
    napi_value value;
    if (!member(env, object, name, &value)) return true;
    if (napi_get_value_double(env, value, out) == napi_ok && *out >= least && *out <= most)
        return true;
    return fail_type(env, name, "a number in its range");
}

static bool read_u32(napi_env env, napi_value object, const char *name, uint32_t *out)
{
    double value = *out;
    if (!read_number(env, object, name, 0, UINT32_MAX, &value)) return false;
    *out = (uint32_t)value;
    return true;
}

static bool read_u64(napi_env env, napi_value object, const char *name, uint64_t *out)
{
    double value = (double)*out;
    if (!read_number(env, object, name, 0, 9007199254740991.0, &value)) return false;
    *out = (uint64_t)value;
    return true;
}

static bool read_float(napi_env env, napi_value object, const char *name, float *out)
{
    double value = *out;
    if (!read_number(env, object, name, -3e38, 3e38, &value)) return false;
    *out = (float)value;
    return true;
}

/* To be freed; NULL: it is no string (thrown). n_bytes may be NULL where no zero may be in it. */
static char *read_string(napi_env env, napi_value value, const char *name, size_t *n_bytes)
{
    size_t n;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &n) != napi_ok) {
        fail_type(env, name, "a string");
        return NULL;
    }
    char *text = malloc(n + 1);
    if (!text) abort();
    napi_get_value_string_utf8(env, value, text, n + 1, &n);
    if (!n_bytes && strlen(text) != n) {
        free(text);
        fail_type(env, name, "a string without a zero byte");
        return NULL;
    }
    if (n_bytes) *n_bytes = n;
    return text;
}

static bool read_optional_string(napi_env env, napi_value object, const char *name, char **out)
{
    napi_value value;
    if (!member(env, object, name, &value)) return true;
    return (*out = read_string(env, value, name, NULL)) != NULL;
}

/* Of an Int32Array, whose memory it stays. */
static bool read_tokens(napi_env env, napi_value value, const int32_t **ids, size_t *n)
{
    napi_typedarray_type type;
    void *data;
    bool is_array = false;
    if (napi_is_typedarray(env, value, &is_array) == napi_ok && is_array &&
        napi_get_typedarray_info(env, value, &type, n, &data, NULL, NULL) == napi_ok &&
        type == napi_int32_array) {
        *ids = data;
        return true;
    }
    return fail_type(env, "tokens", "an Int32Array");
}

static napi_value array_of(napi_env env, napi_typedarray_type type, const void *from, size_t n)
{
    napi_value buffer, array;
    void *to;
    napi_create_arraybuffer(env, 4 * n, &to, &buffer);
    if (n) memcpy(to, from, 4 * n);
    napi_create_typedarray(env, type, n, buffer, 0, &array);
    return array;
}

static void set(napi_env env, napi_value object, const char *name, double value)
{
    napi_value number;
    napi_create_double(env, value, &number);
    napi_set_named_property(env, object, name, number);
}

static void set_text(napi_env env, napi_value object, const char *name, const char *text, size_t n)
{
    napi_value string;
    napi_create_string_utf8(env, text, n, &string);
    napi_set_named_property(env, object, name, string);
}

/* ---- handles -------------------------------------------------------------------------------- */

static void close_stream(struct stream *s, napi_env env)
{
    struct engine *e = s->engine;
    if (!s->raw) return;
    pl_stream_close(s->raw);
    s->raw = NULL;
    if (s->previous) s->previous->next = s->next;
    else e->first = s->next;
    if (s->next) s->next->previous = s->previous;
    if (--e->n_open == 0 && e->news) napi_unref_threadsafe_function(env, e->news);
}

static void close_engine(struct engine *e, napi_env env)
{
    while (e->first) close_stream(e->first, env);
    pl_close(e->raw);
    e->raw = NULL;
    if (e->news) napi_release_threadsafe_function(e->news, napi_tsfn_release);
    e->news = NULL;
}

static void let_go(struct engine *e)
{
    if (--e->n_holders == 0) free(e);
}

static void finalize_engine(napi_env env, void *data, void *hint)
{
    (void)hint;
    close_engine(data, env);
    let_go(data);
}

static void finalize_stream(napi_env env, void *data, void *hint)
{
    (void)hint;
    struct stream *s = data;
    close_stream(s, env);
    let_go(s->engine);
    free(s);
}

/* The call's words; false: thrown. */
static bool words_of(napi_env env, napi_callback_info info, size_t n, napi_value *words)
{
    size_t n_given = n;
    if (napi_get_cb_info(env, info, &n_given, words, NULL, NULL) == napi_ok && n_given == n)
        return true;
    refuse_type(env, "another number of words is wanted");
    return false;
}

static struct engine *engine_of(napi_env env, napi_value value)
{
    void *data = NULL;
    if (napi_get_value_external(env, value, &data) == napi_ok && ((struct engine *)data)->raw)
        return data;
    napi_throw_error(env, "closed", "the engine is closed");
    return NULL;
}

static struct stream *stream_of(napi_env env, napi_value value)
{
    void *data = NULL;
    if (napi_get_value_external(env, value, &data) == napi_ok) return data;
    refuse_type(env, "a stream is wanted");
    return NULL;
}

/* ---- opening -------------------------------------------------------------------------------- */

struct opening {
    pl_params params;
    char *model_path, *backend, *pack_cache;
    pl_engine *raw;
    pl_err err;
    napi_ref on_news;
    napi_deferred deferred;
    napi_async_work work;
};

static void free_opening(napi_env env, struct opening *o)
{
    if (o->on_news) napi_delete_reference(env, o->on_news);
    if (o->work) napi_delete_async_work(env, o->work);
    free(o->model_path);
    free(o->backend);
    free(o->pack_cache);
    free(o);
}

static void load(napi_env env, void *data)
{
    (void)env;
    struct opening *o = data;
    pl_open(&o->raw, &o->params, &o->err);
}

static void tell(napi_env env, napi_value on_news, void *context, void *data)
{
    (void)data;
    struct engine *e = context;
    napi_value undefined;
    if (!env || !on_news) return;
    atomic_store(&e->is_told, false);   /* what comes from here on is told again */
    napi_get_undefined(env, &undefined);
    napi_call_function(env, undefined, on_news, 0, NULL, NULL);
}

static void on_event(void *arg)
{
    struct engine *e = arg;
    if (!atomic_exchange(&e->is_told, true))
        napi_call_threadsafe_function(e->news, NULL, napi_tsfn_nonblocking);
}

static napi_value engine_handle(napi_env env, struct opening *o)
{
    struct engine *e = calloc(1, sizeof *e);
    napi_value name, on_news, handle;
    if (!e) abort();
    e->raw = o->raw;
    e->n_holders = 1;
    napi_get_reference_value(env, o->on_news, &on_news);
    napi_create_string_utf8(env, "paceline", NAPI_AUTO_LENGTH, &name);
    napi_create_threadsafe_function(env, on_news, NULL, name, 0, 1, NULL, NULL, e, tell, &e->news);
    napi_unref_threadsafe_function(env, e->news);
    napi_create_external(env, e, finalize_engine, NULL, &handle);
    return handle;
}

static void loaded(napi_env env, napi_status status, void *data)
{
    (void)status;
    struct opening *o = data;
    if (o->raw) napi_resolve_deferred(env, o->deferred, engine_handle(env, o));
    else napi_reject_deferred(env, o->deferred, error_of(env, &o->err));
    free_opening(env, o);
}

static bool read_params(napi_env env, napi_value from, struct opening *o)
{
    pl_params *p = &o->params;
    const bool is_read = read_optional_string(env, from, "modelPath", &o->model_path) &&
                         read_optional_string(env, from, "backend", &o->backend) &&
                         read_optional_string(env, from, "packCache", &o->pack_cache) &&
                         read_u32(env, from, "nStreams", &p->n_streams) &&
                         read_u32(env, from, "ctxTokens", &p->ctx_tokens) &&
                         read_u64(env, from, "kvTokens", &p->kv_tokens) &&
                         read_u32(env, from, "nThreads", &p->n_threads) &&
                         read_u32(env, from, "queueRequests", &p->queue_requests) &&
                         read_u64(env, from, "queueTokens", &p->queue_tokens);
    p->model_path = o->model_path;
    p->backend = o->backend;
    p->pack_cache = o->pack_cache;
    return is_read;
}

/* open({modelPath, nStreams, ...}, onNews): a promise of the engine's handle. */
static napi_value js_open(napi_env env, napi_callback_info info)
{
    napi_value words[2], name, promise;
    if (!words_of(env, info, 2, words)) return NULL;
    struct opening *o = calloc(1, sizeof *o);
    if (!o) abort();
    if (!read_params(env, words[0], o)) {
        free_opening(env, o);
        return NULL;
    }
    napi_create_reference(env, words[1], 1, &o->on_news);
    napi_create_promise(env, &o->deferred, &promise);
    napi_create_string_utf8(env, "paceline open", NAPI_AUTO_LENGTH, &name);
    napi_create_async_work(env, NULL, name, load, loaded, o, &o->work);
    napi_queue_async_work(env, o->work);
    return promise;
}

static napi_value js_close(napi_env env, napi_callback_info info)
{
    napi_value words[1];
    void *data;
    if (words_of(env, info, 1, words) &&
        napi_get_value_external(env, words[0], &data) == napi_ok && ((struct engine *)data)->raw)
        close_engine(data, env);
    return NULL;
}

/* ---- text ----------------------------------------------------------------------------------- */

/* tokenize(engine, text, special), chatPrompt(engine, json, unused): Int32Array */
static napi_value tokens_of_text(napi_env env, napi_callback_info info, bool is_chat)
{
    napi_value words[3];
    bool special = false;
    size_t n;
    if (!words_of(env, info, 3, words)) return NULL;
    const struct engine *e = engine_of(env, words[0]);
    char *text = e ? read_string(env, words[1], "text", &n) : NULL;
    if (!text) return NULL;
    napi_get_value_bool(env, words[2], &special);
    pl_tokens out = { 0 };
    pl_err err;
    const unsigned flags = PL_TOKENIZE_BOS | (special ? PL_TOKENIZE_SPECIAL : 0);
    const pl_status st = is_chat ? pl_chat_prompt(e->raw, text, n, NULL, &out, &err)
                                 : pl_tokenize(e->raw, text, n, flags, &out, &err);
    free(text);
    if (st) return refuse(env, &err);
    napi_value array = array_of(env, napi_int32_array, out.ids, out.n);
    pl_tokens_free(&out);
    return array;
}

static napi_value js_tokenize(napi_env env, napi_callback_info info)
{
    return tokens_of_text(env, info, false);
}

static napi_value js_chat_prompt(napi_env env, napi_callback_info info)
{
    return tokens_of_text(env, info, true);
}

static napi_value js_detokenize(napi_env env, napi_callback_info info)
{
    napi_value words[2], text;
    const int32_t *ids;
    size_t n;
    if (!words_of(env, info, 2, words)) return NULL;
    const struct engine *e = engine_of(env, words[0]);
    if (!e || !read_tokens(env, words[1], &ids, &n)) return NULL;
    pl_text out;
    pl_err err;
    if (pl_detokenize(e->raw, ids, n, false, &out, &err)) return refuse(env, &err);
    napi_create_string_utf8(env, out.bytes, out.n, &text);
    pl_text_free(&out);
    return text;
}

/* ---- streams -------------------------------------------------------------------------------- */

static bool read_sampling(napi_env env, napi_value from, pl_sampling *p)
{
    return read_float(env, from, "temperature", &p->temperature) &&
           read_u32(env, from, "topK", &p->top_k) && read_float(env, from, "topP", &p->top_p) &&
           read_float(env, from, "minP", &p->min_p) &&
           read_float(env, from, "repetitionPenalty", &p->repetition_penalty) &&
           read_float(env, from, "frequencyPenalty", &p->frequency_penalty) &&
           read_float(env, from, "presencePenalty", &p->presence_penalty) &&
           read_u64(env, from, "seed", &p->seed);
}

/* What a request points to until it is submitted. */
struct request_texts {
    char *stop[MAX_STOPS], *grammar;
    size_t n_stop;
};

static void free_texts(struct request_texts *t)
{
    for (size_t i = 0; i < t->n_stop; i++) free(t->stop[i]);
    free(t->grammar);
}

static bool read_stops(napi_env env, napi_value from, struct request_texts *t)
{
    napi_value array, item;
    uint32_t n;
    if (!member(env, from, "stop", &array)) return true;
    if (napi_get_array_length(env, array, &n) != napi_ok || n > MAX_STOPS)
        return fail_type(env, "stop", "an array of at most 16 strings");
    for (uint32_t i = 0; i < n; i++, t->n_stop++) {
        napi_get_element(env, array, i, &item);
        if (!(t->stop[i] = read_string(env, item, "stop", NULL))) return false;
    }
    return true;
}

static bool read_grammar(napi_env env, napi_value from, pl_grammar *g, struct request_texts *t)
{
    static const struct {
        const char *name;
        pl_grammar_kind kind;
    } kinds[] = { { "jsonSchema", PL_GRAMMAR_JSON_SCHEMA }, { "regex", PL_GRAMMAR_REGEX },
                  { "gbnf", PL_GRAMMAR_GBNF }, { "lark", PL_GRAMMAR_LARK } };
    napi_value value;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!member(env, from, kinds[i].name, &value)) continue;
        if (g->kind) return fail_type(env, kinds[i].name, "one grammar and no other beside it");
        if (!(t->grammar = read_string(env, value, kinds[i].name, &g->n_bytes))) return false;
        g->kind = kinds[i].kind;
        g->source = t->grammar;
    }
    return true;
}

static bool read_request(napi_env env, napi_value from, pl_request *r, struct request_texts *t)
{
    r->sampling = pl_sampling_default();
    const bool is_read = read_u32(env, from, "maxTokens", &r->max_tokens) &&
                         read_sampling(env, from, &r->sampling) && read_stops(env, from, t) &&
                         read_grammar(env, from, &r->grammar, t);
    r->stop = (const char *const *)t->stop;
    r->n_stop = t->n_stop;
    return is_read;
}

static napi_value stream_handle(napi_env env, struct engine *e, pl_stream *raw)
{
    struct stream *s = calloc(1, sizeof *s);
    napi_value handle;
    if (!s) abort();
    *s = (struct stream){ .engine = e, .raw = raw, .next = e->first };
    if (e->first) e->first->previous = s;
    e->first = s;
    e->n_holders++;
    if (e->n_open++ == 0) napi_ref_threadsafe_function(env, e->news);
    napi_create_external(env, s, finalize_stream, NULL, &handle);
    return handle;
}

/* submit(engine, tokens, {maxTokens, temperature, ...}): a handle. */
static napi_value js_submit(napi_env env, napi_callback_info info)
{
    napi_value words[3];
    if (!words_of(env, info, 3, words)) return NULL;
    struct engine *e = engine_of(env, words[0]);
    struct request_texts texts = { 0 };
    pl_request request = { .on_event = on_event, .arg = e };
    pl_stream *raw = NULL;
    pl_err err = { 0 };
    if (e && read_tokens(env, words[1], &request.tokens, &request.n_tokens) &&
        read_request(env, words[2], &request, &texts) &&
        pl_submit(e->raw, &request, &raw, &err))
        refuse(env, &err);
    free_texts(&texts);
    return raw ? stream_handle(env, e, raw) : NULL;
}

static void describe_end(napi_env env, napi_value out, const pl_event *event)
{
    static const char *const finish[] = { "", "stop", "length", "cancelled", "error" };
    const pl_usage *u = &event->usage;
    set_text(env, out, "finish", finish[event->finish], NAPI_AUTO_LENGTH);
    set(env, out, "nPrompt", u->n_prompt);
    set(env, out, "nCached", u->n_cached);
    set(env, out, "nReply", u->n_reply);
}

/* next(stream): {text, token?, finish?, ...}; null: nothing has come; undefined: it is closed. */
static napi_value js_next(napi_env env, napi_callback_info info)
{
    napi_value words[1], out;
    if (!words_of(env, info, 1, words)) return NULL;
    struct stream *s = stream_of(env, words[0]);
    pl_event event;
    if (!s || !s->raw) return NULL;
    if (!pl_stream_next(s->raw, &event)) {
        napi_get_null(env, &out);
        return out;
    }
    napi_create_object(env, &out);
    set_text(env, out, "text", event.text, event.n_text_bytes);
    if (event.kind == PL_EVENT_TOKEN) set(env, out, "token", event.token);
    if (event.kind == PL_EVENT_END) describe_end(env, out, &event);
    return out;
}

static napi_value js_cancel(napi_env env, napi_callback_info info)
{
    napi_value words[1];
    const struct stream *s = words_of(env, info, 1, words) ? stream_of(env, words[0]) : NULL;
    if (s && s->raw) pl_stream_cancel(s->raw);
    return NULL;
}

static napi_value js_close_stream(napi_env env, napi_callback_info info)
{
    napi_value words[1];
    struct stream *s = words_of(env, info, 1, words) ? stream_of(env, words[0]) : NULL;
    if (s) close_stream(s, env);
    return NULL;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static napi_value js_plan(napi_env env, napi_callback_info info)
{
    napi_value words[1], out;
    const struct engine *e = words_of(env, info, 1, words) ? engine_of(env, words[0]) : NULL;
    if (!e) return NULL;
    const pl_plan *p = pl_engine_plan(e->raw);
    napi_create_object(env, &out);
    set_text(env, out, "modelName", p->model_name, NAPI_AUTO_LENGTH);
    set_text(env, out, "backend", p->backend, NAPI_AUTO_LENGTH);
    set(env, out, "totalBytes", (double)p->total_bytes);
    set(env, out, "nStreams", p->n_streams);
    set(env, out, "ctxTokens", p->ctx_tokens);
    set(env, out, "kvTokens", (double)p->kv_tokens);
    set(env, out, "queueRequests", p->queue_requests);
    set(env, out, "nVocab", p->n_vocab);
    return out;
}

static napi_value js_stats(napi_env env, napi_callback_info info)
{
    napi_value words[1], out;
    const struct engine *e = words_of(env, info, 1, words) ? engine_of(env, words[0]) : NULL;
    if (!e) return NULL;
    pl_stats s;
    pl_stats_read(e->raw, &s);
    napi_create_object(env, &out);
    set(env, out, "nRequests", (double)s.n_requests);
    set(env, out, "nRejectedBusy", (double)s.n_rejected_busy);
    set(env, out, "nReplyTokens", (double)s.n_reply_tokens);
    set(env, out, "nSteps", (double)s.n_steps);
    set(env, out, "nRunning", s.n_running);
    set(env, out, "nQueued", s.n_queued);
    set(env, out, "replyTokensPerS", s.reply_tokens_per_s);
    return out;
}

static napi_value init(napi_env env, napi_value exports)
{
    static const struct {
        const char *name;
        napi_callback function;
    } functions[] = {
        { "open", js_open }, { "close", js_close }, { "tokenize", js_tokenize },
        { "chatPrompt", js_chat_prompt }, { "detokenize", js_detokenize }, { "submit", js_submit },
        { "next", js_next }, { "cancel", js_cancel }, { "closeStream", js_close_stream },
        { "plan", js_plan }, { "stats", js_stats },
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        napi_value function;
        napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL,
                             &function);
        napi_set_named_property(env, exports, functions[i].name, function);
    }
    set_text(env, exports, "version", pl_version(), NAPI_AUTO_LENGTH);
    return exports;
}

NAPI_MODULE(paceline, init)

#include "cli/load/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "cli/client.h"

enum { MODELS_TIMEOUT_S = 30 };

/* ---- what is sent --------------------------------------------------------------------------- */

static bool set_options(const struct load_options *o, json_t *body)
{
    int bad = 0;
    bad |= json_object_set_new(body, "model", json_string(o->model));
    if (o->max_tokens && !json_object_get(body, "max_tokens"))
        bad |= json_object_set_new(body, "max_tokens", json_integer(o->max_tokens));
    if (o->ignore_eos) bad |= json_object_set_new(body, "ignore_eos", json_true());
    if (o->temperature >= 0)
        bad |= json_object_set_new(body, "temperature", json_real(o->temperature));
    bad |= json_object_set_new(body, "stream", json_boolean(o->stream));
    if (o->stream)
        bad |= json_object_set_new(body, "stream_options",
                                   json_pack("{s:b}", "include_usage", 1));
    if (o->extra) bad |= json_object_update(body, o->extra);
    return !bad;
}

static char *make_body(const struct load_options *o, uint64_t number)
{
    json_t *body = json_object();
    char *text = NULL;
    if (load_prompts_set(o->prompts, number, body) && set_options(o, body))
        text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(7));
    json_decref(body);
    return text;
}

static bool add_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer) *headers = longer;
    return longer != NULL;
}

/* libcurl would wait for "100 Continue" before a large body: no other client does, so this one asks
 * for nothing. */
static bool make_headers(struct curl_slist **headers, const struct load_options *o, bool has_body)
{
    bool is_good = add_header(headers, "Expect:");
    if (has_body) is_good &= add_header(headers, "Content-Type: application/json");
    if (o->api_key) {
        struct strbuf line = { 0 };
        strbuf_addf(&line, "Authorization: Bearer %s", o->api_key);
        is_good &= !line.failed && add_header(headers, line.bytes);
        strbuf_free(&line);
    }
    return is_good;
}

static bool set_url(CURL *easy, const struct load_options *o, const char *path)
{
    struct strbuf url = { 0 };
    strbuf_addf(&url, "%s%s", o->base_url, path);
    const bool is_set = !url.failed && !curl_easy_setopt(easy, CURLOPT_URL, url.bytes);
    strbuf_free(&url);
    return is_set;
}

static void set_common(CURL *easy, const struct load_options *o, struct curl_slist *headers)
{
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "paceline/" PL_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROXY, o->proxy);
    client_apply(o->client, easy);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect_timeout_s * 1e3));
}

/* ---- what comes ----------------------------------------------------------------------------- */

static int response_status(CURL *easy)
{
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static void take_head(struct load_transfer *t)
{
    char *type = NULL;
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
    load_reply_head(&t->reply, response_status(t->easy), type);
}

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    const uint64_t now_ns = clock_ns();
    struct load_transfer *t = arg;
    if (!t->reply.has_head) take_head(t);
    load_reply_bytes(&t->reply, bytes, size * n, now_ns);
    return size * n;
}

/* Retry-After: seconds; a date says nothing here. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    static const char name[] = "retry-after:";
    struct load_transfer *t = arg;
    char value[32], *end;
    if (size * n > sizeof name && !strncasecmp(line, name, sizeof name - 1)) {
        snprintf(value, sizeof value, "%.*s", (int)(size * n - (sizeof name - 1)),
                 line + sizeof name - 1);
        const double seconds = strtod(value, &end);
        if (end != value && seconds >= 0) t->record.retry_after_s = seconds;
    }
    return size * n;
}

/* Whether a connection was there, its own or one used before. */
static bool was_connected(CURL *easy)
{
    curl_off_t us = 0;
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &us);
    return us > 0;
}

static enum load_outcome outcome_of(CURL *easy, CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return LOAD_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return was_connected(easy) ? LOAD_TIMEOUT : LOAD_CONNECT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
        return LOAD_CONNECT;
    case CURLE_UNSUPPORTED_PROTOCOL:    /* what came is no HTTP */
    case CURLE_WEIRD_SERVER_REPLY:
        return LOAD_BAD_REPLY;
    default:
        return LOAD_CUT;
    }
}

void load_transfer_end(struct load_transfer *t, CURLcode code)
{
    if (!t->reply.has_head && response_status(t->easy)) take_head(t);
    if (code || !t->record.end_ns) t->record.end_ns = clock_ns();
    load_reply_end(&t->reply, outcome_of(t->easy, code),
                   *t->error ? t->error : curl_easy_strerror(code));
    free(t->body);
    t->body = NULL;
}

/* ---- a transfer ----------------------------------------------------------------------------- */

pl_status load_transfer_open(struct load_transfer *t, const struct load_options *o, pl_err *err)
{
    *t = (struct load_transfer){ .easy = curl_easy_init(), .reply.wants_stream = o->stream };
    const char *path = o->is_chat ? "/v1/chat/completions" : "/v1/completions";
    if (!t->easy || !make_headers(&t->headers, o, true) || !set_url(t->easy, o, path)) {
        load_transfer_close(t);
        return pl_fail(err, PL_E_MEMORY, "out of memory");
    }
    set_common(t->easy, o, t->headers);
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)(o->timeout_s * 1e3));
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    return PL_OK;
}

void load_transfer_close(struct load_transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    free(t->body);
    sse_free(&t->reply.sse);
    strbuf_free(&t->reply.body);
    load_record_free(&t->record);
    *t = (struct load_transfer){ 0 };
}

pl_status load_transfer_prepare(struct load_transfer *t, const struct load_options *o,
                                uint64_t number, uint64_t scheduled_ns, pl_err *err)
{
    t->body = make_body(o, number);
    if (!t->body) return pl_fail(err, PL_E_MEMORY, "out of memory");
    *t->error = 0;
    t->record = (struct load_record){ .retry_after_s = -1 };
    t->reply.record = &t->record;
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, t->body);
    curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(t->body));
    t->record.send_ns = clock_ns();
    t->record.scheduled_ns = scheduled_ns ? scheduled_ns : t->record.send_ns;
    return PL_OK;
}

/* ---- the model's name ----------------------------------------------------------------------- */

static size_t collect(char *bytes, size_t size, size_t n, void *arg)
{
    struct strbuf *to = arg;
    if (to->n + size * n > 1 << 20) return 0;
    strbuf_add(to, bytes, size * n);
    return to->failed ? 0 : size * n;
}

static pl_status read_model_name(char **out, const struct load_options *o, int status,
                                 const struct strbuf *body, pl_err *err)
{
    json_t *document = body->n ? json_loadb(body->bytes, body->n, 0, NULL) : NULL;
    const json_t *first = json_array_get(json_object_get(document, "data"), 0);
    const char *name = json_string_value(json_object_get(first, "id"));
    const char *message = json_string_value(json_object_get(json_object_get(document, "error"),
                                                            "message"));
    pl_status st = PL_OK;
    if (status != 200)
        st = pl_fail(err, PL_E_IO, "%s/v1/models answered %d%s%s; give --model NAME to do without "
                     "it", o->base_url, status, message ? ": " : "", message ? message : "");
    else if (!name)
        st = pl_fail(err, PL_E_IO, "%s/v1/models names no model; give --model NAME", o->base_url);
    else if (!(*out = strdup(name)))
        st = pl_fail(err, PL_E_MEMORY, "out of memory");
    json_decref(document);
    return st;
}

pl_status load_model_name(char **out, const struct load_options *o, pl_err *err)
{
    struct strbuf body = { 0 };
    struct curl_slist *headers = NULL;
    char why[CURL_ERROR_SIZE] = "";
    CURL *easy = curl_easy_init();
    pl_status st = PL_OK;

    *out = NULL;
    if (!easy || !make_headers(&headers, o, false) || !set_url(easy, o, "/v1/models")) {
        st = pl_fail(err, PL_E_MEMORY, "out of memory");
    } else {
        set_common(easy, o, headers);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)MODELS_TIMEOUT_S);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body);
        const CURLcode code = curl_easy_perform(easy);
        st = code ? pl_fail(err, PL_E_IO, "%s: %s", o->base_url,
                            *why ? why : curl_easy_strerror(code))
                  : read_model_name(out, o, response_status(easy), &body, err);
    }
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    strbuf_free(&body);
    return st;
}

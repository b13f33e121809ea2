#include "server/http.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_text.h"

static const char *error_type(unsigned status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 503: return "unavailable_error";
    default: return status < 500 ? "invalid_request_error" : "server_error";
    }
}

/* One request leaves a slot about this often, at the mean pace so far. */
static unsigned retry_after_s(struct exchange *x)
{
    pl_engine *engine = server_engine(x);
    pl_stats stats;
    if (!engine) return 1;
    pl_stats_read(engine, &stats);
    const pl_histogram *all = &stats.end_to_end, *waiting = &stats.queue;
    double in_slot_s = all->n ? all->sum_s / (double)all->n : 1;
    if (waiting->n) in_slot_s -= waiting->sum_s / (double)waiting->n;
    const double s = in_slot_s / pl_engine_plan(engine)->n_streams;
    return !(s > 1) ? 1 : s > 300 ? 300 : (unsigned)(s + 0.5);
}

static void add_cors(const struct server *s, struct MHD_Response *response)
{
    if (!s->cors_origin) return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", s->cors_origin);
    if (strcmp(s->cors_origin, "*")) MHD_add_response_header(response, "Vary", "Origin");
    MHD_add_response_header(response, "Access-Control-Expose-Headers", "Retry-After");
}

static void add_retry_after(struct exchange *x, unsigned status, struct MHD_Response *response)
{
    char text[16];
    snprintf(text, sizeof text, "%u", status == 429 ? retry_after_s(x) : 5);
    MHD_add_response_header(response, "Retry-After", text);
}

enum MHD_Result http_answer(struct exchange *x, unsigned status, struct MHD_Response *response,
                            const char *type)
{
    if (!response) return MHD_NO;
    if (type) MHD_add_response_header(response, "Content-Type", type);
    add_cors(x->server, response);
    if (status == 401) MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (status == 429 || status == 503) add_retry_after(x, status, response);
    if (status == 503 && atomic_load(&x->server->is_draining))
        MHD_add_response_header(response, "Connection", "close");
    if (x->response) MHD_destroy_response(x->response);
    x->response = response;
    x->status = status;
    return MHD_YES;
}

/* The headers asked for are named one by one: "*" would not stand for Authorization. */
enum MHD_Result http_send_preflight(struct exchange *x)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    const char *headers = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND,
                                                      "Access-Control-Request-Headers");
    if (response && x->server->cors_origin) {
        MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
        MHD_add_response_header(response, "Access-Control-Allow-Headers",
                                headers ? headers : "Authorization, Content-Type, X-API-Key");
        MHD_add_response_header(response, "Access-Control-Max-Age", "86400");
    }
    return http_answer(x, 204, response, NULL);
}

enum MHD_Result http_send(struct exchange *x, unsigned status, const char *type, const char *bytes,
                          size_t n)
{
    return http_answer(x, status,
                       MHD_create_response_from_buffer(n, (void *)(uintptr_t)bytes,
                                                       MHD_RESPMEM_MUST_COPY), type);
}

enum MHD_Result http_send_text(struct exchange *x, struct strbuf *json)
{
    const enum MHD_Result result =
        json->failed ? http_fail(x, 500, NULL, NULL, "out of memory")
                     : http_send(x, 200, "application/json", json->bytes, json->n);
    strbuf_free(json);
    return result;
}

enum MHD_Result http_send_json(struct exchange *x, unsigned status, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(document);
    if (!text) return http_fail(x, 500, NULL, NULL, "out of memory");
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (!response) free(text);
    return http_answer(x, status, response, "application/json");
}

static void error_object(struct strbuf *to, unsigned status, const char *param, const char *code,
                         const char *message)
{
    strbuf_add_str(to, "{\"error\":{\"message\":");
    json_text_add(to, message, strlen(message));
    strbuf_addf(to, ",\"type\":\"%s\",\"param\":", error_type(status));
    if (param) json_text_add(to, param, strlen(param));
    else strbuf_add_str(to, "null");
    strbuf_add_str(to, ",\"code\":");
    if (code) json_text_add(to, code, strlen(code));
    else strbuf_add_str(to, "null");
    strbuf_add_str(to, "}}");
}

void http_error_text(struct strbuf *to, unsigned status, const char *code, const char *message)
{
    error_object(to, status, NULL, code, message);
}

enum MHD_Result http_fail(struct exchange *x, unsigned status, const char *param, const char *code,
                          const char *format, ...)
{
    char message[512];
    struct strbuf text = { 0 };
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    error_object(&text, status, param, code, message);
    const enum MHD_Result result =
        http_send(x, status, "application/json", text.bytes ? text.bytes : "", text.n);
    strbuf_free(&text);
    return result;
}

enum MHD_Result http_fail_engine(struct exchange *x, const pl_err *err, const char *param)
{
    return http_fail(x, (unsigned)pl_status_http(err->status), param, pl_status_name(err->status),
                     "%s", err->text);
}

json_t *http_body(struct exchange *x, enum MHD_Result *result)
{
    json_error_t why;
    json_t *body = json_loadb(x->body.bytes ? x->body.bytes : "", x->body.n, JSON_ALLOW_NUL, &why);
    exchange_free_body(x);
    if (!body) {
        *result = http_fail(x, 400, NULL, "invalid_json",
                            "the body is not JSON: %s (line %d, column %d, byte %d)", why.text,
                            why.line, why.column, why.position);
    } else if (!json_is_object(body)) {
        *result = http_fail(x, 400, NULL, "invalid_json", "the body is not a JSON object");
        json_decref(body);
        body = NULL;
    }
    return body;
}

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

void http_common_headers(const struct exchange *x, struct MHD_Response *response)
{
    if (x->server->cors_origin) {
        MHD_add_response_header(response, "Access-Control-Allow-Origin", x->server->cors_origin);
        MHD_add_response_header(response, "Access-Control-Allow-Headers", "*");
        MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    }
}

/* How long until a place in the queue is likely: the work ahead at the pace of late. */
static unsigned retry_after_s(struct exchange *x)
{
    pl_engine *engine = atomic_load_explicit(&x->server->engine, memory_order_acquire);
    pl_stats stats;
    if (!engine) return 1;
    pl_stats_read(engine, &stats);
    const double n_slots = pl_engine_plan(engine)->n_streams;
    const double mean_s = stats.end_to_end.n ? stats.end_to_end.sum_s / (double)stats.end_to_end.n
                                             : 1;
    const double s = mean_s / n_slots;      /* one request leaves about this often */
    return s < 1 ? 1 : s > 300 ? 300 : (unsigned)(s + 0.5);
}

static enum MHD_Result queue(struct exchange *x, unsigned status, struct MHD_Response *response,
                             const char *type)
{
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    http_common_headers(x, response);
    if (status == 401) MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (status == 429) {
        char text[16];
        snprintf(text, sizeof text, "%u", retry_after_s(x));
        MHD_add_response_header(response, "Retry-After", text);
    }
    if (status == 503) MHD_add_response_header(response, "Retry-After", "5");
    x->is_answered = true;
    const enum MHD_Result result = MHD_queue_response(x->connection, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result http_send(struct exchange *x, unsigned status, const char *type, const char *bytes,
                          size_t n)
{
    return queue(x, status,
                 MHD_create_response_from_buffer(n, (void *)(uintptr_t)bytes,
                                                 MHD_RESPMEM_MUST_COPY), type);
}

enum MHD_Result http_send_json(struct exchange *x, unsigned status, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(document);
    if (!text) return http_fail(x, 500, NULL, NULL, "out of memory");
    return queue(x, status,
                 MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE),
                 "application/json");
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
    if (!body) {
        *result = http_fail(x, 400, NULL, "invalid_json",
                            "the body is not JSON: %s at line %d, column %d", why.text, why.line,
                            why.column);
    } else if (!json_is_object(body)) {
        *result = http_fail(x, 400, NULL, "invalid_json", "the body is not a JSON object");
        json_decref(body);
        body = NULL;
    }
    return body;
}

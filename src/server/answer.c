#include "server/answer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/answer_error.h"

/* One request leaves the queue about this often, lately; or a slot, at the mean pace so far. */
static unsigned retry_after_s(struct exchange *x)
{
    pl_engine *engine = server_engine(x);
    pl_stats stats;
    if (!engine) return 1;
    pl_stats_read(engine, &stats);
    const pl_histogram *all = &stats.end_to_end, *waiting = &stats.queue;
    double in_slot_s = all->n ? all->sum_s / (double)all->n : 1;
    if (waiting->n) in_slot_s -= waiting->sum_s / (double)waiting->n;
    const double s = stats.queue_gap_s > 0 ? stats.queue_gap_s
                                           : in_slot_s / pl_engine_plan(engine)->n_streams;
    return !(s > 1) ? 1 : s > 300 ? 300 : (unsigned)(s + 0.5);
}

static void add_cors(const struct server *s, struct MHD_Response *response)
{
    if (!s->cors_origin) return;
    MHD_add_response_header(response, "Access-Control-Allow-Origin", s->cors_origin);
    if (strcmp(s->cors_origin, "*")) MHD_add_response_header(response, "Vary", "Origin");
    MHD_add_response_header(response, "Access-Control-Expose-Headers",
                            "Retry-After, X-Request-Id");
}

static void add_retry_after(struct exchange *x, unsigned status, struct MHD_Response *response)
{
    char text[16];
    snprintf(text, sizeof text, "%u", status == 429 ? retry_after_s(x) : 5);
    MHD_add_response_header(response, "Retry-After", text);
}

enum MHD_Result answer_set(struct exchange *x, unsigned status, struct MHD_Response *response,
                           const char *type)
{
    if (!response) return MHD_NO;
    if (type) MHD_add_response_header(response, "Content-Type", type);
    if (*x->id) MHD_add_response_header(response, "X-Request-Id", x->id);
    add_cors(x->server, response);
    if (status == 401) MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (status == 429 || status == 503) add_retry_after(x, status, response);
    if (status == 503 && atomic_load(&x->server->is_draining)) x->is_closing = true;
    if (x->response) MHD_destroy_response(x->response);
    x->response = response;
    x->status = status;
    return MHD_YES;
}

/* The headers asked for are named one by one: "*" would not stand for Authorization. */
enum MHD_Result answer_preflight(struct exchange *x)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    const char *headers = MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND,
                                                      "Access-Control-Request-Headers");
    if (response && x->server->cors_origin) {
        MHD_add_response_header(response, "Access-Control-Allow-Methods",
                                "GET, POST, DELETE, OPTIONS");
        MHD_add_response_header(response, "Access-Control-Allow-Headers",
                                headers ? headers : "Authorization, Content-Type, X-API-Key");
        MHD_add_response_header(response, "Access-Control-Max-Age", "86400");
    }
    return answer_set(x, 204, response, NULL);
}

enum MHD_Result answer_bytes(struct exchange *x, unsigned status, const char *type,
                             const char *bytes, size_t n)
{
    return answer_set(x, status,
                      MHD_create_response_from_buffer(n, (void *)(uintptr_t)bytes,
                                                      MHD_RESPMEM_MUST_COPY), type);
}

enum MHD_Result answer_text(struct exchange *x, struct strbuf *json)
{
    const enum MHD_Result result =
        json->failed ? answer_fail(x, 500, NULL, NULL, "out of memory")
                     : answer_bytes(x, 200, "application/json", json->bytes, json->n);
    strbuf_free(json);
    return result;
}

enum MHD_Result answer_json(struct exchange *x, unsigned status, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(document);
    if (!text) return answer_fail(x, 500, NULL, NULL, "out of memory");
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (!response) free(text);
    return answer_set(x, status, response, "application/json");
}

static enum MHD_Result send_error(struct exchange *x, unsigned status, const struct answer_error *e)
{
    struct strbuf text = { 0 };
    answer_error_text(&text, x->errors, status, e);
    const enum MHD_Result result =
        answer_bytes(x, status, "application/json", text.bytes ? text.bytes : "", text.n);
    strbuf_free(&text);
    return result;
}

enum MHD_Result answer_fail(struct exchange *x, unsigned status, const char *param,
                            const char *code, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return send_error(x, status, &(struct answer_error){ NULL, param, code, message, NULL });
}

enum MHD_Result answer_fail_loading(struct exchange *x)
{
    char message[64], more[32];
    const unsigned percent = atomic_load(&x->server->load_percent);
    snprintf(message, sizeof message, "the model is being loaded: %u %%", percent);
    snprintf(more, sizeof more, ",\"percent\":%u", percent);
    return send_error(x, 503, &(struct answer_error){ NULL, NULL, "loading", message, more });
}

/* Words and type are llama-server's: clients know by them when to shorten a conversation. */
enum MHD_Result answer_fail_context(struct exchange *x, const pl_err *err, const char *param,
                                    uint64_t n_prompt_tokens, uint64_t n_ctx)
{
    char message[PL_ERR_TEXT_BYTES + 64], more[96];
    snprintf(message, sizeof message, "the request exceeds the available context size: %s",
             err->text);
    snprintf(more, sizeof more, ",\"n_prompt_tokens\":%" PRIu64 ",\"n_ctx\":%" PRIu64,
             n_prompt_tokens, n_ctx);
    return send_error(x, (unsigned)pl_status_http(err->status),
                      &(struct answer_error){ "exceed_context_size_error", param,
                                              pl_status_name(err->status), message, more });
}

enum MHD_Result answer_fail_engine(struct exchange *x, const pl_err *err, const char *param)
{
    return answer_fail(x, (unsigned)pl_status_http(err->status), param, pl_status_name(err->status),
                       "%s", err->text);
}

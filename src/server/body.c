#include "server/body.h"

#include "server/answer.h"
#include "server/json_read.h"

enum { MAX_DROPPED_BYTES = 64 << 20 };

void body_free(struct exchange *x)
{
    atomic_fetch_sub(&x->server->n_body_bytes, x->body.n);
    strbuf_free(&x->body);
    x->body = (struct strbuf){ 0 };
}

enum MHD_Result body_take(struct exchange *x, const char *bytes, size_t n)
{
    struct server *s = x->server;
    x->n_received_bytes += n;
    if (x->n_received_bytes > s->max_body_bytes) x->is_too_large = true;
    if (!x->drops_body && !x->is_too_large &&
        atomic_load(&s->n_body_bytes) + n > s->max_bodies_bytes)
        x->is_over_budget = true;
    if (x->is_too_large || x->is_over_budget) x->drops_body = true;
    if (x->drops_body) {
        body_free(x);
        return x->n_received_bytes < s->max_body_bytes + MAX_DROPPED_BYTES ? MHD_YES : MHD_NO;
    }
    if (x->body.failed) return MHD_YES;
    strbuf_add(&x->body, bytes, n);
    if (!x->body.failed) atomic_fetch_add(&s->n_body_bytes, n);
    else atomic_fetch_sub(&s->n_body_bytes, x->n_received_bytes - n);
    return MHD_YES;
}

json_t *body_object(struct exchange *x, enum MHD_Result *result)
{
    json_error_t why;
    json_t *body = json_read(x->body.bytes ? x->body.bytes : "", x->body.n, &why);
    body_free(x);
    if (!body) {
        *result = answer_fail(x, 400, NULL, "invalid_json",
                              "the body is not JSON: %s (line %d, column %d, byte %d)", why.text,
                              why.line, why.column, why.position);
    } else if (!json_is_object(body)) {
        *result = answer_fail(x, 400, NULL, "invalid_json", "the body is not a JSON object");
        json_decref(body);
        body = NULL;
    }
    return body;
}

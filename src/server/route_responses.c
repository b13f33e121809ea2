#include "server/route_responses.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "server/answer.h"
#include "server/body.h"
#include "server/completion.h"
#include "server/dialect.h"
#include "server/json_read.h"

enum { DEFAULT_PAGE = 20, MAX_PAGE = 100 };

/* What stands behind the table's path. */
static const char *rest_of_path(const struct exchange *x)
{
    return x->path + strlen(x->route->path);
}

static enum MHD_Result fail_missing(struct exchange *x, const char *id)
{
    return answer_fail(x, 404, "response_id", "not_found", "there is no response \"%.60s\" here",
                       id);
}

static const char *query(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* ---- input_items ---------------------------------------------------------------------------- */

struct page {
    size_t limit;
    bool is_ascending;
    const char *after;              /* begin behind this id; NULL: with the first */
};

/* False: answered with what is wrong. */
static bool read_page(struct exchange *x, struct page *page, enum MHD_Result *result)
{
    const char *limit = query(x, "limit"), *order = query(x, "order");
    char *end = NULL;
    const long n = limit ? strtol(limit, &end, 10) : DEFAULT_PAGE;
    *page = (struct page){ (size_t)n, order && !strcmp(order, "asc"), query(x, "after") };
    if ((limit && (!*limit || *end)) || n < 1 || n > MAX_PAGE)
        *result = answer_fail(x, 400, "limit", "invalid_parameter", "limit is %.20s; 1 to %d is "
                              "wanted", limit ? limit : "", MAX_PAGE);
    else if (order && strcmp(order, "asc") && strcmp(order, "desc"))
        *result = answer_fail(x, 400, "order", "invalid_parameter", "order is %.20s; asc or desc "
                              "is wanted", order);
    else
        return true;
    return false;
}

static const json_t *id_at(const json_t *items, size_t i)
{
    return json_object_get(json_array_get(items, i), "id");
}

/* The document of a page of items, which are in ascending order. */
static json_t *page_of(const json_t *items, const struct page *page)
{
    const size_t n = json_array_size(items);
    json_t *data = json_array();
    bool has_more = false, has_begun = !page->after;
    for (size_t k = 0; k < n; k++) {
        const size_t i = page->is_ascending ? k : n - 1 - k;
        const char *id = json_string_value(id_at(items, i));
        has_more = has_begun && json_array_size(data) == page->limit;
        if (has_more) break;
        if (has_begun) json_array_append(data, json_array_get(items, i));
        else has_begun = id && !strcmp(id, page->after);
    }
    const size_t n_data = json_array_size(data);
    return json_pack("{s:s, s:O?, s:O?, s:b, s:o}", "object", "list", "first_id", id_at(data, 0),
                     "last_id", n_data ? id_at(data, n_data - 1) : NULL, "has_more", (int)has_more,
                     "data", data);
}

static enum MHD_Result answer_items(struct exchange *x, const char *id)
{
    enum MHD_Result result = MHD_NO;
    struct page page;
    struct strbuf text = { 0 };
    if (!read_page(x, &page, &result)) return result;
    if (!response_store_get(&x->server->responses, x->key_number, id, STORED_INPUT, &text))
        return fail_missing(x, id);
    json_t *items = text.failed ? NULL : json_read(text.bytes, text.n, NULL);
    strbuf_free(&text);
    result = answer_json(x, 200, items ? page_of(items, &page) : NULL);
    json_decref(items);
    return result;
}

/* ---- one response --------------------------------------------------------------------------- */

enum MHD_Result route_response(struct exchange *x)
{
    static const char items[] = "/input_items";
    const char *id = rest_of_path(x), *stream = query(x, "stream");
    const size_t n = strlen(id), n_items = sizeof items - 1;
    struct strbuf document = { 0 };
    if (n > n_items && !strcmp(id + n - n_items, items)) {
        char *own = strndup(id, n - n_items);
        const enum MHD_Result result =
            own ? answer_items(x, own) : answer_fail(x, 500, NULL, NULL, "out of memory");
        free(own);
        return result;
    }
    if (stream && !strcmp(stream, "true"))
        return answer_fail(x, 400, "stream", "invalid_parameter", "a stored response is not "
                           "streamed again by this version: leave stream out");
    if (!response_store_get(&x->server->responses, x->key_number, id, STORED_DOCUMENT, &document))
        return fail_missing(x, id);
    return answer_text(x, &document);
}

enum MHD_Result route_response_delete(struct exchange *x)
{
    const char *id = rest_of_path(x);
    if (!response_store_drop(&x->server->responses, x->key_number, id)) return fail_missing(x, id);
    return answer_json(x, 200, json_pack("{s:s, s:s, s:b}", "id", id, "object", "response",
                                         "deleted", 1));
}

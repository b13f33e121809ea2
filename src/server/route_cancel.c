#include "server/route_cancel.h"

#include <stdio.h>
#include <string.h>

#include "server/answer.h"
#include "server/body.h"
#include "server/completion.h"

/* The id of the path ID/cancel; false: it is none. */
static bool read_id(const struct exchange *x, char *id, size_t capacity)
{
    const char *rest = x->path + strlen(x->route->path), *end = strchr(rest, '/');
    if (!end || strcmp(end, "/cancel") || (size_t)(end - rest) >= capacity) return false;
    snprintf(id, capacity, "%.*s", (int)(end - rest), rest);
    return true;
}

/* -1: no choice is named. False: answered. */
static bool read_choice(struct exchange *x, json_int_t *choice, enum MHD_Result *result)
{
    json_t *body = x->body.n ? body_object(x, result) : json_object();
    if (!body) return false;
    const json_t *v = json_object_get(body, "choice");
    const bool is_missing = !v || json_is_null(v);
    *choice = is_missing ? -1 : json_integer_value(v);
    const bool is_right = is_missing || (json_is_integer(v) && *choice >= 0);
    json_decref(body);
    if (!is_right)
        *result = answer_fail(x, 400, "choice", "invalid_parameter",
                              "choice is no index of a choice; an integer from 0 on is wanted");
    return is_right;
}

enum MHD_Result route_cancel(struct exchange *x)
{
    enum MHD_Result result;
    json_int_t choice;
    char id[sizeof ((struct completion *)0)->id];
    if (!read_id(x, id, sizeof id))
        return answer_fail(x, 404, NULL, "not_found", "there is no route %.200s", x->path);
    if (!read_choice(x, &choice, &result)) return result;
    switch (watcher_cancel(x->server, id, x->key_number, choice)) {
    case WATCHER_CANCELLED:
        return answer_json(x, 200, json_pack("{s:s s:b}", "id", id, "cancelled", 1));
    case WATCHER_NO_CHOICE:
        return answer_fail(x, 400, "choice", "invalid_parameter",
                           "choice is %lld; the completion has fewer", (long long)choice);
    default:
        return answer_fail(x, 404, "id", "not_found", "no completion \"%.60s\" is under way", id);
    }
}

/* Where Ollama's messages differ from OpenAI's:
 *
 *   thinking                     reasoning_content
 *   tool_calls[].function        calls need not have an id: they get one of nine letters and
 *                                digits, which is what the strictest templates take
 *   role tool, with a tool_name  answers the first call of that name that has no answer yet
 *   images                       refused
 *
 * Everything else stays. */
#include "server/dialects/ollama_messages.h"

#include <stdio.h>
#include <string.h>

/* A conversation being read. */
struct reading {
    struct fields *f;
    size_t at;                  /* the message's number */
    json_t *open;               /* calls without an answer: {"id", "name"} */
    unsigned n_calls;
};

/* ---- calls ---------------------------------------------------------------------------------- */

static json_t *new_id(struct reading *r)
{
    char id[16];
    snprintf(id, sizeof id, "call%05u", r->n_calls++ % 100000);
    return json_string(id);
}

/* False: it is no call, and said so. */
static bool check_call(struct reading *r, const json_t *function, size_t i)
{
    const json_t *name = json_object_get(function, "name");
    const json_t *arguments = json_object_get(function, "arguments");
    const bool has_arguments = !arguments || json_is_null(arguments) ||
                               json_is_object(arguments) || json_is_string(arguments);
    if (!json_is_string(name))
        field_fail(r->f, "messages", "messages[%zu].tool_calls[%zu].function.name is %s; a string "
                   "is wanted", r->at, i, field_kind(name));
    else if (!has_arguments)
        field_fail(r->f, "messages", "messages[%zu].tool_calls[%zu].function.arguments is %s; an "
                   "object is wanted", r->at, i, field_kind(arguments));
    return json_is_string(name) && has_arguments;
}

static json_t *call_of(struct reading *r, const json_t *call, size_t i)
{
    const json_t *function = json_object_get(call, "function");
    if (!check_call(r, function, i)) return NULL;
    json_t *name = json_object_get(function, "name"), *own = json_object_get(call, "id");
    json_t *arguments = json_object_get(function, "arguments");
    json_t *id = json_is_string(own) ? json_incref(own) : new_id(r);
    arguments = arguments && !json_is_null(arguments) ? json_incref(arguments) : json_object();
    json_array_append_new(r->open, json_pack("{s:O s:O}", "id", id, "name", name));
    return json_pack("{s:o s:s s:{s:O s:o}}", "id", id, "type", "function", "function", "name",
                     name, "arguments", arguments);
}

static void read_calls(struct reading *r, json_t *message)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    json_t *call, *read = json_array();
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)calls, i, call)
        json_array_append_new(read, call_of(r, call, i));
    if (json_array_size(calls)) json_object_set_new(message, "tool_calls", read);
    else json_decref(read);
}

/* ---- results -------------------------------------------------------------------------------- */

/* By its id where the result has one, else by its name where it has one. */
static bool is_answer(const json_t *call, const json_t *id, const json_t *name)
{
    if (id) return json_equal(json_object_get(call, "id"), id);
    return !name || json_equal(json_object_get(call, "name"), name);
}

static void read_result(struct reading *r, json_t *message)
{
    json_t *name = json_object_get(message, "tool_name");
    const json_t *id = json_object_get(message, "tool_call_id");
    const char *role = json_string_value(json_object_get(message, "role"));
    json_t *call;
    size_t i;
    if (!role || strcmp(role, "tool")) return;
    if (name && !json_is_string(name) && !json_is_null(name))
        field_fail(r->f, "messages", "messages[%zu].tool_name is %s; a string is wanted", r->at,
                   field_kind(name));
    if (!json_is_string(id)) id = NULL;
    if (!json_is_string(name)) name = NULL;
    if (name) json_object_set(message, "name", name);
    json_object_del(message, "tool_name");
    json_array_foreach(r->open, i, call) {
        if (!is_answer(call, id, name)) continue;
        json_object_set(message, "tool_call_id", json_object_get(call, "id"));
        json_array_remove(r->open, i);
        break;
    }
}

/* ---- messages ------------------------------------------------------------------------------- */

static void read_thinking(struct reading *r, json_t *message)
{
    json_t *thinking = json_object_get(message, "thinking");
    if (!thinking) return;
    if (!json_is_string(thinking) && !json_is_null(thinking))
        field_fail(r->f, "messages", "messages[%zu].thinking is %s; a string is wanted", r->at,
                   field_kind(thinking));
    if (json_string_length(thinking)) json_object_set(message, "reasoning_content", thinking);
    json_object_del(message, "thinking");
}

static void read_images(struct reading *r, json_t *message)
{
    const json_t *images = json_object_get(message, "images");
    const bool is_none = !images || json_is_null(images) ||
                         (json_is_array(images) && !json_array_size(images));
    if (!is_none)
        field_fail(r->f, "messages", "messages[%zu].images: this version takes text; leave them "
                   "out", r->at);
    json_object_del(message, "images");
}

json_t *ollama_messages_read(struct fields *f, const json_t *messages)
{
    struct reading r = { .f = f, .open = json_array() };
    json_t *one, *read = json_array();
    json_array_foreach((json_t *)(uintptr_t)messages, r.at, one) {
        json_t *message = json_copy(one);       /* one level: what is below is replaced whole */
        if (json_is_object(message)) {
            read_images(&r, message);
            read_thinking(&r, message);
            read_calls(&r, message);
            read_result(&r, message);
        }
        json_array_append_new(read, message);
    }
    json_decref(r.open);
    return read;
}

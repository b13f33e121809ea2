#include "server/dialects/responses_items.h"

#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "server/dialects/responses.h"
#include "server/json_read.h"
#include "server/state.h"

struct reading {
    struct fields *f;
    const struct completion *c;
    json_t *to;
    size_t i;                       /* of the item that is read */
};

/* The item, with the id that it came with or a new one. */
static json_t *new_item(const struct reading *r, const json_t *from, const char *type,
                        const char *id_prefix)
{
    char made[sizeof r->c->id + 32];
    const json_t *id = json_object_get(from, "id");
    if (id && !json_is_string(id) && !json_is_null(id))
        field_fail(r->f, "input", "input[%zu].id is %s; a string is wanted", r->i, field_kind(id));
    snprintf(made, sizeof made, "%s_%s_in%zu", id_prefix,
             r->c->id + sizeof RESPONSE_ID_PREFIX - 1, json_array_size(r->to));
    json_t *item = json_pack("{s:s, s:s}", "type", type, "id", made);
    if (json_string_length(id)) json_object_set(item, "id", (json_t *)(uintptr_t)id);
    return item;
}

/* Owns the item. */
static void append(const struct reading *r, json_t *item)
{
    if (json_array_append_new(r->to, item)) field_fail(r->f, "input", "out of memory");
}

/* A member that must be a string, as a new reference. */
static json_t *text_of(const struct reading *r, const json_t *item, const char *name)
{
    json_t *v = json_object_get(item, name);
    if (!json_is_string(v))
        field_fail(r->f, "input", "input[%zu].%s is %s; a string is wanted", r->i, name,
                   field_kind(v));
    return json_incref(v);
}

/* ---- content -------------------------------------------------------------------------------- */

static json_t *new_part(const char *type, json_t *text)
{
    if (!strcmp(type, "refusal")) return json_pack("{s:s, s:O}", "type", type, type, text);
    json_t *part = json_pack("{s:s, s:O}", "type", type, "text", text);
    if (strcmp(type, "output_text")) return part;
    json_object_set_new(part, "annotations", json_array());
    json_object_set_new(part, "logprobs", json_array());
    return part;
}

static bool is_text_type(const char *type)
{
    return !strcmp(type, "input_text") || !strcmp(type, "output_text") || !strcmp(type, "text");
}

/* As a part of this type, or NULL: it is none, and that was said. */
static json_t *read_part(const struct reading *r, const char *member, const json_t *part,
                         const char *type)
{
    const char *own = json_string_value(json_object_get(part, "type"));
    const bool is_refusal = own && !strcmp(own, "refusal");
    json_t *text = json_object_get(part, is_refusal ? own : "text");
    if (!own || (!is_refusal && !is_text_type(own)))
        field_fail(r->f, "input", "input[%zu].%s holds a part of type \"%.30s\"; this version "
                   "takes text", r->i, member, own ? own : "");
    else if (!json_is_string(text))
        field_fail(r->f, "input", "input[%zu].%s holds a part without text", r->i, member);
    else
        return new_part(is_refusal && !strcmp(type, "output_text") ? own : type, text);
    return NULL;
}

/* A string, or parts of text. */
static json_t *read_parts(const struct reading *r, const json_t *item, const char *member,
                          const char *type)
{
    json_t *from = json_object_get(item, member), *parts = json_array(), *part;
    size_t i;
    if (json_is_string(from)) json_array_append_new(parts, new_part(type, from));
    else if (!json_is_array(from))
        field_fail(r->f, "input", "input[%zu].%s is %s; a string or an array of parts is wanted",
                   r->i, member, field_kind(from));
    json_array_foreach(from, i, part) {
        json_t *read = read_part(r, member, part, type);
        if (!read || json_array_append_new(parts, read)) break;
    }
    const size_t n = json_is_array(from) ? json_array_size(from) : 1;
    if (json_array_size(parts) != n) field_fail(r->f, "input", "out of memory");
    return parts;
}

/* ---- items ---------------------------------------------------------------------------------- */

static void read_message(const struct reading *r, const json_t *from)
{
    static const char *const roles[] = { "user", "assistant", "system", "developer" };
    const char *role = json_string_value(json_object_get(from, "role"));
    size_t i = 0;
    while (i < 4 && (!role || strcmp(role, roles[i]))) i++;
    if (i == 4) {
        field_fail(r->f, "input", "input[%zu].role is \"%.30s\"; user, assistant, system or "
                   "developer is wanted", r->i, role ? role : "");
        return;
    }
    const bool is_reply = !strcmp(role, "assistant");
    json_t *item = new_item(r, from, "message", "msg");
    json_object_set_new(item, "status", json_string("completed"));
    json_object_set_new(item, "role", json_string(role));
    json_object_set_new(item, "content",
                        read_parts(r, from, "content", is_reply ? "output_text" : "input_text"));
    append(r, item);
}

static void read_call(const struct reading *r, const json_t *from)
{
    json_t *item = new_item(r, from, "function_call", "fc");
    json_object_set_new(item, "status", json_string("completed"));
    json_object_set_new(item, "call_id", text_of(r, from, "call_id"));
    json_object_set_new(item, "name", text_of(r, from, "name"));
    json_object_set_new(item, "arguments", text_of(r, from, "arguments"));
    append(r, item);
}

static void read_call_output(const struct reading *r, const json_t *from)
{
    const json_t *output = json_object_get(from, "output");
    json_t *item = new_item(r, from, "function_call_output", "fco");
    json_object_set_new(item, "status", json_string("completed"));
    json_object_set_new(item, "call_id", text_of(r, from, "call_id"));
    json_object_set_new(item, "output",
                        json_is_string(output) ? text_of(r, from, "output")
                                               : read_parts(r, from, "output", "input_text"));
    append(r, item);
}

/* Its texts, of `content` or `summary`, which may be missing. */
static json_t *read_thoughts(const struct reading *r, const json_t *from, const char *member,
                             const char *type)
{
    json_t *parts = json_object_get(from, member), *to = json_array(), *part;
    size_t i;
    if (parts && !json_is_array(parts) && !json_is_null(parts))
        field_fail(r->f, "input", "input[%zu].%s is %s; an array is wanted", r->i, member,
                   field_kind(parts));
    json_array_foreach(parts, i, part) {
        json_t *text = json_object_get(part, "text");
        if (!json_is_string(text))
            field_fail(r->f, "input", "input[%zu].%s holds a part without text", r->i, member);
        else if (json_array_append_new(to, new_part(type, text)))
            field_fail(r->f, "input", "out of memory");
    }
    return to;
}

/* What only its author can read would be missing from the prompt. */
static void read_reasoning(const struct reading *r, const json_t *from)
{
    json_t *content = read_thoughts(r, from, "content", "reasoning_text");
    json_t *summary = read_thoughts(r, from, "summary", "summary_text");
    const json_t *sealed = json_object_get(from, "encrypted_content");
    if (json_string_length(sealed) && !json_array_size(content) && !json_array_size(summary))
        field_fail(r->f, "input", "input[%zu].encrypted_content cannot be read by this server: "
                   "leave the item out", r->i);
    json_t *item = new_item(r, from, "reasoning", "rs");
    json_object_set_new(item, "summary", summary);
    json_object_set_new(item, "content", content);
    append(r, item);
}

static void read_reference(const struct reading *r, const json_t *from)
{
    struct server *s = r->c->exchange->server;
    const json_t *id = json_object_get(from, "id");
    struct strbuf text = { 0 };
    const bool is_found = json_is_string(id) &&
                          response_store_item(&s->responses, r->c->exchange->key_number,
                                              json_string_value(id), json_string_length(id), &text);
    json_t *item = is_found && text.n ? json_read(text.bytes, text.n, NULL) : NULL;
    strbuf_free(&text);
    if (item) append(r, item);
    else
        field_fail(r->f, "input", "input[%zu]: there is no item \"%.60s\" here", r->i,
                   json_is_string(id) ? json_string_value(id) : "");
}

/* What may do without a type is told by its members. */
static const char *type_of(const json_t *item)
{
    const json_t *type = json_object_get(item, "type");
    if (type && !json_is_null(type)) return json_string_value(type);
    return json_object_get(item, "role") ? "message"
           : json_object_get(item, "id") ? "item_reference"
                                         : NULL;
}

static void read_item(const struct reading *r, const json_t *item)
{
    static const struct {
        const char *type;
        void (*read)(const struct reading *r, const json_t *item);
    } kinds[] = {
        { "message", read_message }, { "function_call", read_call },
        { "function_call_output", read_call_output }, { "reasoning", read_reasoning },
        { "item_reference", read_reference },
    };
    const char *type = type_of(item);
    for (size_t i = 0; type && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].type)) continue;
        kinds[i].read(r, item);
        return;
    }
    if (!json_is_object(item))
        field_fail(r->f, "input", "input[%zu] is %s; an object is wanted", r->i, field_kind(item));
    else
        field_fail(r->f, "input", "input[%zu] is of type \"%.40s\"; this version takes message, "
                   "function_call, function_call_output, reasoning and item_reference", r->i,
                   type ? type : "");
}

void responses_items_read(struct fields *f, const struct completion *c, json_t *to)
{
    struct reading r = { .f = f, .c = c, .to = to };
    const json_t *input = field_get(f, "input");
    json_t *one;
    if (json_is_string(input)) {
        one = json_pack("{s:s, s:O}", "role", "user", "content", input);
        read_message(&r, one);
        json_decref(one);
    } else if (!json_is_array(input)) {
        field_fail(f, "input", "input is %s; a string or an array of items is wanted",
                   field_kind(input));
    }
    json_array_foreach((json_t *)(uintptr_t)input, r.i, one) {
        if (f->failed) break;
        read_item(&r, one);
    }
}

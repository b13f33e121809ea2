#include "server/dialects/responses_messages.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/strbuf.h"

struct messages {
    json_t *all;
    json_t *turn;                   /* the last one, where it is the assistant's and may go on */
    bool failed;                    /* out of memory */
};

static json_t *add_message(struct messages *m, const char *role)
{
    json_t *message = json_pack("{s:s}", "role", role);
    m->turn = NULL;
    if (!json_array_append_new(m->all, message)) return message;
    m->failed = true;
    return NULL;
}

static void set(struct messages *m, json_t *message, const char *name, json_t *v)
{
    if (json_object_set_new(message, name, v)) m->failed = true;
}

/* The assistant's turn, or a new one where it has one of these members already. */
static json_t *turn_without(struct messages *m, const char *member, const char *other)
{
    const bool is_full = json_object_get(m->turn, member) || json_object_get(m->turn, other);
    if (!m->turn || is_full) m->turn = add_message(m, "assistant");
    return m->turn;
}

/* One text is a string; several are left to the template. */
static json_t *content_of(const json_t *parts)
{
    size_t i;
    json_t *part;
    if (json_is_string(parts)) return json_incref((json_t *)(uintptr_t)parts);
    if (!json_array_size(parts)) return json_string("");
    json_t *to = json_array();
    json_array_foreach((json_t *)(uintptr_t)parts, i, part) {
        const json_t *text = json_object_get(part, "text");
        if (!text) text = json_object_get(part, "refusal");
        if (json_array_size(parts) == 1) {
            json_decref(to);
            return json_incref((json_t *)(uintptr_t)text);
        }
        json_array_append_new(to, json_pack("{s:s, s:O}", "type", "text", "text", text));
    }
    if (json_array_size(to) == json_array_size(parts)) return to;
    json_decref(to);
    return NULL;
}

static void add_said(struct messages *m, const json_t *item)
{
    const char *role = json_string_value(json_object_get(item, "role"));
    const bool is_reply = !strcmp(role, "assistant");
    json_t *message = is_reply ? turn_without(m, "content", "content") : add_message(m, role);
    set(m, message, "content", content_of(json_object_get(item, "content")));
}

static void add_call(struct messages *m, const json_t *item)
{
    json_t *turn = turn_without(m, "", "");
    if (!json_object_get(turn, "tool_calls")) set(m, turn, "tool_calls", json_array());
    json_t *call = json_pack("{s:O, s:s, s:{s:O, s:O}}", "id", json_object_get(item, "call_id"),
                             "type", "function", "function", "name", json_object_get(item, "name"),
                             "arguments", json_object_get(item, "arguments"));
    if (json_array_append_new(json_object_get(turn, "tool_calls"), call)) m->failed = true;
}

static void add_call_output(struct messages *m, const json_t *item)
{
    json_t *message = add_message(m, "tool");
    set(m, message, "tool_call_id", json_incref(json_object_get(item, "call_id")));
    set(m, message, "content", content_of(json_object_get(item, "output")));
}

/* Thoughts come before what they led to. A summary stands for them where they are missing. */
static void add_reasoning(struct messages *m, const json_t *item)
{
    const json_t *parts = json_object_get(item, "content");
    if (!json_array_size(parts)) parts = json_object_get(item, "summary");
    json_t *turn = turn_without(m, "content", "tool_calls"), *part;
    const json_t *before = json_object_get(turn, "reasoning_content");
    struct strbuf text = { 0 };
    size_t i;
    if (before) strbuf_add(&text, json_string_value(before), json_string_length(before));
    json_array_foreach((json_t *)(uintptr_t)parts, i, part) {
        const json_t *one = json_object_get(part, "text");
        if (text.n) strbuf_add_str(&text, "\n");
        strbuf_add(&text, json_string_value(one), json_string_length(one));
    }
    if (text.n) set(m, turn, "reasoning_content", json_stringn(text.bytes, text.n));
    m->failed = m->failed || text.failed;
    strbuf_free(&text);
}

static void add_item(struct messages *m, const json_t *item)
{
    const char *type = json_string_value(json_object_get(item, "type"));
    if (!strcmp(type, "message")) add_said(m, item);
    else if (!strcmp(type, "function_call")) add_call(m, item);
    else if (!strcmp(type, "function_call_output")) add_call_output(m, item);
    else add_reasoning(m, item);
}

json_t *responses_messages(const json_t *instructions, const json_t *items)
{
    struct messages m = { .all = json_array() };
    size_t i;
    json_t *item;
    if (json_string_length(instructions)) {
        json_t *message = add_message(&m, "system");
        set(&m, message, "content", json_incref((json_t *)(uintptr_t)instructions));
    }
    json_array_foreach((json_t *)(uintptr_t)items, i, item) add_item(&m, item);
    if (!m.failed) return m.all;
    json_decref(m.all);
    return NULL;
}

/* Anthropic's /v1/messages in OpenAI's members. Content blocks become messages in the order in
 * which they stand: text and thoughts and calls of a turn are one message, each result of a tool is
 * one of its own. */
#include "server/dialects/anthropic.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "server/json_read.h"
#include "server/request_fields.h"

/* What is being made of which body. */
struct translation {
    struct fields f;
    json_t *to;
};

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* The member, or NULL where it is missing or null. */
static const json_t *member_of(const json_t *object, const char *name)
{
    return field_get(&(struct fields){ .body = object }, name);
}

/* ---- content -------------------------------------------------------------------------------- */

/* A document's text, or NULL. */
static const json_t *document_text(const json_t *block)
{
    const json_t *source = json_object_get(block, "source");
    const char *type = text_of(source, "type");
    return type && !strcmp(type, "text") ? json_object_get(source, "data") : NULL;
}

static void fail_block(struct translation *t, const char *param, const json_t *block)
{
    const char *type = text_of(block, "type");
    if (type && !strcmp(type, "image"))
        field_fail(&t->f, param, "%s: image input is not supported by this version", param);
    else
        field_fail(&t->f, param, "%s: a content block of type \"%.40s\"; text, thinking, tool_use, "
                   "tool_result and documents of text are taken", param, type ? type : "");
}

/* The text of a block of text; NULL: it is none. */
static const json_t *block_text(const json_t *block)
{
    const char *type = text_of(block, "type");
    const json_t *v = NULL;
    if (type && !strcmp(type, "text")) v = json_object_get(block, "text");
    if (type && !strcmp(type, "document")) v = document_text(block);
    return json_is_string(v) ? v : NULL;
}

static void add_part(json_t *parts, const json_t *text)
{
    json_array_append_new(parts, json_pack("{s:s, s:O}", "type", "text", "text", text));
}

/* A string, or blocks of text: as parts of a message. */
static json_t *text_content(struct translation *t, const char *param, const json_t *content)
{
    json_t *parts = json_array(), *block;
    size_t i;
    if (json_is_string(content)) add_part(parts, content);
    else if (content && !json_is_null(content) && !json_is_array(content))
        field_fail(&t->f, param, "%s is %s; a string or an array of blocks is wanted", param,
                   field_kind(content));
    json_array_foreach((json_t *)(uintptr_t)content, i, block) {
        const json_t *text = block_text(block);
        if (text) add_part(parts, text);
        else fail_block(t, param, block);
    }
    return parts;
}

/* Claude Code puts a line for its biller first, which is another one with each request: the model
 * has no use for it, and no prompt would share its beginning with the one before. */
static bool is_for_the_biller(const json_t *block)
{
    static const char mark[] = "x-anthropic-billing-header:";
    const char *text = text_of(block, "text");
    return text && !strncmp(text, mark, sizeof mark - 1);
}

static void add_system(struct translation *t, json_t *messages)
{
    const json_t *system = field_get(&t->f, "system");
    if (!system) return;
    json_t *blocks = json_is_array(system) ? json_array() : NULL, *block;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)system, i, block)
        if (!is_for_the_biller(block)) json_array_append(blocks, block);
    json_t *parts = text_content(t, "system", blocks ? blocks : system);
    if (json_array_size(parts))
        json_array_append_new(messages, json_pack("{s:s, s:O}", "role", "system", "content",
                                                  parts));
    json_decref(parts);
    json_decref(blocks);
}

/* ---- messages ------------------------------------------------------------------------------- */

/* What has come of one message since its last result of a tool. */
struct turn {
    const char *role;
    json_t *parts, *calls;
    struct strbuf thoughts;
};

/* The turn so far becomes a message, if there is any of it; or must, where must_be. */
static void end_turn(struct turn *turn, json_t *messages, bool must_be)
{
    const size_t n_parts = json_array_size(turn->parts), n_calls = json_array_size(turn->calls);
    if (must_be || n_parts || n_calls || turn->thoughts.n) {
        json_t *message = json_pack("{s:s, s:O}", "role", turn->role, "content", turn->parts);
        if (!n_parts) json_object_set_new(message, "content", json_string(""));
        if (n_calls) json_object_set(message, "tool_calls", turn->calls);
        if (turn->thoughts.n)
            json_object_set_new(message, "reasoning_content",
                                json_stringn(turn->thoughts.bytes, turn->thoughts.n));
        json_array_append_new(messages, message);
    }
    json_decref(turn->parts);
    json_decref(turn->calls);
    strbuf_free(&turn->thoughts);
    *turn = (struct turn){ turn->role, json_array(), json_array(), { 0 } };
}

static void add_call(struct translation *t, struct turn *turn, const json_t *block)
{
    const json_t *id = json_object_get(block, "id"), *name = json_object_get(block, "name"),
                 *input = json_object_get(block, "input");
    if (!json_is_string(id) || !json_is_string(name) || !json_is_object(input)) {
        field_fail(&t->f, "messages", "messages: a tool_use block wants an id, a name and an "
                   "input, which is an object");
        return;
    }
    char *arguments = json_read_write(input);
    json_array_append_new(turn->calls,
                          json_pack("{s:O, s:s, s:{s:O, s:s}}", "id", id, "type", "function",
                                    "function", "name", name, "arguments",
                                    arguments ? arguments : "{}"));
    free(arguments);
}

static void add_result(struct translation *t, const json_t *block, json_t *messages)
{
    const json_t *id = json_object_get(block, "tool_use_id");
    json_t *parts = text_content(t, "messages", json_object_get(block, "content"));
    if (!json_is_string(id))
        field_fail(&t->f, "messages", "messages: a tool_result block wants a tool_use_id");
    else
        json_array_append_new(messages, json_pack("{s:s, s:O, s:O}", "role", "tool",
                                                  "tool_call_id", id, "content", parts));
    json_decref(parts);
}

static void add_block(struct translation *t, struct turn *turn, const json_t *block,
                      json_t *messages)
{
    const char *type = text_of(block, "type"), *thinking = text_of(block, "thinking");
    const bool is_reply = !strcmp(turn->role, "assistant");
    const json_t *text = block_text(block);
    if (text) {
        add_part(turn->parts, text);
    } else if (type && !strcmp(type, "thinking") && is_reply && thinking) {
        strbuf_add_str(&turn->thoughts, thinking);
    } else if (type && !strcmp(type, "redacted_thinking") && is_reply) {
        /* nobody but its writer can read it */
    } else if (type && !strcmp(type, "tool_use") && is_reply) {
        add_call(t, turn, block);
    } else if (type && !strcmp(type, "tool_result") && !is_reply) {
        end_turn(turn, messages, false);
        add_result(t, block, messages);
    } else {
        fail_block(t, "messages", block);
    }
}

static void add_message(struct translation *t, const json_t *message, size_t i, json_t *messages)
{
    const char *role = text_of(message, "role");
    const json_t *content = json_object_get(message, "content");
    if (!role || (strcmp(role, "user") && strcmp(role, "assistant") && strcmp(role, "system"))) {
        field_fail(&t->f, "messages", "messages[%zu].role is \"%.40s\"; \"user\" or \"assistant\" "
                   "is wanted", i, role ? role : "");
        return;
    }
    if (!json_is_string(content) && !json_is_array(content)) {
        field_fail(&t->f, "messages", "messages[%zu].content is %s; a string or an array of blocks "
                   "is wanted", i, field_kind(content));
        return;
    }
    struct turn turn = { role, json_array(), json_array(), { 0 } };
    const size_t n_before = json_array_size(messages);
    json_t *block;
    size_t k;
    if (json_is_string(content)) add_part(turn.parts, content);
    json_array_foreach((json_t *)(uintptr_t)content, k, block)
        add_block(t, &turn, block, messages);
    end_turn(&turn, messages, json_array_size(messages) == n_before);
    json_decref(turn.parts);
    json_decref(turn.calls);
}

static void add_messages(struct translation *t)
{
    const json_t *from = field_get(&t->f, "messages");
    json_t *messages = json_array(), *message;
    size_t i;
    json_object_set_new(t->to, "messages", messages);
    if (!json_is_array(from)) {
        field_fail(&t->f, "messages", "messages is %s; an array of at least one message is wanted",
                   field_kind(from));
        return;
    }
    add_system(t, messages);
    json_array_foreach((json_t *)(uintptr_t)from, i, message) add_message(t, message, i, messages);
}

/* ---- tools ---------------------------------------------------------------------------------- */

static void add_tool(struct translation *t, const json_t *tool, size_t i, json_t *tools)
{
    static const char *const members[][2] = { { "name", "name" }, { "description", "description" },
                                              { "input_schema", "parameters" },
                                              { "strict", "strict" } };
    const char *type = text_of(tool, "type");
    if (type && strcmp(type, "custom")) {
        field_fail(&t->f, "tools", "tools[%zu] is of type \"%.40s\"; only tools that the client "
                   "runs are supported", i, type);
        return;
    }
    json_t *function = json_object();
    for (size_t k = 0; k < sizeof members / sizeof *members; k++) {
        const json_t *v = member_of(tool, members[k][0]);
        if (v) json_object_set(function, members[k][1], (json_t *)(uintptr_t)v);
    }
    json_array_append_new(tools, json_pack("{s:s, s:o}", "type", "function", "function",
                                           function));
}

static void add_tools(struct translation *t)
{
    const json_t *from = field_get(&t->f, "tools");
    json_t *tools = json_array(), *tool;
    size_t i;
    if (from && !json_is_array(from))
        field_fail(&t->f, "tools", "tools is %s; an array is wanted", field_kind(from));
    json_array_foreach((json_t *)(uintptr_t)from, i, tool) add_tool(t, tool, i, tools);
    if (json_array_size(tools)) json_object_set(t->to, "tools", tools);
    json_decref(tools);
}

/* {"type": "auto" | "any" | "tool" | "none", "name", "disable_parallel_tool_use"} */
static void add_tool_choice(struct translation *t)
{
    const json_t *choice = field_get(&t->f, "tool_choice");
    const json_t *single = member_of(choice, "disable_parallel_tool_use");
    const char *type = text_of(choice, "type"), *name = text_of(choice, "name");
    if (!choice) return;
    if (single && !json_is_boolean(single))
        field_fail(&t->f, "tool_choice", "tool_choice.disable_parallel_tool_use is %s; a boolean "
                   "is wanted", field_kind(single));
    if (json_is_true(single))
        json_object_set_new(t->to, "parallel_tool_calls", json_false());
    if (type && (!strcmp(type, "auto") || !strcmp(type, "none")))
        json_object_set_new(t->to, "tool_choice", json_string(type));
    else if (type && !strcmp(type, "any"))
        json_object_set_new(t->to, "tool_choice", json_string("required"));
    else if (type && !strcmp(type, "tool") && name)
        json_object_set_new(t->to, "tool_choice",
                            json_pack("{s:s, s:{s:s}}", "type", "function", "function", "name",
                                      name));
    else
        field_fail(&t->f, "tool_choice", "tool_choice.type is \"%.40s\"; \"auto\", \"any\", "
                   "\"tool\" with a name, or \"none\" is wanted", type ? type : "");
}

/* ---- the rest ------------------------------------------------------------------------------- */

/* {"type": "enabled", "budget_tokens"} */
static void add_thinking(struct translation *t)
{
    const json_t *thinking = field_get(&t->f, "thinking");
    const char *type = text_of(thinking, "type");
    if (!thinking) return;
    if (!type || (strcmp(type, "enabled") && strcmp(type, "disabled") && strcmp(type, "adaptive")))
        field_fail(&t->f, "thinking", "thinking.type is \"%.40s\"; \"enabled\", \"adaptive\" or "
                   "\"disabled\" is wanted", type ? type : "");
    else
        json_object_set_new(t->to, "enable_thinking", json_boolean(strcmp(type, "disabled")));
    json_t *budget = json_object_get(thinking, "budget_tokens");
    if (budget && type && !strcmp(type, "enabled"))
        json_object_set(t->to, "thinking_budget_tokens", budget);
}

/* {"type": "json_schema", "schema"}, by itself or in output_config, which has the effort too. */
static void add_output(struct translation *t)
{
    const json_t *config = field_get(&t->f, "output_config");
    const json_t *format = field_get(&t->f, "output_format");
    const json_t *effort = member_of(config, "effort");
    const char *word = json_string_value(effort);
    if (!format) format = member_of(config, "format");
    if (effort && !word)
        field_fail(&t->f, "output_config", "output_config.effort is %s; a string is wanted",
                   field_kind(effort));
    if (word) json_object_set(t->to, "reasoning_effort", (json_t *)(uintptr_t)effort);
    if (!format) return;
    const char *type = text_of(format, "type");
    const json_t *schema = json_object_get(format, "schema");
    if (!type || strcmp(type, "json_schema") || !schema)
        field_fail(&t->f, "output_format", "output_format: {\"type\": \"json_schema\", \"schema\": "
                   "...} is wanted");
    else
        json_object_set_new(t->to, "response_format",
                            json_pack("{s:s, s:{s:s, s:O}}", "type", "json_schema", "json_schema",
                                      "name", "output", "schema", schema));
}

json_t *anthropic_translate(struct completion *c, const json_t *body, struct request_error *error)
{
    (void)c;
    /* of these the name or the form is another one, or they mean nothing here */
    static const char *const others[] = { "system", "tools", "tool_choice", "thinking", "messages",
                                          "output_config", "output_format", "stop_sequences",
                                          "stream_options", "n", "n_cmpl", "best_of", "logprobs",
                                          "top_logprobs", "reasoning_format" };
    struct translation t = { { .body = body, .error = error },
                             json_copy((json_t *)(uintptr_t)body) };
    if (!t.to) return NULL;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) json_object_del(t.to, others[i]);
    const json_t *stops = field_get(&t.f, "stop_sequences");
    if (stops) json_object_set(t.to, "stop", (json_t *)(uintptr_t)stops);
    add_messages(&t);
    add_tools(&t);
    add_tool_choice(&t);
    add_thinking(&t);
    add_output(&t);
    if (!t.f.failed) return t.to;
    json_decref(t.to);
    return NULL;
}

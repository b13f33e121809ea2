#include "server/request_chat.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/json_read.h"
#include "server/request_tools.h"

/* ---- messages ------------------------------------------------------------------------------- */

/* Parts are text, or the refusal in an assistant's message. */
static void check_parts(struct fields *f, const json_t *parts)
{
    size_t i;
    json_t *part;
    json_array_foreach((json_t *)(uintptr_t)parts, i, part) {
        const char *type = json_string_value(json_object_get(part, "type"));
        const char *name = type && !strcmp(type, "refusal") ? "refusal" : "text";
        if (!type || strcmp(type, name) || !json_is_string(json_object_get(part, name)))
            field_fail(f, "messages", "a content part of type \"%.30s\"; this version takes text",
                       type ? type : "");
    }
}

static void check_message(struct fields *f, const json_t *message, size_t i)
{
    const json_t *content = json_object_get(message, "content");
    if (!json_is_object(message))
        field_fail(f, "messages", "messages[%zu] is %s; an object is wanted", i,
                   field_kind(message));
    else if (!json_is_string(json_object_get(message, "role")))
        field_fail(f, "messages", "messages[%zu] has no role", i);
    else if (content && !json_is_string(content) && !json_is_array(content) &&
             !json_is_null(content))
        field_fail(f, "messages", "messages[%zu].content is %s; a string or an array is wanted", i,
                   field_kind(content));
    else
        field_objects(f, "messages", "tool_calls", json_object_get(message, "tool_calls"));
}

static void check_messages(struct fields *f, const json_t *messages)
{
    json_t *message;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)messages, i, message) {
        check_message(f, message, i);
        check_parts(f, json_object_get(message, "content"));
    }
}

/* ---- variables of the template -------------------------------------------------------------- */

/* Today, under the names and in the forms that llama-server gives templates. */
static void add_date(json_t *chat)
{
    static const char *const dates[][2] = { { "date_string", "%d %b %Y" },
                                            { "datetime", "%b %d %Y" } };
    const time_t now = time(NULL);
    struct tm local;
    if (!localtime_r(&now, &local)) return;
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        char text[32];
        if (json_object_get(chat, dates[i][0]) || !strftime(text, sizeof text, dates[i][1], &local))
            continue;
        json_object_set_new(chat, dates[i][0], json_string(text));
    }
}

/* Whether the last message is the assistant's, with some text and nothing else that ends it. */
static bool is_begun(const json_t *messages)
{
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    const json_t *content = json_object_get(last, "content");
    const json_t *part = json_array_get(content, json_array_size(content) - 1);
    const json_t *text = json_is_string(content) ? content : json_object_get(part, "text");
    return role && !strcmp(role, "assistant") && json_string_length(text) &&
           !json_array_size(json_object_get(last, "tool_calls"));
}

/* A reply that the client has begun is gone on with, as llama-server does, unless it says
 * otherwise: continue_final_message, or add_generation_prompt, which asks for a turn of its own. */
static void read_continuation(struct fields *f, json_t *chat)
{
    const json_t *messages = json_object_get(chat, "messages");
    const bool has_wish = field_get(f, "continue_final_message") != NULL;
    bool adds_prompt = field_get(f, "add_generation_prompt") != NULL, continues = !adds_prompt;
    field_bool(f, "add_generation_prompt", &adds_prompt);
    field_bool(f, "continue_final_message", &continues);
    if (has_wish && continues && adds_prompt)
        field_fail(f, "continue_final_message", "continue_final_message and add_generation_prompt "
                   "are both true");
    if (has_wish && continues && !is_begun(messages))
        field_fail(f, "continue_final_message", "the last message is none of the assistant's with "
                   "a text to continue");
    if (!continues || !is_begun(messages)) return;
    json_object_set_new(chat, "continue_final_message", json_true());
    json_object_set_new(chat, "add_generation_prompt", json_false());
}

/* What clients say beside chat_template_kwargs and templates know under the same name. */
static void read_template_members(struct fields *f, json_t *chat)
{
    const json_t *effort = field_get(f, "reasoning_effort");
    bool adds_prompt = true, is_thinking = true;
    field_bool(f, "add_generation_prompt", &adds_prompt);
    field_bool(f, "enable_thinking", &is_thinking);
    json_object_set_new(chat, "add_generation_prompt", json_boolean(adds_prompt));
    /* many templates take one that is missing as false; llama-server says true, too */
    if (field_get(f, "enable_thinking") || !json_object_get(chat, "enable_thinking"))
        json_object_set_new(chat, "enable_thinking", json_boolean(is_thinking));
    if (effort && !json_is_string(effort))
        field_fail(f, "reasoning_effort", "reasoning_effort is %s; a string is wanted",
                   field_kind(effort));
    if (effort) json_object_set(chat, "reasoning_effort", (json_t *)(uintptr_t)effort);
    add_date(chat);
    read_continuation(f, chat);
}

/* Whether calls or their results stand in the conversation. */
static bool has_calls(const json_t *messages)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)messages, i, one) {
        const char *role = json_string_value(json_object_get(one, "role"));
        if (!strcmp(role, "tool") || json_array_size(json_object_get(one, "tool_calls")))
            return true;
    }
    return false;
}

/* Conversation `messages` as the template sees it, with what it shares with the others of the
 * request: tools, chat_template_kwargs and more. */
static void add_chat(struct fields *f, const json_t *messages, const json_t *kwargs,
                     const struct tool_form *form)
{
    const json_t *more = field_get(f, "chat_template_kwargs");
    /* a deep copy counts no references of what threads share */
    json_t *chat = kwargs ? json_deep_copy(kwargs) : json_object();
    if (more) json_object_update(chat, (json_t *)(uintptr_t)more);
    json_object_set(chat, "messages", (json_t *)(uintptr_t)messages);
    if (f->r->has_tools)
        json_object_set(chat, "tools", (json_t *)(uintptr_t)field_get(f, "tools"));
    const bool must_spell = has_calls(messages) && !form->renders_calls;
    if (form->is_taught && (f->r->has_tools || must_spell)) request_teach_tools(chat);
    read_template_members(f, chat);
    if (!f->failed && !(f->r->chat[f->r->n_chats++] = json_read_write(chat)))
        field_fail(f, "messages", "out of memory");
    json_decref(chat);
}

static bool is_list(const json_t *messages)
{
    return json_is_array(json_array_get(messages, 0));
}

/* The i-th conversation of a list of them; else the messages are one. */
static const json_t *conversation(const json_t *messages, size_t i)
{
    return is_list(messages) ? json_array_get(messages, i) : messages;
}

static void check_conversation(struct fields *f, const json_t *messages)
{
    if (!messages || !json_is_array(messages) || !json_array_size(messages))
        field_fail(f, "messages", "messages is %s; an array of at least one message is wanted",
                   messages ? json_is_array(messages) ? "empty" : field_kind(messages) : "missing");
    else
        check_messages(f, messages);
}

void request_read_chat(struct fields *f, const json_t *kwargs, const struct tool_form *form)
{
    const json_t *messages = field_get(f, "messages"), *tools = field_get(f, "tools");
    const json_t *more = field_get(f, "chat_template_kwargs");
    const size_t n = is_list(messages) ? json_array_size(messages) : 1;
    if (n > REQUEST_MAX_PROMPTS)
        field_fail(f, "messages", "messages are %zu conversations; %d at most are wanted", n,
                   REQUEST_MAX_PROMPTS);
    for (size_t i = 0; i < n && !f->failed; i++) check_conversation(f, conversation(messages, i));
    if (f->failed) return;
    field_objects(f, "tools", "tools", tools);
    if (!f->failed) request_read_tools(f, form);
    if (more && !json_is_object(more))
        field_fail(f, "chat_template_kwargs", "chat_template_kwargs is %s; an object is wanted",
                   field_kind(more));
    if (!f->failed && !(f->r->chat = calloc(n, sizeof *f->r->chat)))
        field_fail(f, "messages", "out of memory");
    for (size_t i = 0; i < n && !f->failed; i++)
        add_chat(f, conversation(messages, i), kwargs, form);
}

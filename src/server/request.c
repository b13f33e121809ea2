#include "server/request.h"

#include <stdlib.h>
#include <string.h>

#include "server/json_read.h"
#include "server/request_ending.h"
#include "server/request_fields.h"
#include "server/request_grammar.h"
#include "server/request_refused.h"
#include "server/request_samplers.h"
#include "server/request_sampling.h"
#include "server/request_tools.h"

/* n_predict is llama-server's: 0 reads the prompt and says nothing, -1 and -2 go on to the end of
 * the context. */
static void read_max_tokens(struct fields *f)
{
    static const char *const names[] = { "max_tokens", "max_completion_tokens" };
    json_int_t x;
    if (field_int(f, "n_predict", -2, INT32_MAX, &x)) {
        f->r->no_reply = x == 0;
        f->r->max_tokens = x < 0 ? 0 : x ? (uint32_t)x : 1;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!field_int(f, names[i], -1, INT32_MAX, &x)) continue;
        if (x == 0) field_fail(f, names[i], "%s is 0; at least 1 is wanted", names[i]);
        f->r->no_reply = false;
        f->r->max_tokens = x < 0 ? 0 : (uint32_t)x;
    }
}

static void read_stream_options(struct fields *f)
{
    const json_t *v = field_get(f, "stream_options");
    if (!v) return;
    if (!json_is_object(v)) {
        field_fail(f, "stream_options", "stream_options is %s; an object is wanted", field_kind(v));
        return;
    }
    const json_t *usage = json_object_get(v, "include_usage");
    if (usage && !json_is_boolean(usage) && !json_is_null(usage))
        field_fail(f, "stream_options.include_usage", "include_usage is %s; a boolean is wanted",
                   field_kind(usage));
    f->r->include_usage = json_is_true(usage);
}

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

/* An array of objects, or nothing. */
static void check_objects(struct fields *f, const char *param, const char *name, const json_t *v)
{
    size_t i;
    json_t *one;
    if (v && !json_is_array(v) && !json_is_null(v))
        field_fail(f, param, "%s is %s; an array is wanted", name, field_kind(v));
    json_array_foreach((json_t *)(uintptr_t)v, i, one)
        if (!json_is_object(one))
            field_fail(f, param, "%s[%zu] is %s; an object is wanted", name, i, field_kind(one));
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
        check_objects(f, "messages", "tool_calls", json_object_get(message, "tool_calls"));
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

/* The members that the template sees: messages, tools, chat_template_kwargs and a few more. */
static void read_chat(struct fields *f, const json_t *kwargs, const struct tool_form *form)
{
    const json_t *messages = field_get(f, "messages"), *tools = field_get(f, "tools");
    const json_t *more = field_get(f, "chat_template_kwargs");
    if (!messages || !json_is_array(messages) || !json_array_size(messages)) {
        field_fail(f, "messages", "messages is %s; an array of at least one message is wanted",
                   messages ? json_is_array(messages) ? "empty" : field_kind(messages) : "missing");
        return;
    }
    check_messages(f, messages);
    check_objects(f, "tools", "tools", tools);
    if (!f->failed) request_read_tools(f, form);
    if (more && !json_is_object(more))
        field_fail(f, "chat_template_kwargs", "chat_template_kwargs is %s; an object is wanted",
                   field_kind(more));
    if (f->failed) return;
    /* a deep copy counts no references of what threads share */
    json_t *chat = kwargs ? json_deep_copy(kwargs) : json_object();
    if (more) json_object_update(chat, (json_t *)(uintptr_t)more);
    json_object_set(chat, "messages", (json_t *)(uintptr_t)messages);
    if (f->r->has_tools) json_object_set(chat, "tools", (json_t *)(uintptr_t)tools);
    const bool must_spell = has_calls(messages) && !form->renders_calls;
    if (form->is_taught && (f->r->has_tools || must_spell)) request_teach_tools(chat);
    read_template_members(f, chat);
    if (!f->failed && !(f->r->chat = json_read_write(chat)))
        field_fail(f, "messages", "out of memory");
    json_decref(chat);
}

/* Whether thoughts stand apart from the content. */
static void read_reasoning_format(struct fields *f)
{
    const json_t *v = field_get(f, "reasoning_format");
    const char *word = json_string_value(v);
    f->r->splits_thoughts = !word || strcmp(word, "none");
    if (v && (!word || (*word && strcmp(word, "none") && strcmp(word, "auto") &&
                        strcmp(word, "deepseek"))))
        field_fail(f, "reasoning_format", "reasoning_format is %s; \"none\", \"auto\" or "
                   "\"deepseek\" is wanted", word ? "another word" : field_kind(v));
}

bool request_parse(struct request *out, const json_t *body, bool is_chat,
                   const struct request_defaults *defaults, struct request_error *error)
{
    static const struct tool_form no_tools;
    const struct tool_form *form = defaults->tools ? defaults->tools : &no_tools;
    struct fields f = { .body = body, .r = out, .error = error };
    *out = (struct request){ .is_chat = is_chat, .n = 1, .sampling = defaults->sampling,
                             .max_tokens = defaults->max_tokens, .has_seed = defaults->has_seed,
                             .ignore_eos = defaults->ignore_eos };
    const json_t *model = field_get(&f, "model");
    if (model && !json_is_string(model))
        field_fail(&f, "model", "model is %s; a string is wanted", field_kind(model));
    out->model = json_string_value(model);

    field_bool(&f, "stream", &out->stream);
    field_bool(&f, "ignore_eos", &out->ignore_eos);
    field_bool(&f, "echo", &out->echo);
    bool cache_prompt = true;       /* llama-server's name for it */
    field_bool(&f, "cache_prompt", &cache_prompt);
    out->computes_prompt = !cache_prompt;
    read_stream_options(&f);
    field_u32(&f, "n_cmpl", 1, REQUEST_MAX_REPLIES, &out->n);
    field_u32(&f, "n", 1, REQUEST_MAX_REPLIES, &out->n);
    read_max_tokens(&f);
    request_read_sampling(&f);
    request_read_samplers(&f);
    request_read_ending(&f);
    request_read_grammar(&f);
    request_refuse_unsupported(&f);
    read_reasoning_format(&f);
    if (is_chat) {
        read_chat(&f, defaults->template_kwargs, form);
    } else if (!(out->prompt = field_get(&f, "prompt"))) {
        field_fail(&f, "prompt", "prompt is missing");
    }
    if (f.failed) request_free(out);
    return !f.failed;
}

void request_free(struct request *r)
{
    free(r->bias);
    free(r->chat);
    free(r->grammar.source);
    json_decref(r->tools);
    r->bias = NULL;
    r->chat = NULL;
    r->grammar.source = NULL;
    r->tools = NULL;
}

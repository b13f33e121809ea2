#include "server/request_tools.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "server/json_read.h"
#include "server/tool_grammar.h"

enum { MAX_TOOLS = 256, MAX_NAME_BYTES = 128 };

/* ---- what is asked for ---------------------------------------------------------------------- */

static bool is_name(const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/";
    const size_t n = text ? strlen(text) : 0;
    return n > 0 && n <= MAX_NAME_BYTES && strspn(text, letters) == n;
}

static void check_tool(struct fields *f, const json_t *tool, size_t i)
{
    const char *type = json_string_value(json_object_get(tool, "type"));
    const json_t *function = json_object_get(tool, "function");
    const json_t *parameters = json_object_get(function, "parameters");
    if ((type && strcmp(type, "function")) || !json_is_object(function))
        field_fail(f, "tools", "tools[%zu] is no function; {\"type\": \"function\", \"function\": "
                   "{\"name\": ...}} is wanted", i);
    else if (!is_name(json_string_value(json_object_get(function, "name"))))
        field_fail(f, "tools", "tools[%zu].function.name: 1 to %d letters, digits and _-.:/ are "
                   "wanted", i, MAX_NAME_BYTES);
    else if (parameters && !json_is_object(parameters) && !json_is_null(parameters))
        field_fail(f, "tools", "tools[%zu].function.parameters is %s; a schema is wanted", i,
                   field_kind(parameters));
}

static void check_tools(struct fields *f, const json_t *tools)
{
    size_t i;
    json_t *tool;
    if (json_array_size(tools) > MAX_TOOLS)
        field_fail(f, "tools", "%zu tools; at most %d are taken", json_array_size(tools),
                   MAX_TOOLS);
    json_array_foreach((json_t *)(uintptr_t)tools, i, tool) check_tool(f, tool, i);
}

static bool has_tool(const json_t *tools, const char *name)
{
    size_t i;
    json_t *tool;
    json_array_foreach((json_t *)(uintptr_t)tools, i, tool) {
        const json_t *function = json_object_get(tool, "function");
        if (!strcmp(json_string_value(json_object_get(function, "name")), name)) return true;
    }
    return false;
}

enum choice { NONE, AUTO, REQUIRED };

/* {"type": "function", "function": {"name": ...}}; *only is that name. */
static enum choice read_named(struct fields *f, const json_t *v, const json_t *tools,
                              const char **only)
{
    const char *type = json_string_value(json_object_get(v, "type"));
    const char *name = json_string_value(json_object_get(json_object_get(v, "function"), "name"));
    if (!name) name = json_string_value(json_object_get(v, "name"));
    if (!type || strcmp(type, "function") || !name)
        field_fail(f, "tool_choice", "tool_choice is %s; \"none\", \"auto\", \"required\" or "
                   "{\"type\": \"function\", \"function\": {\"name\": ...}} is wanted",
                   field_kind(v));
    else if (!has_tool(tools, name))
        field_fail(f, "tool_choice", "tool_choice names \"%.100s\", which is none of the tools",
                   name);
    *only = name;
    return REQUIRED;
}

static enum choice read_choice(struct fields *f, const json_t *tools, const char **only)
{
    const json_t *v = field_get(f, "tool_choice");
    const char *word = json_string_value(v);
    if (!v || (word && (!strcmp(word, "auto") || !*word)))
        return json_array_size(tools) ? AUTO : NONE;
    if (word && !strcmp(word, "none")) return NONE;
    if (!json_array_size(tools)) {
        field_fail(f, "tool_choice", "tool_choice asks for a call, and there are no tools");
        return NONE;
    }
    if (word && (!strcmp(word, "required") || !strcmp(word, "any"))) return REQUIRED;
    return read_named(f, v, tools, only);
}

/* ---- the grammar ---------------------------------------------------------------------------- */

/* Free until a call begins, unless one must come, or a document may instead. */
static void set_grammar(struct fields *f, const struct tool_form *form,
                        const struct tool_wish *wish, bool is_free)
{
    struct request_grammar *g = &f->r->grammar;
    const struct tool_syntax *s = form->syntax;
    struct strbuf lark = { 0 };
    tool_grammar_write(&lark, form, wish);
    free(g->source);
    *g = (struct request_grammar){ .kind = PL_GRAMMAR_LARK, .param = "tools",
                                   .source = lark.failed ? NULL : lark.bytes,
                                   .is_optional = is_free };
    if (lark.failed) field_fail(f, "tools", "out of memory");
    if (!is_free) return;
    for (; g->n_triggers < 3 && s->trigger[g->n_triggers]; g->n_triggers++)
        g->trigger[g->n_triggers] = s->trigger[g->n_triggers];
    if (!g->n_triggers) g->trigger[g->n_triggers++] = form->trigger;
    g->triggers_at_start = s->is_at_start;
}

/* A document of a schema may stand beside calls; another form may not. */
static void make_grammar(struct fields *f, const struct tool_form *form, struct tool_wish *wish,
                         enum choice choice)
{
    const struct request_grammar *g = &f->r->grammar;
    const bool has_form = g->source != NULL;
    if (has_form && choice == AUTO && g->kind != PL_GRAMMAR_JSON_SCHEMA) {
        field_fail(f, g->param, "%s together with tools: a JSON schema is wanted, or tool_choice "
                   "\"none\"", g->param);
        return;
    }
    /* of calls without a mark a document could not be told from its first bytes */
    if (has_form && choice == AUTO && form->syntax->is_at_start) return;
    wish->or_schema = choice == AUTO ? g->source : NULL;
    set_grammar(f, form, wish, choice == AUTO && !has_form);
}

void request_read_tools(struct fields *f, const struct tool_form *form)
{
    const json_t *tools = field_get(f, "tools");
    struct tool_wish wish = { .tools = tools };
    bool is_parallel = true;
    if (tools && json_is_array(tools)) check_tools(f, tools);
    field_bool(f, "parallel_tool_calls", &is_parallel);
    if (f->failed) return;
    const enum choice choice = read_choice(f, tools, &wish.only);
    f->r->has_tools = choice != NONE;
    if (f->failed || choice == NONE || !form->syntax) return;
    wish.is_single = f->r->has_one_call = !is_parallel || wish.only;
    make_grammar(f, form, &wish, choice);
    f->r->tools = json_deep_copy(tools);
}

/* ---- templates that know no tools ----------------------------------------------------------- */

static char *lesson(const json_t *tools)
{
    struct strbuf b = { 0 };
    size_t i;
    json_t *tool;
    strbuf_add_str(&b, "These functions can be called; each line describes one:\n");
    json_array_foreach((json_t *)(uintptr_t)tools, i, tool) {
        char *text = json_read_write(json_object_get(tool, "function"));
        strbuf_addf(&b, "%s\n", text ? text : "");
        free(text);
    }
    strbuf_add_str(&b, "A reply that calls functions consists of one such block for each call:\n"
                   "<tool_call>\n{\"name\": \"NAME\", \"arguments\": {...}}\n</tool_call>");
    return b.failed ? NULL : b.bytes;
}

/* The system message says it, the conversation's own or a new one. */
static void add_lesson(json_t *messages, const char *text)
{
    json_t *first = json_array_get(messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    const char *content = json_string_value(json_object_get(first, "content"));
    if (role && content && !strcmp(role, "system"))
        json_object_set_new(first, "content", json_sprintf("%s\n\n%s", content, text));
    else
        json_array_insert_new(messages, 0,
                              json_pack("{s:s, s:s}", "role", "system", "content", text));
}

/* An object and the string of one are written alike; a string of anything else stays as it is. */
static char *arguments_text(const json_t *v)
{
    const char *text = json_string_value(v);
    json_t *parsed = text ? json_loads(text, 0, NULL) : NULL;
    char *written = text && !parsed ? strdup(text) : v ? json_dumps(parsed ? parsed : v, 0) : NULL;
    json_decref(parsed);
    return written;
}

/* The text of a message's content, which may come in parts. */
static void add_content(struct strbuf *b, const json_t *content)
{
    size_t i;
    json_t *part;
    if (json_is_string(content)) strbuf_add_str(b, json_string_value(content));
    json_array_foreach((json_t *)(uintptr_t)content, i, part) {
        const char *text = json_string_value(json_object_get(part, "text"));
        if (text) strbuf_add_str(b, text);
    }
}

static void add_call(struct strbuf *b, const json_t *call)
{
    const json_t *function = json_object_get(call, "function");
    const char *name = json_string_value(json_object_get(function, "name"));
    char *text = arguments_text(json_object_get(function, "arguments"));
    strbuf_addf(b, "%s<tool_call>\n{\"name\": \"%s\", \"arguments\": %s}\n</tool_call>",
                b->n ? "\n" : "", name ? name : "", text && *text ? text : "{}");
    free(text);
}

/* Calls become text, and their results what the user says. */
static void spell_out(json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *content = json_object_get(message, "content");
    const json_t *calls = json_object_get(message, "tool_calls");
    const bool is_result = role && !strcmp(role, "tool");
    struct strbuf b = { 0 };
    size_t i;
    json_t *call;
    if (!is_result && !json_array_size(calls)) return;
    if (is_result) strbuf_add_str(&b, "<tool_response>\n");
    add_content(&b, content);
    if (is_result) strbuf_add_str(&b, "\n</tool_response>");
    json_array_foreach((json_t *)(uintptr_t)calls, i, call) add_call(&b, call);
    if (is_result) json_object_set_new(message, "role", json_string("user"));
    if (!b.failed) json_object_set_new(message, "content", json_stringn(b.bytes, b.n));
    json_object_del(message, "tool_calls");
    strbuf_free(&b);
}

void request_teach_tools(json_t *chat)
{
    json_t *messages = json_deep_copy(json_object_get(chat, "messages")), *message;
    const json_t *tools = json_object_get(chat, "tools");
    char *text = json_array_size(tools) ? lesson(tools) : NULL;
    size_t i;
    json_array_foreach(messages, i, message) spell_out(message);
    if (text) add_lesson(messages, text);
    free(text);
    json_object_set_new(chat, "messages", messages);
    json_object_del(chat, "tools");
}

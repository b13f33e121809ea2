#include "server/tool_grammar.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_read.h"

struct writer {
    struct strbuf *to;
    const struct tool_form *form;
    unsigned n_texts;           /* rules of values that are text so far */
};

/* ---- pieces --------------------------------------------------------------------------------- */

static void add_quoted(struct strbuf *to, const char *text)
{
    json_t *v = json_string(text);
    char *quoted = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    strbuf_addf(to, " %s", quoted ? quoted : "\"\"");
    free(quoted);
    json_decref(v);
}

/* A text inside a regular expression, one that JSON quotes inside a string as it is. */
static void add_literal(struct strbuf *to, const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (isalnum(c) || c == '_' || c >= 0x80) strbuf_addf(to, "%c", c);
        else strbuf_addf(to, "\\x%02x", c);
    }
}

/* What a schema asks and cannot be had is passed over, unless the tool is strict. */
static void add_schema(struct strbuf *to, const json_t *schema, bool is_strict, bool is_arguments)
{
    /* a deep copy counts no references of what threads share */
    json_t *copy = json_is_object(schema) ? json_deep_copy(schema) : json_object();
    json_t *how = json_pack("{s:b}", "lenient", !is_strict);
    if (is_arguments && !json_object_get(copy, "type"))
        json_object_set_new(copy, "type", json_string("object"));
    json_object_set_new(copy, "x-guidance", how);
    char *text = json_read_write(copy);
    strbuf_addf(to, " %%json %s", text ? text : "{}");
    free(text);
    json_decref(copy);
}

static const json_t *function_of(const json_t *tool)
{
    return json_object_get(tool, "function");
}

static const char *name_of(const json_t *tool)
{
    return json_string_value(json_object_get(function_of(tool), "name"));
}

static bool is_strict(const json_t *tool)
{
    return json_is_true(json_object_get(function_of(tool), "strict"));
}

static const json_t *parameters_of(const json_t *tool)
{
    return json_object_get(function_of(tool), "parameters");
}

/* ---- one call ------------------------------------------------------------------------------- */

/* {"name": "f", "arguments": {...}} */
static void add_object(struct writer *w, const json_t *tool)
{
    strbuf_add_str(w->to, " /\\{ ?\"name\": ?\"");
    add_literal(w->to, name_of(tool));
    strbuf_addf(w->to, "\", ?\"%s\": ?/", w->form->syntax->arguments);
    add_schema(w->to, parameters_of(tool), is_strict(tool), true);
    strbuf_add_str(w->to, " \"}\"");
}

static void add_named(struct writer *w, const json_t *tool)
{
    add_quoted(w->to, name_of(tool));
    strbuf_addf(w->to, " %s", w->form->name_end);
    add_schema(w->to, parameters_of(tool), is_strict(tool), true);
}

static bool is_string_type(const json_t *type)
{
    return json_is_string(type) && !strcmp(json_string_value(type), "string");
}

static bool has_string(const json_t *schemas)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)schemas, i, one)
        if (is_string_type(one) || is_string_type(json_object_get(one, "type"))) return true;
    return false;
}

/* Whether models write such a value as it is: a string, or one among other things. */
static bool is_text(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type"), *any = json_object_get(schema, "anyOf");
    if (json_object_get(schema, "enum") || json_object_get(schema, "const")) return false;
    if (type) return is_string_type(type) || has_string(type);
    if (any) return has_string(any);
    return !json_object_get(schema, "$ref") && !json_object_get(schema, "allOf") &&
           !json_object_get(schema, "oneOf");
}

/* A value's schema with what its references may name: the definitions beside it. */
static json_t *with_definitions(const json_t *schema, const json_t *parameters)
{
    static const char *const names[] = { "$defs", "definitions" };
    json_t *copy = json_is_object(schema) ? json_deep_copy(schema) : json_object();
    for (size_t i = 0; i < 2; i++) {
        const json_t *definitions = json_object_get(parameters, names[i]);
        if (definitions) json_object_set_new(copy, names[i], json_deep_copy(definitions));
    }
    return copy;
}

/* A value of text ends where the mark comes; others are JSON. Strings of an enumeration stand as
 * they are. */
static void add_value(struct writer *w, const json_t *tool, const json_t *schema,
                      struct strbuf *rules)
{
    const char *end = w->form->syntax->value_end;
    const json_t *choices = json_object_get(schema, "enum");
    if (is_text(schema)) {
        strbuf_addf(w->to, " text_%u", w->n_texts);
        strbuf_addf(rules, "text_%u[suffix=", w->n_texts++);
        add_quoted(rules, end);
        strbuf_add_str(rules, "]: /(.|\\n)*/\n");
        return;
    }
    size_t i;
    json_t *one;
    bool are_texts = choices != NULL;
    json_array_foreach((json_t *)(uintptr_t)choices, i, one)
        are_texts = are_texts && json_is_string(one);
    if (are_texts) {
        json_array_foreach((json_t *)(uintptr_t)choices, i, one) {
            strbuf_add_str(w->to, i ? " |" : " (");
            add_quoted(w->to, json_string_value(one));
        }
        strbuf_add_str(w->to, " )");
    } else {
        json_t *whole = with_definitions(schema, parameters_of(tool));
        add_schema(w->to, whole, is_strict(tool), false);
        json_decref(whole);
    }
    add_quoted(w->to, end);
}

static bool is_required(const json_t *parameters, const char *key)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(parameters, "required"), i, one)
        if (!strcmp(json_string_value(one) ? json_string_value(one) : "", key)) return true;
    return false;
}

static void add_tags(struct writer *w, const json_t *tool, struct strbuf *rules)
{
    const struct tool_syntax *s = w->form->syntax;
    const json_t *parameters = parameters_of(tool);
    const char *key;
    json_t *schema;
    add_quoted(w->to, name_of(tool));
    strbuf_addf(w->to, " %s", w->form->name_end);
    json_object_foreach(json_object_get(parameters, "properties"), key, schema) {
        const bool is_optional = !is_required(parameters, key);
        if (is_optional) strbuf_add_str(w->to, " (");
        add_quoted(w->to, s->key_open);
        add_quoted(w->to, key);
        add_quoted(w->to, s->key_end);
        add_value(w, tool, schema, rules);
        if (is_optional) strbuf_add_str(w->to, " )?");
    }
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void add_calls(struct writer *w, const struct tool_wish *wish, struct strbuf *rules)
{
    const enum tool_family family = w->form->syntax->family;
    size_t i;
    json_t *tool;
    bool is_first = true;
    strbuf_add_str(w->to, "function:");
    json_array_foreach((json_t *)(uintptr_t)wish->tools, i, tool) {
        if (wish->only && strcmp(wish->only, name_of(tool))) continue;
        if (!is_first) strbuf_add_str(w->to, "\n    |");
        is_first = false;
        if (family == TOOL_TAGS) add_tags(w, tool, rules);
        else if (family == TOOL_NAMED || family == TOOL_CHANNELS) add_named(w, tool);
        else add_object(w, tool);
    }
    strbuf_add_str(w->to, "\n");
}

void tool_grammar_write(struct strbuf *to, const struct tool_form *form,
                        const struct tool_wish *wish)
{
    const struct tool_syntax *s = form->syntax;
    const bool is_single = wish->is_single || s->is_single;
    const bool is_array = s->family == TOOL_ARRAY;
    struct strbuf rules = { 0 };
    struct writer w = { to, form, 0 };
    strbuf_addf(to, "start: %s\ncalls:", wish->or_schema ? "calls | document" : "calls");
    if (*form->prefix) strbuf_addf(to, " (%s)?", form->prefix);
    strbuf_addf(to, " %s", form->section);
    if (is_array) strbuf_addf(to, " %s \"[\"", form->open);
    strbuf_add_str(to, " call");
    if (!is_single) strbuf_addf(to, " (%s call)*", form->between);
    if (is_array) strbuf_addf(to, " \"]\" %s", form->close);
    strbuf_addf(to, " %s\ncall: %s function %s\n", form->section_end, is_array ? "" : form->open,
                is_array ? "" : form->close);
    add_calls(&w, wish, &rules);
    if (rules.n) strbuf_add(to, rules.bytes, rules.n);
    if (rules.failed) to->failed = true;
    strbuf_free(&rules);
    if (!wish->or_schema) return;
    json_t *schema = json_read(wish->or_schema, strlen(wish->or_schema), NULL);
    strbuf_add_str(to, "document:");
    add_schema(to, schema, true, false);
    strbuf_add_str(to, "\n");
    json_decref(schema);
}

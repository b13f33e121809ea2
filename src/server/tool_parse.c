#include "server/tool_parse.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/space.h"
#include "base/strbuf.h"
#include "server/json_read.h"

struct cursor {
    const char *at, *end;
    bool is_end;                /* of the reply */
};

void tool_call_free(struct tool_call *call)
{
    free(call->name);
    free(call->arguments);
    *call = (struct tool_call){ 0 };
}

/* ---- marks ---------------------------------------------------------------------------------- */

static void skip_spaces(struct cursor *c)
{
    while (c->at < c->end && is_space(*c->at)) c->at++;
}

/* A mark without the spaces around it, which are skipped in the text, too. */
static enum tool_found take(struct cursor *c, const char *mark)
{
    size_t n = strlen(mark);
    while (n && is_space(*mark)) mark++, n--;
    while (n && is_space(mark[n - 1])) n--;
    skip_spaces(c);
    const size_t n_left = (size_t)(c->end - c->at);
    if (n_left < n && !memcmp(c->at, mark, n_left))
        return c->is_end ? TOOL_NONE : TOOL_UNFINISHED;
    if (n_left < n || memcmp(c->at, mark, n)) return TOOL_NONE;
    c->at += n;
    return TOOL_FOUND;
}

/* Takes the mark where it stands. UNFINISHED: it may be coming. */
static enum tool_found take_if(struct cursor *c, const char *mark)
{
    const char *before = c->at;
    const enum tool_found found = *mark ? take(c, mark) : TOOL_FOUND;
    if (found == TOOL_NONE) c->at = before;
    return found == TOOL_NONE ? TOOL_FOUND : found;
}

/* Up to the mark, which is taken; spaces at the mark's ends are not insisted on. */
static enum tool_found take_until(struct cursor *c, const char *mark, const char **text, size_t *n)
{
    size_t n_mark = strlen(mark);
    while (n_mark > 1 && is_space(*mark)) mark++, n_mark--;
    while (n_mark > 1 && is_space(mark[n_mark - 1])) n_mark--;
    *text = c->at;
    const char *found = n_mark ? memmem(c->at, (size_t)(c->end - c->at), mark, n_mark) : NULL;
    if (!found) return c->is_end ? TOOL_NONE : TOOL_UNFINISHED;
    *n = (size_t)(found - c->at);
    c->at = found + n_mark;
    return TOOL_FOUND;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* Where the object or array that begins here ends; NULL: not in this text. */
static const char *json_end(const char *at, const char *end)
{
    int depth = 0;
    bool is_string = false;
    for (; at < end; at++) {
        if (is_string) {
            if (*at == '\\') at++;
            else if (*at == '"') is_string = false;
        } else if (*at == '"') {
            is_string = true;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (--depth == 0) return at + 1;
        }
    }
    return NULL;
}

static enum tool_found take_object(struct cursor *c, json_t **out)
{
    skip_spaces(c);
    *out = NULL;
    if (c->at == c->end) return c->is_end ? TOOL_NONE : TOOL_UNFINISHED;
    if (*c->at != '{') return TOOL_NONE;
    const char *stop = json_end(c->at, c->end);
    if (!stop) return c->is_end ? TOOL_NONE : TOOL_UNFINISHED;
    *out = json_read(c->at, (size_t)(stop - c->at), NULL);
    c->at = stop;
    return *out ? TOOL_FOUND : TOOL_NONE;
}

/* An object, or one written into a string; NULL: neither. Release with free. */
static char *arguments_text(const json_t *v)
{
    if (json_is_object(v)) return json_read_write(v);
    if (!v || json_is_null(v)) return strdup("{}");
    json_t *inner =
        json_is_string(v) ? json_read(json_string_value(v), json_string_length(v), NULL) : NULL;
    char *text = json_is_object(inner) ? json_read_write(inner) : NULL;
    json_decref(inner);
    return text;
}

static enum tool_found call_of_object(const json_t *object, const char *arguments,
                                      struct tool_call *call)
{
    const json_t *inner = json_object_get(object, "function");
    if (json_is_object(inner)) object = inner;
    const json_t *name = json_object_get(object, "name");
    const json_t *v = json_object_get(object, arguments);
    if (!v) v = json_object_get(object, "arguments");
    if (!v) v = json_object_get(object, "parameters");
    if (!json_string_length(name)) return TOOL_NONE;
    call->name = strdup(json_string_value(name));
    call->arguments = arguments_text(v);
    if (call->name && call->arguments) return TOOL_FOUND;
    tool_call_free(call);
    return TOOL_NONE;
}

/* ---- the families --------------------------------------------------------------------------- */

static const json_t *find_function(const json_t *tools, const char *name)
{
    size_t i;
    json_t *tool;
    json_array_foreach((json_t *)(uintptr_t)tools, i, tool) {
        const json_t *f = json_object_get(tool, "function");
        const char *its = json_string_value(json_object_get(f, "name"));
        if (its && !strcmp(its, name)) return f;
    }
    return NULL;
}

/* Without its mark an object may stand in a fence, and is a call only where its name is known. */
static enum tool_found parse_object(const struct tool_syntax *s, const json_t *tools,
                                    struct cursor *c, struct tool_call *call)
{
    json_t *object = NULL;
    skip_spaces(c);
    const char *before = c->at;
    enum tool_found found = take_if(c, s->open);
    const bool is_bare = c->at == before;
    if (found == TOOL_FOUND && s->is_at_start) found = take_if(c, "<|python_tag|>");
    if (found == TOOL_FOUND && s->is_at_start) found = take_if(c, ";");
    if (found == TOOL_FOUND && is_bare) found = take_if(c, "```json");
    if (found == TOOL_FOUND) found = take_object(c, &object);
    if (found == TOOL_FOUND) found = call_of_object(object, s->arguments, call);
    if (found == TOOL_FOUND && is_bare && tools && !find_function(tools, call->name))
        found = TOOL_NONE;
    if (found == TOOL_FOUND && is_bare && *s->open) found = take_if(c, "```");
    json_decref(object);
    return found;
}

/* The brackets around all calls, and the commas between them, are taken with the calls. */
static enum tool_found parse_element(const struct tool_syntax *s, struct cursor *c,
                                     struct tool_call *call)
{
    json_t *object = NULL;
    enum tool_found found = take_if(c, s->open);
    if (found == TOOL_FOUND) found = take_if(c, "[");
    if (found == TOOL_FOUND) found = take_if(c, ",");
    if (found == TOOL_FOUND) found = take_object(c, &object);
    if (found == TOOL_FOUND) found = take_if(c, "]");
    if (found == TOOL_FOUND) found = call_of_object(object, s->arguments, call);
    json_decref(object);
    return found;
}

static enum tool_found parse_named(const struct tool_syntax *s, struct cursor *c,
                                   struct tool_call *call)
{
    json_t *object = NULL;
    const char *name = NULL;
    size_t n = 0;
    enum tool_found found = take(c, s->open);
    if (found == TOOL_FOUND) found = take_until(c, s->name_end, &name, &n);
    if (found == TOOL_FOUND) found = take_object(c, &object);
    if (found == TOOL_FOUND) {
        while (n && is_space(*name)) name++, n--;
        while (n && is_space(name[n - 1])) n--;
        call->name = strndup(name, n);
        call->arguments = json_read_write(object);
    }
    json_decref(object);
    return found;
}

/* The schema of a function's argument, or NULL. */
static const json_t *schema_of(const json_t *tools, const char *name, const char *key)
{
    const json_t *parameters = json_object_get(find_function(tools, name), "parameters");
    return json_object_get(json_object_get(parameters, "properties"), key);
}

static bool is_choice(const json_t *choices, const char *text, size_t n)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)choices, i, one)
        if (json_string_length(one) == n && !memcmp(json_string_value(one), text, n)) return true;
    return false;
}

/* Text is what it is where the schema says so, or where it is no JSON. */
static json_t *value_of(const json_t *schema, const char *text, size_t n)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    json_t *v = NULL;
    if (n && *text == '\n') text++, n--;
    if (n && text[n - 1] == '\n') n--;
    const bool is_text = (type && !strcmp(type, "string")) ||
                         is_choice(json_object_get(schema, "enum"), text, n);
    if (!is_text) v = json_loadb(text, n, JSON_DECODE_ANY, NULL);
    return v ? v : json_stringn(text, n);
}

static enum tool_found take_argument(const struct tool_syntax *s, const json_t *tools,
                                     struct cursor *c, const char *name, json_t *arguments)
{
    const char *key, *value = NULL;
    size_t n_key, n_value = 0;
    enum tool_found found = take(c, s->key_open);
    if (found != TOOL_FOUND) return found;
    found = take_until(c, s->key_end, &key, &n_key);
    if (found == TOOL_FOUND) found = take_until(c, s->value_end, &value, &n_value);
    if (found != TOOL_FOUND) return found;
    char *text = strndup(key, n_key);
    if (text)
        json_object_set_new(arguments, text,
                            value_of(schema_of(tools, name, text), value, n_value));
    free(text);
    return TOOL_FOUND;
}

static enum tool_found parse_tags(const struct tool_syntax *s, const json_t *tools,
                                  struct cursor *c, struct tool_call *call)
{
    const char *name = NULL;
    size_t n = 0;
    json_t *arguments = json_object();
    enum tool_found found = take(c, s->open);
    if (found == TOOL_FOUND) found = take_until(c, s->name_end, &name, &n);
    if (found == TOOL_FOUND) call->name = strndup(name, n);
    while (found == TOOL_FOUND) {
        const char *before = c->at;
        found = take_argument(s, tools, c, call->name, arguments);
        if (found == TOOL_NONE) {
            c->at = before;
            found = take(c, s->close);
            break;
        }
    }
    if (found == TOOL_FOUND) call->arguments = json_read_write(arguments);
    else tool_call_free(call);
    json_decref(arguments);
    return found;
}

enum tool_found tool_parse(const struct tool_syntax *s, const json_t *tools, const char *text,
                           size_t n, bool is_end, struct tool_call *call, size_t *n_read)
{
    struct cursor c = { text, text + n, is_end };
    enum tool_found found = take_if(&c, s->section);
    *call = (struct tool_call){ 0 };
    if (found != TOOL_FOUND) return found;
    switch (s->family) {
    case TOOL_OBJECT: found = parse_object(s, tools, &c, call); break;
    case TOOL_ARRAY: found = parse_element(s, &c, call); break;
    case TOOL_CHANNELS:         /* reply_reader.c reads those; a call alone is a named one */
    case TOOL_NAMED: found = parse_named(s, &c, call); break;
    case TOOL_TAGS: found = parse_tags(s, tools, &c, call); break;
    }
    if (found == TOOL_FOUND && s->family != TOOL_TAGS) found = take_if(&c, s->close);
    if (found == TOOL_FOUND) found = take_if(&c, s->section_end);
    if (found == TOOL_FOUND) *n_read = (size_t)(c.at - text);
    else tool_call_free(call);
    return found;
}

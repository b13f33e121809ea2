#include "server/request_grammar.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "server/json_read.h"

/* Takes the source, which was allocated; NULL: out of memory. */
static void set(struct fields *f, const char *param, pl_grammar_kind kind, char *source)
{
    struct request_grammar *g = &f->r->grammar;
    if (!source) field_fail(f, param, "out of memory");
    else if (g->source)
        field_fail(f, param, "%s and %s both say what form the reply has; one may", g->param,
                   param);
    if (f->failed) {
        free(source);
        return;
    }
    *g = (struct request_grammar){ .kind = kind, .source = source, .param = param };
}

static bool is_empty(const json_t *v)
{
    return (json_is_string(v) && !json_string_length(v)) ||
           (json_is_array(v) && !json_array_size(v)) ||
           (json_is_object(v) && !json_object_size(v)) || json_is_false(v);
}

/* ---- values --------------------------------------------------------------------------------- */

static void set_schema(struct fields *f, const char *param, const json_t *schema)
{
    if (!json_is_object(schema) && !json_is_boolean(schema))
        field_fail(f, param, "%s: the schema is %s; an object is wanted", param,
                   field_kind(schema));
    else
        set(f, param, PL_GRAMMAR_JSON_SCHEMA, json_read_write(schema));
}

/* The schema, or its JSON in a string. */
static void set_schema_or_text(struct fields *f, const char *param, const json_t *v)
{
    if (json_is_string(v)) set(f, param, PL_GRAMMAR_JSON_SCHEMA, strdup(json_string_value(v)));
    else set_schema(f, param, v);
}

/* A grammar in any of the notations that are told apart by what only one of them has. */
static pl_grammar_kind kind_of_text(const char *text)
{
    return strstr(text, "::=") ? PL_GRAMMAR_GBNF : PL_GRAMMAR_LARK;
}

static void set_text(struct fields *f, const char *param, pl_grammar_kind kind, const json_t *v)
{
    const char *text = json_string_value(v);
    if (!text)
        field_fail(f, param, "%s is %s; a string is wanted", param, field_kind(v));
    else if (strlen(text) != json_string_length(v))
        field_fail(f, param, "%s holds a zero byte", param);
    else
        set(f, param, kind ? kind : kind_of_text(text), strdup(text));
}

/* One of some strings, as a rule of Lark, which quotes as JSON does. */
static void set_choice(struct fields *f, const char *param, const json_t *choices)
{
    struct strbuf lark = { 0 };
    size_t i;
    json_t *one;
    if (!json_is_array(choices))
        field_fail(f, param, "%s is %s; an array of strings is wanted", param,
                   field_kind(choices));
    strbuf_add_str(&lark, "start: ");
    json_array_foreach((json_t *)(uintptr_t)choices, i, one) {
        char *quoted = json_is_string(one) ? json_dumps(one, JSON_ENCODE_ANY) : NULL;
        if (!quoted)
            field_fail(f, param, "%s[%zu] is %s; a string is wanted", param, i, field_kind(one));
        strbuf_addf(&lark, "%s%s", i ? " | " : "", quoted ? quoted : "");
        free(quoted);
    }
    if (f->failed) strbuf_free(&lark);
    else set(f, param, PL_GRAMMAR_LARK, lark.failed ? NULL : lark.bytes);
}

/* vLLM's: tokens of these ids alone, and an end. */
static void set_tokens(struct fields *f, const char *param, const json_t *ids)
{
    struct strbuf lark = { 0 };
    size_t i;
    json_t *id;
    if (!json_is_array(ids))
        field_fail(f, param, "%s is %s; an array of token ids is wanted", param, field_kind(ids));
    strbuf_add_str(&lark, "start: <[");
    json_array_foreach((json_t *)(uintptr_t)ids, i, id) {
        const json_int_t n = json_integer_value(id);
        if (!json_is_integer(id) || n < 0 || n > INT32_MAX)
            field_fail(f, param, "%s[%zu] is no token id", param, i);
        strbuf_addf(&lark, "%s%" JSON_INTEGER_FORMAT, i ? "," : "", n);
    }
    strbuf_add_str(&lark, "]>*");
    if (f->failed) strbuf_free(&lark);
    else set(f, param, PL_GRAMMAR_LARK, lark.failed ? NULL : lark.bytes);
}

/* vLLM's: texts that do not occur, however they are cut into tokens. */
static void set_unwanted(struct fields *f, const char *param, const json_t *words)
{
    struct strbuf lark = { 0 };
    size_t i;
    json_t *word;
    if (!json_is_array(words))
        field_fail(f, param, "%s is %s; an array of strings is wanted", param, field_kind(words));
    strbuf_add_str(&lark, "start: TEXT?\nTEXT: /(?s:.)*/ & ~(/(?s:.)*/ (");
    json_array_foreach((json_t *)(uintptr_t)words, i, word) {
        char *quoted = json_string_length(word) ? json_dumps(word, JSON_ENCODE_ANY) : NULL;
        if (!quoted)
            field_fail(f, param, "%s[%zu] is %s; a string that is not empty is wanted", param, i,
                       field_kind(word));
        strbuf_addf(&lark, "%s%s", i ? " | " : "", quoted ? quoted : "");
        free(quoted);
    }
    strbuf_add_str(&lark, ") /(?s:.)*/)");
    if (f->failed) strbuf_free(&lark);
    else set(f, param, PL_GRAMMAR_LARK, lark.failed ? NULL : lark.bytes);
}

/* ---- members -------------------------------------------------------------------------------- */

/* {"type": "json_schema", "json_schema": {"schema": ...}}, or with the schema beside the type. */
static void read_response_format(struct fields *f)
{
    static const char param[] = "response_format";
    const json_t *v = field_get(f, param), *type = json_object_get(v, "type");
    const char *name = json_string_value(type);
    if (!v || (json_is_object(v) && (!json_object_size(v) || json_is_null(type)))) return;
    const json_t *beside = json_object_get(v, "schema");
    const json_t *within = json_object_get(json_object_get(v, "json_schema"), "schema");
    if (name && !strcmp(name, "text")) return;
    if (name && !strcmp(name, "json_schema"))
        set_schema(f, param, within ? within : beside);
    else if (name && !strcmp(name, "json_object") && beside && !is_empty(beside))
        set_schema(f, param, beside);
    else if (name && !strcmp(name, "json_object"))
        set(f, param, PL_GRAMMAR_JSON_SCHEMA, strdup("{\"type\":\"object\"}"));
    else
        field_fail(f, param, "response_format \"%.30s\" is not known; text, json_object and "
                   "json_schema are", name ? name : "");
}

/* vLLM's. */
static void read_structured_outputs(struct fields *f)
{
    static const char param[] = "structured_outputs";
    const json_t *v = field_get(f, param), *one;
    if (!v || is_empty(v)) return;
    if (!json_is_object(v)) {
        field_fail(f, param, "%s is %s; an object is wanted", param, field_kind(v));
        return;
    }
    if ((one = json_object_get(v, "json")) && !json_is_null(one)) set_schema_or_text(f, param, one);
    if ((one = json_object_get(v, "regex")) && !json_is_null(one))
        set_text(f, param, PL_GRAMMAR_REGEX, one);
    if ((one = json_object_get(v, "choice")) && !json_is_null(one)) set_choice(f, param, one);
    if ((one = json_object_get(v, "grammar")) && !json_is_null(one))
        set_text(f, param, PL_GRAMMAR_NONE, one);
    if (json_is_true(json_object_get(v, "json_object")))
        set(f, param, PL_GRAMMAR_JSON_SCHEMA, strdup("{\"type\":\"object\"}"));
    if (!f->failed && !f->r->grammar.source)
        field_fail(f, param, "structured_outputs has none of json, regex, choice, grammar and "
                   "json_object");
}

/* A member that says nothing where it is empty. */
static const json_t *get(const struct fields *f, const char *name)
{
    const json_t *v = field_get(f, name);
    return v && !is_empty(v) ? v : NULL;
}

/* llama-server's is GBNF, or llguidance's own notation where it says so. */
static void read_gbnf(struct fields *f)
{
    static const char mark[] = "%llguidance";
    const json_t *v = get(f, "grammar");
    const char *text = json_string_value(v);
    const bool is_lark = text && !strncmp(text, mark, sizeof mark - 1);
    if (v) set_text(f, "grammar", is_lark ? PL_GRAMMAR_LARK : PL_GRAMMAR_GBNF, v);
}

void request_read_grammar(struct fields *f)
{
    static const struct {
        const char *name;
        pl_grammar_kind kind;
    } texts[] = {
        { "guided_regex", PL_GRAMMAR_REGEX }, { "regex", PL_GRAMMAR_REGEX },
        { "guided_grammar", PL_GRAMMAR_NONE }, { "ebnf", PL_GRAMMAR_NONE },
    };
    const json_t *v;
    read_response_format(f);
    read_structured_outputs(f);
    read_gbnf(f);
    if ((v = get(f, "json_schema"))) set_schema(f, "json_schema", v);
    if ((v = get(f, "guided_json"))) set_schema_or_text(f, "guided_json", v);
    if ((v = get(f, "guided_choice"))) set_choice(f, "guided_choice", v);
    if ((v = get(f, "allowed_token_ids"))) set_tokens(f, "allowed_token_ids", v);
    if ((v = get(f, "bad_words"))) set_unwanted(f, "bad_words", v);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if ((v = get(f, texts[i].name))) set_text(f, texts[i].name, texts[i].kind, v);
}

bool request_may_have_grammar(const char *body, size_t n)
{
    static const char *const words[] = { "format", "structured_outputs", "guided_",
                                         "json_schema", "grammar", "regex", "ebnf", "tools",
                                         "previous_response_id", "item_reference",
                                         "allowed_token_ids", "bad_words" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (n && memmem(body, n, words[i], strlen(words[i]))) return true;
    return false;
}

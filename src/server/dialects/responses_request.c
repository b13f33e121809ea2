#include "server/dialects/responses_request.h"

#include <stdlib.h>
#include <string.h>

#include "server/dialects/responses.h"
#include "server/dialects/responses_items.h"
#include "server/dialects/responses_messages.h"
#include "server/dialects/responses_tools.h"
#include "server/json_read.h"
#include "server/request_fields.h"
#include "server/state.h"

/* What is made of a body: the chat's members, and what is repeated of the request. */
struct translation {
    struct fields *f;
    struct response *r;
    json_t *to, *echo;
};

static void set(const struct translation *t, json_t *object, const char *name, json_t *v)
{
    if (json_object_set_new(object, name, v)) field_fail(t->f, name, "out of memory");
}

static json_t *again(const json_t *v)
{
    return v ? json_incref((json_t *)(uintptr_t)v) : json_null();
}

/* ---- what is refused ------------------------------------------------------------------------ */

/* Members of this API that would change the reply and are not in this version. */
static void refuse(struct fields *f)
{
    static const char *const names[] = { "conversation", "prompt", "moderation",
                                         "context_management" };
    bool is_background = false;
    json_int_t n;
    field_bool(f, "background", &is_background);
    if (is_background)
        field_fail(f, "background", "background is not supported by this version (false is taken)");
    const json_t *truncation = field_get(f, "truncation");
    const char *word = json_string_value(truncation);
    if (truncation && (!word || (*word && strcmp(word, "disabled"))))
        field_fail(f, "truncation", "truncation other than \"disabled\" is not supported by this "
                   "version: shorten the input");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *v = field_get(f, names[i]);
        if (v && !(json_is_array(v) && !json_array_size(v)))
            field_fail(f, names[i], "%s is not supported by this version: leave it out", names[i]);
    }
    field_int(f, "n", 1, 1, &n);    /* a response has one reply */
    field_int(f, "n_cmpl", 1, 1, &n);
}

/* ---- the conversation ----------------------------------------------------------------------- */

/* What was said before, with its reply. Of its own key only; it may be gone. */
static json_t *previous_items(struct fields *f, const struct completion *c)
{
    const json_t *id = field_get(f, "previous_response_id");
    const struct exchange *x = c->exchange;
    struct strbuf text = { 0 };
    json_t *items = NULL;
    if (!id) return json_array();
    if (!json_is_string(id))
        field_fail(f, "previous_response_id", "previous_response_id is %s; a string is wanted",
                   field_kind(id));
    else if (!response_store_get(&x->server->responses, x->key_number, json_string_value(id),
                                 STORED_CONVERSATION, &text))
        field_fail(f, "previous_response_id", "there is no response \"%.60s\" here: send the whole "
                   "conversation as input", json_string_value(id));
    else if (!text.failed && !(items = json_read(text.bytes, text.n, NULL)))
        field_fail(f, "previous_response_id", "out of memory");
    strbuf_free(&text);
    return items ? items : json_array();
}

/* For those who go on from here. */
static void keep_items(const struct translation *t, const json_t *items)
{
    struct item_list *to = &t->r->items;
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)items, i, item) {
        const json_t *id = json_object_get(item, "id");
        char *text = json_read_write(item);
        if (text) item_list_add(to, json_string_value(id), json_string_length(id), text,
                                strlen(text));
        if (!text || to->failed) field_fail(t->f, "input", "out of memory");
        free(text);
    }
    t->r->n_input = to->n;
}

static void read_conversation(const struct translation *t, const struct completion *c)
{
    const json_t *instructions = field_get(t->f, "instructions");
    t->r->is_stored = true;
    field_bool(t->f, "store", &t->r->is_stored);
    if (instructions && !json_is_string(instructions))
        field_fail(t->f, "instructions", "instructions is %s; a string is wanted",
                   field_kind(instructions));
    json_t *items = previous_items(t->f, c);
    if (!t->f->failed) responses_items_read(t->f, c, items);
    if (!t->f->failed && !json_array_size(items))
        field_fail(t->f, "input", "input is empty; at least one item is wanted");
    if (!t->f->failed && t->r->is_stored) keep_items(t, items);
    if (!t->f->failed) set(t, t->to, "messages", responses_messages(instructions, items));
    json_decref(items);
    json_object_del(t->to, "instructions");
    set(t, t->echo, "instructions", again(instructions));
    set(t, t->echo, "previous_response_id", again(field_get(t->f, "previous_response_id")));
    set(t, t->echo, "store", json_boolean(t->r->is_stored));
}

/* ---- the reply's form ----------------------------------------------------------------------- */

/* The flat form as response_format has it. */
static void set_schema(const struct translation *t, const json_t *format, json_t *echo)
{
    static const char *const names[] = { "name", "description", "schema", "strict" };
    const json_t *within = json_object_get(format, "json_schema");
    json_t *schema = json_object();
    set(t, echo, "name", json_string("schema"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *v = json_object_get(within ? within : format, names[i]);
        if (!v || json_is_null(v)) continue;
        set(t, schema, names[i], json_incref(v));
        set(t, echo, names[i], json_incref(v));
    }
    set(t, t->to, "response_format",
        json_pack("{s:s, s:o}", "type", "json_schema", "json_schema", schema));
}

static void read_format(const struct translation *t, const json_t *format, json_t *echo)
{
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!type || (strcmp(type, "text") && strcmp(type, "json_object") &&
                  strcmp(type, "json_schema"))) {
        field_fail(t->f, "text.format", "text.format of type \"%.30s\"; text, json_object or "
                   "json_schema is wanted", type ? type : "");
        return;
    }
    set(t, echo, "type", json_string(type));
    if (!strcmp(type, "text")) return;
    if (field_get(t->f, "response_format"))
        field_fail(t->f, "text.format", "text.format and response_format both say what form the "
                   "reply has; one may");
    t->r->has_text_format = true;
    if (!strcmp(type, "json_schema")) set_schema(t, format, echo);
    else set(t, t->to, "response_format", json_pack("{s:s}", "type", type));
}

static void read_text(const struct translation *t)
{
    const json_t *text = field_get(t->f, "text"), *format = json_object_get(text, "format");
    const json_t *verbosity = json_object_get(text, "verbosity");
    const char *word = json_string_value(verbosity);
    json_t *echo = json_object();
    if (text && !json_is_object(text))
        field_fail(t->f, "text", "text is %s; an object is wanted", field_kind(text));
    if (verbosity && !json_is_null(verbosity) && (!word || strcmp(word, "medium")))
        field_fail(t->f, "text.verbosity", "text.verbosity other than \"medium\" is not supported "
                   "by this version: leave it out");
    if (format && !json_is_null(format)) read_format(t, format, echo);
    else set(t, echo, "type", json_string("text"));
    set(t, t->echo, "text", json_pack("{s:o}", "format", echo));
}

/* ---- thoughts, lengths, labels -------------------------------------------------------------- */

/* Templates may know other words than clients do. */
static bool is_effort(const char *word)
{
    static const char *const words[] = { "none", "minimal", "low", "medium", "high", "xhigh",
                                         "max" };
    for (size_t i = 0; word && i < sizeof words / sizeof *words; i++)
        if (!strcmp(word, words[i])) return true;
    return false;
}

/* A summary is asked for in vain: the thoughts themselves are told. */
static void read_reasoning(const struct translation *t)
{
    static const char *const names[] = { "effort", "summary", "generate_summary", "context" };
    const json_t *reasoning = field_get(t->f, "reasoning");
    const json_t *effort = json_object_get(reasoning, "effort");
    const char *name, *word = json_string_value(effort);
    json_t *v;
    if (reasoning && !json_is_object(reasoning))
        field_fail(t->f, "reasoning", "reasoning is %s; an object is wanted",
                   field_kind(reasoning));
    json_object_foreach((json_t *)(uintptr_t)reasoning, name, v) {
        size_t i = 0;
        while (i < 4 && strcmp(name, names[i])) i++;
        if (i == 4 && !json_is_null(v))
            field_fail(t->f, "reasoning", "reasoning.%.40s is not supported by this version: leave "
                       "it out", name);
        else if (!json_is_string(v) && !json_is_null(v))
            field_fail(t->f, "reasoning", "reasoning.%s is %s; a string is wanted", name,
                       field_kind(v));
    }
    json_object_del(t->to, "reasoning");
    if (word) set(t, t->to, "reasoning_effort", again(effort));
    if (word && !strcmp(word, "none") && !field_get(t->f, "enable_thinking"))
        set(t, t->to, "enable_thinking", json_false());
    set(t, t->echo, "reasoning", json_pack("{s:o, s:n}", "effort",
                                        again(is_effort(word) ? effort : NULL), "summary"));
}

static void read_lengths(const struct translation *t)
{
    json_int_t n;
    const bool has_max = field_int(t->f, "max_output_tokens", 1, INT32_MAX, &n);
    json_object_del(t->to, "max_output_tokens");
    if (has_max) set(t, t->to, "max_completion_tokens", json_integer(n));
    set(t, t->echo, "max_output_tokens", has_max ? json_integer(n) : json_null());
    n = 0;
    field_int(t->f, "top_logprobs", 0, 20, &n);
    if (n) set(t, t->to, "logprobs", json_true());
    set(t, t->echo, "top_logprobs", json_integer(n));
}

/* Of all that may be included there is one thing. */
static void read_include(const struct translation *t)
{
    static const char logprobs[] = "message.output_text.logprobs";
    const json_t *include = field_get(t->f, "include");
    size_t i;
    json_t *one;
    if (include && !json_is_array(include))
        field_fail(t->f, "include", "include is %s; an array is wanted", field_kind(include));
    json_array_foreach((json_t *)(uintptr_t)include, i, one)
        if (json_is_string(one) && !strcmp(json_string_value(one), logprobs))
            set(t, t->to, "logprobs", json_true());
}

static void read_metadata(const struct translation *t)
{
    const json_t *metadata = field_get(t->f, "metadata");
    const char *name;
    json_t *v;
    if (metadata && !json_is_object(metadata))
        field_fail(t->f, "metadata", "metadata is %s; an object is wanted", field_kind(metadata));
    json_object_foreach((json_t *)(uintptr_t)metadata, name, v)
        if (!json_is_string(v))
            field_fail(t->f, "metadata", "metadata.%.40s is %s; a string is wanted", name,
                       field_kind(v));
    set(t, t->echo, "metadata", metadata ? again(metadata) : json_object());
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void free_response(void *own)
{
    struct response *r = own;
    strbuf_free(&r->echo);
    item_list_free(&r->items);
    strbuf_free(&r->output);
    strbuf_free(&r->text);
    strbuf_free(&r->logprobs);
    free(r);
}

/* As members that follow others. */
static void keep_echo(const struct translation *t)
{
    char *text = json_read_write(t->echo);
    const size_t n = text ? strlen(text) : 0;
    strbuf_add_str(&t->r->echo, ",");
    if (n > 2) strbuf_add(&t->r->echo, text + 1, n - 2);
    if (!text || t->r->echo.failed) field_fail(t->f, NULL, "out of memory");
    free(text);
}

json_t *responses_translate(struct completion *c, const json_t *body, struct request_error *error)
{
    struct fields f = { .body = body, .error = error };
    struct response *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    c->own = r;
    c->free_own = free_response;
    const struct translation t = { &f, r, json_copy((json_t *)(uintptr_t)body), json_object() };
    refuse(&f);
    read_text(&t);
    read_reasoning(&t);
    read_lengths(&t);
    read_include(&t);
    read_metadata(&t);
    responses_tools_read(&f, t.to, t.echo);
    read_conversation(&t, c);
    keep_echo(&t);
    json_decref(t.echo);
    if (!f.failed) return t.to;
    json_decref(t.to);
    return NULL;
}

const char *responses_param_name(const struct completion *c, const char *param)
{
    const struct response *r = c->own;
    if (!strcmp(param, "messages")) return "input";
    if (r && r->has_text_format && !strcmp(param, "response_format")) return "text.format";
    return param;
}

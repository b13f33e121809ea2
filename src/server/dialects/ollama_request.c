/* What a body says in words of its own is translated and checked here; what has the same name and
 * meaning is handed on, and request_parse checks it. Anything else goes through the table of what
 * is refused (request_refused.h), and what that does not name is ignored: num_ctx, num_gpu,
 * keep_alive and other hints that no reply depends on. */
#include "server/dialects/ollama_request.h"

#include <string.h>

#include "server/dialects/ollama_messages.h"
#include "server/json_read.h"
#include "server/request_fields.h"
#include "server/request_refused.h"

/* A number beyond 64 bits is read as an object, too. */
static bool is_object(const json_t *v)
{
    return json_is_object(v) && !json_read_digits(v);
}

static void hand_on(const struct fields *f, json_t *to, const char *name)
{
    const json_t *v = field_get(f, name);
    if (v) json_object_set(to, name, (json_t *)(uintptr_t)v);
}

/* Members beside the known ones that would change the reply; NULL ends the names. */
static void refuse_others(struct fields *f, const char *const *known)
{
    struct request request = { .is_chat = true, .n = 1 };
    json_t *others = json_copy((json_t *)(uintptr_t)f->body);
    for (; *known; known++) json_object_del(others, *known);
    struct fields of = { .body = others, .r = &request, .error = f->error, .failed = f->failed };
    request_refuse_unsupported(&of);
    f->failed = of.failed;
    json_decref(others);
}

/* ---- options -------------------------------------------------------------------------------- */

/* num_predict, then what llama-server has under the same name. */
static const char *const options_known[] = {
    "num_predict", "temperature", "top_k", "top_p", "min_p", "typical_p", "seed", "stop",
    "repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty", "mirostat",
    "mirostat_tau", "mirostat_eta", "tfs_z", "top_n_sigma", "xtc_probability", "xtc_threshold",
    "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
    "dry_sequence_breakers", "dynatemp_range", "dynatemp_exponent", NULL,
};

/* num_predict below 0 goes on to the end of the context. */
static void read_options(struct fields *f, json_t *to)
{
    struct fields of = { .body = field_get(f, "options"), .error = f->error, .failed = f->failed };
    bool penalizes_newline = true;
    json_int_t n;
    if (!of.body) return;
    if (!is_object(of.body)) {
        field_fail(f, "options", "options is %s; an object is wanted", field_kind(of.body));
        return;
    }
    for (size_t i = 1; options_known[i]; i++) hand_on(&of, to, options_known[i]);
    if (field_int(&of, "num_predict", INT32_MIN, INT32_MAX, &n))
        json_object_set_new(to, "n_predict", json_integer(n < 0 ? -1 : n));
    field_bool(&of, "penalize_newline", &penalizes_newline);
    if (!penalizes_newline)
        field_fail(&of, "penalize_newline", "penalize_newline is not supported by this version "
                   "(true is taken): leave it out");
    refuse_others(&of, options_known);
    f->failed = of.failed;
}

/* ---- members of both routes ----------------------------------------------------------------- */

static void read_format(struct fields *f, json_t *to)
{
    const json_t *v = field_get(f, "format");
    const char *word = json_string_value(v);
    if (field_is_empty(v)) return;
    if (word && !strcmp(word, "json"))
        json_object_set_new(to, "response_format", json_pack("{s:s}", "type", "json_object"));
    else if (is_object(v))
        json_object_set_new(to, "response_format",
                            json_pack("{s:s s:{s:O}}", "type", "json_schema", "json_schema",
                                      "schema", v));
    else
        field_fail(f, "format", "format is %s; \"json\" or a schema is wanted",
                   word ? "another word" : field_kind(v));
}

static void read_think(struct fields *f, json_t *to)
{
    const json_t *v = field_get(f, "think");
    const char *word = json_string_value(v);
    const bool is_level = word && (!strcmp(word, "low") || !strcmp(word, "medium") ||
                                   !strcmp(word, "high"));
    if (!v) return;
    if (!json_is_boolean(v) && !is_level)
        field_fail(f, "think", "think is %s; true, false, \"low\", \"medium\" or \"high\" is "
                   "wanted", word ? "another word" : field_kind(v));
    json_object_set_new(to, "enable_thinking", json_boolean(is_level || json_is_true(v)));
    if (is_level) json_object_set(to, "reasoning_effort", (json_t *)(uintptr_t)v);
}

static const json_t *get_string(struct fields *f, const char *name)
{
    const json_t *v = field_get(f, name);
    if (v && !json_is_string(v))
        field_fail(f, name, "%s is %s; a string is wanted", name, field_kind(v));
    return v;
}

static json_t *open_body(const struct fields *f)
{
    json_t *to = json_object();
    json_object_set_new(to, "stream", json_true());
    hand_on(f, to, "stream");
    hand_on(f, to, "model");
    return to;
}

/* NULL: f says why. */
static json_t *close_body(struct fields *f, json_t *to)
{
    static const char *const known[] = { "format", "options", "think", "truncate", "system", NULL };
    read_options(f, to);
    read_format(f, to);
    refuse_others(f, known);
    if (!f->failed) return to;
    json_decref(to);
    return NULL;
}

/* ---- the routes ----------------------------------------------------------------------------- */

static void refuse_if_given(struct fields *f, const char *name, const char *why)
{
    if (!field_is_empty(field_get(f, name))) field_fail(f, name, "%s: %s", name, why);
}

json_t *ollama_translate_chat(struct completion *c, const json_t *body, struct request_error *error)
{
    (void)c;
    struct fields f = { .body = body, .error = error };
    const json_t *messages = field_get(&f, "messages");
    json_t *to = open_body(&f);
    hand_on(&f, to, "messages");
    if (json_is_array(messages))
        json_object_set_new(to, "messages", ollama_messages_read(&f, messages));
    hand_on(&f, to, "tools");
    hand_on(&f, to, "logprobs");
    hand_on(&f, to, "top_logprobs");
    read_think(&f, to);
    refuse_if_given(&f, "system", "the first of messages may have the role system");
    return close_body(&f, to);
}

/* What /api/generate takes neither way. */
static void check_generate(struct fields *f)
{
    bool is_raw = false;
    field_bool(f, "raw", &is_raw);
    refuse_if_given(f, "context", "a reply's tokens are not handed back by this version; /api/chat "
                    "takes whole conversations");
    refuse_if_given(f, "tools", "/api/chat takes them");
}

json_t *ollama_translate_generate(struct completion *c, const json_t *body,
                                  struct request_error *error)
{
    (void)c;
    struct fields f = { .body = body, .error = error };
    const json_t *system = get_string(&f, "system"), *prompt = get_string(&f, "prompt");
    json_t *to = open_body(&f), *messages = json_array();
    if (!field_is_empty(system))
        json_array_append_new(messages, json_pack("{s:s s:O}", "role", "system", "content",
                                                  system));
    json_array_append_new(messages, json_pack("{s:s s:O*}", "role", "user", "content", prompt));
    json_object_set_new(to, "messages", messages);
    hand_on(&f, to, "logprobs");
    hand_on(&f, to, "top_logprobs");
    read_think(&f, to);
    check_generate(&f);
    return close_body(&f, to);
}

/* In completions logprobs is the number of alternatives. */
static void read_raw_logprobs(struct fields *f, json_t *to)
{
    bool has_logprobs = false;
    uint32_t n_top = 0;
    field_bool(f, "logprobs", &has_logprobs);
    field_u32(f, "top_logprobs", 0, 20, &n_top);
    if (n_top && !has_logprobs)
        field_fail(f, "top_logprobs", "top_logprobs is given without logprobs: true");
    if (has_logprobs) json_object_set_new(to, "logprobs", json_integer(n_top));
}

json_t *ollama_translate_raw(struct completion *c, const json_t *body, struct request_error *error)
{
    (void)c;
    struct fields f = { .body = body, .error = error };
    const json_t *prompt = get_string(&f, "prompt"), *think = field_get(&f, "think");
    json_t *to = open_body(&f);
    json_object_set(to, "prompt", (json_t *)(uintptr_t)prompt);
    read_raw_logprobs(&f, to);
    refuse_if_given(&f, "system", "with raw the prompt is all that the model is given");
    if (think && !json_is_false(think))
        field_fail(&f, "think", "think: with raw the prompt is all that the model is given");
    check_generate(&f);
    return close_body(&f, to);
}

json_t *ollama_translate_load(struct completion *c, const json_t *body, struct request_error *error)
{
    (void)c;
    struct fields f = { .body = body, .error = error };
    json_t *to = open_body(&f);
    json_object_set_new(to, "prompt", json_string(""));
    return to;
}

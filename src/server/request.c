#include "server/request.h"

#include <stdlib.h>
#include <string.h>

#include "server/request_chat.h"
#include "server/request_ending.h"
#include "server/request_fields.h"
#include "server/request_grammar.h"
#include "server/request_refused.h"
#include "server/request_samplers.h"
#include "server/request_sampling.h"

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
        const bool may_be_silent = f->r->echo && !f->r->is_chat;    /* the prompt is scored */
        if (x == 0 && !may_be_silent)
            field_fail(f, names[i], "%s is 0; at least 1 is wanted", names[i]);
        f->r->no_reply = x == 0;
        f->r->max_tokens = x < 0 ? 0 : x ? (uint32_t)x : 1;
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

/* Other files that a prompt stands among: [{"text", "filename"}]. */
static void check_extra(struct fields *f, const json_t *extra)
{
    size_t i;
    json_t *file;
    field_objects(f, "input_extra", "input_extra", extra);
    json_array_foreach((json_t *)(uintptr_t)extra, i, file) {
        const json_t *name = json_object_get(file, "filename");
        if (!json_is_string(json_object_get(file, "text")))
            field_fail(f, "input_extra", "input_extra[%zu] has no text, which is a string", i);
        else if (name && !json_is_string(name))
            field_fail(f, "input_extra", "input_extra[%zu].filename is %s; a string is wanted", i,
                       field_kind(name));
    }
}

/* A prompt with a suffix; /infill says how the middle begins, too, if only "". */
static void read_infill(struct fields *f)
{
    const json_t *suffix = field_get(f, "suffix"), *middle = field_get(f, "infill_prompt");
    const json_t *extra = field_get(f, "input_extra"), *prompt = field_get(f, "prompt");
    if (suffix && !json_is_string(suffix))
        field_fail(f, "suffix", "suffix is %s; a string is wanted", field_kind(suffix));
    if (middle && !json_is_string(middle))
        field_fail(f, "prompt", "prompt is %s; a string is wanted", field_kind(middle));
    if (extra) check_extra(f, extra);
    if (!json_string_length(suffix) && !middle) {
        if (json_array_size(extra))
            field_fail(f, "input_extra", "input_extra is given without a suffix");
        return;
    }
    if (!json_is_string(prompt))
        field_fail(f, "prompt", "prompt beside a suffix is %s; a string is wanted",
                   field_kind(prompt));
    f->r->infill = (struct infill){ prompt, suffix, middle, extra };
}

/* Whose turn it is. OpenAI's names for who asks, the older one last. */
static void read_turn(struct fields *f, int32_t max_priority)
{
    static const char *const names[] = { "safety_identifier", "session_id", "user" };
    json_int_t priority;
    if (field_int(f, "priority", -PL_MAX_PRIORITY, max_priority, &priority))
        f->r->priority = (int32_t)priority;
    for (size_t i = 0; i < sizeof names / sizeof *names && !f->r->user; i++)
        f->r->user = json_string_value(field_get(f, names[i]));
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
    read_turn(&f, defaults->max_priority);
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
        request_read_chat(&f, defaults->template_kwargs, form);
    } else if (!(out->prompt = field_get(&f, "prompt"))) {
        field_fail(&f, "prompt", "prompt is missing");
    } else {
        read_infill(&f);
    }
    if (f.failed) request_free(out);
    return !f.failed;
}

void request_free(struct request *r)
{
    free(r->bias);
    free(r->bias_text);
    for (uint32_t i = 0; i < r->n_chats; i++) free(r->chat[i]);
    free(r->chat);
    free(r->grammar.source);
    json_decref(r->tools);
    r->bias = NULL;
    r->bias_text = NULL;
    r->n_bias_texts = 0;
    r->chat = NULL;
    r->n_chats = 0;
    r->grammar.source = NULL;
    r->tools = NULL;
}

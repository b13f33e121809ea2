#include "server/request_ending.h"

#include <string.h>

static void read_stop(struct fields *f)
{
    const json_t *v = field_get(f, "stop");
    const size_t n = json_is_array(v) ? json_array_size(v) : v ? 1 : 0;
    if (n > REQUEST_MAX_STOPS)
        field_fail(f, "stop", "stop holds %zu strings; at most %d are taken", n, REQUEST_MAX_STOPS);
    for (size_t i = 0; i < n && !f->failed; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        const char *text = json_string_value(one);
        if (!text)
            field_fail(f, "stop", "stop is %s; a string or an array of strings is wanted",
                       field_kind(one));
        else if (strlen(text) != json_string_length(one))
            field_fail(f, "stop", "a stop string holds a zero byte");
        else if (strlen(text) > REQUEST_MAX_STOP_BYTES)
            field_fail(f, "stop", "a stop string has %zu bytes; at most %d are taken", strlen(text),
                       REQUEST_MAX_STOP_BYTES);
        else if (*text)
            f->r->stop[f->r->n_stop++] = text;
    }
}

static void read_stop_tokens(struct fields *f)
{
    static const char name[] = "stop_token_ids";
    const json_t *v = field_get(f, name);
    const size_t n = json_array_size(v);
    if (v && !json_is_array(v))
        field_fail(f, name, "stop_token_ids is %s; an array of token ids is wanted",
                   field_kind(v));
    if (n > REQUEST_MAX_STOP_TOKENS)
        field_fail(f, name, "stop_token_ids holds %zu tokens; at most %d are taken", n,
                   REQUEST_MAX_STOP_TOKENS);
    for (size_t i = 0; i < n && !f->failed; i++) {
        const json_t *one = json_array_get(v, i);
        const json_int_t id = json_integer_value(one);
        if (!json_is_integer(one))
            field_fail(f, name, "stop_token_ids[%zu] is %s; a token id is wanted", i,
                       field_kind(one));
        else if (id < 0 || id > INT32_MAX)
            field_fail(f, name, "stop_token_ids: %" JSON_INTEGER_FORMAT " is no token id", id);
        else
            f->r->stop_tokens[f->r->n_stop_tokens++] = (int32_t)id;
    }
}

/* Two names, vLLM's and SGLang's. More than the reply may have would forbid its end to no end. */
static void read_min_tokens(struct fields *f)
{
    static const char *const names[] = { "min_new_tokens", "min_tokens" };
    struct request *r = f->r;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        field_u32(f, names[i], 0, INT32_MAX, &r->min_tokens);
        if (r->no_reply) r->min_tokens = 0;
        if (r->max_tokens && r->min_tokens > r->max_tokens)
            field_fail(f, names[i], "%s is %u; at most the %u of max_tokens are wanted", names[i],
                       r->min_tokens, r->max_tokens);
    }
}

/* llama-server's names, vLLM's and others. -1: no limit. */
static void read_thought_limit(struct fields *f)
{
    static const char *const names[] = { "reasoning_budget", "reasoning_budget_tokens",
                                         "thinking_budget", "thinking_token_budget",
                                         "thinking_budget_tokens" };
    json_int_t x;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!field_int(f, names[i], -1, INT32_MAX, &x)) continue;
        f->r->has_thought_limit = x >= 0;
        f->r->max_thought_tokens = x < 0 ? 0 : (uint32_t)x;
    }
}

void request_read_ending(struct fields *f)
{
    read_thought_limit(f);
    read_stop(f);
    read_stop_tokens(f);
    read_min_tokens(f);
}

#include "server/dialects/native.h"

#include <math.h>
#include <string.h>

#include "server/json_text.h"
#include "server/request_fields.h"
#include "server/sampler_list.h"

/* ---- translating ---------------------------------------------------------------------------- */

/* What is told of a reply, which OpenAI's routes refuse or have otherwise. */
static const char *const own[] = { "return_tokens", "response_fields", "n_probs" };

static bool check(const json_t *body, struct request_error *error)
{
    struct fields f = { .body = body, .error = error };
    const json_t *fields = field_get(&f, "response_fields"), *field;
    const json_t *n_probs = field_get(&f, "n_probs");
    bool has_tokens = false;
    size_t i;
    field_bool(&f, "return_tokens", &has_tokens);
    if (n_probs && !json_is_integer(n_probs))
        field_fail(&f, "n_probs", "n_probs is %s; an integer is wanted", field_kind(n_probs));
    if (fields && !json_is_array(fields))
        field_fail(&f, "response_fields", "response_fields is %s; an array of strings is wanted",
                   field_kind(fields));
    json_array_foreach((json_t *)(uintptr_t)fields, i, field)
        if (!json_is_string(field))
            field_fail(&f, "response_fields", "response_fields[%zu] is %s; a string is wanted", i,
                       field_kind(field));
    return !f.failed;
}

json_t *native_translate(struct completion *c, const json_t *body, struct request_error *error)
{
    (void)c;
    if (!check(body, error)) return NULL;
    json_t *to = json_copy((json_t *)(uintptr_t)body);
    json_t *n_probs = json_object_get(body, "n_probs");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) json_object_del(to, own[i]);
    if (json_integer_value(n_probs)) json_object_set(to, "logprobs", n_probs);
    else json_object_del(to, "logprobs");
    json_object_del(to, "echo");
    return to;
}

/* {"input_prefix", "input_suffix", "input_extra", "prompt"}: how the middle begins is `prompt`
 * there and a member of its own name here. */
json_t *native_translate_infill(struct completion *c, const json_t *body,
                                struct request_error *error)
{
    /* what OpenAI's completions call them */
    static const char *const names[][2] = { { "input_prefix", "prompt" },
                                            { "input_suffix", "suffix" } };
    struct fields f = { .body = body, .error = error };
    for (int i = 0; i < 2; i++) {
        const json_t *v = json_object_get(body, names[i][0]);
        if (!json_is_string(v))
            field_fail(&f, names[i][0], "%s is %s; a string is wanted", names[i][0], field_kind(v));
    }
    json_t *to = f.failed ? NULL : native_translate(c, body, error);
    if (!to) return NULL;
    const json_t *middle = field_get(&f, "prompt");
    json_object_set_new(to, "infill_prompt", middle ? json_incref((json_t *)(uintptr_t)middle)
                                                    : json_string(""));
    for (int i = 0; i < 2; i++) {
        json_object_set(to, names[i][1], json_object_get(body, names[i][0]));
        json_object_del(to, names[i][0]);
    }
    return to;
}

/* ---- what the answer tells of the request --------------------------------------------------- */

static json_t *biases(const struct request *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->sampling.n_bias; i++) {
        const double bias = (double)r->bias[i].bias;
        json_array_append_new(list, json_pack("{s:i, s:o}", "token", (int)r->bias[i].token, "bias",
                                              isfinite(bias) ? json_real(bias) : json_null()));
    }
    return list;
}

/* Under llama-server's names, and with its values where something is off. */
static json_t *settings(const struct completion *c)
{
    const struct request *r = &c->request;
    const json_int_t n_predict = r->no_reply ? 0 : r->max_tokens ? (json_int_t)r->max_tokens : -1;
    json_t *all = sampler_list(&r->sampling);
    json_t *more = json_pack(
        "{s:I, s:I, s:I, s:I, s:o, s:O, s:b, s:b, s:I}", "n_predict", n_predict, "max_tokens",
        n_predict, "seed", (json_int_t)r->sampling.seed, "min_tokens", (json_int_t)r->min_tokens,
        "logit_bias", biases(r), "stop", c->stops, "ignore_eos", r->ignore_eos, "stream",
        r->stream, "n_probs", r->logprobs ? (json_int_t)r->n_top_logprobs : 0);
    json_object_update(all, more);
    json_decref(more);
    return all;
}

/* Of a choice that answers it. */
static json_t *prompt_text(const struct completion *c, uint32_t prompt)
{
    const struct prompt *p = &c->prompt[prompt];
    pl_text text = { 0 };
    json_t *string = NULL;
    if (!pl_detokenize(c->engine, p->tokens.ids, p->tokens.n, true, &text, NULL))
        string = json_text_string(text.bytes ? text.bytes : "");
    pl_text_free(&text);
    return string ? string : json_string("");
}

static void release(void *kept)
{
    json_decref(kept);
}

void native_keep(struct completion *c, const json_t *body)
{
    json_t *prompts = json_array(), *fields = json_object_get(body, "response_fields");
    for (uint32_t i = 0; i < c->n_prompts; i++) json_array_append_new(prompts, prompt_text(c, i));
    json_t *kept = json_pack("{s:o, s:o, s:b}", "settings", settings(c), "prompts", prompts,
                        "has_tokens", json_is_true(json_object_get(body, "return_tokens")));
    if (json_array_size(fields))
        json_object_set_new(kept, "fields", json_deep_copy(fields));
    c->own = kept;
    c->free_own = release;
}

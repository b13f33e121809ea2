#include "server/completion_prompts.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static bool is_id_array(const json_t *v)
{
    return json_is_array(v) && json_array_size(v) && json_is_integer(json_array_get(v, 0));
}

static pl_status tokens_of_ids(const json_t *ids, pl_tokens *out, pl_err *err)
{
    size_t i;
    json_t *id;
    out->ids = malloc((json_array_size(ids) + 1) * sizeof *out->ids);
    if (!out->ids) return pl_fail(err, PL_E_MEMORY, "out of memory");
    json_array_foreach((json_t *)(uintptr_t)ids, i, id) {
        const json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value > INT32_MAX)
            return pl_fail(err, PL_E_PARAM, "prompt: an array of token ids holds something else");
        out->ids[out->n++] = (int32_t)value;
    }
    return PL_OK;
}

static pl_status tokens_of_prompt(const struct completion *c, const json_t *prompt, pl_tokens *out,
                                  pl_err *err)
{
    if (json_is_string(prompt))
        return pl_tokenize(c->engine, json_string_value(prompt), json_string_length(prompt),
                           PL_TOKENIZE_SPECIAL | PL_TOKENIZE_BOS, out, err);
    if (is_id_array(prompt)) return tokens_of_ids(prompt, out, err);
    return pl_fail(err, PL_E_PARAM, "prompt: a string, an array of strings, an array of token ids "
                   "or an array of such arrays is wanted");
}

/* A string is given back as it came; of tokens the text is. */
static pl_status echo_of_prompt(const struct completion *c, const json_t *prompt, struct prompt *to,
                                pl_err *err)
{
    pl_text text = { 0 };
    if (json_is_string(prompt)) {
        strbuf_add(&to->echo, json_string_value(prompt), json_string_length(prompt));
        return PL_OK;
    }
    const pl_status st = pl_detokenize(c->engine, to->tokens.ids, to->tokens.n, true, &text, err);
    if (!st) strbuf_add(&to->echo, text.bytes, text.n);
    pl_text_free(&text);
    return st;
}

static pl_status read_chat_prompt(const struct completion *c, struct prompt *to, pl_err *err)
{
    static const char mark[] = "<think>";
    const char *chat = c->request.chat;
    pl_text text = { 0 };
    const pl_status st = pl_chat_prompt(c->engine, chat, strlen(chat), &text, &to->tokens, err);
    size_t n = text.n;
    while (n && strchr(" \n\t", text.bytes[n - 1])) n--;
    to->is_thinking = n >= sizeof mark - 1 &&
                      !memcmp(text.bytes + n - (sizeof mark - 1), mark, sizeof mark - 1);
    pl_text_free(&text);
    return st;
}

static pl_status read_prompt(const struct completion *c, const json_t *prompt, struct prompt *to,
                             pl_err *err)
{
    const struct request *r = &c->request;
    if (r->is_chat) return read_chat_prompt(c, to, err);
    pl_status st = tokens_of_prompt(c, prompt, &to->tokens, err);
    if (!st && r->echo) st = echo_of_prompt(c, prompt, to, err);
    return st;
}

pl_status prompts_read(struct completion *c, pl_err *err)
{
    const json_t *prompt = c->request.prompt;
    const bool is_list = !c->request.is_chat && json_is_array(prompt) && !is_id_array(prompt);
    const size_t n = is_list ? json_array_size(prompt) : 1;
    if (n < 1 || n > REQUEST_MAX_PROMPTS)
        return pl_fail(err, PL_E_PARAM, "prompt: an array of 1 to %d prompts is wanted",
                       REQUEST_MAX_PROMPTS);
    c->prompt = calloc(n, sizeof *c->prompt);
    c->choice = calloc(n * c->request.n, sizeof *c->choice);
    if (!c->prompt || !c->choice) return pl_fail(err, PL_E_MEMORY, "out of memory");
    while (c->n_prompts < n) {
        const uint32_t i = c->n_prompts++;
        struct prompt *to = &c->prompt[i];
        const pl_status st = read_prompt(c, is_list ? json_array_get(prompt, i) : prompt, to, err);
        if (st) return st;
        to->n_tokens = to->tokens.n;
    }
    return PL_OK;
}

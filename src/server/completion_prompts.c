#include "server/completion_prompts.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "server/prompt_tokens.h"

/* Whether ids stand in the array, with or without texts between them: one prompt. */
static bool is_mixed(const json_t *v)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)(uintptr_t)v, i, one)
        if (json_is_integer(one)) return true;
    return false;
}

/* A text among ids begins as a prompt does where it is the first. */
static pl_status add_text(const struct completion *c, const json_t *text, pl_tokens *to,
                          pl_err *err)
{
    return prompt_tokens_add_text(to, c->engine, json_string_value(text), json_string_length(text),
                                  PL_TOKENIZE_SPECIAL | (to->n ? 0u : PL_TOKENIZE_BOS), err);
}

static pl_status tokens_of_array(const struct completion *c, const json_t *array, pl_tokens *out,
                                 pl_err *err)
{
    size_t i;
    json_t *one;
    pl_status st = PL_OK;
    json_array_foreach((json_t *)(uintptr_t)array, i, one) {
        int32_t id;
        if (json_is_string(one)) st = add_text(c, one, out, err);
        else if (prompt_token_id(one, &id)) st = prompt_tokens_add(out, &id, 1, err);
        else st = pl_fail(err, PL_E_PARAM, "prompt: an array of token ids holds something else");
        if (st) break;
    }
    return st;
}

/* {"prompt_string": ...}, as llama-server has it for prompts with images. */
static const json_t *prompt_string(const json_t *prompt)
{
    return json_object_get(prompt, "prompt_string");
}

static pl_status tokens_of_prompt(const struct completion *c, const json_t *prompt, pl_tokens *out,
                                  pl_err *err)
{
    const json_t *media = json_object_get(prompt, "multimodal_data");
    const json_t *text = json_is_object(prompt) ? prompt_string(prompt) : prompt;
    if (media && !json_is_null(media) && !(json_is_array(media) && !json_array_size(media)))
        return pl_fail(err, PL_E_PARAM, "prompt: multimodal_data is not supported by this version");
    if (json_is_string(text)) return add_text(c, text, out, err);
    if (is_mixed(prompt)) return tokens_of_array(c, prompt, out, err);
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

static pl_status read_chat_prompt(const struct completion *c, const char *chat, struct prompt *to,
                                  pl_err *err)
{
    static const char mark[] = "<think>";
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
    if (r->is_chat) return read_chat_prompt(c, r->chat[to - c->prompt], to, err);
    pl_status st = r->infill.prefix ? infill_tokens(c->engine, &r->infill, &to->tokens, err)
                                    : tokens_of_prompt(c, prompt, &to->tokens, err);
    if (!st && r->echo) st = echo_of_prompt(c, prompt, to, err);
    return st;
}

pl_status prompts_read(struct completion *c, pl_err *err)
{
    const json_t *prompt = c->request.prompt;
    const bool is_list = !c->request.is_chat && json_is_array(prompt) && !is_mixed(prompt);
    const size_t n = is_list ? json_array_size(prompt)
                             : c->request.is_chat ? c->request.n_chats : 1;
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

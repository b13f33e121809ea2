#include "engine/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/engine.h"

/* ---- open and close ------------------------------------------------------------------------- */

static char *copy_bytes(const char *bytes, size_t n)
{
    char *copy = malloc(n + 1);
    if (!copy) return NULL;
    if (n) memcpy(copy, bytes, n);
    copy[n] = 0;
    return copy;
}

static char *copy_token(const struct tokenizer *t, int32_t id)
{
    size_t n = 0;
    const char *bytes = id < 0 ? "" : tokenizer_bytes(t, id, &n);
    return copy_bytes(bytes, n);
}

static void add_name(void *arg, const char *name, size_t n)
{
    struct text *t = arg;
    if (n == 0 || memchr(name, 0, n)) return;   /* content holds no zero, so neither can match */
    strbuf_add(&t->control_bytes, name, n);
    strbuf_add(&t->control_bytes, "", 1);
    t->control.n++;
}

static pl_status collect_names(struct text *t, pl_err *err)
{
    tokenizer_each_control(t->tokenizer, add_name, t);
    const char **name = calloc(t->control.n + 1, sizeof *name);
    t->control.name = name;
    if (!name || t->control_bytes.failed)
        return pl_fail(err, PL_E_MEMORY, "no memory for %zu control tokens' names", t->control.n);
    const char *at = t->control_bytes.bytes;
    for (size_t i = 0; i < t->control.n; i++, at += strlen(at) + 1) name[i] = at;
    return PL_OK;
}

static pl_status open_template(struct text *t, const char *tool_use, const char *eos, pl_err *err)
{
    return chat_template_open(&t->template,
                              &(struct chat_template_source){ .chat = t->source.chat,
                                                              .tool_use = tool_use,
                                                              .bos = t->bos_text,
                                                              .eos = eos }, err);
}

static pl_status compile(struct text *t, bool is_chosen, pl_err *err)
{
    char *eos = copy_token(t->tokenizer, tokenizer_eos(t->tokenizer));
    if (!eos) return pl_fail(err, PL_E_MEMORY, "no memory for the chat template");
    pl_status st = open_template(t, t->source.tool_use, eos, &t->template_err);
    if (st == PL_E_TEMPLATE && t->source.tool_use) {
        PL_LOG(WARN, "text", "the file's template for tool use, or its other one, cannot be used "
               "(%s): the other one alone is tried", t->template_err.text);
        st = open_template(t, NULL, eos, &t->template_err);
    }
    free(eos);
    if (!st) return PL_OK;
    if (is_chosen || st == PL_E_MEMORY) return pl_fail(err, st, "%s", t->template_err.text);
    PL_LOG(WARN, "text", "the file's chat template cannot be used: %s", t->template_err.text);
    return PL_OK;
}

static void collect_ends(struct text *t)
{
    const int32_t n = (int32_t)tokenizer_n_vocab(t->tokenizer);
    for (int32_t id = 0; id < n && t->n_ends < TEXT_MAX_ENDS; id++)
        if (tokenizer_is_end(t->tokenizer, id)) t->end[t->n_ends++] = id;
}

pl_status text_open(struct text *t, const struct gguf *g, const char *chosen, pl_err *err)
{
    *t = (struct text){ 0 };
    pl_status st = tokenizer_open(&t->tokenizer, g, err);
    if (st) return st;
    t->bos_text = copy_token(t->tokenizer, tokenizer_bos(t->tokenizer));
    if (!t->bos_text) st = pl_fail(err, PL_E_MEMORY, "no memory for a token's text");
    if (!st) st = collect_names(t, err);
    if (!st) collect_ends(t);
    if (!st) st = template_choose(&t->source, g, chosen, err);
    if (!st && t->source.chat) st = compile(t, chosen != NULL, err);
    if (st) text_close(t);
    return st;
}

void text_close(struct text *t)
{
    chat_template_close(t->template);
    template_choice_free(&t->source);
    free(t->bos_text);
    free((void *)t->control.name);
    strbuf_free(&t->control_bytes);
    if (t->tokenizer) tokenizer_close(t->tokenizer);
    *t = (struct text){ 0 };
}

/* ---- tokens --------------------------------------------------------------------------------- */

PL_API void pl_tokens_free(pl_tokens *tokens)
{
    free(tokens->ids);
    *tokens = (pl_tokens){ 0 };
}

PL_API void pl_text_free(pl_text *text)
{
    free(text->bytes);
    *text = (pl_text){ 0 };
}

static pl_status add_token(struct token_list *list, int32_t id, pl_err *err)
{
    if (list->n == list->capacity) {
        const size_t capacity = list->capacity ? list->capacity * 2 : 64;
        int32_t *ids = realloc(list->ids, capacity * sizeof *ids);
        if (!ids) return pl_fail(err, PL_E_MEMORY, "no memory for %zu tokens", capacity);
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->n++] = id;
    return PL_OK;
}

/* Gives the list away, or frees it. */
static pl_status hand_out(struct token_list *list, pl_status st, pl_tokens *out)
{
    if (st)
        token_list_free(list);
    else
        *out = (pl_tokens){ list->ids, list->n };
    return st;
}

static bool wants_bos(const struct tokenizer *t)
{
    return tokenizer_adds_bos(t) && tokenizer_bos(t) >= 0;
}

static bool wants_eos(const struct tokenizer *t)
{
    return tokenizer_adds_eos(t) && tokenizer_eos(t) >= 0;
}

PL_API pl_status pl_tokenize(const pl_engine *e, const char *text, size_t n_bytes, unsigned flags,
                             pl_tokens *out, pl_err *err)
{
    const struct tokenizer *t = e->text.tokenizer;
    struct token_list list = { 0 };
    pl_status st = PL_OK;
    *out = (pl_tokens){ 0 };
    if ((flags & PL_TOKENIZE_BOS) && wants_bos(t)) st = add_token(&list, tokenizer_bos(t), err);
    if (!st)
        st = tokenizer_encode(t, text, n_bytes, flags & PL_TOKENIZE_SPECIAL, NULL, &list, err);
    if (!st && (flags & PL_TOKENIZE_BOS) && wants_bos(t) && list.n > 1 &&
        list.ids[1] == list.ids[0])
        PL_LOG(WARN, "text", "the text begins with the begin token, which is put before it too: it "
               "stands there twice");
    if (!st && (flags & PL_TOKENIZE_EOS) && wants_eos(t))
        st = add_token(&list, tokenizer_eos(t), err);
    return hand_out(&list, st, out);
}

/* Gives the text away, or frees it. */
static pl_status hand_out_text(struct strbuf *b, pl_text *out, pl_err *err)
{
    strbuf_add(b, "", 0);       /* there is a terminating zero even in an empty text */
    if (b->failed) {
        strbuf_free(b);
        return pl_fail(err, PL_E_MEMORY, "no memory for a text");
    }
    *out = (pl_text){ b->bytes, b->n };
    return PL_OK;
}

PL_API pl_status pl_detokenize(const pl_engine *e, const int32_t *ids, size_t n, bool special,
                               pl_text *out, pl_err *err)
{
    const struct tokenizer *t = e->text.tokenizer;
    struct strbuf b = { 0 };
    *out = (pl_text){ 0 };
    for (size_t i = 0; i < n; i++) {
        size_t n_bytes;
        const char *bytes = tokenizer_bytes(t, ids[i], &n_bytes);
        if (special || !tokenizer_is_control(t, ids[i])) strbuf_add(&b, bytes, n_bytes);
    }
    return hand_out_text(&b, out, err);
}

PL_API const char *pl_token_bytes(const pl_engine *e, int32_t id, size_t *n_bytes)
{
    return tokenizer_bytes(e->text.tokenizer, id, n_bytes);
}

PL_API int32_t pl_token_bos(const pl_engine *e)
{
    return tokenizer_bos(e->text.tokenizer);
}

PL_API int32_t pl_token_eos(const pl_engine *e)
{
    return tokenizer_eos(e->text.tokenizer);
}

PL_API const char *pl_chat_template(const pl_engine *e)
{
    return e->text.source.chat;
}

/* ---- conversations -------------------------------------------------------------------------- */

static bool begins_with(const struct strbuf *b, const char *text)
{
    const size_t n = strlen(text);
    return b->n >= n && !memcmp(b->bytes, text, n);
}

/* The template may write the begin token itself. */
static pl_status prompt_tokens(const struct text *t, const struct strbuf *b, const char *guard,
                               pl_tokens *out, pl_err *err)
{
    struct token_list list = { 0 };
    pl_status st = PL_OK;
    if (wants_bos(t->tokenizer) && !(*t->bos_text && begins_with(b, t->bos_text)))
        st = add_token(&list, tokenizer_bos(t->tokenizer), err);
    if (!st)
        st = tokenizer_encode(t->tokenizer, b->bytes, b->n, true, *guard ? guard : NULL, &list,
                              err);
    return hand_out(&list, st, out);
}

static void remove_guard(struct strbuf *b, const char *guard)
{
    const size_t n_guard = strlen(guard);
    size_t n = 0;
    if (!n_guard) return;
    for (size_t i = 0; i < b->n;) {
        if (b->n - i >= n_guard && !memcmp(b->bytes + i, guard, n_guard))
            i += n_guard;
        else
            b->bytes[n++] = b->bytes[i++];
    }
    b->n = n;
    b->bytes[n] = 0;
}

PL_API pl_status pl_chat_prompt(const pl_engine *e, const char *json, size_t n_bytes,
                                pl_text *text_out, pl_tokens *tokens_out, pl_err *err)
{
    const struct text *t = &e->text;
    struct strbuf b = { 0 };
    char guard[8];

    if (text_out) *text_out = (pl_text){ 0 };
    if (tokens_out) *tokens_out = (pl_tokens){ 0 };
    if (!t->source.chat)
        return pl_fail(err, PL_E_TEMPLATE, "the model file has no chat template: give one by "
                       "--chat-template NAME (chatml, llama3, ...) or --chat-template-file FILE");
    if (!t->template)
        return pl_fail(err, PL_E_TEMPLATE, "the model's own template cannot be used, give another "
                       "by --chat-template: %.120s", t->template_err.text);

    pl_status st = chat_template_render(t->template, json, n_bytes, &t->control, &b, guard, err);
    if (!st && tokens_out) st = prompt_tokens(t, &b, guard, tokens_out, err);
    if (!st && text_out) {
        remove_guard(&b, guard);
        st = hand_out_text(&b, text_out, err);
        if (st && tokens_out) pl_tokens_free(tokens_out);
        return st;
    }
    strbuf_free(&b);
    return st;
}

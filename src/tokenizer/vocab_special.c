/* What a file says of special tokens. An id that means none, or no token of the vocabulary, is told
 * and left out: files of older converters have -1 there, as a signed number or not. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "tokenizer/known_tokens.h"
#include "tokenizer/vocab_read.h"

static bool is_named(const struct vocab *v, uint32_t id, const char *name)
{
    if (id >= v->n_vocab) return false;
    size_t n;
    const char *text = vocab_text(v, id, &n);
    return n == strlen(name) && !memcmp(text, name, n);
}

static pl_status read_id(const struct vocab *v, const struct gguf *g, const char *key, int32_t *out,
                         pl_err *err)
{
    int64_t id;
    if (!gguf_has(g, key)) return PL_OK;
    const pl_status st = gguf_i64(g, key, &id, err);
    if (st) return st;
    if (id >= 0 && id < v->n_vocab)
        *out = (int32_t)id;
    else
        PL_LOG(WARN, "tokenizer", "%s is %" PRId64 ", which is no token of %u: it is ignored",
               key, id, v->n_vocab);
    return PL_OK;
}

/* A SentencePiece file that does not say has them where SentencePiece puts them. */
static void set_defaults(struct vocab *v)
{
    v->bos = v->eos = v->unknown = -1;
    if (!vocab_is_sentencepiece(v)) return;
    if (is_named(v, 0, "<unk>")) v->unknown = 0;
    if (is_named(v, 1, "<s>")) v->bos = 1;
    if (is_named(v, 2, "</s>")) v->eos = 2;
}

/* The control token of this name; -1: there is none. */
static int32_t find_control(const struct vocab *v, const char *name)
{
    for (uint32_t id = 0; id < v->n_vocab; id++)
        if (v->kind[id] == TOKEN_CONTROL && is_named(v, id, name)) return (int32_t)id;
    return -1;
}

/* Of gpt-oss, whose replies are several messages: each but the last ends with <|end|>. */
static void keep_replies_of_messages(struct vocab *v)
{
    const int32_t end = find_control(v, "<|end|>");
    if (end >= 0 && end != v->eos && find_control(v, "<|return|>") >= 0 &&
        find_control(v, "<|call|>") >= 0)
        v->is_end[end] = false;
}

static pl_status read_end_tokens(struct vocab *v, const struct gguf *g, pl_err *err)
{
    static const char *const keys[] = {
        "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
        "tokenizer.ggml.fim_pad_token_id", "tokenizer.ggml.fim_rep_token_id",
        "tokenizer.ggml.fim_sep_token_id",
    };

    if (v->eos >= 0) v->is_end[v->eos] = true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int32_t id = -1;
        const pl_status st = read_id(v, g, keys[i], &id, err);
        if (st) return st;
        if (id >= 0) v->is_end[id] = true;
    }
    for (uint32_t id = 0; id < v->n_vocab; id++) {
        size_t n;
        const char *text = vocab_text(v, id, &n);
        if (v->kind[id] == TOKEN_CONTROL && is_end_token_name(text, n)) v->is_end[id] = true;
    }
    keep_replies_of_messages(v);
    return PL_OK;
}

pl_status vocab_read_special(struct vocab *v, const struct gguf *g, pl_err *err)
{
    bool adds_bos = false;
    int32_t padding = -1;
    set_defaults(v);
    pl_status st = read_id(v, g, "tokenizer.ggml.bos_token_id", &v->bos, err);
    if (!st) st = read_id(v, g, "tokenizer.ggml.eos_token_id", &v->eos, err);
    if (!st) st = read_id(v, g, "tokenizer.ggml.unknown_token_id", &v->unknown, err);
    if (!st) st = read_id(v, g, "tokenizer.ggml.padding_token_id", &padding, err);
    if (!st) st = read_end_tokens(v, g, err);
    if (!st) st = gguf_bool_or(g, "tokenizer.ggml.add_bos_token", false, &adds_bos, err);
    if (!st) st = gguf_bool_or(g, "tokenizer.ggml.add_eos_token", false, &v->adds_eos, err);
    if (!st)
        st = gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", v->model == VOCAB_SENTENCEPIECE,
                          &v->adds_space, err);
    if (v->model == VOCAB_BYTE_LEVEL) v->adds_space = false;
    v->adds_bos = gguf_has(g, "tokenizer.ggml.add_bos_token") ? adds_bos : -1;
    if (v->model == VOCAB_SENTENCEPIECE_MERGES) v->adds_bos = 1;    /* whatever its files say */
    return st;
}

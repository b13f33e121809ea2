/* The face of the tokenizer: special tokens are cut out here, the rest goes to bpe.c or spm.c.
 *
 * Order of one call, and why:
 *   1. names of control tokens (if asked for) become tokens, in the text as it was given: a guard
 *      inside a name breaks it;
 *   2. the guard is removed from what is left, for SentencePiece a space is put before it where the
 *      file asks for that and U+2581 becomes a space, which is all that vocabulary can say;
 *   3. names of user-defined tokens become tokens: they are text with a token of its own, so a
 *      guard must not change how they are read;
 *   4. the rest is tokenized. Nothing there yields a control token (vocab.h I2).
 * Where a control token's name overlaps a user-defined one's the control token wins. */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "tokenizer/bpe.h"
#include "tokenizer/special.h"
#include "tokenizer/spm.h"
#include "tokenizer/tokenizer.h"

#define SPM_SPACE "\xe2\x96\x81" /* U+2581 */

struct tokenizer {
    struct vocab vocab;
    struct bpe bpe; /* closed for VOCAB_SENTENCEPIECE */
    struct special_set control;
    struct special_set user_defined;
};

static bool is_user_defined(const struct vocab *v, uint32_t id)
{
    return v->kind[id] == TOKEN_USER_DEFINED;
}

pl_status tokenizer_open(struct tokenizer **out, const struct gguf *g, pl_err *err)
{
    *out = NULL;
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t) return pl_fail(err, PL_E_MEMORY, "no memory for a tokenizer");

    pl_status st = vocab_open(&t->vocab, g, err);
    if (!st && t->vocab.model != VOCAB_SENTENCEPIECE) st = bpe_open(&t->bpe, &t->vocab, g, err);
    if (!st) st = special_open(&t->control, &t->vocab, vocab_is_control, err);
    if (!st) st = special_open(&t->user_defined, &t->vocab, is_user_defined, err);
    if (st)
        tokenizer_close(t);
    else
        *out = t;
    return st;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t) return;
    special_close(&t->user_defined);
    special_close(&t->control);
    bpe_close(&t->bpe);
    vocab_close(&t->vocab);
    free(t);
}

/* ---- facts ---------------------------------------------------------------------------------- */

static bool is_token(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (uint32_t)id < t->vocab.n_vocab;
}

uint32_t tokenizer_n_vocab(const struct tokenizer *t)
{
    return t->vocab.n_vocab;
}

size_t tokenizer_n_bytes(const struct tokenizer *t)
{
    return sizeof *t + vocab_n_bytes(&t->vocab) + bpe_n_bytes(&t->bpe) +
           (t->control.n + t->user_defined.n) * sizeof *t->control.id;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->vocab.bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->vocab.eos;
}

bool tokenizer_adds_eos(const struct tokenizer *t)
{
    return t->vocab.adds_eos;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    if (t->vocab.bos < 0) return false;
    if (t->vocab.adds_bos >= 0) return t->vocab.adds_bos;
    return vocab_is_sentencepiece(&t->vocab) || t->bpe.pretokeniser.family->adds_bos;
}

bool tokenizer_is_control(const struct tokenizer *t, int32_t id)
{
    return is_token(t, id) && vocab_is_control(&t->vocab, (uint32_t)id);
}

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    return is_token(t, id) && t->vocab.is_end[id];
}

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *n)
{
    if (is_token(t, id)) return vocab_text(&t->vocab, (uint32_t)id, n);
    *n = 0;
    return "";
}

void tokenizer_each_control(const struct tokenizer *t,
                            void (*fn)(void *arg, const char *name, size_t n), void *arg)
{
    for (uint32_t i = 0; i < t->control.n; i++) {
        size_t n;
        const char *name = vocab_text(&t->vocab, t->control.id[i], &n);
        fn(arg, name, n);
    }
}

/* ---- encoding ------------------------------------------------------------------------------- */

struct encoder {
    const struct tokenizer *t;
    const char *guard; /* NULL: none */
    size_t n_guard;
    struct merge_work work;
    struct strbuf rewritten; /* a run after step 2, where it differs from the text */
    struct token_list *out;
};

static pl_status encode_text(struct encoder *e, const char *text, size_t n, pl_err *err)
{
    if (n == 0) return PL_OK;
    const struct vocab *v = &e->t->vocab;
    const struct bpe *merges = v->model == VOCAB_SENTENCEPIECE_MERGES ? &e->t->bpe : NULL;
    if (vocab_is_sentencepiece(v)) return spm_encode(v, merges, text, n, &e->work, e->out, err);
    return bpe_encode(&e->t->bpe, text, n, &e->work, e->out, err);
}

/* Appends the text with each `from` replaced by `to`. */
static void add_replaced(struct strbuf *b, const char *text, size_t n, const char *from,
                         const char *to)
{
    const size_t n_from = strlen(from);
    const char *hit;

    while ((hit = memmem(text, n, from, n_from)) != NULL) {
        strbuf_add(b, text, (size_t)(hit - text));
        strbuf_add_str(b, to);
        n -= (size_t)(hit - text) + n_from;
        text = hit + n_from;
    }
    strbuf_add(b, text, n);
}

/* Step 2 on *text; it stays where nothing changes. */
static pl_status rewrite_run(struct encoder *e, const char **text, size_t *n, pl_err *err)
{
    const bool is_spm = vocab_is_sentencepiece(&e->t->vocab);
    const bool has_guard = e->guard && memmem(*text, *n, e->guard, e->n_guard);
    const bool has_escape = is_spm && memmem(*text, *n, SPM_SPACE, strlen(SPM_SPACE));
    if (!has_guard && !has_escape && !e->t->vocab.adds_space) return PL_OK;

    struct strbuf unguarded = { 0 };
    if (has_guard) {
        add_replaced(&unguarded, *text, *n, e->guard, "");
        *text = unguarded.bytes;
        *n = unguarded.n;
    }
    strbuf_clear(&e->rewritten);
    if (*n) {
        if (e->t->vocab.adds_space) strbuf_add_str(&e->rewritten, " ");
        if (is_spm)
            add_replaced(&e->rewritten, *text, *n, SPM_SPACE, " ");
        else
            strbuf_add(&e->rewritten, *text, *n);
    }
    const bool failed = unguarded.failed || e->rewritten.failed;
    strbuf_free(&unguarded);
    if (failed) return pl_fail(err, PL_E_MEMORY, "no memory to tokenize a text of %zu bytes", *n);
    *text = e->rewritten.bytes;
    *n = e->rewritten.n;
    return PL_OK;
}

/* Text in which no control token is looked for (any more): steps 2 to 4. */
static pl_status encode_run(struct encoder *e, const char *text, size_t n, pl_err *err)
{
    if (n == 0) return PL_OK;
    pl_status st = rewrite_run(e, &text, &n, err);
    if (st || n == 0) return st;

    size_t done = 0;
    struct special_match m;
    while (!st && special_find(&e->t->user_defined, &e->t->vocab, text, n, done, &m)) {
        st = encode_text(e, text + done, m.at - done, err);
        if (!st) st = token_list_push(e->out, (int32_t)m.id, err);
        done = m.at + m.n_bytes;
    }
    return st ? st : encode_text(e, text + done, n - done, err);
}

static pl_status encode_all(struct encoder *e, const char *text, size_t n, bool special,
                            pl_err *err)
{
    size_t done = 0;
    struct special_match m;
    pl_status st = PL_OK;

    while (!st && special && special_find(&e->t->control, &e->t->vocab, text, n, done, &m)) {
        st = encode_run(e, text + done, m.at - done, err);
        if (!st) st = token_list_push(e->out, (int32_t)m.id, err);
        done = m.at + m.n_bytes;
    }
    return st ? st : encode_run(e, text + done, n - done, err);
}

pl_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t n_bytes,
                           bool special, const char *guard, struct token_list *out, pl_err *err)
{
    if (n_bytes > INT32_MAX)
        return pl_fail(err, PL_E_PARAM, "the text has %zu bytes; at most 2 GiB can be tokenized",
                       n_bytes);

    if (n_bytes == 0) return PL_OK;

    struct encoder e = { .t = t, .out = out };
    if (guard && *guard) {
        e.guard = guard;
        e.n_guard = strlen(guard);
    }
    const size_t n_before = out->n;
    pl_status st = encode_all(&e, text, n_bytes, special, err);
    if (st) out->n = n_before; /* all or nothing */
    merge_free(&e.work);
    strbuf_free(&e.rewritten);
    return st;
}

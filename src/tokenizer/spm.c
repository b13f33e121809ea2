#include "tokenizer/spm.h"
#include "tokenizer/utf8.h"

struct encoding {
    const struct vocab *v;
    const struct bpe *merges;   /* NULL: by score */
    const char *text;
};

/* Neighbours are contiguous in the text, so what they become is looked up there. */
static uint32_t rank_pair(const void *arg, const struct merge_symbol *left,
                          const struct merge_symbol *right, int32_t *joined)
{
    const struct encoding *e = arg;
    if (e->merges) return bpe_rank(e->merges, left->id, right->id, joined);
    *joined = vocab_find(e->v, e->text + left->start, (size_t)left->n_bytes + right->n_bytes);
    return *joined < 0 ? MERGE_NONE : e->v->rank[*joined];
}

/* A character that is no token: its bytes. Neighbouring bytes without a token become one unknown
 * token together, as SentencePiece has it. */
static pl_status push_bytes(const struct vocab *v, const char *bytes, size_t n, bool *was_unknown,
                            struct token_list *out, pl_err *err)
{
    pl_status st = PL_OK;

    for (size_t i = 0; !st && i < n; i++) {
        const int32_t id = v->byte_id[(unsigned char)bytes[i]];
        if (id >= 0 || !*was_unknown) st = token_list_push(out, id >= 0 ? id : v->unknown, err);
        *was_unknown = id < 0;
    }
    return st;
}

static pl_status encode_piece(const struct vocab *v, const struct bpe *merges, const char *text,
                              size_t n, struct merge_work *work, struct token_list *out,
                              pl_err *err)
{
    if (!merge_begin(work, n))
        return pl_fail(err, PL_E_MEMORY, "no memory to tokenize a text of %zu bytes", n);

    for (size_t i = 0; i < n;) {
        const int length = utf8_length((const unsigned char *)text + i, n - i);
        const size_t step = length > 0 ? (size_t)length : 1;
        merge_add(work, i, step, vocab_find(v, text + i, step));
        i += step;
    }
    const struct encoding e = { v, merges, text };
    merge_run(work, rank_pair, &e);

    bool was_unknown = false;
    pl_status st = PL_OK;
    for (uint32_t i = 0; !st && i != MERGE_NONE; i = work->symbol[i].next) {
        const struct merge_symbol *s = &work->symbol[i];
        if (s->id >= 0) {
            st = token_list_push(out, s->id, err);
            was_unknown = false;
        } else {
            st = push_bytes(v, text + s->start, s->n_bytes, &was_unknown, out, err);
        }
    }
    return st;
}

/* From the text's beginning to where newlines end or begin. */
static size_t run_of_lines(const char *text, size_t n)
{
    size_t i = 1;
    while (i < n && (text[i] == '\n') == (text[0] == '\n')) i++;
    return i;
}

pl_status spm_encode(const struct vocab *v, const struct bpe *merges, const char *text, size_t n,
                     struct merge_work *work, struct token_list *out, pl_err *err)
{
    pl_status st = PL_OK;
    for (size_t step; !st && n; text += step, n -= step) {
        step = merges ? run_of_lines(text, n) : n;
        const int32_t whole = merges && *text == '\n' ? vocab_find(v, text, step) : -1;
        st = whole >= 0 ? token_list_push(out, whole, err)
                        : encode_piece(v, merges, text, step, work, out, err);
    }
    return st;
}

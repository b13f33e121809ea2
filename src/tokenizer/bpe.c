#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_level.h"

/* ---- merges --------------------------------------------------------------------------------- */

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The place where the pair is or would be. */
static struct bpe_merge *find_place(const struct bpe *b, uint64_t pair)
{
    for (uint32_t i = (uint32_t)((pair ^ pair >> 29) * 0x9e3779b97f4a7c15u >> 32);; i++) {
        struct bpe_merge *place = &b->place[i & (b->n_places - 1)];
        if (place->id < 0 || place->pair == pair) return place;
    }
}

static size_t decode(const struct vocab *v, const char *s, size_t n, char *out)
{
    return vocab_is_sentencepiece(v) ? vocab_unescape(s, n, out) : byte_level_decode(s, n, out);
}

/* "left right". What names tokens that the vocabulary lacks (or a control token) can never be
 * joined and is counted, not kept; of a pair listed twice the first counts. */
static pl_status add_merge(struct bpe *b, struct gguf_string s, uint32_t rank,
                           struct strbuf *buffer, uint32_t *n_useless, pl_err *err)
{
    const char *space = s.n > 2 ? memchr(s.bytes + 1, ' ', s.n - 2) : NULL;
    if (!space)
        return pl_fail(err, PL_E_FORMAT, "merge %u is not two tokens and a space between them",
                       rank);

    strbuf_clear(buffer);
    strbuf_add(buffer, s.bytes, s.n);
    if (buffer->failed) return pl_fail(err, PL_E_MEMORY, "no memory for a merge of %zu bytes", s.n);

    const size_t n_first = (size_t)(space - s.bytes);
    const size_t n_left = decode(b->vocab, s.bytes, n_first, buffer->bytes);
    const size_t n_right = decode(b->vocab, space + 1, s.n - n_first - 1, buffer->bytes + n_left);
    const int32_t left = vocab_find(b->vocab, buffer->bytes, n_left);
    const int32_t right = vocab_find(b->vocab, buffer->bytes + n_left, n_right);
    const int32_t id = vocab_find(b->vocab, buffer->bytes, n_left + n_right);
    if (left < 0 || right < 0 || id < 0) {
        ++*n_useless;
        return PL_OK;
    }
    struct bpe_merge *place = find_place(b, pair_of(left, right));
    if (place->id < 0) *place = (struct bpe_merge){ pair_of(left, right), rank, id };
    return PL_OK;
}

static pl_status read_merges(struct bpe *b, const struct gguf *g, pl_err *err)
{
    struct gguf_array merges;
    pl_status st = gguf_array(g, "tokenizer.ggml.merges", GGUF_STRING, &merges, err);
    if (st) return st;
    if (merges.n > 1u << 28)
        return pl_fail(err, PL_E_FORMAT, "the vocabulary has %llu merges; at most 2^28",
                       (unsigned long long)merges.n);

    b->n_places = 2;
    while (b->n_places < 3 * merges.n / 2 + 1) b->n_places *= 2;
    b->place = malloc(b->n_places * sizeof *b->place);
    if (!b->place) return pl_fail(err, PL_E_MEMORY, "no memory for %u merges", b->n_places);
    for (uint32_t i = 0; i < b->n_places; i++) b->place[i].id = -1;

    struct strbuf buffer = { 0 };
    uint32_t n_useless = 0;
    const uint8_t *at = merges.data;
    for (uint32_t rank = 0; !st && rank < merges.n; rank++)
        st = add_merge(b, gguf_next_string(&at), rank, &buffer, &n_useless, err);
    strbuf_free(&buffer);
    if (n_useless)
        PL_LOG(WARN, "tokenizer", "merges that name no token of the vocabulary n=%u", n_useless);
    return st;
}

/* ---- opening -------------------------------------------------------------------------------- */

static pl_status open_pretokeniser(struct bpe *b, const struct gguf *g, pl_err *err)
{
    struct gguf_string name = { "default", 7 };

    if (gguf_has(g, "tokenizer.ggml.pre")) {
        pl_status st = gguf_string(g, "tokenizer.ggml.pre", &name, err);
        if (st) return st;
    } else {
        PL_LOG(WARN, "tokenizer", "the file names no pre-tokenizer; GPT-2's is used");
    }
    return pretokeniser_open(&b->pretokeniser, name.bytes, name.n, err);
}

pl_status bpe_open(struct bpe *b, const struct vocab *v, const struct gguf *g, pl_err *err)
{
    *b = (struct bpe){ .vocab = v };

    pl_status st = vocab_is_sentencepiece(v) ? PL_OK : open_pretokeniser(b, g, err);
    if (!st) st = read_merges(b, g, err);
    if (st) bpe_close(b);
    return st;
}

void bpe_close(struct bpe *b)
{
    pretokeniser_close(&b->pretokeniser);
    free(b->place);
    *b = (struct bpe){ 0 };
}

size_t bpe_n_bytes(const struct bpe *b)
{
    return b->n_places * sizeof *b->place + pretokeniser_n_bytes(&b->pretokeniser);
}

/* ---- encoding ------------------------------------------------------------------------------- */

struct encoding {
    const struct bpe *b;
    struct merge_work *work;
    struct token_list *out;
};

uint32_t bpe_rank(const struct bpe *b, int32_t left, int32_t right, int32_t *joined)
{
    if (left < 0 || right < 0) return MERGE_NONE;

    const struct bpe_merge *place = find_place(b, pair_of(left, right));
    if (place->id < 0) return MERGE_NONE;
    *joined = place->id;
    return place->rank;
}

static uint32_t rank_pair(const void *arg, const struct merge_symbol *left,
                          const struct merge_symbol *right, int32_t *joined)
{
    return bpe_rank(arg, left->id, right->id, joined);
}

static pl_status encode_piece(void *arg, const char *piece, size_t n, pl_err *err)
{
    const struct encoding *e = arg;
    const struct vocab *v = e->b->vocab;

    if (e->b->pretokeniser.family->whole_words) {
        const int32_t id = vocab_find(v, piece, n);
        if (id >= 0 && v->kind[id] == TOKEN_NORMAL) return token_list_push(e->out, id, err);
    }
    if (!merge_begin(e->work, n))
        return pl_fail(err, PL_E_MEMORY, "no memory to tokenize a piece of %zu bytes", n);
    for (size_t i = 0; i < n; i++) merge_add(e->work, i, 1, v->byte_id[(unsigned char)piece[i]]);
    merge_run(e->work, rank_pair, e->b);

    pl_status st = PL_OK;
    for (uint32_t i = 0; !st && i != MERGE_NONE; i = e->work->symbol[i].next)
        if (e->work->symbol[i].id >= 0) st = token_list_push(e->out, e->work->symbol[i].id, err);
    return st;
}

pl_status bpe_encode(const struct bpe *b, const char *text, size_t n, struct merge_work *work,
                     struct token_list *out, pl_err *err)
{
    struct encoding e = { b, work, out };
    return pretokeniser_split(&b->pretokeniser, text, n, encode_piece, &e, err);
}

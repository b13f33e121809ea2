#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/vocab_read.h"

enum { MAX_VOCAB = 1 << 24 };

/* ---- hash table ----------------------------------------------------------------------------- */

static uint32_t hash_bytes(const char *bytes, size_t n)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ n;

    for (; n >= 8; bytes += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    uint64_t tail = 0;
    if (n) memcpy(&tail, bytes, n);
    h = (h ^ tail) * 0xc4ceb9fe1a85ec53u;
    return (uint32_t)(h >> 32);
}

/* The place where these bytes are or would be. */
static uint32_t *find_place(const struct vocab *v, const char *bytes, size_t n)
{
    for (uint32_t i = hash_bytes(bytes, n);; i++) {
        uint32_t *place = &v->place[i & (v->n_places - 1)];
        if (*place == 0) return place;
        size_t n_token;
        const char *token = vocab_text(v, *place - 1, &n_token);
        if (n_token == n && memcmp(token, bytes, n) == 0) return place;
    }
}

int32_t vocab_find(const struct vocab *v, const char *bytes, size_t n)
{
    if (n == 0 || n > v->max_token_bytes) return -1;
    return (int32_t)*find_place(v, bytes, n) - 1;
}

/* A user-defined token of a byte-level vocabulary is written in plain text: what is no ASCII there
 * is not what the alphabet of bytes would spell. */
static bool is_spelled(const struct vocab *v, uint32_t id)
{
    size_t n;
    const char *text = vocab_text(v, id, &n);
    for (size_t i = 0; i < n; i++)
        if (text[i] < '!' || text[i] > '~') return false;
    return true;
}

static bool is_joinable(const struct vocab *v, uint32_t id)
{
    if (vocab_is_control(v, id) || v->kind[id] == TOKEN_BYTE || v->kind[id] == TOKEN_RAW)
        return false;
    return v->model != VOCAB_BYTE_LEVEL || v->kind[id] != TOKEN_USER_DEFINED || is_spelled(v, id);
}

/* Of tokens with equal bytes the first one counts. */
static pl_status build_hash(struct vocab *v, pl_err *err)
{
    v->n_places = 2;
    while (v->n_places < 2 * v->n_vocab) v->n_places *= 2;
    v->place = calloc(v->n_places, sizeof *v->place);
    if (!v->place) return pl_fail(err, PL_E_MEMORY, "no memory for %u token places", v->n_places);

    for (uint32_t id = 0; id < v->n_vocab; id++) {
        size_t n;
        const char *text = vocab_text(v, id, &n);
        if (n == 0 || !is_joinable(v, id)) continue;
        if (n > v->max_token_bytes) v->max_token_bytes = (uint32_t)n;
        uint32_t *place = find_place(v, text, n);
        if (*place == 0) *place = id + 1;
    }
    return PL_OK;
}

/* ---- tokens --------------------------------------------------------------------------------- */

size_t vocab_unescape(const char *s, size_t n, char *out)
{
    size_t n_out = 0;

    for (size_t i = 0; i < n;) {
        if (n - i >= 3 && memcmp(s + i, "\xe2\x96\x81", 3) == 0) {
            out[n_out++] = ' ';
            i += 3;
        } else {
            out[n_out++] = s[i++];
        }
    }
    return n_out;
}

/* Writes the bytes of a token, never more than its text has. */
static size_t decode_token(struct vocab *v, uint32_t id, struct gguf_string s, char *out)
{
    if (vocab_is_sentencepiece(v)) {
        const int byte = v->kind[id] == TOKEN_BYTE ? vocab_byte_of_name(s.bytes, s.n) : -1;
        if (byte >= 0) {
            out[0] = (char)byte;
            v->byte_id[byte] = (int32_t)id;
            return 1;
        }
        if (!vocab_is_control(v, id)) return vocab_unescape(s.bytes, s.n, out);
    } else if (v->kind[id] == TOKEN_NORMAL || v->kind[id] == TOKEN_UNUSED) {
        if (!byte_level_is_spelled(s.bytes, s.n)) v->kind[id] = TOKEN_RAW;
        return byte_level_decode(s.bytes, s.n, out);
    }
    if (s.n) memcpy(out, s.bytes, s.n);
    return s.n;
}

static pl_status read_tokens(struct vocab *v, const struct gguf *g, pl_err *err)
{
    struct gguf_array tokens;
    pl_status st = gguf_array(g, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, err);
    if (st) return st;
    if (tokens.n == 0 || tokens.n > MAX_VOCAB)
        return pl_fail(err, PL_E_FORMAT, "the vocabulary has %llu tokens; 1 to %d are supported",
                       (unsigned long long)tokens.n, MAX_VOCAB);
    v->n_vocab = (uint32_t)tokens.n;

    uint64_t n_bytes = 0;
    const uint8_t *at = tokens.data;
    for (uint32_t id = 0; id < v->n_vocab; id++) n_bytes += gguf_next_string(&at).n;
    if (n_bytes > UINT32_MAX)
        return pl_fail(err, PL_E_FORMAT, "the tokens have %llu bytes of text; at most 4 GiB",
                       (unsigned long long)n_bytes);

    v->text = malloc(n_bytes + 1);
    v->offset = malloc((v->n_vocab + 1u) * sizeof *v->offset);
    v->kind = calloc(v->n_vocab, sizeof *v->kind);
    v->is_end = calloc(v->n_vocab, sizeof *v->is_end);
    if (!v->text || !v->offset || !v->kind || !v->is_end)
        return pl_fail(err, PL_E_MEMORY, "no memory for %u tokens", v->n_vocab);

    st = vocab_read_kinds(v, g, &tokens, err);
    if (st) return st;
    uint32_t n = 0;
    at = tokens.data;
    for (uint32_t id = 0; id < v->n_vocab; id++) {
        v->offset[id] = n;
        n += (uint32_t)decode_token(v, id, gguf_next_string(&at), v->text + n);
    }
    v->offset[v->n_vocab] = n;
    return PL_OK;
}

/* ---- scores --------------------------------------------------------------------------------- */

struct scored {
    float score;
    uint32_t id;
};

static int by_falling_score(const void *a, const void *b)
{
    const float x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return (x < y) - (x > y);
}

static pl_status read_scores(struct vocab *v, const struct gguf *g, pl_err *err)
{
    struct gguf_array scores;
    if (!gguf_has(g, "tokenizer.ggml.scores")) {  /* all alike: the leftmost pair is joined first */
        PL_LOG(WARN, "tokenizer", "the file has no scores of tokens: all count alike");
        v->rank = calloc(v->n_vocab, sizeof *v->rank);
        return v->rank ? PL_OK : pl_fail(err, PL_E_MEMORY, "no memory for %u scores", v->n_vocab);
    }
    pl_status st = gguf_floats(g, "tokenizer.ggml.scores", &scores, err);
    if (st) return st;
    if (scores.n != v->n_vocab)
        return pl_fail(err, PL_E_FORMAT, "tokenizer.ggml.scores has %llu entries for %u tokens",
                       (unsigned long long)scores.n, v->n_vocab);

    v->rank = malloc(v->n_vocab * sizeof *v->rank);
    struct scored *order = malloc(v->n_vocab * sizeof *order);
    if (!v->rank || !order) {
        free(order);
        return pl_fail(err, PL_E_MEMORY, "no memory for %u scores", v->n_vocab);
    }
    for (uint32_t id = 0; id < v->n_vocab; id++) {
        order[id] = (struct scored){ gguf_array_float(&scores, id), id };
        if (isnan(order[id].score)) st = pl_fail(err, PL_E_FORMAT, "token %u has no score", id);
    }
    if (!st) {
        qsort(order, v->n_vocab, sizeof *order, by_falling_score);
        uint32_t rank = 0;
        for (uint32_t i = 0; i < v->n_vocab; i++) {
            if (i && order[i].score < order[i - 1].score) rank = i;
            v->rank[order[i].id] = rank;
        }
    }
    free(order);
    return st;
}

/* ---- opening --------------------------------------------------------------------------------- */

static pl_status read_model(struct vocab *v, const struct gguf *g, pl_err *err)
{
    struct gguf_string name;
    pl_status st = gguf_string(g, "tokenizer.ggml.model", &name, err);
    if (st) return st;

    if (name.n == 4 && memcmp(name.bytes, "gpt2", 4) == 0)
        v->model = VOCAB_BYTE_LEVEL;
    else if (name.n == 5 && memcmp(name.bytes, "llama", 5) == 0)
        v->model = VOCAB_SENTENCEPIECE;
    else if (name.n == 6 && memcmp(name.bytes, "gemma4", 6) == 0)
        v->model = VOCAB_SENTENCEPIECE_MERGES;
    else
        return pl_fail(err, PL_E_UNSUPPORTED,
                       "tokenizer.ggml.model is '%.*s'; gpt2, llama and gemma4 are supported",
                       (int)(name.n < 64 ? name.n : 64), name.bytes);
    return PL_OK;
}

/* Every byte must have a way in, be it the unknown token. (Byte-level files may lack some bytes:
 * real ones do, and leave out what UTF-8 never or hardly ever holds.) */
static pl_status check_bytes(struct vocab *v, pl_err *err)
{
    uint32_t n_bytes = 0;

    for (int b = 0; b < 256; b++) {
        if (v->model == VOCAB_BYTE_LEVEL)
            v->byte_id[b] = vocab_find(v, &(const char){ (char)b }, 1);
        n_bytes += v->byte_id[b] >= 0;
    }
    if (v->model == VOCAB_BYTE_LEVEL && n_bytes == 0)
        return pl_fail(err, PL_E_FORMAT, "the vocabulary has no token of a single byte");
    if (vocab_is_sentencepiece(v) && n_bytes < 256 && v->unknown < 0)
        return pl_fail(err, PL_E_FORMAT,
                       "the vocabulary has %u of 256 byte tokens and no unknown token", n_bytes);
    return PL_OK;
}

pl_status vocab_open(struct vocab *v, const struct gguf *g, pl_err *err)
{
    *v = (struct vocab){ 0 };
    for (int b = 0; b < 256; b++) v->byte_id[b] = -1;

    pl_status st = read_model(v, g, err);
    if (!st) st = read_tokens(v, g, err);
    if (!st && v->model == VOCAB_SENTENCEPIECE) st = read_scores(v, g, err);
    if (!st) st = build_hash(v, err);
    if (!st) st = vocab_read_special(v, g, err);
    if (!st) st = check_bytes(v, err);
    if (st) vocab_close(v);
    return st;
}

void vocab_close(struct vocab *v)
{
    free(v->text);
    free(v->offset);
    free(v->kind);
    free(v->is_end);
    free(v->rank);
    free(v->place);
    *v = (struct vocab){ 0 };
}

size_t vocab_n_bytes(const struct vocab *v)
{
    size_t n = v->offset[v->n_vocab] + 1;
    n += (v->n_vocab + 1) * sizeof *v->offset + v->n_vocab * (sizeof *v->kind + sizeof *v->is_end);
    if (v->rank) n += v->n_vocab * sizeof *v->rank;
    return n + v->n_places * sizeof *v->place;
}

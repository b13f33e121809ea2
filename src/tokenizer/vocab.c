#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/byte_level.h"
#include "tokenizer/end_tokens.h"
#include "tokenizer/vocab.h"

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

/* The slot where these bytes are or would be. */
static uint32_t *find_slot(const struct vocab *v, const char *bytes, size_t n)
{
    for (uint32_t i = hash_bytes(bytes, n);; i++) {
        uint32_t *slot = &v->slot[i & (v->n_slots - 1)];
        if (*slot == 0) return slot;
        size_t n_token;
        const char *token = vocab_text(v, *slot - 1, &n_token);
        if (n_token == n && memcmp(token, bytes, n) == 0) return slot;
    }
}

int32_t vocab_find(const struct vocab *v, const char *bytes, size_t n)
{
    if (n == 0 || n > v->max_token_bytes) return -1;
    return (int32_t)*find_slot(v, bytes, n) - 1;
}

static bool is_joinable(const struct vocab *v, uint32_t id)
{
    return !vocab_is_control(v, id) && v->kind[id] != TOKEN_BYTE;
}

/* Of tokens with equal bytes the first one counts. */
static pl_status build_hash(struct vocab *v, pl_err *err)
{
    v->n_slots = 2;
    while (v->n_slots < 2 * v->n_vocab) v->n_slots *= 2;
    v->slot = calloc(v->n_slots, sizeof *v->slot);
    if (!v->slot) return pl_fail(err, PL_E_MEMORY, "no memory for %u token slots", v->n_slots);

    for (uint32_t id = 0; id < v->n_vocab; id++) {
        size_t n;
        const char *text = vocab_text(v, id, &n);
        if (n == 0 || !is_joinable(v, id)) continue;
        if (n > v->max_token_bytes) v->max_token_bytes = (uint32_t)n;
        uint32_t *slot = find_slot(v, text, n);
        if (*slot == 0) *slot = id + 1;
    }
    return PL_OK;
}

/* ---- tokens --------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* "<0x0A>" is how SentencePiece names the token of one byte. -1: something else. */
static int parse_byte_name(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    const int high = hex_digit(s[3]), low = hex_digit(s[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* SentencePiece writes a space as U+2581. */
static size_t unescape_spaces(const char *s, size_t n, char *out)
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
    if (v->model == VOCAB_SENTENCEPIECE) {
        const int byte = v->kind[id] == TOKEN_BYTE ? parse_byte_name(s.bytes, s.n) : -1;
        if (byte >= 0) {
            out[0] = (char)byte;
            v->byte_id[byte] = (int32_t)id;
            return 1;
        }
        if (!vocab_is_control(v, id)) return unescape_spaces(s.bytes, s.n, out);
    } else if (v->kind[id] == TOKEN_NORMAL || v->kind[id] == TOKEN_UNUSED) {
        return byte_level_decode(s.bytes, s.n, out);
    }
    if (s.n) memcpy(out, s.bytes, s.n);
    return s.n;
}

/* A file without token types may still have byte tokens: their names are unmistakable. */
static pl_status read_kinds(struct vocab *v, const struct gguf *g, const struct gguf_array *tokens,
                            pl_err *err)
{
    if (!gguf_has(g, "tokenizer.ggml.token_type")) {
        const uint8_t *at = tokens->data;
        for (uint32_t id = 0; id < v->n_vocab; id++) {
            const struct gguf_string s = gguf_next_string(&at);
            const bool is_byte =
                v->model == VOCAB_SENTENCEPIECE && parse_byte_name(s.bytes, s.n) >= 0;
            v->kind[id] = is_byte ? TOKEN_BYTE : TOKEN_NORMAL;
        }
        return PL_OK;
    }

    struct gguf_array kinds;
    pl_status st = gguf_array(g, "tokenizer.ggml.token_type", GGUF_I32, &kinds, err);
    if (st) return st;
    if (kinds.n != v->n_vocab)
        return pl_fail(err, PL_E_FORMAT, "tokenizer.ggml.token_type has %llu entries for %u tokens",
                       (unsigned long long)kinds.n, v->n_vocab);
    for (uint32_t id = 0; id < v->n_vocab; id++) {
        const int32_t kind = gguf_array_i32(&kinds, id);
        if (kind < 0 || kind >= N_TOKEN_KINDS)
            return pl_fail(err, PL_E_FORMAT, "token %u has type %d; types are 0 to %d", id, kind,
                           N_TOKEN_KINDS - 1);
        v->kind[id] = (uint8_t)(kind == TOKEN_UNDEFINED ? TOKEN_NORMAL : kind);
    }
    return PL_OK;
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

    st = read_kinds(v, g, &tokens, err);
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
    pl_status st = gguf_array(g, "tokenizer.ggml.scores", GGUF_F32, &scores, err);
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
        order[id] = (struct scored){ gguf_array_f32(&scores, id), id };
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

/* ---- special tokens ------------------------------------------------------------------------- */

static pl_status read_id(const struct vocab *v, const struct gguf *g, const char *key, int32_t *out,
                         pl_err *err)
{
    *out = -1;
    if (!gguf_has(g, key)) return PL_OK;

    uint32_t id;
    pl_status st = gguf_u32(g, key, &id, err);
    if (st) return st;
    if (id >= v->n_vocab)
        return pl_fail(err, PL_E_FORMAT, "%s is %u; the vocabulary has %u tokens", key, id,
                       v->n_vocab);
    *out = (int32_t)id;
    return PL_OK;
}

static pl_status read_end_tokens(struct vocab *v, const struct gguf *g, pl_err *err)
{
    static const char *const keys[] = { "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id" };

    if (v->eos >= 0) v->is_end[v->eos] = true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int32_t id;
        pl_status st = read_id(v, g, keys[i], &id, err);
        if (st) return st;
        if (id >= 0) v->is_end[id] = true;
    }
    for (uint32_t id = 0; id < v->n_vocab; id++) {
        size_t n;
        const char *text = vocab_text(v, id, &n);
        if (v->kind[id] == TOKEN_CONTROL && is_end_token_name(text, n)) v->is_end[id] = true;
    }
    return PL_OK;
}

static pl_status read_special(struct vocab *v, const struct gguf *g, pl_err *err)
{
    bool adds_bos = false;
    pl_status st = read_id(v, g, "tokenizer.ggml.bos_token_id", &v->bos, err);
    if (!st) st = read_id(v, g, "tokenizer.ggml.eos_token_id", &v->eos, err);
    if (!st) st = read_id(v, g, "tokenizer.ggml.unknown_token_id", &v->unknown, err);
    if (!st) st = read_end_tokens(v, g, err);
    if (!st) st = gguf_bool_or(g, "tokenizer.ggml.add_bos_token", false, &adds_bos, err);
    if (!st)
        st = gguf_bool_or(g, "tokenizer.ggml.add_space_prefix", v->model == VOCAB_SENTENCEPIECE,
                          &v->adds_space, err);
    if (v->model == VOCAB_BYTE_LEVEL) v->adds_space = false;
    v->adds_bos = gguf_has(g, "tokenizer.ggml.add_bos_token") ? adds_bos : -1;
    return st;
}

static pl_status read_model(struct vocab *v, const struct gguf *g, pl_err *err)
{
    struct gguf_string name;
    pl_status st = gguf_string(g, "tokenizer.ggml.model", &name, err);
    if (st) return st;

    if (name.n == 4 && memcmp(name.bytes, "gpt2", 4) == 0)
        v->model = VOCAB_BYTE_LEVEL;
    else if (name.n == 5 && memcmp(name.bytes, "llama", 5) == 0)
        v->model = VOCAB_SENTENCEPIECE;
    else
        return pl_fail(err, PL_E_UNSUPPORTED,
                       "tokenizer.ggml.model is '%.*s'; gpt2 and llama are supported",
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
    if (v->model == VOCAB_SENTENCEPIECE && n_bytes < 256 && v->unknown < 0)
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
    if (!st) st = read_special(v, g, err);
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
    free(v->slot);
    *v = (struct vocab){ 0 };
}

size_t vocab_n_bytes(const struct vocab *v)
{
    size_t n = v->offset[v->n_vocab] + 1;
    n += (v->n_vocab + 1) * sizeof *v->offset + v->n_vocab * (sizeof *v->kind + sizeof *v->is_end);
    if (v->rank) n += v->n_vocab * sizeof *v->rank;
    return n + v->n_slots * sizeof *v->slot;
}

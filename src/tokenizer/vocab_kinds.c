/* Token types, as the file states them and as they are put right. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "tokenizer/known_tokens.h"
#include "tokenizer/vocab_read.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

/* "<0x0A>" is how SentencePiece names the token of one byte. -1: something else. */
int vocab_byte_of_name(const char *s, size_t n)
{
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    const int high = hex_digit(s[3]), low = hex_digit(s[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* A file without token types may still have byte tokens: their names are unmistakable. */
static void guess_kinds(struct vocab *v, const struct gguf_array *tokens)
{
    const uint8_t *at = tokens->data;
    for (uint32_t id = 0; id < v->n_vocab; id++) {
        const struct gguf_string s = gguf_next_string(&at);
        const bool is_byte =
            vocab_is_sentencepiece(v) && vocab_byte_of_name(s.bytes, s.n) >= 0;
        v->kind[id] = is_byte ? TOKEN_BYTE : TOKEN_NORMAL;
    }
}

static pl_status read_kinds(struct vocab *v, const struct gguf *g, pl_err *err)
{
    struct gguf_array kinds;
    pl_status st = gguf_integers(g, "tokenizer.ggml.token_type", &kinds, err);
    if (st) return st;
    if (kinds.n != v->n_vocab)
        return pl_fail(err, PL_E_FORMAT, "tokenizer.ggml.token_type has %llu entries for %u tokens",
                       (unsigned long long)kinds.n, v->n_vocab);
    for (uint32_t id = 0; id < v->n_vocab; id++) {
        const int64_t kind = gguf_array_integer(&kinds, id);
        if (kind < 0 || kind >= N_TOKEN_KINDS)
            return pl_fail(err, PL_E_FORMAT, "token %u has type %" PRId64 "; types are 0 to %d", id,
                           kind, N_TOKEN_KINDS - 1);
        v->kind[id] = (uint8_t)(kind == TOKEN_UNDEFINED ? TOKEN_NORMAL : kind);
    }
    return PL_OK;
}

/* ---- types put right ------------------------------------------------------------------------ */

static bool equals(struct gguf_string s, const char *text)
{
    return s.n == strlen(text) && !memcmp(s.bytes, text, s.n);
}

/* Whether a merge makes this token: then it is a piece of text that many texts had, such as the
 * </s> of HTML in Qwen 2.5. */
static bool is_merged(const struct gguf *g, struct gguf_string token)
{
    struct gguf_array merges;
    if (!gguf_has(g, "tokenizer.ggml.merges") ||
        gguf_array(g, "tokenizer.ggml.merges", GGUF_STRING, &merges, NULL))
        return false;
    const uint8_t *at = merges.data;
    for (uint64_t i = 0; i < merges.n; i++) {
        const struct gguf_string s = gguf_next_string(&at);
        const char *space = s.n == token.n + 1 ? memchr(s.bytes + 1, ' ', s.n - 1) : NULL;
        const size_t n_left = space ? (size_t)(space - s.bytes) : 0;
        if (space && !memcmp(s.bytes, token.bytes, n_left) &&
            !memcmp(space + 1, token.bytes + n_left, token.n - n_left))
            return true;
    }
    return false;
}

/* The token of this text, or -1. */
static int64_t find_text(const struct vocab *v, const struct gguf_array *tokens, const char *text)
{
    const uint8_t *at = tokens->data;
    for (uint32_t id = 0; id < v->n_vocab; id++)
        if (equals(gguf_next_string(&at), text)) return id;
    return -1;
}

/* Gemma's vocabulary has tags of HTML, <s> and </s> among them, as text. */
static bool is_tag(const struct vocab *v, const struct gguf_array *tokens, struct gguf_string s)
{
    if (!equals(s, "</s>")) return false;
    const int64_t opening = find_text(v, tokens, "<s>");
    return opening >= 0 && v->kind[opening] != TOKEN_CONTROL;
}

static bool is_stated_end(const struct gguf *g, uint32_t id)
{
    static const char *const keys[] = { "tokenizer.ggml.eos_token_id",
                                        "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id" };
    uint32_t stated;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (gguf_has(g, keys[i]) && !gguf_u32(g, keys[i], &stated, NULL) && stated == id)
            return true;
    return false;
}

static void put_kinds_right(struct vocab *v, const struct gguf *g, const struct gguf_array *tokens)
{
    static const char *const kinds[] = { "undefined", "normal", "unknown", "control",
                                         "user-defined", "unused", "byte" };
    const uint8_t *at = tokens->data;
    for (uint32_t id = 0; id < v->n_vocab; id++) {
        const struct gguf_string s = gguf_next_string(&at);
        if (v->kind[id] == TOKEN_CONTROL || !is_control_token_name(s.bytes, s.n)) continue;
        if (!is_stated_end(g, id) && (is_merged(g, s) || is_tag(v, tokens, s))) continue;
        PL_LOG(WARN, "tokenizer", "token %u, %.*s, is a control token; the file types it as %s", id,
               (int)s.n, s.bytes, kinds[v->kind[id]]);
        v->kind[id] = TOKEN_CONTROL;
    }
}

pl_status vocab_read_kinds(struct vocab *v, const struct gguf *g, const struct gguf_array *tokens,
                           pl_err *err)
{
    pl_status st = PL_OK;
    if (gguf_has(g, "tokenizer.ggml.token_type")) st = read_kinds(v, g, err);
    else guess_kinds(v, tokens);
    if (!st) put_kinds_right(v, g, tokens);
    return st;
}

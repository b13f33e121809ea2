/* Random bytes through small vocabularies of every kind. Checked (tokenizer.h): ids are in range,
 * control tokens come out only where asked for, what comes back are the same bytes (I2), a guard
 * changes nothing but the control tokens it breaks, and utf8_stream makes the same well-formed text
 * wherever its input is cut. The first byte chooses the vocabulary and the cut. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/utf8.h"
#include "../unit/tokenizer/small_vocab.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */
#define GUARD      "\xef\xb7\x90" /* U+FDD0 */

enum { N_BYTE_LEVEL = 8, N_TOKENIZERS = N_BYTE_LEVEL + 1 };

static void check(bool holds, const char *claim)
{
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", claim);
    abort();
}

static struct tokenizer *const *tokenizers(void)
{
    static const char *const pre[N_BYTE_LEVEL] = {
        "gpt-2",  "smollm",       "llama-bpe",      "qwen2",
        "gpt-4o", "deepseek-llm", "deepseek-coder", "deepseek-v3",
    };
    static struct tokenizer *open[N_TOKENIZERS];
    if (open[0]) return open;

    pl_err err = { 0 };
    pl_status st = PL_OK;
    for (int i = 0; !st && i < N_BYTE_LEVEL; i++) {
        const struct small_vocab s = {
            .pre = pre[i],
            .token = { { "<|x|>", TOKEN_CONTROL, 0 },
                       { "<|", TOKEN_CONTROL, 0 },
                       { "  ", TOKEN_USER_DEFINED, 0 },
                       { "ab", TOKEN_USER_DEFINED, 0 },
                       { "aa", TOKEN_NORMAL, 0 },
                       { "aaaa", TOKEN_NORMAL, 0 },
                       { "\xc4\xa0"
                         "a",
                         TOKEN_NORMAL, 0 },
                       { "|>", TOKEN_NORMAL, 0 } },
            .merge = { "a a", "\xc4\xa0 a", "aa aa", "| >" },
        };
        st = open_byte_level(&s, &open[i], &err);
    }
    const struct small_vocab s = {
        .token = { { SPACE_MARK, TOKEN_NORMAL, -5 },
                   { "a", TOKEN_NORMAL, -5 },
                   { "aa", TOKEN_NORMAL, -1 },
                   { "aaa", TOKEN_NORMAL, -1 },
                   { SPACE_MARK "a", TOKEN_NORMAL, -2 },
                   { "\xc3\xa9", TOKEN_NORMAL, -3 },
                   { "<|x|>", TOKEN_CONTROL, 0 },
                   { "  ", TOKEN_USER_DEFINED, 0 } },
    };
    if (!st) st = open_sentencepiece(&s, &open[N_BYTE_LEVEL], &err);
    check(!st, err.text);
    return open;
}

static struct token_list encode(const struct tokenizer *t, const char *text, size_t n, bool special,
                                const char *guard)
{
    pl_err err = { 0 };
    struct token_list list = { 0 };
    check(!tokenizer_encode(t, text, n, special, guard, &list, &err), err.text);
    for (size_t i = 0; i < list.n; i++) {
        check(list.ids[i] >= 0 && (uint32_t)list.ids[i] < tokenizer_n_vocab(t), "ids are in range");
        check(special || !tokenizer_is_control(t, list.ids[i]),
              "no control token unless asked for");
    }
    return list;
}

static void check_bytes(const struct tokenizer *t, const struct token_list *list, const char *text,
                        size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < list->n; i++) {
        size_t n_bytes;
        const char *bytes = tokenizer_bytes(t, list->ids[i], &n_bytes);
        check(n_bytes <= n - at && memcmp(bytes, text + at, n_bytes) == 0, "the bytes come back");
        at += n_bytes;
    }
    check(at == n, "all bytes come back");
}

static void check_guard(const struct tokenizer *t, const char *text, size_t n, size_t cut)
{
    if (memmem(text, n, GUARD, strlen(GUARD))) return;

    struct strbuf guarded = { 0 };
    strbuf_add(&guarded, text, cut);
    strbuf_add_str(&guarded, GUARD);
    strbuf_add(&guarded, text + cut, n - cut);
    /* The guard's bytes beside others must not make one more guard. */
    const char *first = memmem(guarded.bytes, guarded.n, GUARD, strlen(GUARD));
    if (first == guarded.bytes + cut) {
        struct token_list plain = encode(t, text, n, false, NULL);
        struct token_list same = encode(t, guarded.bytes, guarded.n, false, GUARD);
        check(plain.n == same.n && (!plain.n || !memcmp(plain.ids, same.ids, plain.n * 4)),
              "a guard leaves no trace");
        struct token_list special = encode(t, guarded.bytes, guarded.n, true, GUARD);
        check_bytes(t, &special, text, n);
        token_list_free(&plain);
        token_list_free(&same);
        token_list_free(&special);
    }
    strbuf_free(&guarded);
}

static void check_stream(const char *text, size_t n, size_t cut)
{
    char *out = malloc(2 * (3 * n + 3 * UTF8_STREAM_SLACK));
    check(out != NULL, "there is memory");
    char *again = out + 3 * n + 3 * UTF8_STREAM_SLACK;

    struct utf8_stream s = { 0 };
    size_t n_out = utf8_stream_push(&s, text, n, out);
    n_out += utf8_stream_finish(&s, out + n_out);
    size_t n_again = utf8_stream_push(&s, text, cut, again);
    n_again += utf8_stream_push(&s, text + cut, n - cut, again + n_again);
    n_again += utf8_stream_finish(&s, again + n_again);
    check(n_out == n_again && memcmp(out, again, n_out) == 0, "a cut changes nothing");

    for (size_t at = 0; at < n_out;) {
        const int length = utf8_length((const unsigned char *)out + at, n_out - at);
        check(length > 0, "the text is well-formed");
        at += (size_t)length;
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
    if (n_data == 0) return 0;
    const struct tokenizer *t = tokenizers()[data[0] % N_TOKENIZERS];
    const char *text = (const char *)data + 1;
    const size_t n = n_data - 1, cut = n ? data[0] / N_TOKENIZERS % (n + 1) : 0;

    check_stream(text, n, cut);
    if (data[0] % N_TOKENIZERS == N_BYTE_LEVEL && memmem(text, n, SPACE_MARK, 3)) return 0;

    struct token_list plain = encode(t, text, n, false, NULL);
    check_bytes(t, &plain, text, n);
    token_list_free(&plain);
    struct token_list special = encode(t, text, n, true, NULL);
    check_bytes(t, &special, text, n);
    token_list_free(&special);
    check_guard(t, text, n, cut);
    return 0;
}

/* Comparing tokens in tests. Include after cmocka.h. */
#ifndef TEST_CHECK_TOKENS_H
#define TEST_CHECK_TOKENS_H

#include "small_vocab.h"

static inline void print_ids(struct strbuf *b, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) strbuf_addf(b, " %d", ids[i]);
}

/* want ends with -1. */
static inline void check_tokens_n(const struct tokenizer *t, const char *text, size_t n,
                                  bool special, const char *guard, const int *want)
{
    pl_err err = { 0 };
    struct token_list got = { 0 };
    if (tokenizer_encode(t, text, n, special, guard, &got, &err)) fail_msg("%s", err.text);

    size_t n_want = 0;
    while (want[n_want] >= 0) n_want++;
    if (got.n != n_want || (n_want && memcmp(got.ids, want, n_want * sizeof *want) != 0)) {
        struct strbuf message = { 0 };
        strbuf_addf(&message, "\"%.*s\": got", (int)n, text);
        print_ids(&message, got.ids, got.n);
        strbuf_add_str(&message, ", want");
        print_ids(&message, want, n_want);
        fail_msg("%s", message.bytes);
    }
    token_list_free(&got);
}

static inline void check_tokens(const struct tokenizer *t, const char *text, bool special,
                                const char *guard, const int *want)
{
    check_tokens_n(t, text, strlen(text), special, guard, want);
}

/* tokenizer.h I2. `prefix` is what the file asks to put before a text that is not empty. */
static inline void check_round_trip(const struct tokenizer *t, const char *text, size_t n,
                                    const char *prefix, uint64_t seed)
{
    pl_err err = { 0 };
    struct token_list list = { 0 };
    if (tokenizer_encode(t, text, n, false, NULL, &list, &err)) fail_msg("%s", err.text);

    struct strbuf back = { 0 };
    strbuf_add_str(&back, "");
    for (size_t i = 0; i < list.n; i++) {
        size_t n_bytes;
        const char *bytes = tokenizer_bytes(t, list.ids[i], &n_bytes);
        strbuf_add(&back, bytes, n_bytes);
    }
    const size_t n_prefix = n ? strlen(prefix) : 0;
    if (back.n != n + n_prefix || memcmp(back.bytes, prefix, n_prefix) != 0 ||
        memcmp(back.bytes + n_prefix, text, n) != 0)
        fail_msg("seed %llu: %zu bytes came back as %zu: \"%s\"", (unsigned long long)seed, n,
                 back.n, back.bytes);
    strbuf_free(&back);
    token_list_free(&list);
}

#endif

/* Byte-level BPE on small vocabularies: the order of joining, pieces, bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "check_tokens.h"

static struct tokenizer *open_bpe(const struct small_vocab *s)
{
    pl_err err = { 0 };
    struct tokenizer *t;
    if (open_byte_level(s, &t, &err)) fail_msg("%s", err.text);
    return t;
}

/* The merge that stands first in the list wins, wherever it is in the text. */
static void test_merges_apply_in_the_order_of_the_list(void **state)
{
    (void)state;
    struct tokenizer *t = open_bpe(&(struct small_vocab){
        .pre = "gpt-2",
        .token = { { "bc", TOKEN_NORMAL, 0 },
                   { "ab", TOKEN_NORMAL, 0 },
                   { "abc", TOKEN_NORMAL, 0 } },
        .merge = { "b c", "a b", "ab c" },
    });
    check_tokens(t, "abc", false, NULL, (int[]){ 'a', 256, -1 });
    check_tokens(t, "abd", false, NULL, (int[]){ 257, 'd', -1 });
    tokenizer_close(t);
}

static void test_equal_pairs_join_from_the_left(void **state)
{
    (void)state;
    struct tokenizer *t = open_bpe(&(struct small_vocab){
        .pre = "gpt-2",
        .token = { { "aa", TOKEN_NORMAL, 0 }, { "aaaa", TOKEN_NORMAL, 0 } },
        .merge = { "a a", "aa aa" },
    });
    check_tokens(t, "aaa", false, NULL, (int[]){ 256, 'a', -1 });
    check_tokens(t, "aaaaaaa", false, NULL, (int[]){ 257, 256, 'a', -1 });
    tokenizer_close(t);
}

static void test_nothing_joins_across_pieces(void **state)
{
    (void)state;
    struct tokenizer *t = open_bpe(&(struct small_vocab){
        .pre = "gpt-2",
        .token = { { "a1", TOKEN_NORMAL, 0 }, { "\xc4\xa0x", TOKEN_NORMAL, 0 } },
        .merge = { "a 1", "\xc4\xa0 x" },
    });
    check_tokens(t, "a1 x", false, NULL, (int[]){ 'a', '1', 257, -1 });
    tokenizer_close(t);
}

/* Llama 3: a piece that is a token needs no path of merges to it. */
static void test_whole_words_need_no_merges(void **state)
{
    (void)state;
    struct small_vocab s = { .pre = "llama-bpe", .token = { { "word", TOKEN_NORMAL, 0 } } };
    struct tokenizer *t = open_bpe(&s);
    check_tokens(t, "word", false, NULL, (int[]){ 256, -1 });
    tokenizer_close(t);

    s.pre = "qwen2";
    t = open_bpe(&s);
    check_tokens(t, "word", false, NULL, (int[]){ 'w', 'o', 'r', 'd', -1 });
    tokenizer_close(t);
}

static void test_tokens_stand_for_bytes_of_the_alphabet(void **state)
{
    (void)state;
    struct tokenizer *t = open_bpe(&(struct small_vocab){
        .pre = "gpt-2",
        .token = { { "\xc4\xa0hi\xc4\x8a", TOKEN_NORMAL, 0 } },
    });
    for (int b = 0; b < 256; b++) {
        size_t n;
        const char *bytes = tokenizer_bytes(t, b, &n);
        assert_int_equal(n, 1);
        assert_int_equal((unsigned char)bytes[0], b);
    }
    size_t n;
    const char *bytes = tokenizer_bytes(t, 256, &n);
    assert_int_equal(n, 4);
    assert_memory_equal(bytes, " hi\n", 4);
    tokenizer_bytes(t, 257, &n);
    assert_int_equal(n, 0);
    tokenizer_bytes(t, -1, &n);
    assert_int_equal(n, 0);
    tokenizer_close(t);
}

/* ---- against the definition ----------------------------------------------------------------- */

enum { N_LETTERS = 3, N_RANDOM_MERGES = 24 };

struct random_bpe {
    char text[MAX_ADDED][40]; /* of token 256 + i */
    char line[MAX_ADDED][64];
    int left[MAX_ADDED], right[MAX_ADDED];
    struct small_vocab vocab;
};

static void make_random_bpe(struct random_bpe *r, struct rng *rng)
{
    *r = (struct random_bpe){ .vocab.pre = "gpt-2" };
    int n = 0;
    while (n < N_RANDOM_MERGES) {
        const char *part[2];
        char letter[2][2] = { "", "" };
        int id[2];
        for (int side = 0; side < 2; side++) {
            const int pick = (int)rng_below(rng, (uint64_t)(N_LETTERS + n));
            letter[side][0] = (char)('a' + pick);
            part[side] = pick < N_LETTERS ? letter[side] : r->text[pick - N_LETTERS];
            id[side] = pick < N_LETTERS ? 'a' + pick : 256 + pick - N_LETTERS;
        }
        if (strlen(part[0]) + strlen(part[1]) > 16) continue;
        snprintf(r->text[n], sizeof r->text[n], "%s%s", part[0], part[1]);
        snprintf(r->line[n], sizeof r->line[n], "%s %s", part[0], part[1]);
        bool is_new = true;
        for (int i = 0; i < n; i++) is_new &= strcmp(r->text[i], r->text[n]) != 0;
        if (!is_new) continue;
        r->left[n] = id[0];
        r->right[n] = id[1];
        r->vocab.token[n] = (struct added_token){ r->text[n], TOKEN_NORMAL, 0 };
        r->vocab.merge[n] = r->line[n];
        n++;
    }
}

/* Joins the first pair of the list, leftmost, until there is none: the definition, quadratic. */
static size_t join_naively(const struct random_bpe *r, int *ids, size_t n)
{
    for (;;) {
        int best = N_RANDOM_MERGES;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (int m = 0; m < best; m++)
                if (ids[i] == r->left[m] && ids[i + 1] == r->right[m]) {
                    best = m;
                    at = i;
                }
        if (best == N_RANDOM_MERGES) return n;
        ids[at] = 256 + best;
        memmove(&ids[at + 1], &ids[at + 2], (n - at - 2) * sizeof *ids);
        n--;
    }
}

static void test_joining_agrees_with_its_definition(void **state)
{
    (void)state;
    const uint64_t seed = 11;
    struct rng rng;
    rng_seed(&rng, seed);

    for (int round = 0; round < 40; round++) {
        struct random_bpe r;
        make_random_bpe(&r, &rng);
        struct tokenizer *t = open_bpe(&r.vocab);
        for (int i = 0; i < 25; i++) {
            char text[200];
            int want[201];
            size_t n = 1 + rng_below(&rng, 199);
            for (size_t j = 0; j < n; j++)
                want[j] = text[j] = (char)('a' + rng_below(&rng, N_LETTERS));
            const size_t n_want = join_naively(&r, want, n);
            want[n_want] = -1;
            check_tokens_n(t, text, n, false, NULL, want);
        }
        tokenizer_close(t);
    }
}

/* Bytes that form no character are a piece of their own; NUL is text. */
static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    struct tokenizer *t = open_bpe(&(struct small_vocab){
        .pre = "gpt-2",
        .token = { { "\xc3\xbf\xc3\xbf", TOKEN_NORMAL, 0 } }, /* the bytes ff ff */
        .merge = { "\xc3\xbf \xc3\xbf" },
    });
    check_tokens_n(t, "a\xff\xff", 3, false, NULL, (int[]){ 'a', 256, -1 });
    check_tokens_n(t, "\0\0", 2, false, NULL, (int[]){ 0, 0, -1 });
    check_tokens_n(t, "\xe2\x82", 2, false, NULL, (int[]){ 0xe2, 0x82, -1 });
    check_tokens_n(t, "", 0, true, NULL, (int[]){ -1 });
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges_apply_in_the_order_of_the_list),
        cmocka_unit_test(test_equal_pairs_join_from_the_left),
        cmocka_unit_test(test_nothing_joins_across_pieces),
        cmocka_unit_test(test_whole_words_need_no_merges),
        cmocka_unit_test(test_tokens_stand_for_bytes_of_the_alphabet),
        cmocka_unit_test(test_joining_agrees_with_its_definition),
        cmocka_unit_test(test_bytes_that_are_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

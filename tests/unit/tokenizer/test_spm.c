/* SentencePiece-style vocabularies: scores, byte fallback, spaces. Token ids: small_vocab.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "check_tokens.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */

enum { UNKNOWN = 0, BYTE = 3, ADDED = BYTE + 256 };

static struct tokenizer *open_spm(const struct small_vocab *s)
{
    pl_err err = { 0 };
    struct tokenizer *t;
    if (open_sentencepiece(s, &t, &err)) fail_msg("%s", err.text);
    return t;
}

static void test_the_best_score_joins_first(void **state)
{
    (void)state;
    struct tokenizer *t = open_spm(&(struct small_vocab){
        .token = { { "a", TOKEN_NORMAL, -9 },
                   { "b", TOKEN_NORMAL, -9 },
                   { "c", TOKEN_NORMAL, -9 },
                   { "ab", TOKEN_NORMAL, -2 },
                   { "bc", TOKEN_NORMAL, -1 },
                   { "abb", TOKEN_NORMAL, -3 } },
    });
    check_tokens(t, "abc", false, NULL, (int[]){ ADDED, ADDED + 4, -1 });
    check_tokens(t, "abbc", false, NULL, (int[]){ ADDED + 3, ADDED + 4, -1 });
    check_tokens(t, "abb", false, NULL, (int[]){ ADDED + 5, -1 });
    tokenizer_close(t);
}

static void test_equal_scores_join_from_the_left(void **state)
{
    (void)state;
    struct tokenizer *t = open_spm(&(struct small_vocab){
        .token = { { "a", TOKEN_NORMAL, -9 },
                   { "b", TOKEN_NORMAL, -9 },
                   { "ba", TOKEN_NORMAL, -1 },
                   { "ab", TOKEN_NORMAL, -1 } },
    });
    check_tokens(t, "aba", false, NULL, (int[]){ ADDED + 3, ADDED, -1 });
    check_tokens(t, "bab", false, NULL, (int[]){ ADDED + 2, ADDED + 1, -1 });
    tokenizer_close(t);
}

/* A token may be joined from characters that are no tokens themselves. */
static void test_characters_without_a_token_still_join(void **state)
{
    (void)state;
    struct tokenizer *t = open_spm(&(struct small_vocab){
        .token = { { "xy", TOKEN_NORMAL, -1 }, { "xyz", TOKEN_NORMAL, -2 } },
    });
    check_tokens(t, "xyzx", false, NULL, (int[]){ ADDED + 1, BYTE + 'x', -1 });
    tokenizer_close(t);
}

static void test_what_is_no_token_becomes_bytes(void **state)
{
    (void)state;
    struct tokenizer *t = open_spm(&(struct small_vocab){
        .token = { { "a", TOKEN_NORMAL, -1 } },
    });
    check_tokens(t, "a\xc3\xa9", false, NULL, (int[]){ ADDED, BYTE + 0xc3, BYTE + 0xa9, -1 });
    check_tokens(t, "\xff\xc3", false, NULL, (int[]){ BYTE + 0xff, BYTE + 0xc3, -1 });
    check_tokens_n(t, "\0", 1, false, NULL, (int[]){ BYTE, -1 });

    size_t n;
    const char *bytes = tokenizer_bytes(t, BYTE + 0xc3, &n);
    assert_int_equal(n, 1);
    assert_int_equal((unsigned char)*bytes, 0xc3);
    tokenizer_close(t);
}

static void test_without_byte_tokens_unknown_runs_are_one_token(void **state)
{
    (void)state;
    struct tokenizer *t = open_spm(&(struct small_vocab){
        .no_bytes = true,
        .token = { { "a", TOKEN_NORMAL, -1 } },
        .id_key = "tokenizer.ggml.unknown_token_id",
        .id_value = UNKNOWN,
    });
    check_tokens(t, "a\xc3\xa9zza?", false, NULL, (int[]){ 3, UNKNOWN, 3, UNKNOWN, -1 });
    tokenizer_close(t);
}

/* The names of control and byte tokens are not what their text may join to. */
static void test_no_text_joins_to_a_control_or_byte_token(void **state)
{
    (void)state;
    struct tokenizer *t = open_spm(&(struct small_vocab){
        .token = { { "<s", TOKEN_NORMAL, -1 } },
    });
    check_tokens(t, "<s>", false, NULL, (int[]){ ADDED, BYTE + '>', -1 });
    check_tokens(t, "<s>", true, NULL, (int[]){ 1, -1 });
    check_tokens(
        t, "<0x0A>", true, NULL,
        (int[]){ BYTE + '<', BYTE + '0', BYTE + 'x', BYTE + '0', BYTE + 'A', BYTE + '>', -1 });
    tokenizer_close(t);
}

static void test_spaces(void **state)
{
    (void)state;
    struct small_vocab s = {
        .token = { { SPACE_MARK, TOKEN_NORMAL, -3 },
                   { "a", TOKEN_NORMAL, -3 },
                   { SPACE_MARK "a", TOKEN_NORMAL, -1 } },
    };
    struct tokenizer *t = open_spm(&s);
    check_tokens(t, "a a", false, NULL, (int[]){ ADDED + 1, ADDED + 2, -1 });
    check_tokens(t, "a" SPACE_MARK "a", false, NULL, (int[]){ ADDED + 1, ADDED + 2, -1 });
    size_t n;
    assert_memory_equal(tokenizer_bytes(t, ADDED + 2, &n), " a", 2);
    assert_int_equal(n, 2);
    tokenizer_close(t);

    s.adds_space = true;
    t = open_spm(&s);
    check_tokens(t, "a a", false, NULL, (int[]){ ADDED + 2, ADDED + 2, -1 });
    check_tokens(t, "", false, NULL, (int[]){ -1 });
    check_tokens(t, "<s>a", true, NULL, (int[]){ 1, ADDED + 2, -1 });
    tokenizer_close(t);
}

static void test_round_trip(void **state)
{
    (void)state;
    const uint64_t seed = 12;
    struct rng rng;
    rng_seed(&rng, seed);

    for (int adds_space = 0; adds_space < 2; adds_space++) {
        struct tokenizer *t = open_spm(&(struct small_vocab){
            .adds_space = adds_space,
            .token = { { SPACE_MARK, TOKEN_NORMAL, -3 },
                       { "a", TOKEN_NORMAL, -3 },
                       { SPACE_MARK "a", TOKEN_NORMAL, -1 },
                       { "\xc3\xa9", TOKEN_NORMAL, -4 },
                       { "a\xc3\xa9", TOKEN_NORMAL, -4 },
                       { "  ", TOKEN_USER_DEFINED, 0 } },
        });
        for (int i = 0; i < 2000; i++) {
            char text[64];
            const size_t n = rng_below(&rng, sizeof text);
            for (size_t j = 0; j < n; j++)
                text[j] = rng_below(&rng, 3) ? "a  \xc3\xa9z"[rng_below(&rng, 6)]
                                             : (char)rng_below(&rng, 256);
            check_round_trip(t, text, n, adds_space ? " " : "", seed);
        }
        tokenizer_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_best_score_joins_first),
        cmocka_unit_test(test_equal_scores_join_from_the_left),
        cmocka_unit_test(test_characters_without_a_token_still_join),
        cmocka_unit_test(test_what_is_no_token_becomes_bytes),
        cmocka_unit_test(test_without_byte_tokens_unknown_runs_are_one_token),
        cmocka_unit_test(test_no_text_joins_to_a_control_or_byte_token),
        cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

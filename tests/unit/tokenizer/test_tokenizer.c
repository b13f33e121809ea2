/* Special tokens, the guard, round trips, hostile vocabularies, whole characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "check_tokens.h"

enum { EOS = 256, START, LONG_START, TOOL, TOOLS, END };

#define GUARD "\xef\xb7\x90" /* U+FDD0 */

static struct tokenizer *open_special(const char *pre)
{
    pl_err err = { 0 };
    struct tokenizer *t;
    const struct small_vocab s = {
        .pre = pre,
        .token = { { "<eos>", TOKEN_CONTROL, 0 },
                   { "<|s", TOKEN_CONTROL, 0 },
                   { "<|s|>", TOKEN_CONTROL, 0 },
                   { "tool", TOKEN_USER_DEFINED, 0 },
                   { "tool s", TOKEN_USER_DEFINED, 0 },
                   { "<|im_end|>", TOKEN_CONTROL, 0 } },
        .merge = { "t o", "< e" },
        .eos = EOS,
    };
    if (open_byte_level(&s, &t, &err)) fail_msg("%s", err.text);
    return t;
}

static void test_control_tokens_only_where_asked_for(void **state)
{
    (void)state;
    struct tokenizer *t = open_special("gpt-2");
    check_tokens(t, "a<eos>b", true, NULL, (int[]){ 'a', EOS, 'b', -1 });
    check_tokens(t, "<eos>", false, NULL, (int[]){ '<', 'e', 'o', 's', '>', -1 });
    check_tokens(t, "<eos", true, NULL, (int[]){ '<', 'e', 'o', 's', -1 });
    tokenizer_close(t);
}

static void test_the_longest_name_at_the_leftmost_place_wins(void **state)
{
    (void)state;
    struct tokenizer *t = open_special("gpt-2");
    check_tokens(t, "<|s|><|s|", true, NULL, (int[]){ LONG_START, START, '|', -1 });
    check_tokens(t, "tool stool", false, NULL, (int[]){ TOOLS, TOOL, -1 });
    check_tokens(t, "tool xtool", false, NULL, (int[]){ TOOL, ' ', 'x', TOOL, -1 });
    tokenizer_close(t);
}

static void test_the_guard_breaks_control_tokens_and_nothing_else(void **state)
{
    (void)state;
    struct tokenizer *t = open_special("gpt-2");
    check_tokens(t, "<" GUARD "eos>", true, GUARD, (int[]){ '<', 'e', 'o', 's', '>', -1 });
    check_tokens(t, "<eo" GUARD "s><eos>", true, GUARD,
                 (int[]){ '<', 'e', 'o', 's', '>', EOS, -1 });
    check_tokens(t, "to" GUARD "ol" GUARD GUARD, true, GUARD, (int[]){ TOOL, -1 });
    check_tokens(t, GUARD, true, GUARD, (int[]){ -1 });
    check_tokens(t, GUARD "<eos>" GUARD, true, GUARD, (int[]){ EOS, -1 });
    check_tokens(t, GUARD, true, "", (int[]){ 0xef, 0xb7, 0x90, -1 });
    tokenizer_close(t);
}

/* Removing a guard gives the very tokens of the text that never had one. */
static void test_guarded_text_is_as_if_it_never_was(void **state)
{
    (void)state;
    const uint64_t seed = 13;
    struct rng rng;
    rng_seed(&rng, seed);
    struct tokenizer *t = open_special("qwen2");
    pl_err err;

    for (int i = 0; i < 2000; i++) {
        struct strbuf clean = { 0 }, guarded = { 0 };
        for (uint64_t n = rng_below(&rng, 24); n > 0; n--) {
            const char c = "<eos>|tool  \n\xff"[rng_below(&rng, 13)];
            strbuf_add(&clean, &c, 1);
            strbuf_add(&guarded, &c, 1);
            if (rng_below(&rng, 3) == 0) strbuf_add_str(&guarded, GUARD);
        }
        struct token_list a = { 0 }, b = { 0 };
        assert_int_equal(tokenizer_encode(t, clean.bytes, clean.n, false, NULL, &a, &err), PL_OK);
        assert_int_equal(tokenizer_encode(t, guarded.bytes, guarded.n, false, GUARD, &b, &err),
                         PL_OK);
        if (a.n != b.n || (a.n && memcmp(a.ids, b.ids, a.n * sizeof *a.ids) != 0))
            fail_msg("seed %llu: \"%s\" differs with guards in it", (unsigned long long)seed,
                     clean.bytes);
        token_list_free(&a);
        token_list_free(&b);
        strbuf_free(&clean);
        strbuf_free(&guarded);
    }
    tokenizer_close(t);
}

static void count_name(void *arg, const char *name, size_t n)
{
    (void)name;
    *(size_t *)arg += n;
}

static void test_facts(void **state)
{
    (void)state;
    struct tokenizer *t = open_special("gpt-2");
    assert_int_equal(tokenizer_n_vocab(t), 262);
    assert_int_equal(tokenizer_eos(t), EOS);
    assert_int_equal(tokenizer_bos(t), -1);
    assert_false(tokenizer_adds_bos(t));
    assert_true(tokenizer_is_control(t, EOS));
    assert_false(tokenizer_is_control(t, TOOL));
    assert_false(tokenizer_is_control(t, 9999));
    assert_true(tokenizer_is_end(t, EOS));
    assert_true(tokenizer_is_end(t, END)); /* by its name */
    assert_false(tokenizer_is_end(t, START));
    assert_false(tokenizer_is_end(t, -1));
    assert_true(tokenizer_n_bytes(t) > 262 * 4);

    size_t n = 0;
    tokenizer_each_control(t, count_name, &n);
    assert_int_equal(n, strlen("<eos><|s<|s|><|im_end|>"));
    const char *name = tokenizer_bytes(t, EOS, &n);
    assert_int_equal(n, 5);
    assert_memory_equal(name, "<eos>", 5);
    tokenizer_close(t);
}

/* An end-of-turn key ends a reply whatever its token is called. */
static void test_end_tokens_by_key(void **state)
{
    (void)state;
    pl_err err;
    struct tokenizer *t;
    const struct small_vocab s = {
        .pre = "llama-bpe",
        .token = { { "<turn>", TOKEN_CONTROL, 0 }, { "<stop>", TOKEN_CONTROL, 0 } },
        .id_key = "tokenizer.ggml.eot_token_id",
        .id_value = 256,
        .bos = 256,
    };
    assert_int_equal(open_byte_level(&s, &t, &err), PL_OK);
    assert_true(tokenizer_is_end(t, 256));
    assert_false(tokenizer_is_end(t, 257));
    assert_true(tokenizer_adds_bos(t)); /* the family's habit where the file is silent */
    tokenizer_close(t);
}

/* tokenizer.h I1, I2 for every family of patterns. */
static void test_round_trip_of_random_bytes(void **state)
{
    (void)state;
    static const char *const names[] = { "gpt-2",        "smollm",         "llama-bpe",  "dbrx",
                                         "qwen2",        "qwen35",         "gpt-4o",     "tekken",
                                         "deepseek-llm", "deepseek-coder", "deepseek-v3" };
    static const char common[] = "<eos> tool s\n\r\t 1234'\xe4\xb8\xad\xf0\x9f\x98\x80";
    const uint64_t seed = 14;
    struct rng rng;
    rng_seed(&rng, seed);

    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct tokenizer *t = open_special(names[k]);
        for (int i = 0; i < 500; i++) {
            char text[96];
            const size_t n = rng_below(&rng, sizeof text);
            const bool is_wild = rng_below(&rng, 2);
            for (size_t j = 0; j < n; j++)
                text[j] = is_wild ? (char)rng_below(&rng, 256)
                                  : common[rng_below(&rng, sizeof common - 1)];
            check_round_trip(t, text, n, "", seed);
        }
        tokenizer_close(t);
    }
}

static void test_a_failed_call_keeps_the_list(void **state)
{
    (void)state;
    struct tokenizer *t = open_special("gpt-2");
    struct token_list list = { 0 };
    pl_err err;
    assert_int_equal(tokenizer_encode(t, "ab", 2, false, NULL, &list, &err), PL_OK);
    assert_int_equal(tokenizer_encode(t, "c", 1, false, NULL, &list, &err), PL_OK);
    assert_int_equal(list.n, 3);
    assert_int_equal(tokenizer_encode(t, "d", (size_t)INT32_MAX + 1, false, NULL, &list, &err),
                     PL_E_PARAM);
    assert_int_equal(list.n, 3);
    assert_int_equal(list.ids[2], 'c');
    token_list_free(&list);
    tokenizer_close(t);
}

/* ---- hostile vocabularies ------------------------------------------------------------------- */

static void refuse(const struct small_vocab *s, bool is_spm, pl_status want, const char *word)
{
    pl_err err = { 0 };
    struct tokenizer *t;
    const pl_status st = is_spm ? open_sentencepiece(s, &t, &err) : open_byte_level(s, &t, &err);
    assert_int_equal(st, want);
    assert_null(t);
    if (!strstr(err.text, word)) fail_msg("\"%s\" does not say \"%s\"", err.text, word);
}

static void test_vocabularies_that_are_refused(void **state)
{
    (void)state;
    refuse(&(struct small_vocab){ .pre = "gpt-2", .no_bytes = true }, false, PL_E_FORMAT,
           "0 tokens");
    refuse(&(struct small_vocab){ .pre = "gpt-2",
                                  .no_bytes = true,
                                  .token = { { "xx", TOKEN_NORMAL, 0 } } },
           false, PL_E_FORMAT, "single byte");
    refuse(&(struct small_vocab){ .pre = "who-knows" }, false, PL_E_UNSUPPORTED, "who-knows");
    refuse(&(struct small_vocab){ .pre = "" }, false, PL_E_UNSUPPORTED, "gpt-2");
    refuse(&(struct small_vocab){ .pre = "gpt-2", .merge = { "ab" } }, false, PL_E_FORMAT,
           "merge 0");
    refuse(&(struct small_vocab){ .pre = "gpt-2", .merge = { "a b", " a" } }, false, PL_E_FORMAT,
           "merge 1");
    refuse(&(struct small_vocab){ .pre = "gpt-2", .token = { { "a", (enum token_kind)7, 0 } } },
           false, PL_E_FORMAT, "type 7");
    refuse(&(struct small_vocab){ .token = { { "a", TOKEN_NORMAL, (float)(0.0 / 0.0) } } }, true,
           PL_E_FORMAT, "score");

    char name[300];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = 0;
    refuse(&(struct small_vocab){ .pre = "gpt-2", .token = { { name, TOKEN_CONTROL, 0 } } }, false,
           PL_E_FORMAT, "299 bytes");
}

static void test_oddities_that_are_borne(void **state)
{
    (void)state;
    pl_err err = { 0 };
    struct tokenizer *t;
    const struct small_vocab s = {
        .pre = "gpt-2",
        .token = { { "ab", TOKEN_NORMAL, 0 }, /* 256 */
                   { "ab", TOKEN_NORMAL, 0 }, /* again: never used */
                   { "", TOKEN_NORMAL, 0 },   /* nothing */
                   { "", TOKEN_CONTROL, 0 },
                   { "cd", TOKEN_CONTROL, 0 },          /* 260: a merge must not lead here */
                   { "\xe4\xb8\xad", TOKEN_NORMAL, 0 }, /* not of the alphabet */
                   { "a", TOKEN_CONTROL, 0 } },         /* 262: a control token named like a byte */
        .merge = { "x nope", "nope x", "c d", "a b", "a b" },
    };
    if (open_byte_level(&s, &t, &err)) fail_msg("%s", err.text);
    check_tokens(t, "abcd", false, NULL, (int[]){ 256, 'c', 'd', -1 });
    check_tokens(t, "abcd", true, NULL, (int[]){ 262, 'b', 260, -1 });
    size_t n;
    tokenizer_bytes(t, 258, &n);
    assert_int_equal(n, 0);
    assert_memory_equal(tokenizer_bytes(t, 261, &n), "\xe4\xb8\xad", 3);
    tokenizer_close(t);
}

static void test_a_file_without_token_types(void **state)
{
    (void)state;
    pl_err err = { 0 };
    struct tokenizer *t;
    struct small_vocab s = { .no_token_types = true, .token = { { "hi", TOKEN_NORMAL, -1 } } };
    if (open_sentencepiece(&s, &t, &err)) fail_msg("%s", err.text);
    check_tokens(t, "hi!", true, NULL, (int[]){ 259, 3 + '!', -1 });
    tokenizer_close(t);

    s.pre = NULL; /* nor a pre-tokenizer: GPT-2's */
    s.merge[0] = "h i";
    if (open_byte_level(&s, &t, &err)) fail_msg("%s", err.text);
    check_tokens(t, "hi!", true, NULL, (int[]){ 256, '!', -1 });
    tokenizer_close(t);
}

/* ---- utf8_stream ---------------------------------------------------------------------------- */

static void check_stream(const char *bytes, size_t n, const char *want)
{
    for (size_t cut = 0; cut <= n; cut++) {
        struct utf8_stream s = { 0 };
        char out[128];
        size_t n_out = utf8_stream_push(&s, bytes, cut, out);
        n_out += utf8_stream_push(&s, bytes + cut, n - cut, out + n_out);
        n_out += utf8_stream_finish(&s, out + n_out);
        assert_int_equal(n_out, strlen(want));
        assert_memory_equal(out, want, n_out);
    }
}

#define BAD "\xef\xbf\xbd"

static void test_utf8_stream_whatever_the_cut(void **state)
{
    (void)state;
    check_stream("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 11,
                 "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    check_stream("\xe2\x82", 2, BAD); /* one subpart, unfinished */
    check_stream("\xf0\x9f\x98z", 4, BAD "z");
    check_stream("\xf0\x9f\xe2\x82\xac", 5, BAD "\xe2\x82\xac");
    check_stream("\xed\xa0\x80", 3, BAD BAD BAD); /* a surrogate */
    check_stream("\xc0\xaf\xf5\x80", 4, BAD BAD BAD BAD);
    check_stream("\xe0\x9f\xbf", 3, BAD BAD BAD); /* overlong */
    check_stream("\xf4\x8f\xbf\xbf\xf4\x90", 6, "\xf4\x8f\xbf\xbf" BAD BAD);
}

static void test_utf8_stream_holds_back_what_is_not_whole(void **state)
{
    (void)state;
    struct utf8_stream s = { 0 };
    char out[64];
    assert_int_equal(utf8_stream_push(&s, "\xe2", 1, out), 0);
    assert_int_equal(utf8_stream_push(&s, "\x82", 1, out), 0);
    assert_int_equal(utf8_stream_push(&s, "\xac", 1, out), 3);
    assert_int_equal(utf8_stream_finish(&s, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_tokens_only_where_asked_for),
        cmocka_unit_test(test_the_longest_name_at_the_leftmost_place_wins),
        cmocka_unit_test(test_the_guard_breaks_control_tokens_and_nothing_else),
        cmocka_unit_test(test_guarded_text_is_as_if_it_never_was),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_end_tokens_by_key),
        cmocka_unit_test(test_round_trip_of_random_bytes),
        cmocka_unit_test(test_a_failed_call_keeps_the_list),
        cmocka_unit_test(test_vocabularies_that_are_refused),
        cmocka_unit_test(test_oddities_that_are_borne),
        cmocka_unit_test(test_a_file_without_token_types),
        cmocka_unit_test(test_utf8_stream_whatever_the_cut),
        cmocka_unit_test(test_utf8_stream_holds_back_what_is_not_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

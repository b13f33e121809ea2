/* Vocabularies whose files are odd: token types that names contradict, tokens that no text is
 * spelled into, ids that mean none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "small_vocab.h"

static char log_text[4096];

static void keep(void *arg, pl_log_level level, const char *subsystem, const char *line)
{
    (void)arg;
    (void)level;
    (void)subsystem;
    const size_t n = strlen(log_text);
    snprintf(log_text + n, sizeof log_text - n, "%s\n", line);
}

static struct tokenizer *open_it(const struct small_vocab *s, bool is_spm)
{
    pl_err err = { 0 };
    struct tokenizer *t;
    log_text[0] = 0;
    pl_set_log(keep, NULL, PL_LOG_WARN);
    const pl_status st = is_spm ? open_sentencepiece(s, &t, &err) : open_byte_level(s, &t, &err);
    pl_set_log(NULL, NULL, PL_LOG_WARN);
    if (st) fail_msg("%s", err.text);
    return t;
}

/* What of the added token: control, an end, and a warning that names it. */
struct wanted {
    bool is_control, is_end, is_told;
};

static void check(const struct small_vocab *s, bool is_spm, const struct wanted *want)
{
    struct tokenizer *t = open_it(s, is_spm);
    const int32_t first = is_spm ? 3 + 256 : 256;
    for (int32_t i = 0; s->token[i].text; i++) {
        char line[64];
        snprintf(line, sizeof line, "token %d, ", first + i);
        if (tokenizer_is_control(t, first + i) != want[i].is_control ||
            tokenizer_is_end(t, first + i) != want[i].is_end ||
            (strstr(log_text, line) != NULL) != want[i].is_told)
            fail_msg("%s: control %d end %d; log: %s", s->token[i].text,
                     tokenizer_is_control(t, first + i), tokenizer_is_end(t, first + i), log_text);
    }
    tokenizer_close(t);
}

static const struct wanted right = { true, false, true }, end = { true, true, true },
                           left = { false, false, false }, known = { true, true, false };

static void types_are_put_right_by_name(void **state)
{
    (void)state;
    /* 1: ChatML, as text */
    check(&(struct small_vocab){ .pre = "qwen2", .token = { { "<|im_start|>", TOKEN_NORMAL, 0 },
          { "<|im_end|>", TOKEN_NORMAL, 0 }, { "<|im|>", TOKEN_NORMAL, 0 } } }, false,
          (const struct wanted[]){ right, end, left });
    /* 2: as user-defined, unused, unknown */
    check(&(struct small_vocab){ .pre = "qwen2", .token = { { "<|im_end|>", TOKEN_USER_DEFINED, 0 },
          { "<|endoftext|>", TOKEN_UNUSED, 0 }, { "<|end|>", TOKEN_UNKNOWN, 0 },
          { "<|eot_id|>", TOKEN_CONTROL, 0 } } }, false,
          (const struct wanted[]){ end, end, end, known });
    /* 3: Llama 3 without any types */
    check(&(struct small_vocab){ .pre = "llama-bpe", .no_token_types = true, .token = {
          { "<|begin_of_text|>", 0, 0 }, { "<|eot_id|>", 0, 0 }, { "<|eom_id|>", 0, 0 },
          { "<|start_header_id|>", 0, 0 }, { "hello", 0, 0 } } }, false,
          (const struct wanted[]){ right, end, end, right, left });
    /* 4: Gemma, SentencePiece */
    check(&(struct small_vocab){ .token = { { "<start_of_turn>", TOKEN_USER_DEFINED, 0 },
          { "<end_of_turn>", TOKEN_NORMAL, 0 }, { "<table>", TOKEN_USER_DEFINED, 0 } } }, true,
          (const struct wanted[]){ right, end, left });
    /* 5: fill in the middle; what ends a piece of code ends the reply */
    check(&(struct small_vocab){ .pre = "qwen2", .token = { { "<|fim_prefix|>", TOKEN_NORMAL, 0 },
          { "<|fim_middle|>", TOKEN_USER_DEFINED, 0 }, { "<|fim_pad|>", TOKEN_NORMAL, 0 },
          { "<|file_sep|>", TOKEN_NORMAL, 0 }, { "<fim_suffix>", TOKEN_NORMAL, 0 } } }, false,
          (const struct wanted[]){ right, right, end, end, right });
    /* 6: </s> alone; where text is merged into it it is a tag of HTML, as in Qwen 2.5; and where
     * <s> is one (Gemma) */
    check(&(struct small_vocab){ .pre = "gpt-2", .token = { { "</s>", TOKEN_NORMAL, 0 } } }, false,
          &end);
    check(&(struct small_vocab){ .pre = "gpt-2", .token = { { "</s>", TOKEN_NORMAL, 0 },
          { "</", TOKEN_NORMAL, 0 }, { "s>", TOKEN_NORMAL, 0 } },
          .merge = { "< /", "s >", "</ s>" } }, false, (const struct wanted[]){ left, left, left });
    check(&(struct small_vocab){ .pre = "gpt-2", .token = { { "</s>", TOKEN_USER_DEFINED, 0 },
          { "<s>", TOKEN_USER_DEFINED, 0 } } }, false, (const struct wanted[]){ left, left });
    /* 7: which the file names as its end all the same */
    check(&(struct small_vocab){ .pre = "gpt-2", .eos = 256, .token = { { "</s>", TOKEN_NORMAL, 0 },
          { "<s>", TOKEN_NORMAL, 0 } } }, false, (const struct wanted[]){ end, left });
    /* 8: DeepSeek's bars and gaps */
    check(&(struct small_vocab){ .pre = "deepseek-v3", .token = {
          { "<\xef\xbd\x9c""end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>", TOKEN_NORMAL, 0 },
          { "<\xef\xbd\x9c""User\xef\xbd\x9c>", TOKEN_USER_DEFINED, 0 },
          { "<|EOT|>", TOKEN_USER_DEFINED, 0 } } }, false,
          (const struct wanted[]){ end, right, end });
    /* 9: gpt-oss, where <|end|> ends one of a reply's messages; without its other marks, Phi 3's */
    static const struct wanted of_message = { true, false, false };
    check(&(struct small_vocab){ .pre = "gpt-4o", .token = { { "<|return|>", TOKEN_CONTROL, 0 },
          { "<|end|>", TOKEN_CONTROL, 0 }, { "<|call|>", TOKEN_CONTROL, 0 } } }, false,
          (const struct wanted[]){ known, of_message, known });
    check(&(struct small_vocab){ .pre = "gpt-4o", .token = { { "<|end|>", TOKEN_CONTROL, 0 },
          { "<|call|>", TOKEN_CONTROL, 0 } } }, false, (const struct wanted[]){ known, known });
}

static void check_tokens_of(struct tokenizer *t, const char *text, int32_t id)
{
    struct token_list list = { 0 };
    pl_err err;
    assert_int_equal(tokenizer_encode(t, text, strlen(text), false, NULL, &list, &err), PL_OK);
    assert_int_equal(list.n, 1);
    assert_int_equal(list.ids[0], id);
    token_list_free(&list);
}

/* U+200D and U+00E9 as they are, and spelled in the alphabet of bytes behind that. */
static void a_raw_token_shadows_no_spelled_one(void **state)
{
    (void)state;
    size_t n;
    struct tokenizer *t = open_it(&(struct small_vocab){
        .pre = "gpt-2",
        .token = { { "\xe2\x80\x8d", TOKEN_NORMAL, 0 }, { "\xc3\xa2\xc4\xa2", TOKEN_NORMAL, 0 },
                   { "\xc3\xa2\xc4\xa2\xc4\xaf", TOKEN_NORMAL, 0 },
                   { "\xef\xb8\x8f", TOKEN_USER_DEFINED, 0 } },
        .merge = { "\xc3\xa2 \xc4\xa2", "\xc3\xa2\xc4\xa2 \xc4\xaf" } }, false);
    check_tokens_of(t, "\xe2\x80\x8d", 258);
    check_tokens_of(t, "\xef\xb8\x8f", 259);    /* a user-defined one is found as it stands */
    assert_memory_equal(tokenizer_bytes(t, 256, &n), "\xe2\x80\x8d", 3);
    assert_memory_equal(tokenizer_bytes(t, 258, &n), "\xe2\x80\x8d", 3);
    assert_int_equal(n, 3);
    tokenizer_close(t);
}

static void ids_that_mean_none_are_told_and_left_out(void **state)
{
    (void)state;
    static const char *const keys[] = { "tokenizer.ggml.eos_token_id",
                                        "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.bos_token_id",
                                        "tokenizer.ggml.eom_token_id",
                                        "tokenizer.ggml.unknown_token_id",
                                        "tokenizer.ggml.padding_token_id" };
    static const struct { uint32_t value; bool is_signed; } none[] = {
        { UINT32_MAX, false }, { UINT32_MAX, true }, { 256, false }, { 1u << 31, true } };
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
            struct tokenizer *t = open_it(&(struct small_vocab){ .pre = "gpt-2", .id_key = keys[k],
                .id_value = none[i].value, .id_is_signed = none[i].is_signed }, false);
            assert_int_equal(tokenizer_eos(t), -1);
            assert_int_equal(tokenizer_bos(t), -1);
            assert_non_null(strstr(log_text, keys[k]));
            tokenizer_close(t);
        }
}

/* As SentencePiece numbers them, where the file is silent or gives no token. */
static void sentencepiece_has_ids_of_its_own(void **state)
{
    (void)state;
    struct tokenizer *t = open_it(&(struct small_vocab){ .adds_space = true }, true);
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    assert_true(tokenizer_is_end(t, 2) && tokenizer_adds_bos(t));
    tokenizer_close(t);
}

static void sentencepiece_without_scores_joins_from_the_left(void **state)
{
    (void)state;
    struct tokenizer *t = open_it(&(struct small_vocab){ .no_scores = true, .token = {
        { "a", TOKEN_NORMAL, 0 }, { "b", TOKEN_NORMAL, 0 }, { "c", TOKEN_NORMAL, 0 },
        { "bc", TOKEN_NORMAL, 0 }, { "ab", TOKEN_NORMAL, 0 } } }, true);
    struct token_list list = { 0 };
    pl_err err;
    assert_int_equal(tokenizer_encode(t, "abc", 3, false, NULL, &list, &err), PL_OK);
    assert_int_equal(list.n, 2);
    assert_int_equal(list.ids[0], 3 + 256 + 4);
    assert_non_null(strstr(log_text, "no scores"));
    token_list_free(&list);
    tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_put_right_by_name),
        cmocka_unit_test(a_raw_token_shadows_no_spelled_one),
        cmocka_unit_test(ids_that_mean_none_are_told_and_left_out),
        cmocka_unit_test(sentencepiece_has_ids_of_its_own),
        cmocka_unit_test(sentencepiece_without_scores_joins_from_the_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

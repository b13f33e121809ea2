/* Prompts: drawn lengths and shared prefixes, lines of files, and what is wrong with a file. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/load/prompts.h"

static struct load_prompts *open_prompts(struct load_prompts_params params)
{
    struct load_prompts *p;
    pl_err err = { 0 };
    if (load_prompts_open(&p, &params, &err)) fail_msg("%s", err.text);
    return p;
}

/* The text of a prompt for completions. Release with free. */
static char *text_of(const struct load_prompts *p, uint64_t number)
{
    json_t *body = json_object();
    assert_true(load_prompts_set(p, number, body));
    const char *text = json_string_value(json_object_get(body, "prompt"));
    assert_non_null(text);
    char *copy = strdup(text);
    json_decref(body);
    return copy;
}

static size_t n_words(const char *text)
{
    size_t n = *text != 0;
    for (; *text; text++) n += *text == ' ';
    return n;
}

/* Words that both begin with. */
static size_t n_common(const char *a, const char *b)
{
    size_t n = 0, i = 0;
    for (; a[i] && a[i] == b[i]; i++) n += a[i] == ' ';
    return n + (!a[i] && !b[i]);
}

static void test_drawn_length_and_prefix(void **state)
{
    (void)state;
    struct load_prompts *p = open_prompts((struct load_prompts_params){
        .mean_words = 40, .shared = 0.5, .seed = 5 });
    struct load_prompts *again = open_prompts((struct load_prompts_params){
        .mean_words = 40, .shared = 0.5, .seed = 5 });
    struct load_prompts *other = open_prompts((struct load_prompts_params){
        .mean_words = 40, .shared = 0.5, .seed = 6 });
    char *first = text_of(p, 0), *foreign = text_of(other, 0);
    assert_true(n_common(first, foreign) < 4);
    for (uint64_t i = 1; i < 200; i++) {
        char *text = text_of(p, i), *same = text_of(again, i);
        assert_string_equal(text, same);
        assert_int_equal(n_words(text), 40);
        const size_t n = n_common(first, text);
        if (n < 20 || n > 25) fail_msg("prompt %d has %zu words in common", (int)i, n);
        free(text);
        free(same);
    }
    free(first);
    free(foreign);
    load_prompts_close(p);
    load_prompts_close(again);
    load_prompts_close(other);
}

static void test_spread_of_lengths(void **state)
{
    (void)state;
    enum { N = 4000 };
    struct load_prompts *p = open_prompts((struct load_prompts_params){
        .mean_words = 100, .stddev_words = 20, .seed = 1 });
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < N; i++) {
        char *text = text_of(p, i);
        const double n = (double)n_words(text);
        assert_true(n >= 1);
        sum += n;
        squares += n * n;
        free(text);
    }
    const double mean = sum / N, deviation = sqrt(squares / N - mean * mean);
    if (fabs(mean - 100) > 1.5 || fabs(deviation - 20) > 1)
        fail_msg("mean %g, deviation %g of 100 and 20", mean, deviation);
    load_prompts_close(p);

    p = open_prompts((struct load_prompts_params){ .mean_words = 2, .stddev_words = 50 });
    for (uint64_t i = 0; i < 200; i++) {
        char *text = text_of(p, i);
        assert_true(n_words(text) >= 1);
        free(text);
    }
    load_prompts_close(p);
}

static void test_words_of_the_command_line(void **state)
{
    (void)state;
    double mean, stddev;
    assert_true(load_prompts_parse_words("128", &mean, &stddev));
    assert_true(mean == 128 && stddev == 0);
    assert_true(load_prompts_parse_words("64:8.5", &mean, &stddev));
    assert_true(mean == 64 && stddev == 8.5);
    static const char *const bad[] = { "", "x", "0", "-5", "nan", "1e9", "5:", "5:x", "5:-1", "5 6",
                                       "5:1:2" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (load_prompts_parse_words(bad[i], &mean, &stddev)) fail_msg("\"%s\" was taken", bad[i]);
}

/* ---- files ---------------------------------------------------------------------------------- */

static char path[] = "/tmp/paceline_prompts_XXXXXX";

static void write_file(const char *content)
{
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_true(fputs(content, to) >= 0);
    fclose(to);
}

static char *body_of(const struct load_prompts *p, uint64_t number)
{
    json_t *body = json_object();
    assert_true(load_prompts_set(p, number, body));
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(body);
    return text;
}

static void expect_body(const struct load_prompts *p, uint64_t number, const char *want)
{
    char *got = body_of(p, number);
    assert_string_equal(got, want);
    free(got);
}

static void test_file_of_both_kinds(void **state)
{
    (void)state;
    write_file("first \"line\"\r\n\n{\"prompt\": \"second\", \"max_tokens\": 9}\n"
               "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}]}");
    struct load_prompts *p = open_prompts((struct load_prompts_params){ .is_chat = true,
                                                                        .file = path });
    static const char first[] =
        "{\"messages\":[{\"content\":\"first \\\"line\\\"\",\"role\":\"user\"}]}";
    expect_body(p, 0, first);
    expect_body(p, 1, "{\"max_tokens\":9,\"messages\":"
                "[{\"content\":\"second\",\"role\":\"user\"}]}");
    expect_body(p, 2, "{\"messages\":[{\"content\":\"s\",\"role\":\"system\"}]}");
    expect_body(p, 3, first);                   /* in turn */
    load_prompts_close(p);
}

static void test_one_fixed(void **state)
{
    (void)state;
    struct load_prompts *p = open_prompts((struct load_prompts_params){ .text = "Hi" });
    expect_body(p, 0, "{\"prompt\":\"Hi\"}");
    expect_body(p, 77, "{\"prompt\":\"Hi\"}");
    load_prompts_close(p);
}

static void test_what_is_wrong_is_told(void **state)
{
    static const struct {
        const char *content, *piece;
    } cases[] = {
        { "", "no prompt" },
        { "\n\n", "no prompt" },
        { "good\n{\"prompt\": }\n", ":2: " },
        { "{\"text\": 1}\n", ":1: one of \"prompt\"" },
        { "{\"prompt\": 5}\n", ":1: one of \"prompt\"" },
        { "{\"prompt\": \"a\", \"messages\": []}\n", ":1: one of \"prompt\"" },
        { "a\nb\n{\"messages\": []}\n", ":3: \"messages\" are for --endpoint chat" },
        { "{\"prompt\": \"a\", \"max_tokens\": 0}\n", ":1: \"max_tokens\"" },
        { "{\"prompt\": \"a\", \"max_tokens\": \"x\"}\n", ":1: \"max_tokens\"" },
        { "a\xff\n", ":1: not UTF-8" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct load_prompts_params params = { .file = path };
        struct load_prompts *p;
        pl_err err = { 0 };
        write_file(cases[i].content);
        assert_int_equal(load_prompts_open(&p, &params, &err), PL_E_PARAM);
        assert_null(p);
        if (!strstr(err.text, cases[i].piece))
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i].piece);
    }
    const struct load_prompts_params nowhere = { .file = "/nowhere/prompts" };
    struct load_prompts *p;
    pl_err err = { 0 };
    assert_int_equal(load_prompts_open(&p, &nowhere, &err), PL_E_IO);
    assert_non_null(strstr(err.text, "/nowhere/prompts: "));
}

static int make_file(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 || close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawn_length_and_prefix),
        cmocka_unit_test(test_spread_of_lengths),
        cmocka_unit_test(test_words_of_the_command_line),
        cmocka_unit_test(test_file_of_both_kinds),
        cmocka_unit_test(test_one_fixed),
        cmocka_unit_test(test_what_is_wrong_is_told),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}

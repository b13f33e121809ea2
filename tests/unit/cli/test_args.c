/* Command lines: what each kind of option takes, at its limits and beyond, and what is said
 * then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/args.h"
#include "unit/cli/captured.h"

#define N_WORDS_MAX 40

static struct {
    bool flag, on;
    const char *text, *joined;
    struct arg_strings many;
    uint32_t u32, u32_any;
    int32_t i32, i32_any;
    int64_t i64;
    uint64_t u64;
    float f32;
} got;
static struct arg_strings words;
static struct captured out;

static const struct arg table[] = {
    { "--flag", "-f", ARG_FLAG, &got.flag, 0, 0, NULL, "a flag" },
    { "--switch", NULL, ARG_SWITCH, &got.on, 0, 0, NULL, "a switch" },
    { "--text", "-t --words", ARG_STRING, &got.text, 0, 0, "TEXT", "a text" },
    { "--many", NULL, ARG_STRINGS, &got.many, 0, 0, "TEXT", "several" },
    { "--joined", NULL, ARG_JOINED, &got.joined, 0, 0, "A,B", "joined" },
    { "--u32", "-u", ARG_U32, &got.u32, 2, 9, "N", "from 2 to 9" },
    { "--u32-any", NULL, ARG_U32, &got.u32_any, 0, 0, "N", "any" },
    { "--i32", NULL, ARG_I32, &got.i32, -3, 3, "N", "from -3 to 3" },
    { "--i32-any", NULL, ARG_I32, &got.i32_any, 0, 0, "N", "any" },
    { "--i64", NULL, ARG_I64, &got.i64, 0, 0, "N", "any" },
    { "--u64", NULL, ARG_U64, &got.u64, 0, 0, "N", "any" },
    { "--below", NULL, ARG_F32, &got.f32, -2, 0, "X", "from -2 to 0" },
    { "--f32", NULL, ARG_F32, &got.f32, 0, 1.5, "X", "from 0 to 1.5" },
};
static const struct arg_page page = { "test", "[OPTIONS]", NULL, "paceline test --flag", table,
                                      N_ARGS(table) };

/* What args_parse returns for words separated by spaces; what it says is in out.text. */
static int parse(const char *line)
{
    static char text[1024];
    char *argv[N_WORDS_MAX + 1] = { "test" };
    int argc = 1;
    memset(&got, 0, sizeof got);
    words.n = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *at = strtok(text, " "); at && argc < N_WORDS_MAX; at = strtok(NULL, " "))
        argv[argc++] = at;
    captured_begin(&out, STDERR_FILENO);
    const int code = args_parse(&page, argc, argv, &words, NULL);
    captured_end(&out);
    return code;
}

static void check_refused(const char *line, const char *said)
{
    const int code = parse(line);
    if (code != 2 || strcmp(out.text, said)) fail_msg("%s: %d, \"%s\"", line, code, out.text);
}

static void check_taken(const char *line)
{
    const int code = parse(line);
    if (code != -1 || *out.text) fail_msg("%s: %d, \"%s\"", line, code, out.text);
}

static void numbers_up_to_their_bounds(void **state)
{
    (void)state;
    check_taken("--u32 2");
    assert_int_equal(got.u32, 2);
    check_taken("-u 9");
    assert_int_equal(got.u32, 9);
    check_taken("--u32=7e0");
    assert_int_equal(got.u32, 7);
    check_refused("--u32 1", "paceline: --u32: found \"1\", a number from 2 to 9 is wanted\n");
    check_refused("-u 10", "paceline: --u32: found \"10\", a number from 2 to 9 is wanted\n");
    check_taken("--i32 -3");
    assert_int_equal(got.i32, -3);
    check_taken("--i32=3");
    assert_int_equal(got.i32, 3);
    check_refused("--i32 -4", "paceline: --i32: found \"-4\", a number from -3 to 3 is wanted\n");
    check_refused("--i32 4", "paceline: --i32: found \"4\", a number from -3 to 3 is wanted\n");
    check_taken("--f32 1.5");
    assert_float_equal(got.f32, 1.5, 0);
    check_taken("--f32 0");
    check_refused("--f32 1.5001",
                  "paceline: --f32: found \"1.5001\", a number from 0 to 1.5 is wanted\n");
    check_refused("--f32 -0.5",
                  "paceline: --f32: found \"-0.5\", a number from 0 to 1.5 is wanted\n");
    check_taken("--below 0");
    check_refused("--below 0.5",
                  "paceline: --below: found \"0.5\", a number from -2 to 0 is wanted\n");
}

static void numbers_up_to_their_type(void **state)
{
    (void)state;
    check_taken("--u32-any 4294967295");
    assert_true(got.u32_any == UINT32_MAX);
    check_refused("--u32-any 4294967296", "paceline: --u32-any: \"4294967296\" is not a number\n");
    check_refused("--u32-any -1", "paceline: --u32-any: \"-1\" is not a number\n");
    check_taken("--i32-any 2147483647");
    assert_int_equal(got.i32_any, INT32_MAX);
    check_taken("--i32-any -2147483648");
    assert_int_equal(got.i32_any, INT32_MIN);
    check_refused("--i32-any 2147483648", "paceline: --i32-any: \"2147483648\" is not a number\n");
    check_refused("--i32-any -2147483649",
                  "paceline: --i32-any: \"-2147483649\" is not a number\n");
    check_taken("--i64 -9007199254740992");
    assert_true(got.i64 == -(1LL << 53));
    check_refused("--i64 -9007199254740994",
                  "paceline: --i64: \"-9007199254740994\" is not a number\n");
    check_taken("--u64 9007199254740992");
    assert_true(got.u64 == 1ULL << 53);
    check_refused("--u64 9007199254740994",
                  "paceline: --u64: \"9007199254740994\" is not a number\n");
    check_refused("--u64 -1", "paceline: --u64: \"-1\" is not a number\n");
    check_taken("--u64 0");
}

static void what_is_no_number(void **state)
{
    (void)state;
    check_refused("--u64 x", "paceline: --u64: \"x\" is not a number\n");
    check_refused("--u64 5x", "paceline: --u64: \"5x\" is not a number\n");
    check_refused("--u64=", "paceline: --u64: \"\" is not a number\n");
    check_refused("--u64 2.5", "paceline: --u64: \"2.5\" is not a number\n");
    check_refused("--i64 -2.5", "paceline: --i64: \"-2.5\" is not a number\n");
    check_refused("--u64 1e999", "paceline: --u64: \"1e999\" is not a number\n");
    check_refused("--f32 inf",
                  "paceline: --f32: found \"inf\", a number from 0 to 1.5 is wanted\n");
    check_refused("--f32 nan",
                  "paceline: --f32: found \"nan\", a number from 0 to 1.5 is wanted\n");
}

static void flags_and_switches(void **state)
{
    static const char *const off[] = { "off", "false", "0", "disabled" };
    static const char *const on[] = { "on", "auto", "true", "1", "enabled" };
    char line[64];
    (void)state;
    check_taken("-f");
    assert_true(got.flag);
    check_refused("--flag=1", "paceline: --flag takes no value, found \"1\"\n");
    check_refused("--no-flag",
                  "paceline: unknown option --no-flag; did you mean --flag? (see --help)\n");
    check_taken("--switch");
    assert_true(got.on);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        snprintf(line, sizeof line, "--switch %s --flag", off[i]);
        check_taken(line);
        assert_true(!got.on && got.flag && !words.n);
    }
    for (size_t i = 0; i < sizeof on / sizeof *on; i++) {
        snprintf(line, sizeof line, "--switch %s", on[i]);
        check_taken(line);
        assert_true(got.on && !words.n);
    }
    check_taken("--switch=off");
    assert_false(got.on);
    check_taken("--switch other");              /* a word of its own */
    assert_true(got.on && words.n == 1);
    check_taken("--switch --no-switch");
    assert_false(got.on);
}

static void texts(void **state)
{
    char line[512] = "";
    (void)state;
    check_taken("--text a -t b --words=c=d");
    assert_string_equal(got.text, "c=d");
    check_refused("--flag --text", "paceline: --text needs a value: TEXT\n");
    check_refused("--u32", "paceline: --u32 needs a value: N\n");
    check_taken("--joined a");
    assert_string_equal(got.joined, "a");
    check_taken("--joined a --joined b=1 --joined c");
    assert_string_equal(got.joined, "a,b=1,c");
    for (int i = 0; i < ARG_MAX_STRINGS; i++) strcat(line, " --many=x");
    check_taken(line);
    assert_int_equal(got.many.n, ARG_MAX_STRINGS);
    assert_string_equal(got.many.text[ARG_MAX_STRINGS - 1], "x");
    strcat(line, " --many=y");
    check_refused(line, "paceline: --many: given more than 32 times\n");
}

static void words_of_their_own(void **state)
{
    char line[512] = "";
    (void)state;
    check_taken("a --flag - -- --text b --help");
    assert_int_equal(words.n, 5);
    assert_string_equal(words.text[1], "-");
    assert_string_equal(words.text[2], "--text");
    assert_true(got.flag && !got.text);
    for (int i = 0; i < ARG_MAX_STRINGS; i++) strcat(line, " w");
    check_taken(line);
    strcat(line, " last");
    check_refused(line, "paceline: unexpected word \"last\" (see --help)\n");
    check_refused("--flga", "paceline: unknown option --flga; did you mean --flag? (see --help)\n");
    check_refused("--zzzzzzzz=1", "paceline: unknown option --zzzzzzzz (see --help)\n");
}

static void no_word_is_wanted(void **state)
{
    char *argv[] = { "test", "word" };
    (void)state;
    captured_begin(&out, STDERR_FILENO);
    const int code = args_parse(&page, 2, argv, NULL, NULL);
    assert_string_equal(captured_end(&out), "paceline: unexpected word \"word\" (see --help)\n");
    assert_int_equal(code, 2);
}

static int take_model(const char *named, size_t n_words, const char **model)
{
    const struct arg_strings some = { { "first", "second" }, n_words };
    *model = named;
    captured_begin(&out, STDERR_FILENO);
    const int code = args_take_model(&page, &some, model);
    captured_end(&out);
    return code;
}

static void a_model_is_named_once(void **state)
{
    const char *model;
    (void)state;
    assert_int_equal(take_model("named", 0, &model), -1);
    assert_string_equal(model, "named");
    assert_int_equal(take_model(NULL, 1, &model), -1);
    assert_string_equal(model, "first");
    assert_int_equal(take_model(NULL, 2, &model), 2);
    assert_string_equal(out.text,
                        "paceline: unexpected word \"second\": one model is wanted (see --help)\n");
    assert_int_equal(take_model("named", 1, &model), 2);
    assert_string_equal(out.text,
                        "paceline: unexpected word \"first\": --model names the model (see "
                        "--help)\n");
    assert_int_equal(take_model(NULL, 0, &model), 2);
    assert_string_equal(out.text, "paceline: test needs --model FILE, or the model as a word\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_up_to_their_bounds), cmocka_unit_test(numbers_up_to_their_type),
        cmocka_unit_test(what_is_no_number),          cmocka_unit_test(flags_and_switches),
        cmocka_unit_test(texts),                      cmocka_unit_test(words_of_their_own),
        cmocka_unit_test(no_word_is_wanted),          cmocka_unit_test(a_model_is_named_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What grammars take, byte for byte, and what they are refused for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/text/grammars.h"

static struct vocabulary *vocabulary;

static int open_vocabulary(void **state)
{
    (void)state;
    pl_err err;
    return (int)bytes_vocabulary(&vocabulary, &err);
}

static int close_vocabulary(void **state)
{
    (void)state;
    vocabulary_close(vocabulary);
    return 0;
}

static struct matcher *open_matcher(pl_grammar_kind kind, const char *source)
{
    struct matcher *m;
    pl_err err = { 0 };
    if (matcher_open(&m, vocabulary, kind, source, strlen(source), &err))
        fail_msg("%s: %s", source, err.text);
    return m;
}

static void check(pl_grammar_kind kind, const char *source, const char *text, bool is_taken)
{
    struct matcher *m = open_matcher(kind, source);
    if (matcher_takes(m, text, strlen(text)) != is_taken)
        fail_msg("%s: \"%s\" is %s", source, text, is_taken ? "refused" : "taken");
    matcher_close(m);
}

static void refuses(pl_grammar_kind kind, const char *source, const char *words)
{
    struct matcher *m;
    pl_err err = { 0 };
    const pl_status st = matcher_open(&m, vocabulary, kind, source, strlen(source), &err);
    if (st != PL_E_GRAMMAR) fail_msg("%.100s: %s, %s", source, pl_status_name(st), err.text);
    assert_null(m);
    if (!strstr(err.text, words)) fail_msg("%s: \"%s\" does not say %s", source, err.text, words);
}

static void test_schemas(void **state)
{
    (void)state;
    const pl_grammar_kind k = PL_GRAMMAR_JSON_SCHEMA;
    const char *person = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},"
                         "\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":150}},"
                         "\"required\":[\"name\",\"age\"],\"additionalProperties\":false}";
    check(k, person, "{\"name\":\"Ada\",\"age\":36}", true);
    check(k, person, "{\"name\": \"Ada\",\n  \"age\": 36}", true);
    check(k, person, "{\"name\":\"Ada\",\"age\":151}", false);
    check(k, person, "{\"name\":\"Ada\"}", false);
    check(k, person, "{\"name\":\"Ada\",\"age\":36,\"x\":1}", false);
    check(k, person, "{\"name\":\"Ada\",\"age\":36", false);
    check(k, person, "{\"name\":\"Ada\",\"age\":36}\n\n\n", false);
    check(k, "{\"enum\":[\"a\",2,null]}", "null", true);
    check(k, "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"maxItems\":2}",
          "[true, false]", true);
    check(k, "{\"$defs\":{\"n\":{\"type\":[\"object\",\"null\"],\"properties\":{\"next\":{\"$ref\":"
             "\"#/$defs/n\"}},\"additionalProperties\":false}},\"$ref\":\"#/$defs/n\"}",
          "{\"next\":{\"next\":null}}", true);
    check(k, "{\"type\":\"string\",\"pattern\":\"^[a-z]{2}$\"}", "\"abc\"", false);
    check(k, "{}", "[1.5e3, {\"\\n\": \"\xc3\xa9\"}]", true);
    check(k, "true", "1", true);
}

static void test_what_a_schema_may_not_ask_is_named(void **state)
{
    (void)state;
    const pl_grammar_kind k = PL_GRAMMAR_JSON_SCHEMA;
    refuses(k, "{\"type\":\"array\",\"uniqueItems\":true}", "uniqueItems");
    refuses(k, "{\"type\":\"number\",\"not\":{\"multipleOf\":2}}", "multipleOf");
    refuses(k, "{\"type\":\"strin\"}", "strin");
    refuses(k, "{\"properties\":{\"a\":1}}", "schema is 1");
    refuses(k, "{\"$ref\":\"#/$defs/none\"}", "none");
    refuses(k, "false", "Unsatisfiable");
    refuses(k, "[", "JSON");
    refuses(k, "7", "schema is 7");
}

static void test_deep_and_dear_grammars_harm_nobody(void **state)
{
    (void)state;
    enum { N = 100000 };
    char *deep = malloc(3 * N + 64);
    strcpy(deep, "root ::= ");
    memset(deep + 9, '(', N);
    deep[9 + N] = 0;
    refuses(PL_GRAMMAR_GBNF, deep, "deep");
    memcpy(deep, "start: ", 7);
    memset(deep + 7, '(', N);
    refuses(PL_GRAMMAR_LARK, deep, "brackets");
    memset(deep, '(', N);
    deep[N] = 0;
    refuses(PL_GRAMMAR_REGEX, deep, "");
    memset(deep, '[', N);
    refuses(PL_GRAMMAR_JSON_SCHEMA, deep, "recursion");
    matcher_close(open_matcher(PL_GRAMMAR_REGEX, "((a{1,900}){1,900}){1,900}b{1000}c"));
    refuses(PL_GRAMMAR_REGEX, "(?=a)b", "");
    refuses(PL_GRAMMAR_LARK, "start: nothing", "nothing");
    refuses(PL_GRAMMAR_LARK, "", "");
    free(deep);
}

static void test_regexes(void **state)
{
    (void)state;
    check(PL_GRAMMAR_REGEX, "[0-9]{3}-[0-9]{4}", "555-1234", true);
    check(PL_GRAMMAR_REGEX, "[0-9]{3}-[0-9]{4}", "555-12345", false);
    check(PL_GRAMMAR_REGEX, "a/b|\"c\"", "a/b", true);
    check(PL_GRAMMAR_REGEX, "a/b|\"c\"", "\"c\"", true);
    check(PL_GRAMMAR_REGEX, "(yes|no)", "maybe", false);
    check(PL_GRAMMAR_REGEX, "\xc3\xa9+", "\xc3\xa9\xc3\xa9", true);
}

static void test_gbnf(void **state)
{
    (void)state;
    const pl_grammar_kind k = PL_GRAMMAR_GBNF;
    const char *json =
        "root   ::= object\n"
        "value  ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"
        "object ::=\n  \"{\" ws (\n    string \":\" ws value\n"
        "    (\",\" ws string \":\" ws value)*\n"
        "  )? \"}\" ws\n"
        "array  ::= \"[\" ws ( value (\",\" ws value)* )? \"]\" ws   # a list\n"
        "string ::= \"\\\"\" ( [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" "
        "[0-9a-fA-F]{4}) )* \"\\\"\" ws\n"
        "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ws\n"
        "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";
    check(k, json, "{\"a\": [1, -2.5, {\"b\": null}], \"c\": \"\\u00e9\\n\"}", true);
    check(k, json, "{}", true);
    check(k, json, "{\"a\": [1, -2.5, {\"b\": null}]", false);
    check(k, json, "[1]", false);
    check(k, "root ::= \"a\"{2,3} [^b-d] .", "aaxb", true);
    check(k, "root ::= \"a\"{2,3} [^b-d] .", "aacb", false);
    check(k, "root ::= a-b\na-b ::= \"x\"\n    | \"y\" a-b", "yyx", true);
    check(k, "root ::= (\"1\" | root \"+\" root)\n", "1+1+1", true);
    check(k, "root ::= [a-z]+ \" \"? root2\nroot2 ::= \"(\" root2? \")\"", "abc (())", true);
    check(k, "root ::= [a-z]+ \" \"? root2\nroot2 ::= \"(\" root2? \")\"", "abc (()", false);
    check(k, "root ::= \"\\\"\\\\/\" [\\]\\[^-]", "\"\\/^", true);
    refuses(k, "root ::= missing", "missing");
    refuses(k, "start ::= \"a\"", "root");
    refuses(k, "root ::= \"a", "ends");
    refuses(k, "root ::= [z-a]", "backwards");
    refuses(k, "root ::= \"a\"{3,2}", "line 1");
    refuses(k, "root ::= \"a\")", "line 1");
}

static void test_lark(void **state)
{
    (void)state;
    const char *sum = "start: NUMBER (\"+\" start)?\nNUMBER: /[0-9]+/";
    check(PL_GRAMMAR_LARK, sum, "1+22+333", true);
    check(PL_GRAMMAR_LARK, sum, "1+", false);
    check(PL_GRAMMAR_LARK, "start: \"x\" %json {\"type\":\"boolean\"} \"y\"", "xtruey", true);
}

static void test_control_tokens_are_no_text(void **state)
{
    (void)state;
    uint32_t mask[BYTES_WORDS];
    struct matcher *m = open_matcher(PL_GRAMMAR_REGEX, "(.|\n)*");
    assert_int_equal(matcher_mask(m, mask, BYTES_WORDS), MATCHER_MAY_END);
    assert_true(mask['<' / 32] >> ('<' % 32) & 1);
    assert_false(mask[BYTES_CONTROL / 32] >> (BYTES_CONTROL % 32) & 1);
    assert_false(mask[BYTES_END / 32] >> (BYTES_END % 32) & 1);
    matcher_close(m);

    m = open_matcher(PL_GRAMMAR_LARK, "start: <[257]> \"a\"");
    assert_int_equal(matcher_mask(m, mask, BYTES_WORDS), MATCHER_GOES_ON);
    assert_true(mask[BYTES_CONTROL / 32] >> (BYTES_CONTROL % 32) & 1);
    assert_false(mask['<' / 32] >> ('<' % 32) & 1);
    assert_false(matcher_push(m, 'a'));
    assert_true(matcher_push(m, BYTES_CONTROL));
    assert_true(matcher_push_text(m, "a", 1));
    assert_int_equal(matcher_mask(m, mask, BYTES_WORDS), MATCHER_COMPLETE);
    matcher_close(m);
}

/* Equal sources share what was compiled, and nothing of what was pushed. */
static void test_matchers_are_apart(void **state)
{
    (void)state;
    struct matcher *a = open_matcher(PL_GRAMMAR_REGEX, "ab|ac"), *b;
    assert_true(matcher_push(a, 'a'));
    b = open_matcher(PL_GRAMMAR_REGEX, "ab|ac");
    assert_false(matcher_push(b, 'b'));
    assert_true(matcher_push(a, 'b'));
    assert_true(matcher_push_text(b, "ac", 2));
    matcher_close(a);
    matcher_close(b);
    for (int i = 0; i < 100; i++) {     /* more than are kept */
        char source[32];
        snprintf(source, sizeof source, "x{%d}", i % 50 + 1);
        matcher_close(open_matcher(PL_GRAMMAR_REGEX, source));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemas),
        cmocka_unit_test(test_what_a_schema_may_not_ask_is_named),
        cmocka_unit_test(test_deep_and_dear_grammars_harm_nobody),
        cmocka_unit_test(test_regexes),
        cmocka_unit_test(test_gbnf),
        cmocka_unit_test(test_lark),
        cmocka_unit_test(test_control_tokens_are_no_text),
        cmocka_unit_test(test_matchers_are_apart),
    };
    return cmocka_run_group_tests(tests, open_vocabulary, close_vocabulary);
}

/* What the grammars of tool calls let through is read as those calls again, in every syntax. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "server/reply_reader.h"
#include "server/tool_grammar.h"
#include "unit/server/fake_engine.h"
#include "unit/text/grammars.h"

static const char *const syntaxes[] = { "hermes", "llama3", "mistral", "mistral-array",
                                        "qwen3-coder", "glm", "minimax", "deepseek",
                                        "harmony", "deepseek-r1", "seed-oss", "nemotron", "apriel",
                                        "gigachat" };
enum { N_SYNTAXES = sizeof syntaxes / sizeof *syntaxes };

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":99},\"unit\":{\"enum\":"
    "[\"C\",\"F\"]},\"at\":{\"$ref\":\"#/$defs/point\"}},\"required\":[\"n\",\"at\"],"
    "\"additionalProperties\":false,\"$defs\":{\"point\":{\"type\":\"array\",\"items\":"
    "{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":2}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"a.b\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"x\":{\"type\":\"null\"}},\"additionalProperties\":false}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"none\"}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"say\",\"parameters\":{\"properties\":"
    "{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"],\"additionalProperties\":false}}}]";

static struct vocabulary *vocabulary;
static pl_engine *engine;
static json_t *tools;

static struct matcher *open_matcher(const char *syntax, struct tool_wish wish)
{
    static struct tool_form form;
    struct strbuf lark = { 0 };
    struct matcher *m;
    pl_err err = { 0 };
    wish.tools = tools;
    tool_form_fill(&form, engine, tool_syntax_named(syntax));
    tool_grammar_write(&lark, &form, &wish);
    assert_false(lark.failed);
    if (matcher_open(&m, vocabulary, PL_GRAMMAR_LARK, lark.bytes, lark.n, &err))
        fail_msg("%s: %s\n%s", syntax, err.text, lark.bytes);
    strbuf_free(&lark);
    return m;
}

/* Any byte that may come, until the reply may end. */
static size_t walk(struct matcher *m, struct rng *rng, char *text, size_t max)
{
    uint32_t mask[BYTES_WORDS];
    size_t n = 0;
    for (;;) {
        unsigned char may[256];
        uint32_t n_may = 0;
        const enum matcher_next next = matcher_mask(m, mask, BYTES_WORDS);
        assert_true(next != MATCHER_FAILED);
        if (next == MATCHER_COMPLETE || (next == MATCHER_MAY_END && rng_below(rng, 3))) return n;
        for (uint32_t b = 0; b < 256; b++)
            if (mask[b / 32] >> (b % 32) & 1) may[n_may++] = (unsigned char)b;
        if (!n_may && next == MATCHER_MAY_END) return n;
        if (!n_may || n == max) fail_msg("%u bytes may follow %.*s", n_may, (int)n, text);
        text[n] = (char)may[rng_below(rng, n_may)];
        assert_true(matcher_push(m, (unsigned char)text[n++]));
    }
}

static void read_text(struct reply_reader *r, const char *syntax, const char *text, size_t n)
{
    *r = (struct reply_reader){ .syntax = tool_syntax_named(syntax), .tools = tools,
                                .state = strcmp(syntax, "harmony") ? REPLY_TELLING
                                                                    : REPLY_HEADER };
    reply_reader_push(r, text, n, true);
}

static void check_call(const struct tool_call *call)
{
    json_t *v = json_loads(call->arguments, 0, NULL);
    assert_true(json_is_object(v));
    if (!strcmp(call->name, "get")) {
        assert_true(json_is_integer(json_object_get(v, "n")));
        assert_in_range(json_array_size(json_object_get(v, "at")), 1, 2);
    }
    json_decref(v);
}

static void test_what_may_be_written_is_read(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 5);
    for (int round = 0; round < 60 * N_SYNTAXES; round++) {
        const char *syntax = syntaxes[round % N_SYNTAXES];
        static char text[20000];
        struct reply_reader r;
        struct tool_wish wish = { .only = round % 3 ? "get" : "a.b", .is_single = round % 2 };
        struct matcher *m = open_matcher(syntax, wish);
        const size_t n = walk(m, &rng, text, sizeof text);
        matcher_close(m);
        read_text(&r, syntax, text, n);
        if (!r.n_calls || r.content.n || (wish.is_single && r.n_calls > 1))
            fail_msg("%s: %.*s: %u calls, content \"%s\"", syntax, (int)n, text, r.n_calls,
                     r.content.n ? r.content.bytes : "");
        for (uint32_t i = 0; i < r.n_calls; i++) {
            assert_string_equal(r.call[i].name, wish.only);
            check_call(&r.call[i]);
        }
        reply_reader_free(&r);
    }
}

#define DS(word) "<\xef\xbd\x9ctool\xe2\x96\x81" word "\xef\xbd\x9c>"

/* As the models' own templates write them. */
static void test_what_models_write_may_be_written(void **state)
{
    (void)state;
    static const struct { const char *syntax, *text; uint32_t n; } cases[] = {
        { "hermes", "<tool_call>\n{\"name\": \"say\", \"arguments\": {\"text\": \"a </tool_call>\""
                    "}}"
                    "\n</tool_call>\n<tool_call>\n{\"name\": \"none\", \"arguments\": {\"x\": [1]}"
                    "}\n"
                    "</tool_call>", 2 },
        { "llama3", "{\"name\": \"say\", \"parameters\": {\"text\": \"a\"}}", 1 },
        { "mistral-array", "[TOOL_CALLS][{\"name\": \"say\", \"arguments\": {\"text\": \"a\"}}, "
                           "{\"name\": \"a.b\", \"arguments\": {}}]", 2 },
        { "mistral", "[TOOL_CALLS]say[ARGS]{\"text\": \"a\"}[TOOL_CALLS]none[ARGS]{}", 2 },
        { "qwen3-coder", "<tool_call>\n<function=say>\n<parameter=text>\nif (a < b)\n\treturn;\n"
                         "</parameter>\n</function>\n</tool_call>", 1 },
        { "qwen3-coder", "<tool_call>\n<function=get>\n<parameter=n>\n5\n</parameter>\n"
                         "<parameter=unit>\nF\n</parameter>\n<parameter=at>\n[true]\n</parameter>\n"
                         "</function>\n</tool_call>\n<tool_call>\n<function=a.b>\n</function>\n"
                         "</tool_call>", 2 },
        { "deepseek-r1", DS("calls\xe2\x96\x81" "begin") DS("call\xe2\x96\x81" "begin") "function"
                         DS("sep") "say\n```json\n{\"text\": \"a\"}\n```"
                         DS("call\xe2\x96\x81" "end") DS("calls\xe2\x96\x81" "end"), 1 },
        { "seed-oss", "<seed:tool_call>\n<function=say>\n<parameter=text>a</parameter>\n"
                      "</function>\n</seed:tool_call>", 1 },
        { "nemotron", "<TOOLCALL>[{\"name\": \"none\", \"arguments\": {}}]</TOOLCALL>", 1 },
        { "apriel", "<tool_calls>[{\"name\": \"none\", \"arguments\": {}}]</tool_calls>", 1 },
        { "gigachat", "<|function_call|>{\"name\": \"none\", \"arguments\": {}}", 1 },
        { "harmony", "<|channel|>commentary to=functions.say <|constrain|>json<|message|>"
                     "{\"text\": \"a\"}", 1 },
        { "glm", "<tool_call>say\n<arg_key>text</arg_key>\n<arg_value>two\nlines</arg_value>\n"
                 "</tool_call>", 1 },
        { "minimax", "<minimax:tool_call>\n<invoke name=\"say\">\n<parameter name=\"text\">x"
                     "</parameter>\n</invoke>\n</minimax:tool_call>", 1 },
        { "deepseek", DS("calls\xe2\x96\x81" "begin") DS("call\xe2\x96\x81" "begin") "say" DS("sep")
                      "{\"text\": \"a\"}" DS("call\xe2\x96\x81" "end")
                      DS("calls\xe2\x96\x81" "end"), 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reply_reader r;
        struct matcher *m = open_matcher(cases[i].syntax, (struct tool_wish){ 0 });
        const size_t n = strlen(cases[i].text);
        if (!matcher_takes(m, cases[i].text, n))
            fail_msg("%s refuses %s", cases[i].syntax, cases[i].text);
        matcher_close(m);
        read_text(&r, cases[i].syntax, cases[i].text, n);
        assert_int_equal(r.n_calls, cases[i].n);
        assert_int_equal(r.content.n, 0);
        reply_reader_free(&r);
    }
}

static void test_a_document_may_come_instead(void **state)
{
    (void)state;
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"ok\":{\"type\":"
                                 "\"boolean\"}},\"required\":[\"ok\"],\"additionalProperties\":fal"
                                 "se}";
    for (int i = 0; i < N_SYNTAXES; i++) {
        if (tool_syntax_named(syntaxes[i])->is_at_start) continue;
        struct matcher *m = open_matcher(syntaxes[i], (struct tool_wish){ .or_schema = schema });
        assert_true(matcher_takes(m, "{\"ok\": true}", 12));
        matcher_close(m);
    }
}

static int open_all(void **state)
{
    (void)state;
    pl_err err;
    tools = json_loads(tools_text, 0, NULL);
    engine = fake_open(1, 1, 0);
    return !tools || bytes_vocabulary(&vocabulary, &err);
}

static int close_all(void **state)
{
    (void)state;
    pl_close(engine);
    vocabulary_close(vocabulary);
    json_decref(tools);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_may_be_written_is_read),
        cmocka_unit_test(test_what_models_write_may_be_written),
        cmocka_unit_test(test_a_document_may_come_instead),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

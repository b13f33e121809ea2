/* Replies of every syntax, cut into pieces of every size: the same thoughts, content and calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/reply_reader.h"

static const char tools_text[] =
    "[{\"function\":{\"name\":\"get\",\"parameters\":{\"properties\":{\"city\":{\"type\":"
    "\"string\"},\"n\":{\"type\":\"integer\"},\"list\":{\"type\":\"array\"}}}}},"
    "{\"function\":{\"name\":\"add\"}}]";

/* thoughts|content|name arguments;name arguments */
static char *read_all(const char *syntax, const char *text, size_t piece)
{
    const bool thinks = *syntax == '?', single = *syntax == '!';
    syntax += thinks || single;
    json_t *tools = json_loads(tools_text, 0, NULL);
    struct reply_reader r = { .syntax = tool_syntax_named(syntax), .tools = tools,
                              .state = !strcmp(syntax, "harmony") ? REPLY_HEADER
                                       : thinks                   ? REPLY_START
                                                                  : REPLY_TELLING,
                              .is_single = single };
    struct strbuf out = { 0 };
    const size_t n = strlen(text);
    for (size_t at = 0; at < n; at += piece)
        reply_reader_push(&r, text + at, n - at < piece ? n - at : piece, false);
    reply_reader_push(&r, "", 0, true);
    assert_false(r.failed);
    strbuf_addf(&out, "%.*s|%.*s|", (int)r.thoughts.n, r.thoughts.n ? r.thoughts.bytes : "",
                (int)r.content.n, r.content.n ? r.content.bytes : "");
    for (uint32_t i = 0; i < r.n_calls; i++)
        strbuf_addf(&out, "%s%s %s", i ? ";" : "", r.call[i].name, r.call[i].arguments);
    reply_reader_free(&r);
    json_decref(tools);
    return out.bytes;
}

#define DS(word) "<\xef\xbd\x9ctool\xe2\x96\x81" word "\xef\xbd\x9c>"
#define DS_CALL(name, arguments)                                                                   \
    DS("call\xe2\x96\x81" "begin") name DS("sep") arguments DS("call\xe2\x96\x81" "end")

static const struct {
    const char *syntax;         /* "": none; ?: thoughts are split; !: one call is read */
    const char *text, *want;
} cases[] = {
    { "", "<tool_call> is text", "|<tool_call> is text|" },
    { "harmony", "<|channel|>analysis<|message|>Hm < |.<|end|><|start|>assistant<|channel|>final"
                 "<|message|>It is\n5.", "Hm < |.|It is\n5.|" },
    { "harmony", "<|channel|>analysis<|message|>x<|end|><|start|>assistant<|channel|>commentary "
                 "to=functions.get <|constrain|>json<|message|>{\"n\": 1}", "x||get {\"n\":1}" },
    { "harmony", "<|channel|>commentary<|message|>First.<|end|><|start|>assistant to=functions.add"
                 "<|channel|>commentary json<|message|>{}<|call|>", "|First.|add {}" },
    { "harmony", "<|channel|>commentary to=functions.get<|message|>{\"n\": ", "|{\"n\": |" },
    { "harmony", "{\"a\": 1}", "|{\"a\": 1}|" },
    { "harmony", "<|channel|>analy", "||" },
    { "deepseek-r1", DS("calls\xe2\x96\x81" "begin") DS("call\xe2\x96\x81" "begin") "function"
                     DS("sep") "get\n```json\n{\"n\": 1}\n```" DS("call\xe2\x96\x81" "end") "\n"
                     DS("call\xe2\x96\x81" "begin") "function" DS("sep") "add\n```json\n{}\n```"
                     DS("call\xe2\x96\x81" "end") DS("calls\xe2\x96\x81" "end"),
      "||get {\"n\":1};add {}" },
    { "seed-oss", "So.<seed:tool_call>\n<function=get>\n<parameter=city>a b</parameter>\n"
                  "<parameter=n>3</parameter>\n</function>\n</seed:tool_call>",
      "|So.|get {\"city\":\"a b\",\"n\":3}" },
    { "nemotron", "<TOOLCALL>[{\"name\": \"get\", \"arguments\": {}}, {\"name\": \"add\", "
                  "\"arguments\": {}}]</TOOLCALL>", "||get {};add {}" },
    { "apriel", "x<tool_calls>[{\"name\": \"get\", \"arguments\": {}, \"id\": \"1\"}]"
                "</tool_calls>\n", "|x|get {}" },
    { "gigachat", "<|function_call|>{\"name\": \"get\", \"arguments\": {}}", "||get {}" },
    { "hermes", "Plain text.\n\nAnd more. ", "|Plain text.\n\nAnd more. |" },
    { "hermes", "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"a}<\"}}\n</tool_call"
                ">",
      "||get {\"city\":\"a}<\"}" },
    { "hermes", "I look.\n<tool_call>{\"name\":\"get\",\"arguments\":{}}</tool_call>\n<tool_call>\n"
                "{\"name\": \"add\", \"arguments\": \"{\\\"a\\\": 1}\"}\n</tool_call>\n",
      "|I look.|get {};add {\"a\":1}" },
    { "hermes", "<tool_call>\n{\"name\": \"get\", \"arguments\": {}}", "||get {}" },
    { "hermes", "<tool_call>\n{\"name\": \"get\", \"argu", "|<tool_call>\n{\"name\": \"get\", \"ar"
                                                           "gu|" },
    { "hermes", "a <tool_call> b", "|a <tool_call> b|" },
    { "hermes", "<tool", "|<tool|" },
    { "hermes", "<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>\nDone.",
      "|Done.|get {}" },
    { "hermes", "{\"name\": \"get\", \"arguments\": {\"n\": 1e400}}", "||get {\"n\":1e400}" },
    { "hermes", "```json\n{\"name\": \"add\", \"arguments\": {}}\n```", "||add {}" },
    { "hermes", "{\"name\": \"Ada\", \"arguments\": {}}", "|{\"name\": \"Ada\", \"arguments\": {}}"
                                                          "|" },
    { "hermes", "It is {\"name\": \"get\", \"arguments\": {}}",
      "|It is {\"name\": \"get\", \"arguments\": {}}|" },
    { "!hermes", "<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n"
                 "{",
      "|<tool_call>\n{|get {}" },
    { "llama3", "{\"name\": \"get\", \"parameters\": {\"city\": \"Rome\"}}",
      "||get {\"city\":\"Rome\"}" },
    { "llama3", "<|python_tag|>{\"name\": \"add\", \"parameters\": {}}", "||add {}" },
    { "llama3", "{\"name\": \"get\", \"parameters\": {}}; {\"name\": \"add\", \"parameters\": {}}",
      "||get {};add {}" },
    { "llama3", "So {\"name\": \"get\"}", "|So {\"name\": \"get\"}|" },
    { "llama3", "{\"name\": \"Ada\"}", "|{\"name\": \"Ada\"}|" },
    { "mistral-array", "[TOOL_CALLS] [{\"name\": \"get\", \"arguments\": {\"city\": \"]\"}}, "
                       "{\"name\": \"add\", \"arguments\": {}}]", "||get {\"city\":\"]\"};add {}" },
    { "mistral-array", "[TOOL_CALLS][{\"name\": \"get\", \"arguments\": {}}]", "||get {}" },
    { "mistral", "[TOOL_CALLS]get[ARGS]{\"n\": 5}[TOOL_CALLS]add[ARGS]{}", "||get {\"n\":5};add {"
                                                            "}" },
    { "mistral", "See:[TOOL_CALLS]get[ARGS]{}", "|See:|get {}" },
    { "qwen3-coder", "<tool_call>\n<function=get>\n<parameter=city>\n12\n</parameter>\n<parameter="
                     "n>\n"
                     "7\n</parameter>\n<parameter=list>\n[1, \"x\"]\n</parameter>\n</function>\n"
                     "</tool_call>", "||get {\"city\":\"12\",\"n\":7,\"list\":[1,\"x\"]}" },
    { "qwen3-coder", "Now.\n<tool_call>\n<function=add>\n</function>\n</tool_call>\n<tool_call>\n"
                     "<function=get>\n<parameter=city>\na\n\n<b>\n</parameter>\n</function>\n</too"
                     "l_call>",
      "|Now.|add {};get {\"city\":\"a\\n\\n<b>\"}" },
    { "qwen3-coder", "<tool_call>\n<function=get>\n<parameter=ci", "|<tool_call>\n<function=get>\n"
                                                                   "<parameter=ci|" },
    { "glm", "<tool_call>get\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>n"
             "</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", "||get {\"city\":\"Rome\",\"n\""
                                                            ":3}" },
    { "glm", "<tool_call>add\n</tool_call>", "||add {}" },
    { "minimax", "<minimax:tool_call>\n<invoke name=\"get\">\n<parameter name=\"city\">Rome</param"
                 "eter>\n"
                 "</invoke>\n<invoke name=\"add\">\n</invoke>\n</minimax:tool_call>",
      "||get {\"city\":\"Rome\"};add {}" },
    { "deepseek", "Well." DS("calls\xe2\x96\x81" "begin") DS_CALL("get", "{\"n\": 1}")
                  DS_CALL("add", "{}") DS("calls\xe2\x96\x81" "end"),
      "|Well.|get {\"n\":1};add {}" },
    { "?hermes", "<think>\nHm, <tool_call>?\n\n</think>\n\n<tool_call>\n{\"name\": \"add\", "
                "\"arguments\": {}}\n</tool_call>", "Hm, <tool_call>?||add {}" },
    { "?", "<think>a\n\nb</think>\n\nc", "a\n\nb|c|" },
    { "?", "\n<think>never ends \n", "never ends||" },
    { "?", "<thin air", "|<thin air|" },
    { "?", "Not at the start <think>x</think>", "|Not at the start <think>x</think>|" },
    { "?", "<think>\n\n</think>\n\nYes", "|Yes|" },
};

static void test_pieces_of_every_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 40; piece += piece < 8 ? 1 : 13) {
            char *got = read_all(cases[i].syntax, cases[i].text, piece);
            if (strcmp(got, cases[i].want))
                fail_msg("%s in pieces of %zu:\n%s\nwanted %s", cases[i].text, piece, got,
                         cases[i].want);
            free(got);
        }
}

/* Whatever is cut off or mixed up, all of it comes back and nothing is read twice. */
static void test_anything_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t cut = 0; cut <= strlen(cases[i].text); cut++) {
            char text[2048];
            snprintf(text, sizeof text, "%.*s%s", (int)cut, cases[i].text,
                     cases[(i * 7 + cut) % (sizeof cases / sizeof *cases)].text);
            free(read_all(cases[i].syntax, text, 3));
        }
}

static void test_syntaxes_are_told_apart(void **state)
{
    (void)state;
    static const struct { const char *rendered, *name; } seen[] = {
        { "<tool_call>\n{\"name\": \"the_tool\", \"arguments\": {\"k\": 1}}\n</tool_call"
          ">", "hermes" },
        { "{\"name\": \"the_tool\", \"parameters\": {\"k\": 1}}", "llama3" },
        { "[TOOL_CALLS][{\"name\": \"the_tool\", \"arguments\": {}}]", "mistral-array" },
        { "[TOOL_CALLS]the_tool[ARGS]{}", "mistral" },
        { "<tool_call>\n<function=the_tool>\n<parameter=k>", "qwen3-coder" },
        { "<tool_call>the_tool\n<arg_key>k</arg_key>", "glm" },
        { "<minimax:tool_call>\n<invoke name=\"the_tool\">", "minimax" },
        { DS_CALL("the_tool", "{}"), "deepseek" },
        { "function" DS("sep") "the_tool\n```json\n{}\n```", "deepseek-r1" },
        { "<seed:tool_call>\n<function=the_tool>", "seed-oss" },
        { "<TOOLCALL>[{\"name\": \"the_tool\"", "nemotron" },
        { "<tool_calls>[{\"name\": \"the_tool\"", "apriel" },
        { "<|function_call|>{\"name\": \"the_tool\"", "gigachat" },
        { "<|start|>assistant to=functions.the_tool<|channel|>commentary json<|message|>{}<|call|>",
          "harmony" },
    };
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        const struct tool_syntax *s = tool_syntax_find(seen[i].rendered);
        assert_non_null(s);
        assert_string_equal(s->name, seen[i].name);
    }
    assert_null(tool_syntax_find("the_tool(k=1)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_of_every_size),
        cmocka_unit_test(test_anything_ends),
        cmocka_unit_test(test_syntaxes_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

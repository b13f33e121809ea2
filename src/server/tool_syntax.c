#include "server/tool_syntax.h"

#include <string.h>

#define DS(word) "<\xef\xbd\x9ctool\xe2\x96\x81" word "\xef\xbd\x9c>"

/* What is found first is taken: several have marks of others. */
static const struct tool_syntax table[] = {
    { .name = "glm", .seen = { "<tool_call>the_tool", "<arg_key>" }, .family = TOOL_TAGS,
      .section = "", .section_end = "", .open = "<tool_call>", .close = "</tool_call>",
      .between = "\n", .name_end = "\n", .key_open = "<arg_key>",
      .key_end = "</arg_key>\n<arg_value>", .value_end = "</arg_value>\n" },
    { .name = "minimax", .seen = { "<minimax:tool_call>", "<invoke name=" }, .family = TOOL_TAGS,
      .section = "<minimax:tool_call>\n", .section_end = "</minimax:tool_call>",
      .open = "<invoke name=\"", .close = "</invoke>\n", .between = "", .name_end = "\">\n",
      .key_open = "<parameter name=\"", .key_end = "\">", .value_end = "</parameter>\n" },
    { .name = "qwen3-coder", .seen = { "<tool_call>", "<function=the_tool>" },
      .family = TOOL_TAGS, .section = "", .section_end = "", .open = "<tool_call>\n<function=",
      .close = "</function>\n</tool_call>", .between = "\n", .name_end = ">\n",
      .key_open = "<parameter=", .key_end = ">\n", .value_end = "\n</parameter>\n" },
    { .name = "deepseek", .seen = { DS("call" "\xe2\x96\x81" "begin") "the_tool",
                                    DS("sep") },
      .family = TOOL_NAMED, .section = DS("calls\xe2\x96\x81" "begin"),
      .section_end = DS("calls\xe2\x96\x81" "end"), .open = DS("call\xe2\x96\x81" "begin"),
      .close = DS("call\xe2\x96\x81" "end"), .between = "", .name_end = DS("sep") },
    { .name = "deepseek-r1", .seen = { DS("sep") "the_tool", "```json" }, .family = TOOL_NAMED,
      .section = DS("calls\xe2\x96\x81" "begin"),
      .section_end = DS("calls\xe2\x96\x81" "end"),
      .open = DS("call\xe2\x96\x81" "begin") "function" DS("sep"),
      .close = "\n```" DS("call\xe2\x96\x81" "end"), .between = "\n",
      .name_end = "\n```json\n" },
    { .name = "seed-oss", .seen = { "<seed:tool_call>", "<function=the_tool>" },
      .family = TOOL_TAGS, .section = "", .section_end = "",
      .open = "<seed:tool_call>\n<function=", .close = "</function>\n</seed:tool_call>",
      .between = "\n", .name_end = ">\n", .key_open = "<parameter=", .key_end = ">",
      .value_end = "</parameter>\n" },
    { .name = "nemotron", .seen = { "<TOOLCALL>[{\"name\"" }, .family = TOOL_ARRAY, .section = "",
      .section_end = "", .open = "<TOOLCALL>", .close = "</TOOLCALL>", .between = ", ",
      .arguments = "arguments" },
    { .name = "apriel", .seen = { "<tool_calls>[{\"name\"" }, .family = TOOL_ARRAY, .section = "",
      .section_end = "", .open = "<tool_calls>", .close = "</tool_calls>", .between = ", ",
      .arguments = "arguments" },
    { .name = "gigachat", .seen = { "<|function_call|>{\"name\"" }, .family = TOOL_OBJECT,
      .section = "", .section_end = "", .open = "<|function_call|>", .close = "", .between = "",
      .arguments = "arguments", .is_single = true },
    { .name = "harmony", .seen = { "to=functions.the_tool", "<|channel|>" },
      .family = TOOL_CHANNELS, .section = "", .section_end = "",
      .open = "<|channel|>commentary to=functions.", .close = "", .between = "",
      .name_end = " <|constrain|>json<|message|>", .is_single = true },
    { .name = "mistral", .seen = { "[TOOL_CALLS]the_tool", "[ARGS]" }, .family = TOOL_NAMED,
      .section = "", .section_end = "", .open = "[TOOL_CALLS]", .close = "", .between = "",
      .name_end = "[ARGS]" },
    { .name = "mistral-array", .seen = { "[TOOL_CALLS]" }, .family = TOOL_ARRAY, .section = "",
      .section_end = "", .open = "[TOOL_CALLS]", .close = "", .between = ", ",
      .arguments = "arguments" },
    { .name = "hermes", .seen = { "<tool_call>", "\"name\"" }, .family = TOOL_OBJECT, .section = "",
      .section_end = "", .open = "<tool_call>\n", .close = "\n</tool_call>", .between = "\n",
      .arguments = "arguments",
      .bare = { "{\"name\"", "{\n  \"name\"", "```json\n{" } },    /* Qwen2.5-Coder */
    { .name = "llama3", .seen = { "\"name\": \"the_tool\"", "\"parameters\": {" },
      .family = TOOL_OBJECT, .section = "", .section_end = "", .open = "", .close = "",
      .between = "; ", .arguments = "parameters",
      .trigger = { "{\"name\"", "{ \"name\"", "<|python_tag|>" }, .is_at_start = true,
      .is_single = true },
};

enum { N_SYNTAXES = sizeof table / sizeof *table };

const struct tool_syntax *tool_syntax_find(const char *rendered)
{
    for (size_t i = 0; i < N_SYNTAXES; i++) {
        const struct tool_syntax *s = &table[i];
        if (strstr(rendered, s->seen[0]) && (!s->seen[1] || strstr(rendered, s->seen[1])))
            return s;
    }
    return NULL;
}

const struct tool_syntax *tool_syntax_named(const char *name)
{
    for (size_t i = 0; i < N_SYNTAXES; i++)
        if (!strcmp(table[i].name, name)) return &table[i];
    return NULL;
}

const struct tool_syntax *tool_syntax_generic(void)
{
    return tool_syntax_named("hermes");
}

const char *tool_syntax_begin(const struct tool_syntax *s)
{
    return *s->section ? s->section : s->open;
}

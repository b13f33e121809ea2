/* Bodies of Ollama's routes in OpenAI's members: what becomes of each, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "server/dialects/ollama_request.h"
#include "server/json_read.h"

static json_t *read_body(const char *text)
{
    json_t *v = json_read(text, strlen(text), NULL);
    if (!v) fail_msg("the test's own body is no JSON: %s", text);
    return v;
}

static void expect(translate_fn *translate, const char *body, const char *want)
{
    struct request_error error = { 0 };
    json_t *from = read_body(body), *to = translate(NULL, from, &error), *wanted = read_body(want);
    char *got = to ? json_dumps(to, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (!json_equal(to, wanted))
        fail_msg("%s\nbecomes %s (%s)\nnot %s", body, got ? got : "an error", error.text, want);
    free(got);
    json_decref(from);
    json_decref(to);
    json_decref(wanted);
}

static void refuse(translate_fn *translate, const char *body, const char *words)
{
    struct request_error error = { 0 };
    json_t *from = read_body(body), *to = translate(NULL, from, &error);
    if (to || !error.param || !strstr(error.text, words))
        fail_msg("%s: %s, not %s", body, to ? "is taken" : error.text, words);
    json_decref(from);
}

static void members_get_their_other_names(void **state)
{
    (void)state;
    expect(ollama_translate_chat,
           "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tools\":[],"
           "\"keep_alive\":\"5m\",\"truncate\":true,\"format\":\"json\",\"think\":\"low\","
           "\"logprobs\":true,\"top_logprobs\":2}",
           "{\"stream\":true,\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
           "\"tools\":[],\"response_format\":{\"type\":\"json_object\"},\"enable_thinking\":true,"
           "\"reasoning_effort\":\"low\",\"logprobs\":true,\"top_logprobs\":2}");
    expect(ollama_translate_chat,
           "{\"messages\":[],\"stream\":false,\"format\":{\"type\":\"array\"},\"think\":false,"
           "\"tools\":null,\"options\":null,\"model\":null}",
           "{\"stream\":false,\"messages\":[],\"enable_thinking\":false,\"response_format\":"
           "{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"type\":\"array\"}}}}");
    expect(ollama_translate_generate,
           "{\"prompt\":\"a\",\"system\":\"s\",\"template\":\"\",\"suffix\":\"\",\"context\":[],"
           "\"images\":null,\"raw\":false,\"format\":\"\",\"think\":true}",
           "{\"stream\":true,\"enable_thinking\":true,\"messages\":[{\"role\":\"system\","
           "\"content\":\"s\"},{\"role\":\"user\",\"content\":\"a\"}]}");
    expect(ollama_translate_raw,
           "{\"prompt\":\"a\",\"raw\":true,\"think\":false,\"logprobs\":true,\"top_logprobs\":3}",
           "{\"stream\":true,\"prompt\":\"a\",\"logprobs\":3}");
    expect(ollama_translate_raw, "{\"prompt\":\"a\",\"logprobs\":false}",
           "{\"stream\":true,\"prompt\":\"a\"}");
    expect(ollama_translate_load, "{\"model\":\"m\",\"keep_alive\":0,\"stream\":false}",
           "{\"stream\":false,\"model\":\"m\",\"prompt\":\"\"}");
}

static void options_become_members(void **state)
{
    (void)state;
    expect(ollama_translate_raw,
           "{\"prompt\":\"a\",\"options\":{\"num_predict\":5,\"temperature\":0.5,\"top_k\":4,"
           "\"top_p\":0.9,\"min_p\":0.1,\"typical_p\":1,\"seed\":7,\"stop\":[\"x\"],"
           "\"repeat_penalty\":1.1,\"repeat_last_n\":-1,\"presence_penalty\":0.1,"
           "\"frequency_penalty\":0.2,\"mirostat\":2,\"mirostat_tau\":5,\"num_ctx\":4096,"
           "\"num_keep\":4,\"num_batch\":2,\"num_gpu\":1,\"num_thread\":8,\"use_mmap\":true,"
           "\"penalize_newline\":true,\"n\":3,\"stream\":false,\"top_a\":0}}",
           "{\"stream\":true,\"prompt\":\"a\",\"n_predict\":5,\"temperature\":0.5,\"top_k\":4,"
           "\"top_p\":0.9,\"min_p\":0.1,\"typical_p\":1,\"seed\":7,\"stop\":[\"x\"],"
           "\"repeat_penalty\":1.1,\"repeat_last_n\":-1,\"presence_penalty\":0.1,"
           "\"frequency_penalty\":0.2,\"mirostat\":2,\"mirostat_tau\":5}");
    expect(ollama_translate_raw,
           "{\"prompt\":\"a\",\"options\":{\"num_predict\":-3,\"seed\":null}}",
           "{\"stream\":true,\"prompt\":\"a\",\"n_predict\":-1}");
}

#define CALL(id, name) "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name \
                       "\",\"arguments\":{}}}"
#define OPEN_CALL(name) "{\"function\":{\"name\":\"" name "\",\"arguments\":{}}}"

/* Results find their calls by name, in order, or by an id of their own. */
static void calls_get_ids_and_results_find_them(void **state)
{
    (void)state;
    expect(ollama_translate_chat,
           "{\"messages\":[{\"role\":\"assistant\",\"thinking\":\"hm\",\"content\":\"\","
           "\"images\":[],\"tool_calls\":[" OPEN_CALL("f") "," OPEN_CALL("g") "]},"
           "{\"role\":\"tool\",\"tool_name\":\"g\",\"content\":\"1\"},"
           "{\"role\":\"tool\",\"content\":\"2\"},{\"role\":\"tool\",\"content\":\"3\"}]}",
           "{\"stream\":true,\"messages\":[{\"role\":\"assistant\",\"reasoning_content\":\"hm\","
           "\"content\":\"\",\"tool_calls\":[" CALL("call00000", "f") ","
           CALL("call00001", "g") "]},"
           "{\"role\":\"tool\",\"name\":\"g\",\"tool_call_id\":\"call00001\",\"content\":\"1\"},"
           "{\"role\":\"tool\",\"tool_call_id\":\"call00000\",\"content\":\"2\"},"
           "{\"role\":\"tool\",\"content\":\"3\"}]}");
    expect(ollama_translate_chat,
           "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[" CALL("own", "f") ","
           "{\"function\":{\"name\":\"f\",\"arguments\":null}}]},"
           "{\"role\":\"tool\",\"tool_call_id\":\"own\",\"content\":\"1\"},"
           "{\"role\":\"tool\",\"tool_name\":\"f\",\"content\":\"2\"}]}",
           "{\"stream\":true,\"messages\":[{\"role\":\"assistant\",\"tool_calls\":["
           CALL("own", "f") "," CALL("call00000", "f") "]},"
           "{\"role\":\"tool\",\"tool_call_id\":\"own\",\"content\":\"1\"},"
           "{\"role\":\"tool\",\"name\":\"f\",\"tool_call_id\":\"call00000\",\"content\":\"2\"}]}");
}

static void what_is_wrong_is_named_as_the_client_has_it(void **state)
{
    static const struct { const char *members, *words; } cases[] = {
        { "\"options\":5", "options is an integer; an object is wanted" },
        { "\"options\":123456789012345678901", "options is a number beyond 64 bits" },
        { "\"options\":{\"num_predict\":\"x\"}", "num_predict is a string; an integer is wanted" },
        { "\"options\":{\"num_predict\":1.5}", "num_predict is a number" },
        { "\"options\":{\"penalize_newline\":false}", "penalize_newline is not supported" },
        { "\"options\":{\"penalize_newline\":1}", "penalize_newline is an integer" },
        { "\"options\":{\"top_a\":0.5}", "top_a is not supported" },
        { "\"format\":\"xml\"", "format is another word; \"json\" or a schema" },
        { "\"format\":[1]", "format is an array" }, { "\"format\":true", "format is a boolean" },
        { "\"think\":\"much\"", "think is another word; true, false, \"low\"" },
        { "\"think\":1", "think is an integer" },
        { "\"tfs\":2", "tfs is not supported" }, { "\"best_of\":3", "best_of is 3" },
    };
    static const struct { const char *message, *words; } messages[] = {
        { "\"images\":[\"aGk=\"]", "messages[0].images: this version takes text" },
        { "\"images\":5", "messages[0].images" },
        { "\"thinking\":5", "messages[0].thinking is an integer; a string is wanted" },
        { "\"tool_name\":[]", "messages[0].tool_name is an array; a string is wanted" },
        { "\"tool_calls\":[5]", "messages[0].tool_calls[0].function.name is missing" },
        { "\"tool_calls\":[{\"function\":{\"name\":5}}]", "function.name is an integer" },
        { "\"tool_calls\":[" OPEN_CALL("f") ",{\"function\":{\"name\":\"f\",\"arguments\":[]}}]",
          "messages[0].tool_calls[1].function.arguments is an array; an object is wanted" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf b = { 0 };
        strbuf_addf(&b, "{\"prompt\":\"a\",\"messages\":[],%s}", cases[i].members);
        refuse(ollama_translate_chat, b.bytes, cases[i].words);
        refuse(ollama_translate_generate, b.bytes, cases[i].words);
        if (!strstr(cases[i].members, "think"))
            refuse(ollama_translate_raw, b.bytes, cases[i].words);
        strbuf_free(&b);
    }
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct strbuf b = { 0 };
        strbuf_addf(&b, "{\"messages\":[{\"role\":\"tool\",%s}]}", messages[i].message);
        refuse(ollama_translate_chat, b.bytes, messages[i].words);
        strbuf_free(&b);
    }
}

static void what_a_route_does_not_take_is_refused(void **state)
{
    static const struct { translate_fn *translate; const char *body, *words; } cases[] = {
        { ollama_translate_chat, "{\"messages\":[],\"system\":\"s\"}", "system: " },
        { ollama_translate_generate, "{\"prompt\":5}", "prompt is an integer; a string" },
        { ollama_translate_generate, "{\"prompt\":\"a\",\"system\":[]}", "system is an array" },
        { ollama_translate_generate, "{\"prompt\":\"a\",\"raw\":\"yes\"}", "raw is a string" },
        { ollama_translate_generate, "{\"prompt\":\"a\",\"context\":[1]}", "context: " },
        { ollama_translate_generate, "{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix is not" },
        { ollama_translate_generate, "{\"prompt\":\"a\",\"template\":\"b\"}", "template is not" },
        { ollama_translate_generate, "{\"prompt\":\"a\",\"images\":[\"b\"]}", "images is not" },
        { ollama_translate_generate, "{\"prompt\":\"a\",\"tools\":[{}]}", "tools: /api/chat" },
        { ollama_translate_raw, "{\"prompt\":[\"a\"]}", "prompt is an array" },
        { ollama_translate_raw, "{\"prompt\":\"a\",\"system\":\"s\"}", "system: with raw" },
        { ollama_translate_raw, "{\"prompt\":\"a\",\"think\":true}", "think: with raw" },
        { ollama_translate_raw, "{\"prompt\":\"a\",\"logprobs\":1}", "logprobs is an integer" },
        { ollama_translate_raw, "{\"prompt\":\"a\",\"top_logprobs\":1}", "without logprobs" },
        { ollama_translate_raw, "{\"prompt\":\"a\",\"logprobs\":true,\"top_logprobs\":21}",
          "top_logprobs is 21" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(cases[i].translate, cases[i].body, cases[i].words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_get_their_other_names),
        cmocka_unit_test(options_become_members),
        cmocka_unit_test(calls_get_ids_and_results_find_them),
        cmocka_unit_test(what_is_wrong_is_named_as_the_client_has_it),
        cmocka_unit_test(what_a_route_does_not_take_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Ollama's routes over a fake engine, whose reply is what the user says: what lines and documents
 * are made of. */
#include "unit/server/server_fixture.h"

#define OLLAMA_CHAT "/api/chat"
#define OLLAMA_TEXT "/api/generate"

static struct answer chat_at(const struct fixture *f, const char *content, const char *more)
{
    char *body = chat_body(content, more);
    const struct answer a = post(f, OLLAMA_CHAT, body);
    free(body);
    return a;
}

static void expect_words(struct answer a, unsigned status, const char *words)
{
    expect_status(&a, status);
    expect(&a, "error", words);
    answer_free(&a);
}

/* The texts at `path` of all lines, one after another; the last line is the answer's from then on.
 * How many lines there were. */
static uint32_t join_lines(struct answer *a, const char *path, struct strbuf *joined)
{
    char *text = strdup(a->body.n ? a->body.bytes : ""), *rest = text, *line, part[256];
    uint32_t n = 0;
    while ((line = strsep(&rest, "\n"))) {
        if (!*line) continue;
        json_t *v = json_loads(line, 0, NULL);
        if (!v) fail_msg("no JSON: %s", line);
        value_at(v, path, part, sizeof part);
        if (strcmp(part, "missing")) strbuf_add_str(joined, part);
        json_decref(v);
        strbuf_clear(&a->body);
        strbuf_add_str(&a->body, line);
        n++;
    }
    free(text);
    return n;
}

static const char says[] =
    "<think>hm, so</think> So:\\n<tool_call>{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":{\\\"a\\\":1"
    "}}</tool_call><tool_call>{\\\"name\\\":\\\"g\\\"}</tool_call>";
#define TOOLS ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}," \
              "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]"

static void a_chat_as_one_document(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = chat_at(&f, says, TOOLS ",\"stream\":false");
    expect_status(&a, 200);
    assert_non_null(strstr(a.head.bytes, "Content-Type: application/json"));
    expect(&a, "model", "fake.gguf:latest");
    expect(&a, "message.role", "assistant");
    expect(&a, "message.content", "So:");
    expect(&a, "message.thinking", "hm, so");
    expect(&a, "message.tool_calls.0.function", "{\"index\":0,\"name\":\"f\",\"arguments\":{\"a\":1"
                                                "}}");
    expect(&a, "message.tool_calls.1.function", "{\"index\":1,\"name\":\"g\",\"arguments\":{}}");
    expect(&a, "done", "true");
    expect(&a, "done_reason", "stop");
    answer_free(&a);
    a = chat_at(&f, "twenty", ",\"stream\":false,\"options\":{\"num_predict\":3}");
    expect(&a, "message", "{\"role\":\"assistant\",\"content\":\"twe\"}");
    expect(&a, "done_reason", "length");
    expect(&a, "prompt_eval_count", "6");
    expect(&a, "eval_count", "3");
    answer_free(&a);
    close_fixture(&f);
}

static void a_chat_as_lines(void **state)
{
    static const char *const paths[] = { "message.content", "message.thinking", "done",
                                         "message.tool_calls.0.function.name" };
    static const char *const want[] = { "So:", "hm, so", "falsetrue", "fg" };
    struct fixture f = open_fixture();
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct answer a = chat_at(&f, says, TOOLS);
        struct strbuf joined = { 0 };
        expect_status(&a, 200);
        assert_non_null(strstr(a.head.bytes, "Content-Type: application/x-ndjson"));
        const uint32_t n = join_lines(&a, paths[i], &joined);
        assert_true(n > 3);
        if (i == 2) assert_int_equal(joined.n, 4 + 5 * (n - 1));
        else assert_string_equal(joined.bytes, want[i]);
        expect(&a, "done", "true");
        expect(&a, "done_reason", "stop");
        expect(&a, "message", "{\"role\":\"assistant\",\"content\":\"\"}");
        strbuf_free(&joined);
        answer_free(&a);
    }
    close_fixture(&f);
}

static void generated_with_and_without_the_template(void **state)
{
    static const char *const stream[] = { "true", "false" };
    struct fixture f = open_fixture();
    (void)state;
    for (int i = 0; i < 2; i++) {
        char body[256];
        struct strbuf text = { 0 }, thoughts = { 0 };
        snprintf(body, sizeof body, "{\"prompt\":\"<think>a b</think>c\",\"stream\":%s}",
                 stream[i]);
        struct answer a = post(&f, OLLAMA_TEXT, body), again = post(&f, OLLAMA_TEXT, body);
        join_lines(&a, "response", &text);
        join_lines(&again, "thinking", &thoughts);
        assert_string_equal(text.bytes, "c");
        assert_string_equal(thoughts.bytes, "a b");
        expect(&a, "message", "missing");
        expect(&a, "done_reason", "stop");
        answer_free(&a);
        answer_free(&again);
        strbuf_clear(&text);
        snprintf(body, sizeof body, "{\"prompt\":\"<think>a\",\"raw\":true,\"stream\":%s}",
                 stream[i]);
        a = post(&f, OLLAMA_TEXT, body);
        join_lines(&a, "response", &text);
        assert_string_equal(text.bytes, "<think>a");
        expect(&a, "thinking", "missing");
        expect(&a, "eval_count", "8");
        answer_free(&a);
        strbuf_free(&text);
        strbuf_free(&thoughts);
    }
    close_fixture(&f);
}

static void nothing_to_say_loads_the_model(void **state)
{
    static const struct { const char *path, *body, *member, *value; } cases[] = {
        { OLLAMA_CHAT, "{}", "message.content", "" },
        { OLLAMA_CHAT, "{\"messages\":[],\"keep_alive\":0}", "message.content", "" },
        { OLLAMA_CHAT, "{\"messages\":null,\"stream\":false}", "response", "missing" },
        { OLLAMA_TEXT, "{}", "response", "" },
        { OLLAMA_TEXT, "{\"prompt\":\"\",\"stream\":false}", "response", "" },
        { OLLAMA_TEXT, "{\"prompt\":\"\",\"raw\":true}", "message", "missing" },
    };
    struct fixture f = open_fixture();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = post(&f, cases[i].path, cases[i].body);
        expect_status(&a, 200);
        expect(&a, cases[i].member, cases[i].value);
        expect(&a, "done", "true");
        expect(&a, "done_reason", "load");
        answer_free(&a);
    }
    expect_words(post(&f, OLLAMA_CHAT, "{\"stream\":5}"), 400,
                 "stream is an integer; a boolean is wanted");
    expect_words(post(&f, OLLAMA_TEXT, "{\"model\":5}"), 400,
                 "model is an integer; a string is wanted");
    close_fixture(&f);
}

static void logprobs_stand_beside_what_was_said(void **state)
{
    static const char token[] = "{\"id\":64,\"token\":\"@\",\"logprob\":-0.25,\"bytes\":[64],"
                                "\"top_logprobs\":[{\"id\":64,\"token\":\"@\",\"logprob\":-0.25,"
                                "\"bytes\":[64]}]}";
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = chat_at(&f, "@@", ",\"logprobs\":true,\"top_logprobs\":1,\"stream\":false");
    expect(&a, "logprobs.0", token);
    expect(&a, "logprobs.1", token);
    answer_free(&a);
    struct strbuf joined = { 0 };
    a = post(&f, OLLAMA_TEXT, "{\"prompt\":\"@@\",\"raw\":true,\"logprobs\":true,"
                              "\"top_logprobs\":1}");
    assert_int_equal(join_lines(&a, "logprobs.0", &joined), 3);
    assert_int_equal(joined.n, 2 * (sizeof token - 1));
    expect(&a, "logprobs", "missing");
    strbuf_free(&joined);
    answer_free(&a);
    close_fixture(&f);
}

static void errors_are_one_text(void **state)
{
    struct fixture f = open_fixture();
    struct strbuf joined = { 0 };
    (void)state;
    struct answer a = chat_at(&f, "!error after two", "");
    expect_status(&a, 200);
    join_lines(&a, "message.content", &joined);
    assert_string_equal(joined.bytes, "!e");
    expect(&a, "error", "the reply could not be continued");
    expect(&a, "done", "missing");
    answer_free(&a);
    strbuf_free(&joined);
    expect_words(chat_at(&f, "!error after two", ",\"stream\":false"), 500,
                 "the reply could not be continued");
    expect_words(chat_at(&f, "!template", ""), 400, "the model has no chat template");
    expect_words(post(&f, OLLAMA_CHAT, "[]"), 400, "the body is not a JSON object");
    expect_words(post(&f, OLLAMA_CHAT, "{\"messages\":5}"), 400,
                 "messages is an integer; an array of at least one message is wanted");
    expect_words(post(&f, "/api/pull", "{}"), 404, "there is no route /api/pull");
    expect_words(get(&f, OLLAMA_CHAT), 405, "/api/chat does not take GET; it takes POST");
    close_fixture(&f);
}

static void the_model_is_told(void **state)
{
    struct server_params params = params_of_test();
    params.alias = "tiny,small:q4";
    params.has_strict_names = true;
    struct fixture f = open_with(&params, 4, 16);
    (void)state;
    struct answer a = get(&f, "/api/tags");
    expect(&a, "models.0.name", "tiny:latest");
    expect(&a, "models.0.model", "tiny:latest");
    expect(&a, "models.0.details.format", "gguf");
    answer_free(&a);
    a = get(&f, "/api/ps");
    expect(&a, "models.0.name", "tiny:latest");
    expect(&a, "models.0.size_vram", "0");
    answer_free(&a);
    a = post(&f, "/api/show", "{\"name\":\"small:q4\"}");
    expect_status(&a, 200);
    expect(&a, "capabilities", "[\"completion\"]");         /* there is no template */
    answer_free(&a);
    expect_words(post(&f, "/api/show", "{\"model\":\"large\"}"), 404,
                 "the model \"large\" is not here; \"tiny\" is");
    expect_words(post(&f, "/api/show", "{\"model\":[]}"), 400,
                 "model is an array; a string is wanted");
    a = chat_at(&f, "a", ",\"model\":\"tiny:latest\",\"stream\":false");
    expect(&a, "message.content", "a");
    answer_free(&a);
    expect_words(chat_at(&f, "a", ",\"model\":\"large:latest\""), 404,
                 "the model \"large:latest\" is not here; \"tiny\" is");
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_as_one_document),
        cmocka_unit_test(a_chat_as_lines),
        cmocka_unit_test(generated_with_and_without_the_template),
        cmocka_unit_test(nothing_to_say_loads_the_model),
        cmocka_unit_test(logprobs_stand_beside_what_was_said),
        cmocka_unit_test(errors_are_one_text),
        cmocka_unit_test(the_model_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The HTTP layer over a fake engine: routes, shapes and errors. */
#include "unit/server/server_fixture.h"

/* ---- routes --------------------------------------------------------------------------------- */

static void loading_is_said_until_ready(void **state)
{
    const struct server_params params = params_of_test();
    struct fixture f = { .engine = fake_open(1, 1, 100000) };
    pl_err err;
    (void)state;
    assert_int_equal(server_open(&f.server, &params, &err), PL_OK);
    f.port = server_port(f.server);
    expect_error(get(&f, "/health"), 503, "loading", "null");
    expect_error(get(&f, "/v1/models"), 503, "loading", "null");
    expect_error(chat(&f, "x", ""), 503, "loading", "null");
    struct answer a = get(&f, "/");
    expect_status(&a, 200);
    answer_free(&a);
    server_ready(f.server, f.engine);
    a = get(&f, "/health");
    expect_status(&a, 200);
    expect(&a, "status", "ok");
    answer_free(&a);
    f.engine->is_unhealthy = true;
    expect_error(get(&f, "/health"), 503, "engine_stuck", "null");
    close_fixture(&f);
}

static void routes_and_methods(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    expect_error(get(&f, "/nowhere"), 404, "not_found", "null");
    expect_error(get(&f, "/v1/models/"), 404, "not_found", "null");
    struct answer a = get(&f, CHAT);
    assert_non_null(strstr(a.head.bytes, "Allow: POST\r\n"));
    expect_error(a, 405, "method_not_allowed", "null");
    a = http_ask(f.port, "DELETE", "/health", "", "", 0);
    assert_non_null(strstr(a.head.bytes, "Allow: GET, HEAD\r\n"));
    expect_error(a, 405, "method_not_allowed", "null");
    a = http_ask(f.port, "HEAD", "/health", "", "", 0);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.n, 0);
    answer_free(&a);
    close_fixture(&f);
}

static void models_have_the_names_that_requests_may_use(void **state)
{
    static const char *const known[] = { "fake.gguf", "fake", "nick" };
    struct server_params params = params_of_test();
    params.alias = "nick";
    struct fixture f = open_with(&params, 1, 1);
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char text[64];
        snprintf(text, sizeof text, "/v1/models/%s", known[i]);
        struct answer a = get(&f, text);
        expect_status(&a, 200);
        expect(&a, "id", "nick");
        expect(&a, "object", "model");
        answer_free(&a);
        snprintf(text, sizeof text, ",\"model\":\"%s\"", known[i]);
        a = chat(&f, "x", text);
        expect_status(&a, 200);
        expect(&a, "model", "nick");
        answer_free(&a);
    }
    expect_error(get(&f, "/v1/models/gpt-4"), 404, "model_not_found", "model");
    expect_error(get(&f, "/v1/models/fak"), 404, "model_not_found", "model");
    expect_error(get(&f, "/v1/models/nick/more"), 404, "model_not_found", "model");
    struct answer a = get(&f, "/v1/models");
    expect(&a, "data.0.id", "nick");
    expect(&a, "data.0.meta.n_ctx", "1048576");
    answer_free(&a);
    close_fixture(&f);
}

/* There is one model: any name asks for it, and the answer tells which it is. */
static void any_name_is_served_unless_names_are_strict(void **state)
{
    static const char *const names[] = { "", ",\"model\":\"gpt-4\"", ",\"model\":\"FAKE\"",
                                         ",\"model\":\"\"" };
    struct server_params params = params_of_test();
    (void)state;
    for (int is_strict = 0; is_strict < 2; is_strict++) {
        params.has_strict_names = is_strict;
        struct fixture f = open_with(&params, 1, 1);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            struct answer a = chat(&f, "x", names[i]);
            if (is_strict && (i == 1 || i == 2)) {
                expect_error(a, 404, "model_not_found", "model");
                continue;
            }
            expect_status(&a, 200);
            expect(&a, "model", "fake.gguf");
            answer_free(&a);
        }
        close_fixture(&f);
    }
}

static void names_that_are_no_text_are_cleaned(void **state)
{
    static const char *const paths[] = { "/v1/models", "/props", "/metrics" };
    struct server_params params = params_of_test();
    (void)state;
    params.model_path = "/models/b\xff" "d.gguf";
    struct fixture f = open_with(&params, 1, 1);
    strcpy(f.engine->plan.model_name, "\xc3");
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct answer a = get(&f, paths[i]);
        expect_status(&a, 200);
        assert_non_null(strstr(a.body.bytes, "b\xef\xbf\xbd" "d.gguf"));
        assert_null(strchr(a.body.bytes, '\xff'));
        answer_free(&a);
    }
    close_fixture(&f);
}

/* A server on the processor where a GPU was the first choice says so, and why, wherever one asks.
 */
static void a_gpu_that_is_not_used_is_told(void **state)
{
    static const struct {
        const char *path, *well, *refused;
    } cases[] = {
        { "/health", "{\"status\":\"ok\"}", "\"gpu_refusal\":\"metal: no GPU\"" },
        { "/health", "ok", "\"backend\":\"cpu\"" },
        { "/props", "\"gpu_refusal\":\"\"", "\"gpu_refusal\":\"metal: no GPU\"" },
        { "/metrics", "\npaceline_gpu_refused 0\n", "\npaceline_gpu_refused 1\n" },
    };
    struct fixture f = open_fixture();
    (void)state;
    strcpy(f.engine->plan.backend, "cpu");
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            struct answer a = get(&f, cases[k].path);
            const char *want = i ? cases[k].refused : cases[k].well;
            if (!strstr(a.body.bytes, want)) fail_msg("%s lacks %s", a.body.bytes, want);
            answer_free(&a);
        }
        strcpy(f.engine->plan.gpu_refusal, "metal: no GPU");
    }
    close_fixture(&f);
}

static void browsers_are_told_what_they_may_send(void **state)
{
    struct server_params params = params_of_test();
    params.cors_origin = "https://a.example";
    struct fixture f = open_with(&params, 1, 1);
    (void)state;
    struct answer a = http_ask(f.port, "OPTIONS", CHAT, "Access-Control-Request-Headers: "
                               "authorization,x-stainless-os\r\n", "", 0);
    assert_int_equal(a.status, 204);
    assert_non_null(strstr(a.head.bytes, "Access-Control-Allow-Origin: https://a.example\r\n"));
    assert_non_null(strstr(a.head.bytes,
                           "Access-Control-Allow-Headers: authorization,x-stainless-os\r\n"));
    assert_non_null(strstr(a.head.bytes,
                           "Access-Control-Allow-Methods: GET, POST, DELETE, OPTIONS\r\n"));
    answer_free(&a);
    a = chat(&f, "x", ",\"stream\":true");
    assert_non_null(strstr(a.head.bytes, "Access-Control-Allow-Origin: https://a.example\r\n"));
    assert_non_null(strstr(a.head.bytes, "Vary: Origin\r\n"));
    answer_free(&a);
    close_fixture(&f);
    f = open_fixture();
    a = http_ask(f.port, "OPTIONS", CHAT, "", "", 0);
    assert_int_equal(a.status, 204);
    assert_null(strstr(a.head.bytes, "Access-Control"));
    answer_free(&a);
    close_fixture(&f);
}

static void keys(void **state)
{
    static const char *const good[] = { "Authorization: Bearer one\r\n",
                                        "Authorization: bearer two\r\n", "x-api-key: two\r\n" };
    static const char *const bad[] = { "", "Authorization: Bearer \r\n",
                                       "Authorization: Bearer on\r\n",
                                       "Authorization: Bearer oneone\r\n",
                                       "Authorization: Basic one\r\n", "x-api-key: One\r\n" };
    const char *const all[] = { "one", "two" };
    struct server_params params = params_of_test();
    params.api_keys = all;
    params.n_api_keys = 2;
    struct fixture f = open_with(&params, 1, 1);
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct answer a = http_ask(f.port, "GET", "/v1/models", good[i], "", 0);
        expect_status(&a, 200);
        answer_free(&a);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct answer a = http_ask(f.port, "GET", "/v1/models", bad[i], "", 0);
        assert_non_null(strstr(a.head.bytes, "WWW-Authenticate: Bearer\r\n"));
        expect_error(a, 401, "invalid_api_key", "null");
    }
    struct answer a = get(&f, "/health");
    expect_status(&a, 200);
    answer_free(&a);
    close_fixture(&f);
}

/* ---- completions ---------------------------------------------------------------------------- */

static void a_chat_as_one_document(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = chat(&f, "twenty bytes of text", "");
    expect_status(&a, 200);
    expect(&a, "object", "chat.completion");
    expect(&a, "choices.0.message.content", "twenty bytes of text");
    expect(&a, "choices.0.message.role", "assistant");
    expect(&a, "choices.0.finish_reason", "stop");
    expect(&a, "choices.0.logprobs", "null");
    expect(&a, "usage.prompt_tokens", "20");
    expect(&a, "usage.completion_tokens", "20");
    expect(&a, "usage.total_tokens", "40");
    expect(&a, "usage.prompt_tokens_details.cached_tokens", "16");
    answer_free(&a);
    a = chat(&f, "twenty", ",\"max_tokens\":3,\"n\":2");
    expect(&a, "choices.0.message.content", "twe");
    expect(&a, "choices.1.message.content", "twe");
    expect(&a, "choices.1.index", "1");
    expect(&a, "choices.1.finish_reason", "length");
    expect(&a, "usage.prompt_tokens", "6");
    expect(&a, "usage.completion_tokens", "6");
    answer_free(&a);
    close_fixture(&f);
}

struct seen {
    char text[3][256], finish[3][32];
    uint32_t n_roles, n_usage;
};

static void see_chunk(const char *json, void *arg)
{
    struct seen *s = arg;
    char part[256], role[32], finish[32], index[16], usage[16];
    json_t *v = json_loads(json, 0, NULL);
    assert_non_null(v);
    value_at(v, "usage.total_tokens", usage, sizeof usage);
    s->n_usage += strcmp(usage, "missing") != 0;
    value_at(v, "choices.0.index", index, sizeof index);
    if (!strcmp(index, "missing")) {
        json_decref(v);
        return;
    }
    const size_t i = strtoul(index, NULL, 10);
    const bool is_chat = strstr(json, "chat.completion.chunk") != NULL;
    assert_true(i < 3);
    value_at(v, is_chat ? "choices.0.delta.content" : "choices.0.text", part, sizeof part);
    value_at(v, "choices.0.delta.role", role, sizeof role);
    value_at(v, "choices.0.finish_reason", finish, sizeof finish);
    s->n_roles += !strcmp(role, "assistant");
    if (strcmp(part, "missing") && strcmp(part, "null")) strcat(s->text[i], part);
    if (strcmp(finish, "null")) strcpy(s->finish[i], finish);
    json_decref(v);
}

static void a_chat_as_a_stream(void **state)
{
    struct fixture f = open_fixture();
    struct seen seen = { 0 };
    (void)state;
    struct answer a = chat(&f, "some text", ",\"stream\":true,\"n\":3,\"max_tokens\":6,"
                                            "\"stream_options\":{\"include_usage\":true}");
    expect_status(&a, 200);
    assert_non_null(strstr(a.head.bytes, "Content-Type: text/event-stream"));
    each_event(&a, see_chunk, &seen);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(seen.text[i], "some t");
        assert_string_equal(seen.finish[i], "length");
    }
    assert_int_equal(seen.n_roles, 3);
    assert_int_equal(seen.n_usage, 1);
    answer_free(&a);
    close_fixture(&f);
}

#define SAYS(text) "[{\"role\":\"user\",\"content\":\"" text "\"}]"

static void several_conversations_have_a_choice_each(void **state)
{
    static const char several[] = "{\"messages\":[" SAYS("ab") "," SAYS("cde") "]";
    struct fixture f = open_fixture();
    struct seen seen = { 0 };
    char body[256];
    (void)state;
    snprintf(body, sizeof body, "%s}", several);
    struct answer a = post(&f, CHAT, body);
    expect_status(&a, 200);
    expect(&a, "choices.0.message.content", "ab");
    expect(&a, "choices.1.message.content", "cde");
    expect(&a, "choices.1.index", "1");
    expect(&a, "choices.2", "missing");
    expect(&a, "usage.prompt_tokens", "5");
    answer_free(&a);
    snprintf(body, sizeof body, "%s,\"stream\":true}", several);
    a = post(&f, CHAT, body);
    each_event(&a, see_chunk, &seen);
    assert_string_equal(seen.text[0], "ab");
    assert_string_equal(seen.text[1], "cde");
    answer_free(&a);
    close_fixture(&f);
}

/* Elsewhere one conversation is wanted, and none of them may be empty. */
static void where_one_conversation_is_wanted(void **state)
{
    static const char *const paths[] = { "/apply-template", CHAT "/input_tokens" };
    static const char several[] = "{\"messages\":[" SAYS("a") "," SAYS("b") "]}";
    static const char *const wrong[] = {
        "{\"messages\":[[]]}", "{\"messages\":[" SAYS("a") ",{}]}",
        "{\"messages\":[{},[]]}", "{\"messages\":[" SAYS("a") ",[5]]}",
    };
    struct fixture f = open_fixture();
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct answer a = post(&f, paths[i], several);
        expect_status(&a, 400);
        expect(&a, "error.param", "messages");
        answer_free(&a);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct answer a = post(&f, CHAT, wrong[i]);
        expect_status(&a, 400);
        expect(&a, "error.param", "messages");
        answer_free(&a);
    }
    close_fixture(&f);
}

struct streaming {
    const struct fixture *f;
    const char *body;
    struct answer answer;
};

static void *ask_in_thread(void *arg)
{
    struct streaming *s = arg;
    s->answer = post(s->f, CHAT, s->body);
    return NULL;
}

/* The id that the next completion gets: ids are counted, and the first of a server ends in 0. */
static void next_id(struct fixture *f, char *to, size_t capacity)
{
    struct answer a = chat(f, "a", "");
    json_t *v = json_loads(a.body.bytes, 0, NULL);
    value_at(v, "id", to, capacity);
    json_decref(v);
    answer_free(&a);
    to[strlen(to) - 1]++;
}

static unsigned cancel(const struct fixture *f, const char *id, const char *body)
{
    char path[128];
    snprintf(path, sizeof path, CHAT "/%s/cancel", id);
    struct answer a = post(f, path, body);
    const unsigned status = a.status;
    answer_free(&a);
    return status;
}

/* Asks until it is so, half a minute at most. */
static void wait_for_metric(const struct fixture *f, const char *line)
{
    bool is_there = false;
    for (int i = 0; i < 3000 && !is_there; i++) {
        struct answer a = get(f, "/metrics");
        is_there = strstr(a.body.bytes, line) != NULL;
        answer_free(&a);
        if (!is_there) nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
    assert_true(is_there);
}

/* Of three replies that share a connection one is cancelled, one ends by itself, and one goes on
 * until all are. */
static void one_reply_is_cancelled_and_others_go_on(void **state)
{
    struct fixture f = open_fixture();
    struct seen seen = { 0 };
    struct streaming s = { .f = &f, .body = "{\"stream\":true,\"messages\":[" SAYS("!stuck")
                                            "," SAYS("abc") "," SAYS("!stuck") "]}" };
    pthread_t thread;
    char id[64];
    unsigned status;
    (void)state;
    next_id(&f, id, sizeof id);
    pthread_create(&thread, NULL, ask_in_thread, &s);
    wait_for_metric(&f, "paceline_finished_total{reason=\"stop\"} 2");
    while ((status = cancel(&f, id, "{\"choice\":2}")) == 404) continue;   /* not watched yet */
    assert_int_equal(status, 200);
    wait_for_metric(&f, "paceline_finished_total{reason=\"cancelled\"} 1");
    assert_int_equal(cancel(&f, id, "{\"choice\":3}"), 400);
    assert_int_equal(cancel(&f, id, ""), 200);
    pthread_join(thread, NULL);
    each_event(&s.answer, see_chunk, &seen);
    assert_string_equal(seen.finish[0], "cancelled");
    assert_string_equal(seen.finish[1], "stop");
    assert_string_equal(seen.text[1], "abc");
    assert_string_equal(seen.finish[2], "cancelled");
    assert_null(strstr(s.answer.body.bytes, "error"));
    assert_non_null(strstr(s.answer.body.bytes, "[DONE]"));
    answer_free(&s.answer);
    assert_int_equal(cancel(&f, id, ""), 404);      /* it is over */
    close_fixture(&f);
}

static void what_cannot_be_cancelled(void **state)
{
    static const struct { const char *path, *body; unsigned status; } cases[] = {
        { CHAT "/nothing/cancel", "", 404 }, { CHAT "/nothing/cancel", "{\"choice\":0}", 404 },
        { CHAT "/nothing/cancel", "{\"choice\":-1}", 400 },
        { CHAT "/nothing/cancel", "{\"choice\":\"a\"}", 400 },
        { CHAT "/nothing/cancel", "[]", 400 }, { CHAT "/nothing", "", 404 },
        { CHAT "/a/b/cancel", "", 404 },
        { CHAT "/0123456789012345678901234567890123456789012345678901234567890/cancel", "", 404 },
    };
    struct fixture f = open_fixture();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer a = post(&f, cases[i].path, cases[i].body);
        expect_status(&a, cases[i].status);
        answer_free(&a);
    }
    close_fixture(&f);
}

/* The reply is what the user says: a thought, some text and a call of each tool. */
static void calls_and_thoughts_are_no_content(void **state)
{
    static const char says[] =
        "<think>hm</think> So:\\n<tool_call>{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":{\\\"a\\\":1"
        "}}"
        "</tool_call><tool_call>{\\\"name\\\":\\\"g\\\"}</tool_call>";
    static const char tools[] = ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
                                "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]";
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = chat(&f, says, tools);
    expect_status(&a, 200);
    expect(&a, "choices.0.message.reasoning_content", "hm");
    expect(&a, "choices.0.message.content", "So:");
    expect(&a, "choices.0.message.tool_calls.0.function.name", "f");
    expect(&a, "choices.0.message.tool_calls.0.function.arguments", "{\"a\":1}");
    expect(&a, "choices.0.message.tool_calls.1.function.name", "g");
    expect(&a, "choices.0.message.tool_calls.1.function.arguments", "{}");
    expect(&a, "choices.0.finish_reason", "tool_calls");
    answer_free(&a);

    a = chat(&f, says, ",\"reasoning_format\":\"none\"");
    expect(&a, "choices.0.message.tool_calls", "missing");
    expect(&a, "choices.0.message.reasoning_content", "missing");
    expect(&a, "choices.0.finish_reason", "stop");
    answer_free(&a);
    close_fixture(&f);
}

/* n_predict 0: the prompt is read and nothing is said. */
static void no_reply_where_none_is_wanted(void **state)
{
    struct fixture f = open_fixture();
    struct seen seen = { 0 };
    (void)state;
    struct answer a = chat(&f, "twenty", ",\"n_predict\":0,\"logprobs\":true");
    expect_status(&a, 200);
    expect(&a, "choices.0.message.content", "");
    expect(&a, "choices.0.finish_reason", "length");
    expect(&a, "choices.0.logprobs.content", "[]");
    expect(&a, "usage.completion_tokens", "0");
    expect(&a, "usage.prompt_tokens", "6");
    answer_free(&a);
    a = chat(&f, "t", ",\"n_predict\":0,\"stream\":true");
    each_event(&a, see_chunk, &seen);
    assert_string_equal(seen.text[0], "");
    assert_string_equal(seen.finish[0], "length");
    answer_free(&a);
    close_fixture(&f);
}

static void prompts_of_every_kind(void **state)
{
    static const struct { const char *prompt, *first, *second; } cases[] = {
        { "\"ab\"", "ab", "missing" },
        { "[\"ab\",\"cd\"]", "ab", "cd" },
        { "[97,98]", "ab", "missing" },
        { "[[97,98],[99]]", "ab", "c" },
        { "[97,\"bc\",100]", "abcd", "missing" },
        { "[[97,\"b\"],\"c\"]", "ab", "c" },
        { "{\"prompt_string\":\"ab\"}", "ab", "missing" },
    };
    struct fixture f = open_fixture();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"prompt\":%s}", cases[i].prompt);
        struct answer a = post(&f, TEXT, body);
        expect_status(&a, 200);
        expect(&a, "object", "text_completion");
        expect(&a, "choices.0.text", cases[i].first);
        expect(&a, "choices.1.text", cases[i].second);
        answer_free(&a);
    }
    expect_error(post(&f, TEXT, "{\"prompt\":[]}"), 400, "invalid_parameter", "prompt");
    expect_error(post(&f, TEXT, "{\"prompt\":[1,true]}"), 400, "invalid_parameter", "prompt");
    expect_error(post(&f, TEXT, "{\"prompt\":\"\"}"), 400, "invalid_parameter", "prompt");
    close_fixture(&f);
}

static void echo_comes_before_the_reply(void **state)
{
    struct fixture f = open_fixture();
    struct seen seen = { 0 };
    (void)state;
    struct answer a = post(&f, TEXT, "{\"prompt\":\"abc\",\"echo\":true,\"max_tokens\":2}");
    expect(&a, "choices.0.text", "abcab");
    answer_free(&a);
    a = post(&f, TEXT, "{\"prompt\":[97,98],\"echo\":true,\"max_tokens\":1}");
    expect(&a, "choices.0.text", "aba");
    answer_free(&a);
    a = post(&f, TEXT, "{\"prompt\":\"abc\",\"echo\":true,\"max_tokens\":2,\"stream\":true}");
    each_event(&a, see_chunk, &seen);
    assert_string_equal(seen.text[0], "abcab");
    answer_free(&a);
    expect_error(post(&f, TEXT, "{\"prompt\":[97,256],\"echo\":true}"), 400, "invalid_parameter",
                 "prompt");
    close_fixture(&f);
}

static void logprobs_in_both_shapes(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = chat(&f, "@@", ",\"logprobs\":true,\"top_logprobs\":2");
    expect(&a, "choices.0.logprobs.content.0",
           "{\"id\":64,\"token\":\"@\",\"logprob\":-0.25,\"bytes\":[64],\"top_logprobs\":["
           "{\"id\":64,\"token\":\"@\",\"logprob\":-0.25,\"bytes\":[64]},"
           "{\"id\":65,\"token\":\"A\",\"logprob\":-1.25,\"bytes\":[65]}]}");
    answer_free(&a);
    /* offsets count characters: the second byte of an e acute begins none */
    a = post(&f, TEXT, "{\"prompt\":\"a\\u00e9@\",\"logprobs\":1}");
    expect(&a, "choices.0.logprobs.text_offset", "[0,1,2,2]");
    expect(&a, "choices.0.logprobs.top_logprobs.3", "{\"@\":-0.25}");
    expect(&a, "choices.0.logprobs.tokens.0", "a");
    answer_free(&a);
    close_fixture(&f);
}

/* Of the prompt too, in documents and in a stream's first chunk with any; with and without a reply.
 */
static void a_prompt_is_scored(void **state)
{
    static const char body[] = "{\"prompt\":[64,32],\"echo\":true,\"logprobs\":1,\"n\":2,";
    struct fixture f = open_fixture();
    char request[128];
    (void)state;
    snprintf(request, sizeof request, "%s\"max_tokens\":1}", body);
    struct answer a = post(&f, TEXT, request);
    for (int i = 0; i < 2; i++) {
        char path[64];
        const char *want[][2] = { { "text", "@ @" }, { "logprobs.tokens", "[\"@\",\" \",\"@\"]" },
                                  { "logprobs.token_logprobs", "[null,-0.125,-0.25]" },
                                  { "logprobs.text_offset", "[0,1,2]" },
                                  { "logprobs.top_logprobs",
                                    "[null,{\"b\":-0.125},{\"@\":-0.25}]" } };
        for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
            snprintf(path, sizeof path, "choices.%d.%s", i, want[k][0]);
            expect(&a, path, want[k][1]);
        }
    }
    answer_free(&a);
    snprintf(request, sizeof request, "%s\"max_tokens\":0}", body);
    a = post(&f, TEXT, request);
    expect(&a, "choices.1.text", "@ ");
    expect(&a, "choices.1.logprobs.token_logprobs", "[null,-0.125]");
    expect(&a, "usage.completion_tokens", "0");
    answer_free(&a);
    snprintf(request, sizeof request, "%s\"max_tokens\":1,\"stream\":true}", body);
    a = post(&f, TEXT, request);
    assert_non_null(strstr(a.body.bytes, "\"token_logprobs\":[null,-0.125000,-0.250000]"));
    answer_free(&a);
    expect_error(post(&f, TEXT, "{\"prompt\":\"a\",\"max_tokens\":0}"), 400, "invalid_parameter",
                 "max_tokens");
    close_fixture(&f);
}

/* ---- errors --------------------------------------------------------------------------------- */

static void errors_of_the_engine(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    struct answer over = chat(&f, "!context", "");
    expect(&over, "error.type", "exceed_context_size_error");
    expect(&over, "error.n_prompt_tokens", "8");
    expect(&over, "error.n_ctx", "1048576");
    assert_non_null(strstr(over.body.bytes, "exceeds the available context size"));
    expect_error(over, 400, "context_length_exceeded", "messages");
    over = post(&f, TEXT, "{\"n\":2,\"prompt\":[\"fits\",\"!context\"]}");
    expect(&over, "error.n_prompt_tokens", "8");
    expect_error(over, 400, "context_length_exceeded", "prompt");
    expect_error(post(&f, TEXT, "{\"prompt\":\"!context\"}"), 400, "context_length_exceeded",
                 "prompt");
    expect_error(chat(&f, "!template", ""), 400, "chat_template_error", "messages");
    expect_error(chat(&f, "!closing", ""), 503, "shutting_down", "null");
    expect_error(chat(&f, "x", ",\"logit_bias\":{\"999\":1}"), 400, "invalid_parameter",
                 "logit_bias");
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        struct answer a = chat(&f, "!busy", is_stream ? ",\"stream\":true" : "");
        const char *after = strstr(a.head.bytes, "Retry-After: ");
        assert_non_null(after);
        assert_true(strtol(after + 13, NULL, 10) >= 1);
        expect_error(a, 429, "queue_full", "null");
    }
    expect_error(chat(&f, "!error", ""), 500, "internal_error", "null");
    struct answer a = chat(&f, "!error", ",\"stream\":true");
    expect_status(&a, 200);
    assert_non_null(strstr(a.body.bytes, "\"content\":\"e\""));
    assert_non_null(strstr(a.body.bytes, "data: {\"error\":{\"message\":"));
    assert_true(comes_true(nothing_open, &f));
    answer_free(&a);
    close_fixture(&f);
}

static void bodies_that_are_no_request(void **state)
{
    static const char *const bodies[] = { "", "{", "[]", "1", "\xff",
                                          "{\"messages\":\"\\ud800\"}" };
    struct fixture f = open_fixture();
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        expect_error(post(&f, CHAT, bodies[i]), 400, "invalid_json", "null");
    struct answer a = post(&f, CHAT, "{\"messages\":\n  oops}");
    assert_non_null(strstr(a.body.bytes, "line 2"));
    answer_free(&a);
    expect_error(post(&f, CHAT, "{}"), 400, "invalid_parameter", "messages");
    close_fixture(&f);
}

/* Whether a chat is answered so at last. */
static bool answers(const struct fixture *f, const char *body, size_t n_bytes, unsigned status)
{
    for (int i = 0; i < 6000; i++) {
        struct answer a = http_ask(f->port, "POST", CHAT, "", body, n_bytes);
        const bool is_so = a.status == status;
        answer_free(&a);
        if (is_so) return true;
        fake_sleep_ms(10);
    }
    return false;
}

static void bodies_are_bounded_one_by_one_and_together(void **state)
{
    enum { N = 40 };
    struct server_params params = params_of_test();
    char half[1000], whole[1025];
    int fd[N];
    (void)state;
    params.max_body_bytes = 1024;       /* 16 KiB in all */
    struct fixture f = open_with(&params, 1, 1);
    memset(whole, ' ', sizeof whole);
    memset(half, ' ', sizeof half);
    expect_error(http_ask(f.port, "POST", CHAT, "", whole, 1025), 413, "body_too_large", "null");
    expect_error(http_ask(f.port, "POST", CHAT, "", whole, 1024), 400, "invalid_json", "null");
    for (int i = 0; i < N; i++) {
        fd[i] = http_connect(f.port);
        assert_true(http_begin(fd[i], "POST", CHAT, "", half, sizeof half, sizeof half + 1));
    }
    /* blanks that are read are no JSON: 400 until the others fill the room */
    assert_true(answers(&f, half, sizeof half, 429));
    expect_error(http_ask(f.port, "POST", CHAT, "", half, sizeof half), 429, "queue_full", "null");
    for (int i = 0; i < N; i++) close(fd[i]);
    char *again = chat_body("again", "");
    assert_true(answers(&f, again, strlen(again), 200));
    free(again);
    struct answer a = get(&f, "/metrics");
    assert_null(strstr(a.body.bytes, "\npaceline_rejected_total{reason=\"bodies_full\"} 0\n"));
    assert_non_null(strstr(a.body.bytes, "\npaceline_rejected_total{reason=\"bodies_full\"} "));
    answer_free(&a);
    close_fixture(&f);
}

static void text_routes(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = post(&f, "/tokenize", "{\"content\":\"a\\u00e9\",\"with_pieces\":true}");
    expect(&a, "tokens", "[{\"id\":97,\"piece\":\"a\"},{\"id\":195,\"piece\":[195]},"
                         "{\"id\":169,\"piece\":[169]}]");
    answer_free(&a);
    a = post(&f, "/detokenize", "{\"tokens\":[97,98]}");
    expect(&a, "content", "ab");
    answer_free(&a);
    a = post(&f, "/apply-template", "{\"messages\":[{\"role\":\"user\",\"content\":\"hey\"}]}");
    expect(&a, "prompt", "hey");
    answer_free(&a);
    expect_error(post(&f, "/tokenize", "{}"), 400, "invalid_parameter", "content");
    expect_error(post(&f, "/tokenize", "{\"content\":\"x\",\"add_special\":1}"), 400,
                 "invalid_parameter", "add_special");
    expect_error(post(&f, "/detokenize", "{\"tokens\":[\"a\"]}"), 400, "invalid_parameter",
                 "tokens");
    static const char *const no_ids[] = { "[256]", "[257]", "[-1]", "[100000000]", "[97,9999]",
                                          "[97.5]", "[true]", "{}", "null", "97" };
    for (size_t i = 0; i < sizeof no_ids / sizeof *no_ids; i++) {
        char body[64];
        snprintf(body, sizeof body, "{\"tokens\":%s}", no_ids[i]);
        expect_error(post(&f, "/detokenize", body), 400, "invalid_parameter", "tokens");
    }
    close_fixture(&f);
}

static void metrics_count_answers(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct answer bad = post(&f, CHAT, "{");
        answer_free(&bad);
    }
    struct answer a = get(&f, "/metrics");
    expect_status(&a, 200);
    assert_non_null(strstr(a.body.bytes, "\npaceline_http_answers_total{code=\"400\"} 3\n"));
    assert_non_null(strstr(a.body.bytes, "\npaceline_http_body_bytes 0\n"));
    assert_non_null(strstr(a.body.bytes, "\nllm_slots_available 4\n"));
    answer_free(&a);
    close_fixture(&f);
}

/* Figures of vLLM's are said only when asked for, under a model name that needs escaping. */
static void metrics_under_other_names(void **state)
{
    struct server_params params = params_of_test();
    (void)state;
    params.alias = "a \"b\"\\c";
    for (int round = 0; round < 3; round++) {
        params.has_vllm_metrics = round > 0;
        params.no_prefix_cache = round == 2;
        struct fixture f = open_with(&params, 4, 16);
        struct answer a = get(&f, "/metrics");
        expect_status(&a, 200);
        assert_non_null(strstr(a.body.bytes, ",model=\"a \\\"b\\\"\\\\c\"} 1\n"));
        const char *running = strstr(a.body.bytes, "\nvllm:num_requests_running{model_name="
                                     "\"a \\\"b\\\"\\\\c\",engine=\"0\"} 0\n");
        assert_true((running != NULL) == params.has_vllm_metrics);
        assert_true((strstr(a.body.bytes, "vllm:prefix_cache") != NULL) == (round == 1));
        answer_free(&a);
        close_fixture(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_is_said_until_ready),
        cmocka_unit_test(routes_and_methods),
        cmocka_unit_test(models_have_the_names_that_requests_may_use),
        cmocka_unit_test(any_name_is_served_unless_names_are_strict),
        cmocka_unit_test(names_that_are_no_text_are_cleaned),
        cmocka_unit_test(a_gpu_that_is_not_used_is_told),
        cmocka_unit_test(browsers_are_told_what_they_may_send),
        cmocka_unit_test(keys),
        cmocka_unit_test(a_chat_as_one_document),
        cmocka_unit_test(a_chat_as_a_stream),
        cmocka_unit_test(several_conversations_have_a_choice_each),
        cmocka_unit_test(where_one_conversation_is_wanted),
        cmocka_unit_test(one_reply_is_cancelled_and_others_go_on),
        cmocka_unit_test(what_cannot_be_cancelled),
        cmocka_unit_test(calls_and_thoughts_are_no_content),
        cmocka_unit_test(no_reply_where_none_is_wanted),
        cmocka_unit_test(prompts_of_every_kind),
        cmocka_unit_test(echo_comes_before_the_reply),
        cmocka_unit_test(logprobs_in_both_shapes),
        cmocka_unit_test(a_prompt_is_scored),
        cmocka_unit_test(errors_of_the_engine),
        cmocka_unit_test(bodies_that_are_no_request),
        cmocka_unit_test(bodies_are_bounded_one_by_one_and_together),
        cmocka_unit_test(text_routes),
        cmocka_unit_test(metrics_count_answers),
        cmocka_unit_test(metrics_under_other_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

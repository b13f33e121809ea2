/* Bodies of completion requests: what is taken, and what is refused under which name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/json_text.h"
#include "server/request.h"

static const struct request_defaults defaults = {
    .sampling = { .temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .typical_p = 1,
                  .repetition_penalty = 1, .penalty_last_n = 64 },
    .max_tokens = 100,
};

/* The members go beside a message (chat) or a prompt. The result is valid until the next call. */
static bool parse(bool is_chat, const char *members, struct request *r, struct request_error *error)
{
    static json_t *body;
    struct strbuf text = { 0 };
    strbuf_addf(&text, "{%s%s%s}", is_chat ? "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
                                           : "\"prompt\":\"x\"", *members ? "," : "", members);
    json_decref(body);
    body = json_loads(text.bytes, JSON_ALLOW_NUL, NULL);
    if (!body) fail_msg("the test's own body is no JSON: %s", text.bytes);
    strbuf_free(&text);
    return request_parse(r, body, is_chat, &defaults, error);
}

static void take(bool is_chat, const char *members, struct request *r)
{
    struct request_error error = { 0 };
    if (!parse(is_chat, members, r, &error)) fail_msg("%s: %s", members, error.text);
}

static void what_is_left_out_has_the_servers_defaults(void **state)
{
    static const char *const same[] = {
        "", "\"temperature\":null,\"max_tokens\":null,\"n\":null,\"stop\":null,\"stream\":null,"
            "\"logit_bias\":null,\"seed\":null,\"tools\":null,\"response_format\":null,"
            "\"stream_options\":null,\"logprobs\":null", "\"user\":5,\"no such member\":[]",
        "\"response_format\":{\"type\":\"text\"},\"tool_choice\":\"auto\",\"best_of\":1",
    };
    struct request r;
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        take(true, same[i], &r);
        assert_true(r.sampling.temperature == 0.8f && r.sampling.top_k == 40);
        assert_int_equal(r.max_tokens, 100);
        assert_int_equal(r.n, 1);
        assert_int_equal(r.n_stop, 0);
        assert_false(r.stream || r.has_seed || r.logprobs || r.include_usage);
        request_free(&r);
    }
}

static void every_member_arrives(void **state)
{
    struct request r;
    (void)state;
    take(true, "\"temperature\":1.5,\"top_k\":-1,\"top_p\":0.5,\"min_p\":0.25,\"typical_p\":0.75,"
               "\"repeat_penalty\":1.25,\"frequency_penalty\":-0.5,\"presence_penalty\":2,"
               "\"repeat_last_n\":7,\"seed\":-5,\"n\":3,\"stream\":true,\"ignore_eos\":true,"
               "\"stream_options\":{\"include_usage\":true},\"logprobs\":true,\"top_logprobs\":20,"
               "\"stop\":[\"a\",\"\",\"bc\"],\"max_tokens\":9,\"max_completion_tokens\":8.0,"
               "\"logit_bias\":{\"7\":-100,\"8\":1.5},\"model\":\"m\",\"best_of\":3", &r);
    assert_true(r.sampling.temperature == 1.5f && r.sampling.top_k == 0);
    assert_true(r.sampling.top_p == 0.5f && r.sampling.min_p == 0.25f);
    assert_true(r.sampling.typical_p == 0.75f && r.sampling.repetition_penalty == 1.25f);
    assert_true(r.sampling.frequency_penalty == -0.5f && r.sampling.presence_penalty == 2);
    assert_int_equal(r.sampling.penalty_last_n, 7);
    assert_true(r.has_seed && r.sampling.seed == (uint64_t)-5);
    assert_int_equal(r.n, 3);
    assert_true(r.stream && r.include_usage && r.ignore_eos && r.logprobs);
    assert_int_equal(r.n_top_logprobs, 20);
    assert_int_equal(r.n_stop, 2);
    assert_string_equal(r.stop[1], "bc");
    assert_int_equal(r.max_tokens, 8);
    assert_int_equal(r.sampling.n_bias, 2);
    for (size_t i = 0; i < 2; i++) {
        if (r.bias[i].token == 7) assert_true(isinf(r.bias[i].bias) && r.bias[i].bias < 0);
        else assert_true(r.bias[i].token == 8 && r.bias[i].bias == 1.5f);
    }
    assert_string_equal(r.model, "m");
    request_free(&r);
    take(false, "\"logprobs\":3,\"max_tokens\":-1,\"stop\":\"x\",\"seed\":-1", &r);
    assert_true(r.logprobs && r.n_top_logprobs == 3 && r.max_tokens == 0 && r.n_stop == 1);
    assert_false(r.has_seed);
    request_free(&r);
}

#define LONG_STOP_32 "0123456789abcdef0123456789abcdef"
#define LONG_STOP_256                                                                              \
    LONG_STOP_32 LONG_STOP_32 LONG_STOP_32 LONG_STOP_32 LONG_STOP_32 LONG_STOP_32 LONG_STOP_32     \
        LONG_STOP_32

static void what_is_wrong_is_named(void **state)
{
    static const struct { const char *members, *param; bool is_text; } cases[] = {
        { "\"temperature\":-0.1", "temperature", false },
        { "\"temperature\":\"1\"", "temperature", false },
        { "\"temperature\":101", "temperature", false }, { "\"top_p\":1.01", "top_p", false },
        { "\"min_p\":[]", "min_p", false }, { "\"typical_p\":-1", "typical_p", false },
        { "\"top_k\":1.5", "top_k", false }, { "\"top_k\":-2", "top_k", false },
        { "\"repeat_penalty\":0", "repeat_penalty", false },
        { "\"frequency_penalty\":2.1", "frequency_penalty", false },
        { "\"presence_penalty\":-2.1", "presence_penalty", false },
        { "\"repeat_last_n\":-1", "repeat_last_n", false },
        { "\"n\":0", "n", false }, { "\"n\":65", "n", false }, { "\"n\":true", "n", false },
        { "\"n\":99999999999", "n", false },
        { "\"max_tokens\":0", "max_tokens", false }, { "\"max_tokens\":-2", "max_tokens", false },
        { "\"max_completion_tokens\":\"5\"", "max_completion_tokens", false },
        { "\"seed\":0.5", "seed", false }, { "\"seed\":1e300", "seed", false },
        { "\"stream\":1", "stream", false }, { "\"stream_options\":true", "stream_options", false },
        { "\"stream_options\":{\"include_usage\":1}", "stream_options.include_usage", false },
        { "\"stop\":{}", "stop", false }, { "\"stop\":[5]", "stop", false },
        { "\"stop\":\"a\\u0000b\"", "stop", false },
        { "\"stop\":\"" LONG_STOP_256 "x\"", "stop", false },
        { "\"stop\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", "stop", false },
        { "\"logit_bias\":[]", "logit_bias", false },
        { "\"logit_bias\":{\"\":1}", "logit_bias", false },
        { "\"logit_bias\":{\"-1\":1}", "logit_bias", false },
        { "\"logit_bias\":{\"4294967296\":1}", "logit_bias", false },
        { "\"logit_bias\":{\"1\":\"2\"}", "logit_bias", false },
        { "\"logit_bias\":{\"1\":100.5}", "logit_bias", false },
        { "\"logprobs\":3", "logprobs", false }, { "\"logprobs\":21", "logprobs", true },
        { "\"top_logprobs\":2", "top_logprobs", false },
        { "\"logprobs\":true,\"top_logprobs\":21", "top_logprobs", false },
        { "\"logprobs\":0,\"echo\":true", "echo", true }, { "\"suffix\":\"x\"", "suffix", true },
        { "\"best_of\":2", "best_of", true }, { "\"n\":2,\"best_of\":1", "best_of", true },
        { "\"response_format\":{\"type\":\"json_object\"}", "response_format", false },
        { "\"response_format\":\"text\"", "response_format", false },
        { "\"tools\":{}", "tools", false },
        { "\"tool_choice\":\"required\"", "tool_choice", false },
        { "\"tool_choice\":{\"type\":\"function\"}", "tool_choice", false },
        { "\"grammar\":\"x\"", "grammar", false }, { "\"model\":5", "model", false },
        { "\"messages\":[]", "messages", false }, { "\"messages\":[[]]", "messages", false },
        { "\"messages\":[{\"role\":5}]", "messages", false },
        { "\"messages\":[{\"role\":\"user\",\"content\":{}}]", "messages", false },
        { "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]", "messages",
          false },
        { "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]", "messages",
          false },
        { "\"messages\":[{\"role\":\"user\",\"content\":[5]}]", "messages", false },
        { "\"chat_template_kwargs\":5", "chat_template_kwargs", false },
        { "\"prompt\":null", "prompt", true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct request_error error = { 0 };
        struct request r;
        if (parse(!cases[i].is_text, cases[i].members, &r, &error))
            fail_msg("taken: %s", cases[i].members);
        if (!error.param || strcmp(error.param, cases[i].param) || !error.text[0])
            fail_msg("%s is blamed on %s: %s", cases[i].members, error.param, error.text);
    }
}

static void limits_themselves_are_taken(void **state)
{
    static const char *const members[] = {
        "\"temperature\":0", "\"temperature\":100", "\"top_p\":0", "\"top_p\":1", "\"n\":64",
        "\"stop\":\"" LONG_STOP_256 "\"", "\"logit_bias\":{\"0\":100,\"2147483647\":-99.5}",
        "\"max_tokens\":2147483647", "\"seed\":9223372036854775807", "\"top_k\":0",
    };
    struct request r;
    (void)state;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        take(true, members[i], &r);
        request_free(&r);
    }
}

static void content_parts_are_joined(void **state)
{
    struct request r;
    (void)state;
    take(true, "\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
               "\"name\":\"n\",\"content\":[{\"type\":\"text\",\"text\":\"a\\u0000\"},"
               "{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\","
               "\"content\":null,\"tool_calls\":[]}],\"tools\":[{\"type\":\"function\"}],"
               "\"chat_template_kwargs\":{\"think\":false}", &r);
    json_t *chat = json_loads(r.chat, JSON_ALLOW_NUL, NULL);
    json_t *want = json_loads(
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"name\":\"n\","
        "\"content\":\"a\\u0000b\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}],"
        "\"tools\":[{\"type\":\"function\"}],\"think\":false,\"add_generation_prompt\":true}",
        JSON_ALLOW_NUL, NULL);
    assert_non_null(want);
    if (!json_equal(chat, want)) fail_msg("%s", r.chat);
    json_decref(chat);
    json_decref(want);
    request_free(&r);
}

/* ---- writing JSON --------------------------------------------------------------------------- */

static void json_text_is_escaped(void **state)
{
    static const struct { const char *bytes, *json; } cases[] = {
        { "", "\"\"" }, { "plain", "\"plain\"" },
        { "\"\\\b\t\n\f\r", "\"\\\"\\\\\\b\\t\\n\\f\\r\"" },
        { "\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\"" },
        { "\xc3\xa9\xe2\x82\xac", "\"\xc3\xa9\xe2\x82\xac\"" },
        { "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
        { "a\xc3", "\"a\xef\xbf\xbd\"" }, { "\xc3" "a", "\"\xef\xbf\xbd" "a\"" },
        { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },   /* half a pair */
        { "\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },                   /* too long for a zero */
        { "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf b = { 0 };
        const size_t n = strlen(cases[i].bytes);
        json_text_add(&b, cases[i].bytes, n);
        assert_string_equal(b.bytes, cases[i].json);
        assert_int_equal(json_text_is_utf8(cases[i].bytes, n), !strstr(b.bytes, "\xef\xbf\xbd"));
        strbuf_free(&b);
    }
    assert_int_equal(json_text_characters("a\xc3\xa9\xf0\x9f\x98\x80", 7), 3);
    struct strbuf b = { 0 };
    json_text_add(&b, "a\0b", 3);
    json_text_add_bytes(&b, "a\xff", 2);
    json_text_add_bytes(&b, NULL, 0);
    assert_string_equal(b.bytes, "\"a\\u0000b\"[97,255][]");
    strbuf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_the_servers_defaults),
        cmocka_unit_test(every_member_arrives),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(limits_themselves_are_taken),
        cmocka_unit_test(content_parts_are_joined),
        cmocka_unit_test(json_text_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

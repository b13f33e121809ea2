/* /v1/responses over a fake engine, whose reply is the last message: items in every order, replies
 * that fail, and bodies of any shape. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/server/server_fixture.h"

#define RESPONSES "/v1/responses"

/* `more`: further members, each after a comma. */
static struct answer ask(const struct fixture *f, const char *says, const char *more)
{
    struct strbuf b = { 0 };
    strbuf_addf(&b, "{\"input\":\"%s\"%s}", says, more);
    const struct answer a = post(f, RESPONSES, b.bytes);
    strbuf_free(&b);
    return a;
}

static const char tools[] = ",\"tools\":[{\"type\":\"function\",\"name\":\"f\"},"
                            "{\"type\":\"function\",\"name\":\"g\"}]";
static const char says_all[] =
    "<think>hm</think> So:\\n<tool_call>{\\\"name\\\":\\\"f\\\",\\\"arguments\\\":{\\\"a\\\":1}}"
    "</tool_call><tool_call>{\\\"name\\\":\\\"g\\\"}</tool_call> Done.";

static void expect_all(const struct answer *a)
{
    expect(a, "status", "completed");
    expect(a, "output.0.type", "reasoning");
    expect(a, "output.0.content.0.text", "hm");
    expect(a, "output.1.content.0.text", "So:");
    expect(a, "output.2.name", "f");
    expect(a, "output.2.arguments", "{\"a\":1}");
    expect(a, "output.3.name", "g");
    expect(a, "output.3.arguments", "{}");
    expect(a, "output.4.content.0.text", "Done.");
    expect(a, "output.5", "missing");
}

/* The data of the stream's last event, without what ends it. */
static const char *last_data(struct answer *a)
{
    char *at = a->body.bytes, *last = NULL;
    while ((at = strstr(at, "\ndata: "))) last = at += 7;
    assert_non_null(last);
    const size_t n = strlen(last);
    if (n > 2 && !strcmp(last + n - 2, "\n\n")) last[n - 2] = 0;
    assert_null(strchr(last, '\n'));
    return last;
}

static void items_come_in_the_order_of_the_reply(void **state)
{
    char id[64], path[128];
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = ask(&f, says_all, tools);
    expect_status(&a, 200);
    expect_all(&a);
    answer_free(&a);

    struct strbuf more = { 0 };
    strbuf_addf(&more, "%s,\"stream\":true", tools);
    a = ask(&f, says_all, more.bytes);
    expect_status(&a, 200);
    json_t *event = json_loads(last_data(&a), 0, NULL);
    value_at(event, "response.id", id, sizeof id);
    json_decref(event);
    expect_in(last_data(&a), "type", "response.completed");
    answer_free(&a);
    strbuf_free(&more);

    snprintf(path, sizeof path, RESPONSES "/%s", id);
    a = get(&f, path);
    expect_all(&a);
    answer_free(&a);
    close_fixture(&f);
}

static void a_reply_is_a_message_even_if_it_is_empty(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = ask(&f, "  ", "");
    expect(&a, "output.0.content.0.text", "  ");
    answer_free(&a);
    a = ask(&f, "<think>hm</think>", "");
    expect(&a, "output.0.type", "reasoning");
    expect(&a, "output.1.content.0.text", "");
    answer_free(&a);
    a = ask(&f, "<think>hmm", ",\"max_output_tokens\":9");
    expect(&a, "output.0.status", "incomplete");
    expect(&a, "output.1", "missing");
    expect(&a, "usage.output_tokens_details.reasoning_tokens", "3");
    answer_free(&a);
    a = ask(&f, "x", ",\"n_predict\":0");
    expect(&a, "output.0.content.0.text", "");
    expect(&a, "status", "incomplete");
    answer_free(&a);
    close_fixture(&f);
}

static void errors_of_the_engine(void **state)
{
    struct fixture f = open_fixture();
    (void)state;
    expect_error(ask(&f, "!context", ""), 400, "context_length_exceeded", "input");
    expect_error(ask(&f, "!template", ""), 400, "chat_template_error", "input");
    expect_error(ask(&f, "!busy", ""), 429, "queue_full", "null");
    expect_error(ask(&f, "!error", ""), 500, "internal_error", "null");
    struct answer a = ask(&f, "!error", ",\"stream\":true");
    expect_status(&a, 200);
    assert_non_null(strstr(a.body.bytes, "\"delta\":\"e\""));
    expect_in(last_data(&a), "type", "response.failed");
    expect_in(last_data(&a), "response.status", "failed");
    expect_in(last_data(&a), "response.error.code", "server_error");
    assert_null(strstr(a.body.bytes, "response.completed"));
    answer_free(&a);
    expect_error(post(&f, RESPONSES "/input_tokens", "{\"input\":\"!template\"}"), 400,
                 "chat_template_error", "input");
    a = post(&f, RESPONSES "/input_tokens", "{\"input\":\"12345\"}");
    expect(&a, "input_tokens", "5");
    answer_free(&a);
    close_fixture(&f);
}

static void a_conversation_goes_on(void **state)
{
    char id[64], more[256], path[128];
    struct fixture f = open_fixture();
    (void)state;
    struct answer a = ask(&f, "one", "");
    json_t *document = json_loads(a.body.bytes, 0, NULL);
    value_at(document, "id", id, sizeof id);
    json_decref(document);
    answer_free(&a);

    snprintf(more, sizeof more, ",\"previous_response_id\":\"%s\"", id);
    a = ask(&f, "two", more);
    expect(&a, "previous_response_id", id);
    document = json_loads(a.body.bytes, 0, NULL);
    value_at(document, "id", path, sizeof path);
    json_decref(document);
    answer_free(&a);
    snprintf(more, sizeof more, RESPONSES "/%s/input_items?order=asc", path);
    a = get(&f, more);
    expect(&a, "data.0.content.0.text", "one");
    expect(&a, "data.1.role", "assistant");
    expect(&a, "data.2.content.0.text", "two");
    expect(&a, "data.3", "missing");
    answer_free(&a);

    snprintf(path, sizeof path, RESPONSES "/%s", id);
    a = http_ask(f.port, "DELETE", path, "", "", 0);
    expect_status(&a, 200);
    expect(&a, "deleted", "true");
    answer_free(&a);
    snprintf(more, sizeof more, ",\"previous_response_id\":\"%s\"", id);
    expect_error(ask(&f, "two", more), 400, "invalid_parameter", "previous_response_id");
    expect_error(get(&f, path), 404, "not_found", "response_id");
    close_fixture(&f);
}

/* Who has the first key today need not have it tomorrow. */
static void new_keys_find_nothing(void **state)
{
    static const char *const keys[] = { "a" };
    static const char with_key[] = "Authorization: Bearer a\r\n", body[] = "{\"input\":\"x\"}";
    char id[64], path[128];
    struct fixture f = open_fixture();
    (void)state;
    assert_true(server_set_keys(f.server, keys, 1));
    struct answer a = http_ask(f.port, "POST", RESPONSES, with_key, body, sizeof body - 1);
    json_t *document = json_loads(a.body.bytes, 0, NULL);
    value_at(document, "id", id, sizeof id);
    json_decref(document);
    answer_free(&a);
    snprintf(path, sizeof path, RESPONSES "/%s", id);
    a = http_ask(f.port, "GET", path, with_key, "", 0);
    expect_status(&a, 200);
    answer_free(&a);
    assert_true(server_set_keys(f.server, keys, 1));
    expect_error(http_ask(f.port, "GET", path, with_key, "", 0), 404, "not_found", "response_id");
    close_fixture(&f);
}

/* Every value at every place of a body that has all members. */
static void bodies_of_any_shape(void **state)
{
    static const char *const values[] = { "null", "true", "-1", "1e99", "99999999999999999999",
                                          "\"\"", "\"x\"", "\"a\\u0000b\"", "[]", "{}", "[null]",
                                          "[{}]", "{\"type\":\"message\"}", "[[\"x\"]]" };
    static const char body[] =
        "{\"input\":[{\"type\":\"message\",\"id\":\"m\",\"role\":\"assistant\",\"content\":"
        "[{\"type\":\"output_text\",\"text\":\"x\"},{\"type\":\"refusal\",\"refusal\":\"x\"}]},"
        "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":[{\"type\":"
        "\"input_text\",\"text\":\"x\"}]},{\"type\":\"reasoning\",\"content\":[{\"type\":"
        "\"reasoning_text\",\"text\":\"x\"}],\"summary\":[{\"type\":\"summary_text\",\"text\":"
        "\"x\"}],\"encrypted_content\":\"x\"},{\"type\":\"item_reference\",\"id\":\"x\"}],"
        "\"instructions\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":"
        "{},\"strict\":true}],\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"},\"text\":"
        "{\"format\":{\"type\":\"json_schema\",\"name\":\"x\",\"schema\":{}},\"verbosity\":"
        "\"medium\"},\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"},\"metadata\":"
        "{\"a\":\"b\"},\"include\":[\"x\"],\"store\":true,\"max_output_tokens\":2,"
        "\"top_logprobs\":1,\"truncation\":\"disabled\",\"previous_response_id\":null,"
        "\"stream\":true}";
    struct fixture f = open_fixture();
    (void)state;
    for (const char *at = body; (at = strpbrk(at, ":[")); at++) {
        const char *from = at + 1;
        const size_t n_old = *from == '"' ? strcspn(from + 1, "\"") + 2 : strcspn(from, ",]}");
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            struct strbuf b = { 0 };
            strbuf_add(&b, body, (size_t)(from - body));
            strbuf_add_str(&b, values[i]);
            strbuf_add_str(&b, from + n_old);
            struct answer a = post(&f, RESPONSES, b.bytes);
            if (a.status != 200 && a.status != 400) fail_msg("%u: %s", a.status, b.bytes);
            answer_free(&a);
            strbuf_free(&b);
        }
    }
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_the_order_of_the_reply),
        cmocka_unit_test(a_reply_is_a_message_even_if_it_is_empty),
        cmocka_unit_test(errors_of_the_engine),
        cmocka_unit_test(a_conversation_goes_on),
        cmocka_unit_test(new_keys_find_nothing),
        cmocka_unit_test(bodies_of_any_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

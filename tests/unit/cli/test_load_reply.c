/* Replies become records: what is a token, what a reply's end, what an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/load/reply.h"

#define DELTA(x) "data: {\"choices\":[{\"index\":0,\"delta\":{" x "},\"finish_reason\":null}]}\n\n"
#define TOKEN DELTA("\"content\":\"a\"")
#define FINISH "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE                                                                                      \
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5,"                \
    "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n"
#define DONE "data: [DONE]\n\n"
#define EVENTS "text/event-stream; charset=utf-8"

/* Each byte a millisecond after the one before, from 1 on. */
static struct load_record read_reply(int status, const char *type, bool wants_stream,
                                     const char *bytes, enum load_outcome transport)
{
    struct load_record record = { .retry_after_s = -1 };
    struct load_reply reply = { .record = &record, .wants_stream = wants_stream };
    load_reply_head(&reply, status, type);
    for (size_t i = 0; bytes[i]; i++) load_reply_bytes(&reply, bytes + i, 1, i + 1);
    load_reply_end(&reply, transport, "the transport's words");
    return record;
}

static struct load_record stream(const char *bytes, enum load_outcome transport)
{
    return read_reply(200, EVENTS, true, bytes, transport);
}

static void expect(struct load_record r, enum load_outcome outcome, const char *piece)
{
    if (r.outcome != outcome)
        fail_msg("%s (%s), not %s", load_outcome_name(r.outcome), r.message ? r.message : "",
                 load_outcome_name(outcome));
    if (piece && (!r.message || !strstr(r.message, piece)))
        fail_msg("\"%s\" does not say \"%s\"", r.message ? r.message : "", piece);
    load_record_free(&r);
}

static void test_what_counts_as_a_chunk(void **state)
{
    static const struct {
        const char *event;
        uint32_t n_chunks;
    } cases[] = {
        { TOKEN, 1 },
        { DELTA("\"role\":\"assistant\",\"content\":\"\""), 0 },
        { DELTA("\"role\":\"assistant\",\"content\":null"), 0 },
        { DELTA("\"reasoning_content\":\"hm\""), 1 },
        { DELTA("\"reasoning\":\"hm\""), 1 },
        { DELTA("\"tool_calls\":[{\"index\":0}]"), 1 },
        { DELTA("\"tool_calls\":[]"), 0 },
        { DELTA(""), 0 },
        { "data: {\"choices\":[{\"text\":\"a\"}]}\n\n", 1 },
        { "data: {\"choices\":[{\"text\":\"\"}]}\n\n", 0 },
        { ": ping\n\n", 0 },
        { USAGE, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[1024];
        snprintf(bytes, sizeof bytes, "%s%s", cases[i].event, FINISH DONE);
        struct load_record r = stream(bytes, LOAD_OK);
        if (r.n_chunks != cases[i].n_chunks)
            fail_msg("%u chunks, not %u: %s", r.n_chunks, cases[i].n_chunks, cases[i].event);
        expect(r, LOAD_OK, NULL);
    }
}

static void test_times_and_usage(void **state)
{
    (void)state;
    static const char all[] = ": ping\n\n" TOKEN TOKEN FINISH USAGE DONE;
    struct load_record r = stream(all, LOAD_OK);
    assert_int_equal(r.n_chunks, 2);
    assert_int_equal(r.chunk_ns[0], strlen(": ping\n\n" TOKEN));    /* with its last byte */
    assert_int_equal(r.chunk_ns[1], strlen(": ping\n\n" TOKEN TOKEN));
    assert_int_equal(r.end_ns, strlen(all));
    assert_true(r.has_usage && r.is_streamed);
    assert_int_equal(r.n_prompt, 7);
    assert_int_equal(r.n_cached, 4);
    assert_int_equal(r.n_output, 5);
    expect(r, LOAD_OK, NULL);

    r = stream(TOKEN TOKEN TOKEN FINISH DONE, LOAD_OK);
    assert_false(r.has_usage);
    assert_int_equal(r.n_output, 3);
    expect(r, LOAD_OK, NULL);
}

static void test_ends_of_streams(void **state)
{
    (void)state;
    expect(stream(TOKEN FINISH, LOAD_OK), LOAD_OK, NULL);       /* no [DONE], but a finish_reason */
    expect(stream(TOKEN DONE, LOAD_OK), LOAD_OK, NULL);
    expect(stream(TOKEN FINISH DONE, LOAD_CUT), LOAD_OK, NULL); /* all there, however it closed */
    expect(stream(TOKEN TOKEN, LOAD_OK), LOAD_CUT, "before a finish_reason");
    expect(stream(TOKEN FINISH, LOAD_CUT), LOAD_CUT, "the transport's words");
    expect(stream(TOKEN, LOAD_TIMEOUT), LOAD_TIMEOUT, "the transport's words");
    expect(stream("", LOAD_OK), LOAD_BAD_REPLY, "no event");
    expect(stream("<html>hello</html>", LOAD_OK), LOAD_BAD_REPLY, "no event");
}

static void test_bad_events(void **state)
{
    (void)state;
    expect(stream(TOKEN "data: {\"choices\":[\n\n" DONE, LOAD_OK), LOAD_BAD_REPLY, "bad JSON");
    expect(stream("data: 17\n\n" DONE, LOAD_OK), LOAD_BAD_REPLY, "bad JSON");
    expect(stream("data: {\"id\":1}\n\n" DONE, LOAD_OK), LOAD_BAD_REPLY, "neither");
    expect(stream("data: {\"choices\":[{\"text\":\"\xff\"}]}\n\n" DONE, LOAD_OK), LOAD_BAD_REPLY,
           "bad JSON");
    expect(stream(TOKEN "data: {\"error\":{\"message\":\"went away\"}}\n\n" DONE, LOAD_OK),
           LOAD_ERROR_EVENT, "went away");
    expect(stream(TOKEN "data: {\"error\":null,\"choices\":[]}\n\n" DONE, LOAD_OK), LOAD_OK, NULL);
}

static void test_http_errors(void **state)
{
    static const struct {
        const char *body, *piece;
    } cases[] = {
        { "{\"error\":{\"message\":\"queue full\",\"code\":\"queue_full\"}}", "queue full" },
        { "{\"error\":\"plain words\"}", "plain words" },
        { "{\"message\":\"of vLLM\"}", "of vLLM" },
        { "{\"detail\":\"Not Found\"}", "Not Found" },
        { "Bad\ngateway", "Bad gateway" },
        { "{\"odd\":1}", "{\"odd\":1}" },
        { "\xff\x01 bytes", "? " },
        { "", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct load_record r = read_reply(429, "application/json", true, cases[i].body, LOAD_OK);
        assert_int_equal(r.status, 429);
        assert_int_equal(r.n_chunks, 0);
        expect(r, LOAD_HTTP, cases[i].piece);
    }
}

static void test_whole_replies(void **state)
{
    static const char good[] = "{\"choices\":[{\"message\":{\"content\":\"a b\"}}],"
                               "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}";
    (void)state;
    struct load_record r = read_reply(200, "application/json", false, good, LOAD_OK);
    assert_int_equal(r.n_output, 2);
    assert_int_equal(r.n_prompt, 3);
    assert_int_equal(r.n_chunks, 0);
    assert_false(r.is_streamed);
    expect(r, LOAD_OK, NULL);
    r = read_reply(200, "application/json", true, good, LOAD_OK);   /* though a stream was wanted */
    assert_false(r.is_streamed);
    expect(r, LOAD_OK, NULL);
    expect(read_reply(200, NULL, false, "{\"choices\":", LOAD_OK), LOAD_BAD_REPLY, "bad JSON");
    expect(read_reply(200, NULL, false, "{}", LOAD_OK), LOAD_BAD_REPLY, "no \"choices\"");
    expect(read_reply(200, NULL, false, "", LOAD_OK), LOAD_BAD_REPLY, "bad JSON");
    expect(read_reply(200, NULL, false, "{\"choices\":", LOAD_CUT), LOAD_CUT, "transport");
    expect(read_reply(200, NULL, true, TOKEN FINISH DONE, LOAD_OK), LOAD_OK, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_counts_as_a_chunk),
        cmocka_unit_test(test_times_and_usage),
        cmocka_unit_test(test_ends_of_streams),
        cmocka_unit_test(test_bad_events),
        cmocka_unit_test(test_http_errors),
        cmocka_unit_test(test_whole_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

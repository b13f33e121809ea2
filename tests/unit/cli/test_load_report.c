/* What a load's report says, to the letter, of a run made by hand: for people, for programs, and of
 * two reports beside each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/load/report.h"

#define MS UINT64_C(1000000)
enum { N_RECORDS = 4 };

static struct load_record records[N_RECORDS];
static struct load_run run;
static struct load_figures figures;
static struct load_options options;
static struct load_result result;

/* Two that went well, of three chunks and of one; one refused, one given up at an interruption. */
static void make(const struct load_prompts_params *prompts)
{
    static const uint64_t chunks[2][3] = { { 20, 30, 50 }, { 60, 0, 0 } };
    pl_err err = { 0 };
    struct load_prompts *opened;
    run = (struct load_run){ .records = records, .n_records = N_RECORDS, .begin_ns = 1000 * MS,
                             .n_warmup = 3, .n_warmup_failed = 1 };
    for (size_t i = 0; i < N_RECORDS; i++) {
        records[i] =
            (struct load_record){ .scheduled_ns = run.begin_ns, .send_ns = run.begin_ns + 10 * MS,
                                           .end_ns = run.begin_ns + (100 + 100 * i) * MS,
                                           .retry_after_s = -1, .status = 200 };
        for (size_t k = 0; i < 2 && k < 3 && chunks[i][k]; k++)
            load_record_add_chunk(&records[i], run.begin_ns + chunks[i][k] * MS);
    }
    records[0].n_prompt = 12, records[0].n_cached = 8, records[0].n_output = 5;
    records[0].has_usage = records[0].is_streamed = true;
    records[1].n_output = 1;
    load_record_fail(&records[2], LOAD_HTTP, "the queue is full");
    records[2].status = 429, records[2].retry_after_s = 7;
    records[3].outcome = LOAD_DROPPED, records[3].status = 0;
    assert_int_equal(load_prompts_open(&opened, prompts, &err), PL_OK);
    options.prompts = opened;
    assert_int_equal(load_figures_make(&figures, &run, &options, &err), PL_OK);
    result = (struct load_result){ &options, &run, &figures, "2026-01-02T03:04:05Z" };
}

static void end(void)
{
    load_prompts_close((struct load_prompts *)(uintptr_t)options.prompts);
    load_figures_free(&figures);
    for (size_t i = 0; i < N_RECORDS; i++) load_record_free(&records[i]);
}

static void check_text(const char *wanted)
{
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    load_report_print(to, &result);
    fclose(to);
    if (strcmp(text, wanted)) fail_msg("found:\n%s\nwanted:\n%s", text, wanted);
    free(text);
}

static void a_closed_loop(void **state)
{
    (void)state;
    const struct load_prompts_params prompts = { .is_chat = true, .text = "Hi" };
    options = (struct load_options){ .base_url = "http://h:1", .model = "m", .is_chat = true,
                                     .stream = true,
                                     .concurrency = 2, .n_requests = 4, .max_tokens = 16,
                                     .temperature = -1, .timeout_s = 600, .seed = 3 };
    make(&prompts);
    check_text("server     http://h:1, /v1/chat/completions, model m\n"
               "load       closed loop, 2 at a time, 4 requests, streaming\n"
               "prompts    one fixed; at most 16 tokens generated\n"
               "requests   2 ok, 1 failed, 1 dropped while running; before these 3 to warm up (1 "
               "failed), not counted\n"
               "wall time  0.29 s, 6.90 requests/s\n"
               "tokens     12 prompt (8 cached), 6 output: 20.7 output tok/s, 62.1 total tok/s\n"
               "           1 replies without usage: output counted as chunks, prompts not at all\n"
               "           1 replies came whole though a stream was asked for\n"
               "\n"
               "ms, from send                   mean       p50       p90       p95       p99       "
               "max\n"
               "time to first token            40.00     20.00     60.00     60.00     60.00     "
               "60.00\n"
               "inter-token latency             7.50      5.00     10.00     10.00     10.00     "
               "10.00\n"
               "time per output token           7.50      7.50      7.50      7.50      7.50      "
               "7.50\n"
               "end to end                    150.00    100.00    200.00    200.00    200.00    "
               "200.00\n"
               "\n"
               "errors\n"
               "      1  HTTP 429: the queue is full (Retry-After up to 7 s)\n");
    end();
}

static void an_open_loop_that_was_interrupted(void **state)
{
    (void)state;
    const struct load_prompts_params prompts =
        { .mean_words = 128, .stddev_words = 2.5, .shared = 0.25, .seed = 3 };
    options = (struct load_options){ .base_url = "http://h:1", .model = "m", .rate = 2.5,
                                     .max_in_flight = 7,
                                     .duration_s = 1.5, .ignore_eos = true, .temperature = 0,
                                         .seed = 3 };
    make(&prompts);
    run.was_interrupted = true;
    run.n_warmup = 0;
    figures.n_dropped = figures.n_errors = figures.n_without_usage = 0;
    figures.summary[LOAD_ITL].n = 0;
    check_text("server     http://h:1, /v1/completions, model m\n"
               "load       open loop, 2.5 requests/s arriving at random (seed 3), at most 7 in "
               "flight, for 1.5 s, not streaming\n"
               "prompts    128 (stddev 2.5) words drawn with seed 3, 25 % shared; as many tokens "
               "generated as the server does, end tokens ignored\n"
               "requests   2 ok, 1 failed; INTERRUPTED\n"
               "wall time  0.29 s, 6.90 requests/s\n"
               "tokens     12 prompt (8 cached), 6 output: 20.7 output tok/s, 62.1 total tok/s\n"
               "\n"
               "ms, from scheduled arrival      mean       p50       p90       p95       p99       "
               "max\n"
               "time to first token            40.00     20.00     60.00     60.00     60.00     "
               "60.00\n"
               "inter-token latency                -         -         -         -         -       "
               "  -\n"
               "time per output token           7.50      7.50      7.50      7.50      7.50      "
               "7.50\n"
               "end to end                    150.00    100.00    200.00    200.00    200.00    "
               "200.00\n"
               "first token, from send         30.00     10.00     50.00     50.00     50.00     "
               "50.00\n"
               "end to end, from send         140.00     90.00    190.00    190.00    190.00    "
               "190.00\n"
               "arrival until send             10.00     10.00     10.00     10.00     10.00     "
               "10.00\n");
    end();
}

static void check_json(const json_t *report, const char *name, const char *wanted)
{
    const json_t *part = json_object_get(report, name);
    char *text = json_dumps(part, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    if (!text || strcmp(text, wanted))
        fail_msg("%s: found %s, wanted %s", name, text ? text : "none", wanted);
    free(text);
}

static void for_programs(void **state)
{
    (void)state;
    const struct load_prompts_params prompts = { .text = "Hi" };
    options = (struct load_options){ .base_url = "http://h:1", .model = "m", .stream = true,
                                     .concurrency = 2,
                                     .n_requests = 4, .n_warmup = 3, .max_tokens = 16,
                                     .temperature = -1, .timeout_s = 600, .seed = 3 };
    make(&prompts);
    json_t *report = load_report_json(&result, true);
    assert_non_null(report);
    check_json(report, "kind", "\"load\"");
    check_json(report, "time", "\"2026-01-02T03:04:05Z\"");
    check_json(report, "settings",
               "{\"url\":\"http://h:1\",\"endpoint\":\"completions\",\"concurrency\":2,"
               "\"rate_per_s\":null,"
               "\"max_in_flight\":null,\"requests\":4,\"warmup\":3,\"duration_s\":null,\"seed\":3,"
               "\"prompts\":\"one "
               "fixed\",\"max_tokens\":16,\"ignore_eos\":false,\"temperature\":null,"
               "\"stream\":true,\"timeout_s\":600.0}");
    check_json(report, "requests",
               "{\"ok\":2,\"failed\":1,\"dropped\":1,\"warmup\":3,\"warmup_failed\":1,"
               "\"without_usage\":1,\"not_streamed\":1}");
    check_json(report, "tpot_s",
               "{\"n\":1,\"mean\":0.0075,\"p50\":0.0075,\"p90\":0.0075,\"p95\":0.0075,"
               "\"p99\":0.0075,\"max\":0.0075}");
    check_json(report, "errors", "[{\"kind\":\"http\",\"status\":429,\"count\":1,"
               "\"message\":\"the queue is full\",\"retry_after_s\":7.0}]");
    assert_null(json_object_get(report, "send_delay_s"));
    json_t *first = json_array_get(json_object_get(report, "records"), 0);
    json_t *last = json_array_get(json_object_get(report, "records"), 3);
    json_object_set(report, "first", first);
    json_object_set(report, "last", last);
    check_json(report, "first",
               "{\"outcome\":\"ok\",\"status\":200,\"retry_after_s\":null,\"scheduled_s\":0.0,"
               "\"send_s\":0.01,"
               "\"first_s\":0.02,\"last_s\":0.05,\"end_s\":0.1,\"prompt_tokens\":12,"
               "\"cached_tokens\":8,"
               "\"output_tokens\":5,\"chunks\":3,\"has_usage\":true}");
    check_json(report, "last",
               "{\"outcome\":\"dropped\",\"status\":null,\"retry_after_s\":null,"
               "\"scheduled_s\":0.0,"
               "\"send_s\":0.01,\"first_s\":null,\"last_s\":null,\"end_s\":0.4,\"prompt_tokens\":0,"
               "\"cached_tokens\":0,\"output_tokens\":0,\"chunks\":0,\"has_usage\":false}");
    json_decref(report);
    end();
}

/* The columns of a number that is there on one side, and of an A of zero; of two members of a name
 * the last. */
static void two_reports(void **state)
{
    static const char *const text[] = {
        "{\"kind\": \"load\", \"time\": \"now\", \"model\": \"m\", \"settings\": {\"a\": 1, \"b\": "
        "null}, \"requests\": {\"ok\": 4, \"failed\": 0}, \"wall_s\": 9, \"wall_s\": 0.5, "
        "\"ttft_s\": {\"p50\": 0.002}}",
        "{\"kind\": \"load\", \"model\": \"n\", \"settings\": {\"a\": 1, \"b\": [2], \"c\": \"x\"},"
        " \"requests\": {\"ok\": 6, \"failed\": 1}, \"ttft_s\": {\"p50\": 0.003}, \"itl_s\": null}",
    };
    char path[2][32] = { "/tmp/paceline_a_XXXXXX", "/tmp/paceline_b_XXXXXX" }, wanted[4096];
    char *found = NULL;
    size_t n;
    pl_err err = { 0 };
    (void)state;
    for (int i = 0; i < 2; i++) {
        FILE *file = fdopen(mkstemp(path[i]), "w");
        assert_non_null(file);
        fputs(text[i], file);
        fclose(file);
    }
    FILE *to = open_memstream(&found, &n);
    const pl_status st = load_compare(to, path[0], path[1], &err);
    fclose(to);
    remove(path[0]);
    remove(path[1]);
    assert_int_equal(st, PL_OK);
    snprintf(wanted, sizeof wanted,
             "A  %s (now)\nB  %s (unknown time)\n"
             "  b                      A null   B [2]\n"
             "  c                      A -   B \"x\"\n"
             "  model                  A \"m\"   B \"n\"\n"
             "                                              A            B      B/A\n"
             "requests ok                                4.00         6.00    1.500\n"
             "requests failed                            0.00         1.00        -\n"
             "requests dropped                              -            -        -\n"
             "wall time, s                               0.50            -        -\n"
             "requests/s                                    -            -        -\n"
             "output tok/s                                  -            -        -\n"
             "total tok/s                                   -            -        -\n"
             "prompt tokens                                 -            -        -\n"
             "output tokens                                 -            -        -\n"
             "time to first token mean, ms                  -            -        -\n"
             "time to first token p50, ms                2.00         3.00    1.500\n"
             "time to first token p90, ms                   -            -        -\n"
             "time to first token p95, ms                   -            -        -\n"
             "time to first token p99, ms                   -            -        -\n"
             "time to first token max, ms                   -            -        -\n", path[0],
             path[1]);
    if (strcmp(found, wanted)) fail_msg("found:\n%s\nwanted:\n%s", found, wanted);
    free(found);
}

/* The data of a page, as it stands in it, without the many numbers of what happened over time. */
static void check_page(const char *wanted)
{
    static const char begin[] = "<script type=\"application/json\" id=\"report\">";
    char path[] = "/tmp/paceline_page_XXXXXX";
    char *page = NULL;
    size_t n;
    pl_err err = { 0 };
    close(mkstemp(path));
    assert_int_equal(load_report_html(path, &result, &err), PL_OK);
    FILE *from = fopen(path, "r"), *to = open_memstream(&page, &n);
    for (int c; (c = getc(from)) != EOF;) putc(c, to);
    fclose(from);
    fclose(to);
    remove(path);
    char *data = strstr(page, begin);
    assert_non_null(data);
    data += strlen(begin);
    *strstr(data, "</script>") = 0;
    char *over_time = strstr(data, ",{\"heading\":\"Over time\"");
    assert_non_null(over_time);
    assert_non_null(strstr(over_time, "{\"caption\":\"Throughput over time\",\"x\":{\"label\":"
                                      "\"seconds after the beginning\",\"values\":[0.0"));
    assert_non_null(strstr(over_time, "},\"y\":{\"label\":\"output tok/s\"},\"series\":[{\"label\":"
                                      "\"output tok/s\",\"values\":[0.0"));
    assert_non_null(strstr(over_time, "{\"caption\":\"Requests running over time\",\"x\""));
    char *behind = strstr(over_time, ",{\"heading\":\"Errors\"");
    if (!behind) behind = strstr(over_time, "]}]}]}") + 4;
    memmove(over_time, behind, strlen(behind) + 1);
    if (strcmp(data, wanted)) {
        printf("found:\n%s\nwanted:\n%s\n", data, wanted);
        fail();
    }
    free(page);
}

static void a_page(void **state)
{
    (void)state;
    const struct load_prompts_params prompts = { .text = "Hi" };
    options = (struct load_options){ .base_url = "http://h:1", .model = "m<1>", .concurrency = 2,
                                     .n_requests = 4 };
    make(&prompts);
    check_page(
        "{\"title\":\"Load report\",\"lead\":\"m\\u003c1> on http://h:1: closed loop, 2 at a "
        "time, 4 requests; prompts: one fixed\",\"made\":\"paceline " PL_VERSION " load, "
        "2026-01-02T03:04:05Z\",\"sections\":[{\"heading\":\"Throughput\","
        "\"tables\":[{\"rows\":[[\"requests ok\",2],[\"requests failed\",1],[\"dropped while "
        "running, at the interruption\",1],[\"to warm up, not counted\",3],[\"wall time, s\","
        "\"0.29\"],[\"requests/s\",\"6.897\"],[\"output tok/s\",\"20.7\"],[\"total tok/s, "
        "prompts included\",\"62.1\"],[\"prompt tokens\",12],[\"of these cached\",8],"
        "[\"output tokens\",6]]}]},{\"heading\":\"Latency\",\"text\":[\"Percentiles are "
        "nearest-rank. Inter-token latency is the time between two chunks of a reply, shared "
        "by the tokens of a chunk; time per output token is a request's mean of it. Token "
        "counts are the server's reported usage.\"],\"tables\":[{\"caption\":\"milliseconds, "
        "from when a request is sent\",\"head\":[\"\",\"mean\",\"p50\",\"p90\",\"p95\","
        "\"p99\",\"max\"],\"rows\":[[\"time to first token\",\"40.00\",\"20.00\",\"60.00\","
        "\"60.00\",\"60.00\",\"60.00\"],[\"inter-token latency\",\"7.50\",\"5.00\",\"10.00\","
        "\"10.00\",\"10.00\",\"10.00\"],[\"time per output token\",\"7.50\",\"7.50\","
        "\"7.50\",\"7.50\",\"7.50\",\"7.50\"],[\"end to end\",\"150.00\",\"100.00\","
        "\"200.00\",\"200.00\",\"200.00\",\"200.00\"]]}],\"plots\":[{\"caption\":\"Time to "
        "first token: share of requests within so many milliseconds\","
        "\"x\":{\"label\":\"ms\",\"values\":[20.0,60.0]},\"y\":{\"label\":\"% of requests\"},"
        "\"series\":[{\"label\":\"time to first token\",\"values\":[50.0,100.0],"
        "\"dash\":false}]},{\"caption\":\"Inter-token latency: share of tokens\","
        "\"x\":{\"label\":\"ms\",\"values\":[5.0,10.0]},\"y\":{\"label\":\"% of tokens\"},"
        "\"series\":[{\"label\":\"inter-token latency\",\"values\":[50.0,100.0],"
        "\"dash\":false}]},{\"caption\":\"End to end: share of requests\","
        "\"x\":{\"label\":\"ms\",\"values\":[100.0,200.0]},\"y\":{\"label\":\"% of "
        "requests\"},\"series\":[{\"label\":\"end to end\",\"values\":[50.0,100.0],"
        "\"dash\":false}]}]},{\"heading\":\"Errors\",\"tables\":[{\"head\":[\"kind\","
        "\"requests\",\"the first one's message\"],\"rows\":[[\"HTTP 429\",1,\"the queue is "
        "full\"]]}]}]}");
    end();
}

static void a_page_of_an_open_loop(void **state)
{
    (void)state;
    const struct load_prompts_params prompts = { .text = "Hi" };
    options = (struct load_options){ .base_url = "http://h:1", .model = "m", .rate = 2,
                                     .duration_s = 1, .max_in_flight = 4 };
    make(&prompts);
    run.was_interrupted = true;
    run.n_records = 2;
    figures.n_dropped = figures.n_errors = 0;
    check_page(
        "{\"title\":\"Load report\",\"lead\":\"m on http://h:1: open loop, 2 requests/s "
        "arriving at random (seed 0), at most 4 in flight, for 1 s; prompts: one fixed. "
        "Interrupted: what had ended by then\",\"made\":\"paceline " PL_VERSION " load, "
        "2026-01-02T03:04:05Z\",\"sections\":[{\"heading\":\"Throughput\","
        "\"tables\":[{\"rows\":[[\"requests ok\",2],[\"requests failed\",1],[\"to warm up, "
        "not counted\",3],[\"wall time, s\",\"0.29\"],[\"requests/s\",\"6.897\"],[\"output "
        "tok/s\",\"20.7\"],[\"total tok/s, prompts included\",\"62.1\"],[\"prompt tokens\","
        "12],[\"of these cached\",8],[\"output tokens\",6]]}]},{\"heading\":\"Latency\","
        "\"text\":[\"Percentiles are nearest-rank. Inter-token latency is the time between "
        "two chunks of a reply, shared by the tokens of a chunk; time per output token is a "
        "request's mean of it. Token counts are the server's reported usage.\"],"
        "\"tables\":[{\"caption\":\"milliseconds, from the scheduled arrival\","
        "\"head\":[\"\",\"mean\",\"p50\",\"p90\",\"p95\",\"p99\",\"max\"],\"rows\":[[\"time "
        "to first token\",\"40.00\",\"20.00\",\"60.00\",\"60.00\",\"60.00\",\"60.00\"],"
        "[\"inter-token latency\",\"7.50\",\"5.00\",\"10.00\",\"10.00\",\"10.00\",\"10.00\"],"
        "[\"time per output token\",\"7.50\",\"7.50\",\"7.50\",\"7.50\",\"7.50\",\"7.50\"],"
        "[\"end to end\",\"150.00\",\"100.00\",\"200.00\",\"200.00\",\"200.00\",\"200.00\"],"
        "[\"first token, from send\",\"30.00\",\"10.00\",\"50.00\",\"50.00\",\"50.00\","
        "\"50.00\"],[\"end to end, from send\",\"140.00\",\"90.00\",\"190.00\",\"190.00\","
        "\"190.00\",\"190.00\"],[\"arrival until send\",\"10.00\",\"10.00\",\"10.00\","
        "\"10.00\",\"10.00\",\"10.00\"]]}],\"plots\":[{\"caption\":\"Time to first token: "
        "share of requests within so many milliseconds\",\"x\":{\"label\":\"ms\","
        "\"values\":[10.0,20.0,50.0,60.0]},\"y\":{\"label\":\"% of requests\"},"
        "\"series\":[{\"label\":\"time to first token\",\"values\":[0.0,50.0,50.0,100.0],"
        "\"dash\":false},{\"label\":\"first token, from send\",\"values\":[50.0,50.0,100.0,"
        "100.0],\"dash\":true}]},{\"caption\":\"Inter-token latency: share of tokens\","
        "\"x\":{\"label\":\"ms\",\"values\":[5.0,10.0]},\"y\":{\"label\":\"% of tokens\"},"
        "\"series\":[{\"label\":\"inter-token latency\",\"values\":[50.0,100.0],"
        "\"dash\":false}]},{\"caption\":\"End to end: share of requests\","
        "\"x\":{\"label\":\"ms\",\"values\":[90.0,100.0,190.0,200.0]},\"y\":{\"label\":\"% "
        "of requests\"},\"series\":[{\"label\":\"end to end\",\"values\":[0.0,50.0,50.0,"
        "100.0],\"dash\":false},{\"label\":\"end to end, from send\",\"values\":[50.0,50.0,"
        "100.0,100.0],\"dash\":true}]}]}]}]}");
    run.n_records = N_RECORDS;
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_loop),
        cmocka_unit_test(an_open_loop_that_was_interrupted),
        cmocka_unit_test(for_programs),
        cmocka_unit_test(two_reports),
        cmocka_unit_test(a_page),
        cmocka_unit_test(a_page_of_an_open_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

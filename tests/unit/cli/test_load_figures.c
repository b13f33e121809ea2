/* The figures of hand-made records: what each latency counts from and to, rates, errors by kind,
 * the run over time, the line on the terminal. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/load/figures.h"
#include "cli/load/progress.h"
#include "cli/load/timeline.h"

#define MS UINT64_C(1000000)
enum { MAX_RECORDS = 16 };

static struct load_record records[MAX_RECORDS];
static struct load_run run;

static void begin(void)
{
    run = (struct load_run){ .records = records, .begin_ns = 1000 * MS };
}

/* Times in ms after the beginning; chunks end with 0. */
static struct load_record *add(uint64_t scheduled, uint64_t sent, uint64_t end, uint64_t n_output,
                               const uint64_t *chunks)
{
    struct load_record *r = &records[run.n_records++];
    *r = (struct load_record){ .scheduled_ns = run.begin_ns + scheduled * MS,
                               .send_ns = run.begin_ns + sent * MS,
                               .end_ns = run.begin_ns + end * MS, .n_prompt = 10, .n_cached = 4,
                               .n_output = n_output, .has_usage = true, .is_streamed = true,
                               .status = 200, .retry_after_s = -1 };
    for (; *chunks; chunks++) load_record_add_chunk(r, run.begin_ns + *chunks * MS);
    return r;
}

static struct load_record *add_failed(enum load_outcome outcome, int status, const char *message)
{
    struct load_record *r = add(0, 0, 10, 0, (const uint64_t[]){ 0 });
    r->status = status;
    load_record_fail(r, outcome, message);
    return r;
}

static void make(struct load_figures *f, const struct load_options *o)
{
    pl_err err = { 0 };
    if (load_figures_make(f, &run, o, &err)) fail_msg("%s", err.text);
}

static void end(struct load_figures *f)
{
    load_figures_free(f);
    for (size_t i = 0; i < run.n_records; i++) load_record_free(&records[i]);
}

static void near_to(double got, double want, const char *what)
{
    if (fabs(got - want) > 1e-9 * (1 + fabs(want)))
        fail_msg("%s is %.12g, not %.12g", what, got, want);
}

static const struct load_options closed = { .stream = true, .concurrency = 2 };

static void test_latencies_of_one_request(void **state)
{
    (void)state;
    struct load_figures f;
    begin();
    add(100, 100, 300, 4, (const uint64_t[]){ 150, 160, 180, 240, 0 });
    make(&f, &closed);
    near_to(f.summary[LOAD_TTFT].p50, 0.050, "ttft");
    near_to(f.summary[LOAD_E2E].p50, 0.200, "e2e");
    near_to(f.summary[LOAD_ITL].mean, 0.030, "itl mean");
    near_to(f.summary[LOAD_ITL].p50, 0.020, "itl p50");
    near_to(f.summary[LOAD_ITL].max, 0.060, "itl max");
    near_to(f.summary[LOAD_TPOT].p50, 0.030, "tpot");
    near_to(f.wall_s, 0.200, "wall");
    near_to(f.output_tok_s, 4 / 0.2, "output tok/s");
    near_to(f.total_tok_s, 14 / 0.2, "total tok/s");
    assert_int_equal(f.n_cached, 4);
    end(&f);
}

/* Nine tokens in three chunks: four tokens for each gap. One token and one chunk: no gap. */
static void test_several_tokens_in_a_chunk(void **state)
{
    (void)state;
    struct load_figures f;
    begin();
    add(0, 0, 100, 9, (const uint64_t[]){ 10, 50, 58, 0 });
    add(0, 0, 20, 1, (const uint64_t[]){ 20, 0 });
    add(0, 0, 20, 3, (const uint64_t[]){ 20, 0 });      /* three tokens at once say nothing */
    make(&f, &closed);
    assert_int_equal(f.summary[LOAD_ITL].n, 2);
    near_to(f.summary[LOAD_ITL].p50, 0.002, "itl p50");
    near_to(f.summary[LOAD_ITL].max, 0.010, "itl max");
    near_to(f.summary[LOAD_ITL].mean, 0.006, "itl mean");
    assert_int_equal(f.summary[LOAD_TPOT].n, 1);
    near_to(f.summary[LOAD_TPOT].p50, 0.006, "tpot");
    assert_int_equal(f.summary[LOAD_TTFT].n, 3);
    end(&f);
}

static void test_without_usage_chunks_are_tokens(void **state)
{
    (void)state;
    struct load_figures f;
    begin();
    struct load_record *r = add(0, 0, 40, 3, (const uint64_t[]){ 10, 20, 40, 0 });
    r->has_usage = false;
    r->n_prompt = r->n_cached = 0;
    make(&f, &closed);
    assert_int_equal(f.n_without_usage, 1);
    near_to(f.summary[LOAD_ITL].mean, 0.015, "itl mean");
    end(&f);
}

/* A request that waited 400 ms to be sent is 400 ms slower than from its send. */
static void test_open_loop_counts_from_arrival(void **state)
{
    (void)state;
    const struct load_options open = { .stream = true, .rate = 10, .max_in_flight = 1 };
    struct load_figures f;
    begin();
    add(100, 500, 700, 2, (const uint64_t[]){ 600, 700, 0 });
    make(&f, &open);
    near_to(f.summary[LOAD_TTFT].p50, 0.5, "ttft");
    near_to(f.summary[LOAD_TTFT_SENT].p50, 0.1, "ttft from send");
    near_to(f.summary[LOAD_E2E].p50, 0.6, "e2e");
    near_to(f.summary[LOAD_E2E_SENT].p50, 0.2, "e2e from send");
    near_to(f.summary[LOAD_DELAY].p50, 0.4, "delay");
    near_to(f.summary[LOAD_ITL].p50, 0.1, "itl");
    end(&f);
}

static void test_failures_count_by_kind(void **state)
{
    (void)state;
    struct load_figures f;
    char name[32];
    begin();
    add_failed(LOAD_TIMEOUT, 0, "too slow");
    add_failed(LOAD_HTTP, 429, "full")->retry_after_s = 2;
    add_failed(LOAD_HTTP, 500, "broken");
    add_failed(LOAD_HTTP, 429, "still full")->retry_after_s = 1;
    add_failed(LOAD_CUT, 200, "cut");       /* whatever status a cut stream began with */
    add_failed(LOAD_CUT, 0, "cut");
    add_failed(LOAD_HTTP, 429, "full");
    add(0, 0, 20, 2, (const uint64_t[]){ 10, 20, 0 });
    add(0, 0, 20, 2, (const uint64_t[]){ 10, 0 })->outcome = LOAD_DROPPED;
    make(&f, &closed);
    assert_int_equal(f.n_ok, 1);
    assert_int_equal(f.n_failed, 7);
    assert_int_equal(f.n_dropped, 1);
    assert_int_equal(f.n_output, 2);        /* of what ended well */
    assert_int_equal(f.summary[LOAD_E2E].n, 1);
    assert_int_equal(f.n_errors, 4);
    assert_int_equal(f.errors[0].n, 3);
    assert_string_equal(f.errors[0].message, "full");
    assert_true(f.errors[0].retry_after_s == 2);
    load_error_name(&f.errors[0], name, sizeof name);
    assert_string_equal(name, "HTTP 429");
    assert_int_equal(f.errors[1].n, 2);
    load_error_name(&f.errors[1], name, sizeof name);
    assert_string_equal(name, "cut stream");
    end(&f);
}

static void test_more_kinds_than_room(void **state)
{
    (void)state;
    struct load_figures f;
    struct load_record many[LOAD_MAX_ERRORS + 10];
    begin();
    run.records = many;
    run.n_records = LOAD_MAX_ERRORS + 10;
    for (size_t i = 0; i < run.n_records; i++)
        many[i] = (struct load_record){ .outcome = LOAD_HTTP, .status = 400 + (int)i };
    make(&f, &closed);
    uint64_t n = 0;
    for (size_t i = 0; i < f.n_errors; i++) n += f.errors[i].n;
    assert_int_equal(f.n_errors, LOAD_MAX_ERRORS);
    assert_int_equal(n, LOAD_MAX_ERRORS + 10);
    load_figures_free(&f);
}

static void test_nothing_was_measured(void **state)
{
    (void)state;
    struct load_figures f;
    begin();
    make(&f, &closed);
    assert_int_equal(f.n_ok + f.n_failed, 0);
    near_to(f.wall_s, 0, "wall");
    near_to(f.output_tok_s, 0, "output tok/s");
    end(&f);
}

/* All tokens and all running time are in the spans, whatever their number and length. */
static void test_timeline_keeps_totals(void **state)
{
    (void)state;
    static const uint64_t lengths[] = { 1, 7, 99, 100, 119, 120, 121, 1000, 12345, 600000,
                                        9999999 };
    struct load_timeline t;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const uint64_t last = lengths[i];
        begin();
        add(0, 0, last, 5, (const uint64_t[]){ (last + 2) / 3, last, 0 });
        add(0, last / 2, last, 2, (const uint64_t[]){ (last + 1) / 2, last, 0 });
        load_timeline_make(&t, &run);
        double tokens = 0, running = 0;
        for (size_t k = 0; k < t.n_spans; k++) {
            const double left = (double)last * 1e-3 - (double)k * t.span_s;
            const double span = left < t.span_s ? left : t.span_s;
            tokens += t.tok_s[k] * span;
            running += t.running[k] * span;
        }
        assert_true(t.n_spans >= 1 && t.n_spans <= TIMELINE_MAX_SPANS);
        near_to(tokens, 7, "tokens of all spans");
        near_to(running, (double)(2 * last - last / 2) * 1e-3, "seconds of all spans");
        for (size_t k = 0; k < run.n_records; k++) load_record_free(&records[k]);
    }
    begin();
    load_timeline_make(&t, &run);
    assert_int_equal(t.n_spans, 0);
}

/* Spans of 1, 2 or 5 times a power of ten, as few as 120 hold the run; whole replies count at their
 * end. */
static void test_spans(void **state)
{
    static const struct {
        uint64_t ms;
        double span_s;
        size_t n;
    } cases[] = {
        { 1, 0.001, 1 }, { 120, 0.001, 120 }, { 121, 0.002, 61 }, { 240, 0.002, 120 },
            { 241, 0.005, 49 },
        { 600, 0.005, 120 }, { 601, 0.01, 61 }, { 1200, 0.01, 120 }, { 1201, 0.02, 61 },
            { 600000, 5, 120 },
    };
    struct load_timeline t;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        add(0, 0, cases[i].ms, 30, (const uint64_t[]){ 0 });
        load_timeline_make(&t, &run);
        near_to(t.span_s, cases[i].span_s, "span");
        assert_int_equal(t.n_spans, cases[i].n);
        const double last_s = (double)cases[i].ms * 1e-3 - (double)(t.n_spans - 1) * t.span_s;
        near_to(t.tok_s[t.n_spans - 1] * last_s, 30, "tokens at the end");
        near_to(t.running[0], 1, "running at the beginning");
        near_to(t.running[t.n_spans - 1], 1, "running at the end");
    }
}

static void test_progress_line(void **state)
{
    (void)state;
    struct progress_line line = { 0 };
    char text[80];
    struct load_progress p = { .n_done = 3, .n_requests = 100, .n_running = 20, .n_failed = 1,
                               .n_chunks = 100, .elapsed_s = 0.5 };
    progress_line_text(&line, &p, text, sizeof text);
    assert_string_equal(text, "3/100 done, 20 running, 200 tok/s, 1 errors, 0 s");
    for (int i = 0; i < 30; i++) {              /* 1000 tokens a second from now on */
        p.elapsed_s += 0.2;
        p.n_chunks += 200;
        progress_line_text(&line, &p, text, sizeof text);
    }
    assert_non_null(strstr(text, " 1000 tok/s"));
    p = (struct load_progress){ .is_warmup = true, .n_done = 2, .n_requests = 5 };
    line.n_seen = 0;
    progress_line_text(&line, &p, text, sizeof text);
    assert_string_equal(text, "warm-up: 2/5 done, 0 running, 0 tok/s, 0 errors, 0 s");
    p = (struct load_progress){ .n_done = 2, .duration_s = 60, .elapsed_s = 12 };
    progress_line_text(&line, &p, text, sizeof text);
    assert_string_equal(text, "2 done, 0 running, 0 tok/s, 0 errors, 12/60 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latencies_of_one_request),
        cmocka_unit_test(test_several_tokens_in_a_chunk),
        cmocka_unit_test(test_without_usage_chunks_are_tokens),
        cmocka_unit_test(test_open_loop_counts_from_arrival),
        cmocka_unit_test(test_failures_count_by_kind),
        cmocka_unit_test(test_more_kinds_than_room),
        cmocka_unit_test(test_nothing_was_measured),
        cmocka_unit_test(test_timeline_keeps_totals),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_progress_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* /metrics and /slots as figures: names, percentiles, rates, servers that come and go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "cli/top/server.h"

#define FIGURE(member) offsetof(struct top_figures, member)

static const uint64_t second_ns = 1000000000;

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-9 * (1 + fabs(b));
}

static void own_names(void **state)
{
    static const char text[] =
        "paceline_build_info{version=\"1.2\",backend=\"cpu\",isa=\"avx2\",model=\"m \\\"1\\\"\"} "
        "1\n"
        "vllm:num_requests_running{engine=\"0\"} 99\n"
        "paceline_slots 20\npaceline_streams_running 7\npaceline_streams_queued 3\n"
        "paceline_kv_pages 200\npaceline_kv_pages_used 50\n"
        "paceline_rejected_total{reason=\"queue_full\"} 4\n"
        "paceline_rejected_total{reason=\"context\"} 1\n"
        "paceline_rejected_total{reason=\"queue_full\",part=\"2\"} 2\n"
        "paceline_memory_planned_bytes{pool=\"kv\"} 1048576\n"
        "paceline_reply_tokens_total NaN\n";
    struct top_figures f;
    (void)state;
    top_figures_read(&f, text, sizeof text - 1);
    assert_string_equal(f.dialect, "paceline");
    assert_string_equal(f.model, "m \"1\"");
    assert_string_equal(f.version, "1.2");
    assert_true(f.slots == 20 && f.running == 7 && f.queued == 3 && f.kv_share == 0.25);
    assert_int_equal(f.rejects.n, 2);
    assert_string_equal(f.rejects.item[0].name, "queue_full");
    assert_true(f.rejects.item[0].value == 6 && f.pools.item[0].value == 1048576);
    assert_true(isnan(f.reply_tokens) && isnan(f.resident_bytes));
}

/* Engines of one vLLM add up; a share does not. */
static void names_of_other_servers(void **state)
{
    static const char vllm[] =
        "vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3\n"
        "vllm:num_requests_running{engine=\"1\",model_name=\"m\"} 4\n"
        "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.5\n"
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"1.0\"} 10\n"
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"+Inf\"} 10\n"
        "vllm:time_to_first_token_seconds_bucket{engine=\"1\",le=\"1.0\"} 0\n"
        "vllm:time_to_first_token_seconds_bucket{engine=\"1\",le=\"+Inf\"} 10\n";
    static const char llama[] = "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\n"
                                "llamacpp:tokens_predicted_total 1234\n";
    struct top_figures f;
    (void)state;
    top_figures_read(&f, vllm, sizeof vllm - 1);
    assert_string_equal(f.dialect, "vLLM");
    assert_string_equal(f.model, "m");
    assert_true(f.running == 7 && f.kv_share == 0.5 && isnan(f.slots));
    assert_true(is_near(top_quantile(&f.ttft, NULL, 0.25), 0.5));
    top_figures_read(&f, llama, sizeof llama - 1);
    assert_string_equal(f.dialect, "llama-server");
    assert_true(f.running == 2 && f.queued == 1 && f.reply_tokens == 1234);
    top_figures_read(&f, "up 1\n<html>\n", 12);
    assert_null(f.dialect);
}

static void more_than_there_is_room_for(void **state)
{
    struct strbuf text = { 0 };
    struct top_figures f;
    (void)state;
    for (int i = 0; i < 100; i++) {
        strbuf_addf(&text, "paceline_rejected_total{reason=\"r%d\"} 1\n", i);
        strbuf_addf(&text, "paceline_rejected_total{reason=\"%050d\"} 1\n", i);
        strbuf_addf(&text, "paceline_queue_seconds_bucket{le=\"%d\"} 1\n", 1000 - i);
        strbuf_addf(&text, "paceline_queue_seconds_bucket{le=\"x%d\"} 1\n", i);
    }
    top_figures_read(&f, text.bytes, text.n);
    assert_int_equal(f.rejects.n, TOP_MAX_NAMED);
    assert_int_equal(f.queue.n, TOP_MAX_BOUNDS);
    for (uint32_t i = 1; i < f.queue.n; i++) assert_true(f.queue.bound[i] > f.queue.bound[i - 1]);
    assert_true(isnan(top_quantile(&f.queue, NULL, 0.5)));      /* it has no end */
    strbuf_free(&text);
}

static void quantiles_of_a_difference(void **state)
{
    const struct top_histogram before = { 3, { 1, 2, INFINITY }, { 5, 5, 5 } };
    const struct top_histogram now = { 3, { 1, 2, INFINITY }, { 5, 15, 15 } };
    const struct top_histogram late = { 3, { 1, 2, INFINITY }, { 0, 0, 4 } };
    const struct top_histogram none = { 0 };
    (void)state;
    assert_true(is_near(top_quantile(&now, &before, 0.5), 1.5));
    assert_true(is_near(top_quantile(&now, &before, 0.95), 1.95));
    assert_true(is_near(top_quantile(&now, NULL, 0.5), 1.25));
    assert_true(is_near(top_quantile(&late, NULL, 0.5), 2));    /* the last bound there is */
    assert_true(isnan(top_quantile(&before, &before, 0.5)));
    assert_true(isnan(top_quantile(&none, NULL, 0.5)));
}

static void answer(struct top_server *s, uint64_t now_ns, double tokens, const char *slots)
{
    char text[256];
    const int n = snprintf(text, sizeof text,
                           "paceline_reply_tokens_total %.0f\n"
                           "paceline_queue_seconds_bucket{le=\"1\"} %.0f\n"
                           "paceline_queue_seconds_bucket{le=\"+Inf\"} %.0f\n",
                           tokens, tokens, tokens);
    top_server_answer(s, now_ns, text, (size_t)n, slots, slots ? strlen(slots) : 0);
}

static void rates_over_time(void **state)
{
    struct top_server *s = calloc(1, sizeof *s);
    (void)state;
    assert_true(top_server_init(s, "host:80//"));
    assert_string_equal(s->url, "http://host:80");
    assert_null(top_server_now(s));
    for (uint64_t i = 0; i < 3 * TOP_HISTORY; i++) {
        answer(s, (i + 1) * second_ns, 100.0 * (double)i, NULL);
        const double rate = top_server_rate(s, FIGURE(reply_tokens));
        assert_true(i ? rate == 100 : isnan(rate));
    }
    assert_int_equal(s->n_rates, 3 * TOP_HISTORY - 1);
    const struct top_percentiles p = top_server_percentiles(s, FIGURE(queue), 10);
    assert_true(is_near(p.p50, 0.5) && !p.is_since_start);
    free(s);
}

static void a_server_that_restarts_or_vanishes(void **state)
{
    struct top_server *s = calloc(1, sizeof *s);
    (void)state;
    assert_true(top_server_init(s, "http://host"));
    answer(s, second_ns, 1000, NULL);
    answer(s, 2 * second_ns, 1100, NULL);
    answer(s, 3 * second_ns, 10, NULL);             /* its counters began anew */
    assert_true(isnan(top_server_rate(s, FIGURE(reply_tokens))));
    assert_true(top_server_percentiles(s, FIGURE(queue), 30).is_since_start);
    answer(s, 4 * second_ns, 30, NULL);
    assert_true(top_server_rate(s, FIGURE(reply_tokens)) == 20);
    top_server_fail(s, 5 * second_ns, TOP_DOWN, "refused");
    top_server_fail(s, 6 * second_ns, TOP_DOWN, "refused");
    assert_true(s->state == TOP_DOWN && s->since_ns == 5 * second_ns);
    answer(s, 7 * second_ns, 90, NULL);             /* no rate over the time it was away */
    assert_true(s->state == TOP_UP && s->since_ns == 7 * second_ns);
    assert_true(isnan(top_server_rate(s, FIGURE(reply_tokens))));
    top_server_answer(s, 8 * second_ns, "<html>", 6, NULL, 0);
    assert_int_equal(s->state, TOP_REFUSES);
    free(s);
}

static void an_address_that_is_too_long(void **state)
{
    struct top_server *s = calloc(1, sizeof *s);
    char url[400];
    (void)state;
    memset(url, 'a', sizeof url);
    url[sizeof url - 1] = 0;
    assert_false(top_server_init(s, url));
    free(s);
}

static void slots_and_their_rates(void **state)
{
    struct top_slots *s = calloc(1, sizeof *s);
    char json[256];
    (void)state;
    for (int i = 0; i < 10; i++) {
        snprintf(json, sizeof json, "[{\"id\":0,\"is_processing\":true,\"state\":\"decode\","
                 "\"id_task\":5,\"n_prompt_tokens\":9,\"n_decoded\":%d,\"age_ms\":%d},"
                 "{\"id\":1,\"is_processing\":false}]", 20 + 30 * i, 1000 * (i + 2));
        assert_true(top_slots_read(s, (uint64_t)(i + 1) * second_ns, json, strlen(json)));
        assert_int_equal(s->n, 2);
        assert_true(s->slot[0].tokens_per_s == (i ? 30 : 10));      /* at first, of its age */
        assert_true(s->slot[0].age_s == i + 2 && !s->slot[0].is_prompt && !s->slot[1].is_busy);
    }
    const char *next = "[{\"id\":0,\"is_processing\":true,\"id_task\":6,"
                       "\"next_token\":[{\"n_decoded\":0}]}]";      /* as llama-server says it */
    assert_true(top_slots_read(s, 11 * second_ns, next, strlen(next)));
    assert_true(s->slot[0].is_prompt && isnan(s->slot[0].tokens_per_s) && isnan(s->slot[0].age_s));
    free(s);
}

/* A rate is of the time since a look between three and six seconds back, of one stream; at a
 * stream's first look of its age. */
static void rates_between_looks(void **state)
{
    static const struct {
        uint64_t at_s;
        int task, n_reply, age_ms;
        double rate;            /* 0: none yet */
    } looks[] = {
        { 1, 1, 0, 0, 0 }, { 2, 1, 10, 0, 10 }, { 4, 1, 20, 0, 20.0 / 3 }, { 5, 1, 60, 0, 15 },
        { 7, 1, 80, 0, 20 }, { 8, 1, 100, 0, 20 }, { 9, 1, 101, 0, 81.0 / 5 },
            { 10, 1, 102, 0, 22.0 / 3 },
        { 11, 2, 30, 2000, 15 }, { 12, 2, 31, 3000, 1 }, { 13, 2, 5, 4000, 1.25 },
            { 13, 2, 6, 4000, 0 },
        { 14, 2, 8, 5000, 3 },
    };
    struct top_slots *s = calloc(1, sizeof *s);
    char json[256];
    (void)state;
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        snprintf(json, sizeof json,
                 "[{\"id\":3,\"is_processing\":true,\"state\":\"decode\",\"id_task\":%d,"
                 "\"n_decoded\":%d,"
                 "\"age_ms\":%d}]", looks[i].task, looks[i].n_reply, looks[i].age_ms);
        assert_true(top_slots_read(s, looks[i].at_s * second_ns, json, strlen(json)));
        const double rate = s->slot[0].tokens_per_s;
        if (looks[i].rate > 0 ? !is_near(rate, looks[i].rate) : !isnan(rate))
            fail_msg("look %zu: %g", i, rate);
    }
    free(s);
}

static void slots_that_are_none(void **state)
{
    static const char odd[] = "[{\"id\":-5,\"id_task\":\"x\",\"n_decoded\":1e9,\"next_token\":3,"
                              "\"is_processing\":1,\"age_ms\":\"1\"}]";
    static const char *const bad[] = { "", "{", "{}", "null", "[1,\"x\",null,{}]", odd };
    struct top_slots *s = calloc(1, sizeof *s);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const bool is_list = top_slots_read(s, second_ns, bad[i], strlen(bad[i]));
        assert_int_equal(is_list, *bad[i] == '[');
        for (size_t k = 0; k < s->n; k++) assert_false(s->slot[k].is_busy);
    }
    struct strbuf many = { 0 };
    strbuf_add_str(&many, "[");
    for (int i = 0; i < 2 * TOP_MAX_SLOTS; i++)
        strbuf_addf(&many, "%s{\"id\":%d}", i ? "," : "", i);
    strbuf_add_str(&many, "]");
    assert_true(top_slots_read(s, second_ns, many.bytes, many.n));
    assert_int_equal(s->n, TOP_MAX_SLOTS);
    strbuf_free(&many);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_names),
        cmocka_unit_test(names_of_other_servers),
        cmocka_unit_test(more_than_there_is_room_for),
        cmocka_unit_test(quantiles_of_a_difference),
        cmocka_unit_test(rates_over_time),
        cmocka_unit_test(a_server_that_restarts_or_vanishes),
        cmocka_unit_test(an_address_that_is_too_long),
        cmocka_unit_test(slots_and_their_rates),
        cmocka_unit_test(rates_between_looks),
        cmocka_unit_test(slots_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Frames: nothing is wider or longer than the screen, and hostile names stay text. */
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
#include "cli/top/view.h"

static const uint64_t second_ns = 1000000000;

struct scene {
    struct top_server *server;
    size_t n;
    struct frame *frame;
    struct host_figures host;
};

static void slots_json(struct strbuf *to, int n, int n_busy)
{
    strbuf_add_str(to, "[");
    for (int i = 0; i < n; i++)
        strbuf_addf(to, "%s{\"id\":%d,\"is_processing\":%s,\"state\":\"decode\",\"id_task\":%d,"
                    "\"n_prompt_tokens\":100,\"n_decoded\":%d,\"age_ms\":61000}", i ? "," : "", i,
                    i < n_busy ? "true" : "false", i, 1000 + i);
    strbuf_add_str(to, "]");
}

static struct scene make_scene(size_t n, int n_slots, int n_busy, const char *model)
{
    struct scene s = { .server = calloc(n, sizeof *s.server), .n = n,
                       .frame = calloc(1, sizeof *s.frame) };
    struct strbuf metrics = { 0 }, slots = { 0 };
    assert_true(s.server && s.frame);
    strbuf_addf(&metrics, "paceline_build_info{model=\"%s\",backend=\"cpu\"} 1\n"
                "paceline_slots %d\npaceline_streams_running %d\npaceline_streams_queued 5\n"
                "paceline_kv_pages 640\npaceline_kv_pages_used 320\npaceline_kv_pages_cached 100\n"
                "paceline_reply_tokens_total 1000\npaceline_requests_total 12\n"
                "paceline_resident_memory_bytes 104857600\n"
                "paceline_memory_planned_bytes{pool=\"kv\"} 52428800\n"
                "paceline_rejected_total{reason=\"queue_full\"} 3\n"
                "paceline_rejected_total{reason=\"context\"} 0\n"
                "paceline_time_to_first_token_seconds_bucket{le=\"1\"} 10\n"
                "paceline_time_to_first_token_seconds_bucket{le=\"+Inf\"} 10\n", model, n_slots,
                n_busy);
    slots_json(&slots, n_slots, n_busy);
    for (size_t i = 0; i < n; i++) {
        assert_true(top_server_init(&s.server[i], "http://127.0.0.1:8080"));
        s.server[i].is_local = true;
        top_server_answer(&s.server[i], second_ns, metrics.bytes, metrics.n, slots.bytes, slots.n);
    }
    strbuf_free(&metrics);
    strbuf_free(&slots);
    s.host = (struct host_figures){ .cpu_share = 0.5, .cpu_celsius = 61, .cpu_watts = 35.25,
                                    .system_watts = NAN, .n_gpus = 1 };
    s.host.gpu[0] = (struct host_gpu){ "NVIDIA X", 0.75, 70, 301.5, 80e9, 40e9 };
    return s;
}

static void free_scene(struct scene *s)
{
    free(s->server);
    free(s->frame);
}

static struct top_view view_of(const struct scene *s)
{
    return (struct top_view){ .server = s->server, .n_servers = s->n, .host = &s->host,
                              .now_ns = 3 * second_ns, .interval_s = 1, .clock = "12:34:56" };
}

static void screen(struct scene *s, size_t columns, size_t lines)
{
    const struct top_view v = view_of(s);
    s->frame->columns = columns;
    s->frame->max_lines = lines;
    s->frame->is_utf8 = true;
    top_view_screen(&v, s->frame);
}

static bool has(const struct frame *f, const char *text)
{
    for (size_t i = 0; i < f->n; i++)
        if (strstr(f->line[i].text, text)) return true;
    return false;
}

static void expect(const struct frame *f, const char *text)
{
    if (has(f, text)) return;
    for (size_t i = 0; i < f->n; i++) print_message("|%s\n", f->line[i].text);
    fail_msg("no line has \"%s\"", text);
}

static size_t characters(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Twenty slots and all figures of one server stand on the smallest screen. */
static void a_screen_of_80_by_24(void **state)
{
    static const char *const wanted[] = {
        "12:34:56", "127.0.0.1:8080  up  m1  cpu", "20 of 20 in use", "queue 5", "50 %",
        "320 used, 100 kept of 640 pages", "100 MiB: kv 50", "first 500 ms 950 ms*", "12 taken",
        "rejected 3: queue_full 3", "CPU 50 % 61 C 35.2 W", "NVIDIA X 75 % 70 C 301.5 W 40.0/80 GB",
        "  0 reply        100  1000   16.4  1m01  10 reply",
        " 19 reply        100  1019   16.7  1m01", "q quit",
    };
    struct scene s = make_scene(1, 20, 20, "m1");
    (void)state;
    screen(&s, 80, 24);
    assert_int_equal(s.frame->n, 24);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) expect(s.frame, wanted[i]);
    assert_false(has(s.frame, "context 0"));
    free_scene(&s);
}

/* On a large screen the bar, names and history take the width, and a graph the height. */
static void a_screen_of_200_by_50(void **state)
{
    struct scene s = make_scene(2, 4, 1, "m1");
    char long_url[64];
    size_t n_bar = 0, n_full = 0;
    (void)state;
    for (uint32_t i = 0; i < 300; i++) s.server[0].rate[s.server[0].n_rates++] = 1 + i % 10;
    snprintf(long_url, sizeof long_url, "http://%s.example.org:8080",
             "a-machine-with-quite-a-long-name");
    snprintf(s.server[1].url, sizeof s.server[1].url, "%s", long_url);
    screen(&s, 200, 50);
    expect(s.frame, long_url);
    expect(s.frame, "reply tokens/s of the last 3m20, at most 10.0");
    for (size_t i = 0; i < s.frame->n; i++) {
        const char *text = s.frame->line[i].text;
        if (!strncmp(text, "KV  ", 4)) n_bar = strcspn(text, "]") - strcspn(text, "[") + 1;
        n_full += characters(text) == 200 && strstr(text, "█") != NULL;
    }
    assert_int_equal(n_bar, 142);
    assert_true(n_full >= 20);                          /* of the graph: most of the height */
    assert_true(strlen(s.frame->line[s.frame->n - 2].text) > 0);
    /* the spark line: from its column to the edge */
    bool is_wide = false;
    for (size_t i = 0; i < s.frame->n; i++)
        if (!strncmp(s.frame->line[i].text, "tokens/s", 8))
            is_wide = characters(s.frame->line[i].text) > 190;
    assert_true(is_wide);
    free_scene(&s);
}

/* Whole screens, to the letter: before each line its style's number. */
static void check(const struct frame *f, const char *wanted)
{
    struct strbuf found = { 0 };
    for (size_t i = 0; i < f->n; i++)
        strbuf_addf(&found, "%d|%s\n", (int)f->line[i].style, f->line[i].text);
    if (strcmp(found.bytes, wanted)) {
        printf("found:\n%s\nwanted:\n%s\n", found.bytes, wanted);
        fail();
    }
    strbuf_free(&found);
}

static void one_server_on_a_small_screen(void **state)
{
    struct scene s = make_scene(1, 4, 3, "m1");
    (void)state;
    for (uint32_t i = 0; i < 12; i++) s.server[0].rate[s.server[0].n_rates++] = i;
    screen(&s, 80, 24);
    check(s.frame,
          "1|paceline top  every 1 s                                                 12:34:56\n"
          "0|\n"
          "3|http://127.0.0.1:8080  up  m1  cpu  paceline\n"
          "1|tokens/s  reply        -  prompt        -   ▁▂▃▃▄▅▆▆▇██\n"
          "1|slots     3 of 4 in use   queue 5\n"
          "0|KV        [##########..........] 50 %   320 used, 100 kept of 640 pages\n"
          "0|memory    100 MiB: kv 50\n"
          "0|p50 p95   first 500 ms 950 ms*  next - -  queue - -  (* since start)\n"
          "1|requests  12 taken   rejected 3: queue_full 3\n"
          "0|machine   CPU 50 % 61 C 35.2 W  NVIDIA X 75 % 70 C 301.5 W 40.0/80 GB\n"
          "2| id state     prompt reply  tok/s   age  id state     prompt reply  tok/s   age\n"
          "0|  0 reply        100  1000   16.4  1m01   2 reply        100  1002   16.4  1m01\n"
          "0|  1 reply        100  1001   16.4  1m01   3 idle\n"
          "0|\n"
          "2|reply tokens/s of the last 12 s, at most 11.0\n"
          "0|          ▃█\n"
          "0|         ▅██\n"
          "0|       ▁▇███\n"
          "0|      ▃█████\n"
          "0|     ▆██████\n"
          "0|   ▂████████\n"
          "0|  ▄█████████\n"
          "0| ▆██████████\n"
          "2|q quit   space pause\n");
    free_scene(&s);
}

/* The second one is looked at, which is down; the third answers what is not known. Nothing is
 * read. */
static void several_servers_of_which_one_is_down(void **state)
{
    struct scene s = make_scene(3, 2, 1, "m1");
    (void)state;
    top_server_fail(&s.server[1], 2 * second_ns, TOP_DOWN, "Connection refused");
    top_server_fail(&s.server[2], 2 * second_ns, TOP_REFUSES, "401");
    s.host.n_gpus = 0;
    s.host.cpu_watts = NAN;
    struct top_view v = view_of(&s);
    v.is_paused = true;
    s.frame->columns = 72;
    s.frame->max_lines = 20;
    top_view_screen(&v, s.frame);
    check(s.frame,
          "1|paceline top  every 1 s  PAUSED                                 12:34:56\n"
          "2|  server                           tok/s      slots queue    KV first95\n"
          "1|> http://127.0.0.1:8080                -     1/2        5  50 %  950 ms\n"
          "4|  http://127.0.0.1:8080          DOWN  Connection refused\n"
          "4|  http://127.0.0.1:8080          NO FIGURES  401\n"
          "0|\n"
          "3|http://127.0.0.1:8080  up  m1  cpu  paceline\n"
          "1|tokens/s  reply        -  prompt        -\n"
          "1|slots     1 of 2 in use   queue 5\n"
          "0|KV        [##########..........] 50 %   320 used, 100 kept of 640 pages\n"
          "0|memory    100 MiB: kv 50\n"
          "0|p50 p95   first 500 ms 950 ms*  next - -  queue - -  (* since start)\n"
          "1|requests  12 taken   rejected 3: queue_full 3\n"
          "0|machine   CPU 50 % 61 C\n"
          "2| id state     prompt reply  tok/s   age\n"
          "0|  0 reply        100  1000   16.4  1m01\n"
          "0|  1 idle\n"
          "0|\n"
          "0|\n"
          "2|q quit   space pause   up/down or tab: another server\n");
    v.selected = 1;
    s.frame->n = 0;
    top_view_screen(&v, s.frame);
    check(s.frame,
          "1|paceline top  every 1 s  PAUSED                                 12:34:56\n"
          "2|  server                           tok/s      slots queue    KV first95\n"
          "0|  http://127.0.0.1:8080                -     1/2        5  50 %  950 ms\n"
          "4|> http://127.0.0.1:8080          DOWN  Connection refused\n"
          "4|  http://127.0.0.1:8080          NO FIGURES  401\n"
          "0|\n"
          "4|http://127.0.0.1:8080  DOWN for 1.00 s  Connection refused\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "0|\n"
          "2|q quit   space pause   up/down or tab: another server\n");
    free_scene(&s);
}

static void all_of_several_servers(void **state)
{
    struct scene s = make_scene(2, 3, 0, "m1");
    const struct top_view v = view_of(&s);
    (void)state;
    s.server[1].is_local = false;
    s.frame->columns = 100;
    s.frame->max_lines = FRAME_MAX_LINES;
    top_view_all(&v, s.frame);
    check(s.frame,
          "3|http://127.0.0.1:8080  up  m1  cpu  paceline\n"
          "1|tokens/s  reply        -  prompt        -\n"
          "1|slots     0 of 3 in use   queue 5\n"
          "0|KV        [####################....................] 50 %   320 used, 100 kept of 640 "
          "pages\n"
          "0|memory    100 MiB: kv 50\n"
          "0|p50 p95   first 500 ms 950 ms*  next - -  queue - -  (* since start)\n"
          "1|requests  12 taken   rejected 3: queue_full 3\n"
          "0|machine   CPU 50 % 61 C 35.2 W  NVIDIA X 75 % 70 C 301.5 W 40.0/80 GB\n"
          "2| id state     prompt reply  tok/s   age  id state     prompt reply  tok/s   age\n"
          "0|  0 idle                                  2 idle\n"
          "0|  1 idle\n"
          "0|\n"
          "3|http://127.0.0.1:8080  up  m1  cpu  paceline\n"
          "1|tokens/s  reply        -  prompt        -\n"
          "1|slots     0 of 3 in use   queue 5\n"
          "0|KV        [####################....................] 50 %   320 used, 100 kept of 640 "
          "pages\n"
          "0|memory    100 MiB: kv 50\n"
          "0|p50 p95   first 500 ms 950 ms*  next - -  queue - -  (* since start)\n"
          "1|requests  12 taken   rejected 3: queue_full 3\n"
          "2| id state     prompt reply  tok/s   age  id state     prompt reply  tok/s   age\n"
          "0|  0 idle                                  2 idle\n"
          "0|  1 idle\n");
    free_scene(&s);
}

/* A long name of a model is cut, what it is served by is not. */
static void eighty_columns_have_the_version(void **state)
{
    struct scene s =
        make_scene(1, 4, 1, "Qwen3-Coder-30B-A3B-Instruct-with-a-very-long-name-Q4_K_M.gguf");
    (void)state;
    screen(&s, 80, 24);
    expect(s.frame, "up  Qwen3-Coder-30B");
    expect(s.frame, "..  cpu  paceline");
    bool is_whole = false;
    for (size_t i = 0; i < s.frame->n; i++)
        is_whole |= strstr(s.frame->line[i].text, "http://127.0.0.1:8080  up") &&
                    characters(s.frame->line[i].text) <= 80;
    assert_true(is_whole);
    free_scene(&s);
}

static void no_size_is_exceeded(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 3; n++) {
        struct scene s = make_scene(n, 40, 30, "m");
        for (size_t columns = 1; columns < 300; columns += 7)
            for (size_t lines = 1; lines < 60; lines += 3) {
                screen(&s, columns, lines);
                assert_true(s.frame->n <= lines);
                for (size_t i = 0; i < s.frame->n; i++)
                    assert_true(characters(s.frame->line[i].text) <= columns);
            }
        free_scene(&s);
    }
}

static void busy_slots_come_first_where_not_all_fit(void **state)
{
    struct scene s = make_scene(1, 100, 26, "m");
    (void)state;
    screen(&s, 80, 24);
    assert_false(has(s.frame, "idle"));
    expect(s.frame, " 17 reply");
    expect(s.frame, "    4 more that work");
    screen(&s, 80, 80);
    expect(s.frame, " 99 idle");
    free_scene(&s);
}

static void control_characters_are_shown_as_none(void **state)
{
    struct scene s = make_scene(1, 1, 1, "a\x1b[2Jb\x07\xc2\x9b" "c\xff\xc3\xa9");
    (void)state;
    screen(&s, 80, 24);
    expect(s.frame, "a?[2Jb???c?é");
    s.frame->is_utf8 = false;
    const struct top_view v = view_of(&s);
    top_view_screen(&v, s.frame);
    expect(s.frame, "a?[2Jb???c??");
    free_scene(&s);
}

static void servers_that_do_not_answer(void **state)
{
    struct scene s = make_scene(2, 4, 1, "m");
    (void)state;
    top_server_fail(&s.server[0], 2 * second_ns, TOP_DOWN, "Connection refused");
    screen(&s, 80, 24);
    expect(s.frame, "http://127.0.0.1:8080  DOWN for 1.00 s  Connection refused");
    assert_false(has(s.frame, "slots   "));
    assert_int_equal(s.frame->line[2].style, FRAME_BAD);
    assert_int_equal(s.frame->line[3].style, FRAME_PLAIN);
    const struct top_view v = view_of(&s);
    s.frame->max_lines = FRAME_MAX_LINES;
    top_view_all(&v, s.frame);
    expect(s.frame, "DOWN for 1.00 s  Connection refused");
    expect(s.frame, "slots     1 of 4 in use");
    free_scene(&s);
}

static void figures_for_people(void **state)
{
    static const struct {
        double value;
        const char *count, *seconds;
    } cases[] = {
        { 0, "0", "0.0 ms" }, { 0.0042, "0", "4.2 ms" }, { 0.25, "0", "250 ms" },
        { 0.9996, "1", "1.00 s" }, { 9.994, "10", "9.99 s" }, { 59.9, "60", "60 s" },
        { 61, "61", "1m01" }, { 9999, "9999", "2h46" }, { 123456, "123k", "34h17" },
        { 5e6, "5M", "1388h53" }, { NAN, "-", "-" }, { INFINITY, "-", "-" },
        { -INFINITY, "-", "-" }, { -1, "-", "-" },
    };
    char text[32];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        frame_count(text, sizeof text, cases[i].value);
        assert_string_equal(text, cases[i].count);
        frame_seconds(text, sizeof text, cases[i].value);
        assert_string_equal(text, cases[i].seconds);
    }
}

static void graphs_have_rows(void **state)
{
    const double values[] = { 0, 1, 2, 4 };
    struct frame *f = calloc(1, sizeof *f);
    char text[64];
    (void)state;
    frame_graph_row(f, text, sizeof text, values, 4, 20, 0, 2);
    assert_string_equal(text, " =##");
    frame_graph_row(f, text, sizeof text, values, 4, 20, 1, 2);
    assert_string_equal(text, "   #");
    free(f);
}

static void sparks_and_bars(void **state)
{
    const double values[] = { 0, 1, 4, 8, NAN, 16 };
    struct frame *f = calloc(1, sizeof *f);
    char text[64];
    (void)state;
    frame_spark(f, text, sizeof text, values, 6, 20);
    assert_string_equal(text, " _.= #");
    frame_spark(f, text, sizeof text, values, 6, 3);
    assert_string_equal(text, "= #");
    f->is_utf8 = true;
    frame_spark(f, text, 8, values, 6, 20);             /* no half character */
    assert_string_equal(text, " ▁▂");
    frame_spark(f, text, sizeof text, values, 0, 20);
    assert_string_equal(text, "");
    frame_bar(text, sizeof text, 0.5, 12);
    assert_string_equal(text, "[#####.....]");
    frame_bar(text, sizeof text, 7, 5);
    assert_string_equal(text, "[###]");
    frame_bar(text, sizeof text, NAN, 5);
    assert_string_equal(text, "");
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_screen_of_80_by_24),
        cmocka_unit_test(a_screen_of_200_by_50),
        cmocka_unit_test(one_server_on_a_small_screen),
        cmocka_unit_test(several_servers_of_which_one_is_down),
        cmocka_unit_test(all_of_several_servers),
        cmocka_unit_test(eighty_columns_have_the_version),
        cmocka_unit_test(no_size_is_exceeded),
        cmocka_unit_test(busy_slots_come_first_where_not_all_fit),
        cmocka_unit_test(control_characters_are_shown_as_none),
        cmocka_unit_test(servers_that_do_not_answer),
        cmocka_unit_test(figures_for_people),
        cmocka_unit_test(graphs_have_rows),
        cmocka_unit_test(sparks_and_bars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The parser of event streams: what is an event, and that it does not matter where bytes are
 * cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cli/load/sse.h"

static void add_event(void *arg, const char *data, size_t n)
{
    struct strbuf *all = arg;
    assert_int_equal(data[n], 0);
    strbuf_add(all, "[", 1);
    strbuf_add(all, data, n);
    strbuf_add(all, "]", 1);
}

static void expect(const char *stream, size_t n, const char *want)
{
    struct sse s = { 0 };
    struct strbuf got = { 0 };
    strbuf_add_str(&got, "");
    assert_true(sse_feed(&s, stream, n, add_event, &got));
    assert_string_equal(got.bytes, want);
    sse_free(&s);
    strbuf_free(&got);
}

static void test_events(void **state)
{
    static const struct {
        const char *stream, *want;
    } cases[] = {
        { "data: a\n\n", "[a]" },
        { "data:a\n\n", "[a]" },                        /* the space may be missing */
        { "data:  a \n\n", "[ a ]" },                   /* one space is dropped */
        { "data: a\r\n\r\ndata: b\r\rdata: c\n\n", "[a][b][c]" },
        { "data: a\ndata: b\n\n", "[a\nb]" },
        { "data\n\n", "[]" },
        { "data:\ndata:\n\n", "[\n]" },
        { ": ping\n\n", "" },
        { ": ping\n\n: ping\n\ndata: a\n: ping\n\n", "[a]" },
        { "event: x\nid: 1\nretry: 5\ndata: a\n\n", "[a]" },
        { "event: x\n\ndata: a\n\n", "[a]" },           /* an event without data is none */
        { "database: a\n\ndat: b\n\n data: c\n\n", "" },
        { "data: a", "" },                              /* not ended */
        { "data: a\n", "" },
        { "\xef\xbb\xbf" "data: a\n\n", "[a]" },
        { "data: a\n\n\xef\xbb\xbf" "data: b\n\n", "[a]" },
        { "\n\n\r\n", "" },
        { "", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i].stream, strlen(cases[i].stream), cases[i].want);
    expect("data: a\0b\n\n", 11, "[a");                 /* a zero byte is data: compared as text */
}

/* Lines of random content and endings, fed whole and in random pieces. */
static void make_stream(struct rng *r, struct strbuf *to)
{
    static const char *const lines[] = { "data: ", "data:", "data", ": ", "event: ", "", "", "x" };
    static const char *const ends[] = { "\n", "\r", "\r\n" };
    strbuf_add_str(to, rng_below(r, 4) ? "" : "\xef\xbb\xbf");
    for (uint64_t n = rng_below(r, 60); n; n--) {
        const char *line = lines[rng_below(r, 8)];
        strbuf_add_str(to, line);
        for (uint64_t k = *line ? rng_below(r, 12) : 0; k; k--)
            strbuf_addf(to, "%c", "ab :\xc3\xef"[rng_below(r, 6)]);
        strbuf_add_str(to, ends[rng_below(r, 3)]);
    }
}

static void test_cuts_do_not_matter(void **state)
{
    (void)state;
    size_t n_events = 0;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct rng r;
        struct strbuf stream = { 0 }, whole = { 0 }, pieces = { 0 };
        struct sse a = { 0 }, b = { 0 };
        rng_seed(&r, seed);
        strbuf_add_str(&whole, "");
        strbuf_add_str(&pieces, "");
        make_stream(&r, &stream);
        assert_true(sse_feed(&a, stream.bytes, stream.n, add_event, &whole));
        const uint64_t most = 1 + rng_below(&r, 9);
        for (size_t at = 0; at < stream.n;) {
            size_t n = 1 + rng_below(&r, most);
            if (n > stream.n - at) n = stream.n - at;
            char *piece = malloc(n);                    /* exactly: reading beyond it is seen */
            memcpy(piece, stream.bytes + at, n);
            assert_true(sse_feed(&b, piece, n, add_event, &pieces));
            free(piece);
            at += n;
        }
        if (strcmp(whole.bytes, pieces.bytes))
            fail_msg("seed %d: \"%s\", in pieces \"%s\"", (int)seed, whole.bytes, pieces.bytes);
        n_events += whole.n;
        sse_free(&a);
        sse_free(&b);
        strbuf_free(&stream);
        strbuf_free(&whole);
        strbuf_free(&pieces);
    }
    assert_true(n_events > 10000);
}

static void test_an_endless_event_ends_the_stream(void **state)
{
    (void)state;
    struct sse s = { 0 };
    struct strbuf got = { 0 };
    char *part = malloc(1 << 20);
    memset(part, 'x', 1 << 20);
    strbuf_add_str(&got, "");
    assert_true(sse_feed(&s, "data: ", 6, add_event, &got));
    int n = 0;
    while (n < 20 && sse_feed(&s, part, 1 << 20, add_event, &got)) n++;
    assert_int_equal(n, SSE_MAX_EVENT_BYTES / (1 << 20) - 1);
    assert_int_equal(got.n, 0);
    free(part);
    sse_free(&s);
    strbuf_free(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_cuts_do_not_matter),
        cmocka_unit_test(test_an_endless_event_ends_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

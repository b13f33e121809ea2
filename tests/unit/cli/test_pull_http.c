/* What pull reads of replies, who may have the token, and what people see of the progress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/progress.h"
#include "cli/pull/http.h"
#include "cli/pull/sha256.h"

static struct http_reply read_lines(const char *lines)
{
    struct http_reply r = { 0 };
    while (*lines) {
        const size_t n = strcspn(lines, "\n") + 1;
        http_read_header(&r, lines, n);
        lines += n;
    }
    return r;
}

static void test_headers(void **state)
{
    (void)state;
    struct http_reply r = read_lines("HTTP/1.1 302 Found\r\nETag: \"old\"\r\nContent-Length: 3\r\n"
                                     "\r\nHTTP/2 206\r\ncontent-range: bytes 100-199/200\r\n"
                                     "ETAG:  \"abc\"\r\nContent-Length: 100\r\n\r\n");
    assert_int_equal(r.status, 206);
    assert_true(r.has_range && r.first == 100 && r.total == 200 && r.n_bytes == 100);
    assert_string_equal(r.etag, "\"abc\"");
    r = read_lines("HTTP/1.1 206 x\r\nContent-Range: bytes 5-6/*\r\n");
    assert_true(r.has_range && r.first == 5 && r.total == HTTP_UNKNOWN);
    assert_true(r.n_bytes == HTTP_UNKNOWN);
}

static void test_wrong_headers(void **state)
{
    (void)state;
    static const char *const ranges[] = { "bytes */200", "bytes -5/6", "lines 1-2/3", "bytes 1",
                                          "bytes 1-", "bytes x-y/z", "" };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        char line[100];
        snprintf(line, sizeof line, "HTTP/1.1 206 x\r\nContent-Range: %s\r\n", ranges[i]);
        assert_false(read_lines(line).has_range);
    }
    static const char *const lengths[] = { "", "x", "99999999999999999999", "-1" };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char line[100];
        snprintf(line, sizeof line, "HTTP/1.1 200 x\r\nContent-Length: %s\r\n", lengths[i]);
        assert_true(read_lines(line).n_bytes == HTTP_UNKNOWN);
    }
    assert_string_equal(read_lines("HTTP/1.1 200 x\r\nETag: W/\"weak\"\r\n").etag, "");
    assert_string_equal(read_lines("HTTP/1.1 200 x\r\nETag: bare\r\n").etag, "");
    assert_string_equal(read_lines("HTTP/1.1 200 x\r\nETag: \"a\tb\"\r\n").etag, "");
}

static void check_next(const char *link, const char *next)
{
    char lines[200];
    snprintf(lines, sizeof lines, "HTTP/1.1 200 OK\r\nLink: %s\r\n", link);
    assert_string_equal(read_lines(lines).next, next);
}

/* A line that would fill the room of what is read is left alone; one byte less is read. */
static void test_the_longest_line(void **state)
{
    (void)state;
    enum { TOO_LONG = PULL_URL_MAX + 512 };
    static char line[TOO_LONG];
    memset(line, ' ', sizeof line);
    memcpy(line, "etag: \"a\"", 9);
    for (size_t n = TOO_LONG - 1; n <= TOO_LONG; n++) {
        struct http_reply r = { 0 };
        http_read_header(&r, line, n);
        assert_string_equal(r.etag, n < TOO_LONG ? "\"a\"" : "");
    }
}

static void test_links(void **state)
{
    (void)state;
    check_next("<https://h/a?c=1,2>; rel=\"next\"", "https://h/a?c=1,2");
    check_next("<a>; rel=\"prev\", <b>; rel=\"next\"", "b");
    check_next("<a>; rel=\"last\"", "");
    check_next("<a", "");
    check_next("", "");
}

static void test_origins(void **state)
{
    (void)state;
    assert_true(http_same_origin("https://h/a", "https://H:443/b?c"));
    assert_true(http_same_origin("http://127.0.0.1:80", "http://127.0.0.1/x"));
    assert_false(http_same_origin("https://h/a", "http://h/a"));
    assert_false(http_same_origin("https://h/a", "https://h:444/a"));
    assert_false(http_same_origin("https://h/a", "https://h.org/a"));
    assert_false(http_same_origin("https://h@e/a", "https://h/a"));
    assert_false(http_same_origin("", ""));
}

static void test_statuses(void **state)
{
    (void)state;
    static const long passing[] = { 408, 429, 500, 502, 503, 504 };
    static const long lasting[] = { 400, 401, 403, 404, 410, 416, 301, 204 };
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        assert_true(http_is_passing(passing[i]));
    for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++)
        assert_false(http_is_passing(lasting[i]));
}

static void test_sha256(void **state)
{
    (void)state;
    struct sha256 s = { 0 };
    pl_err err;
    char hex[65];
    assert_int_equal(sha256_open(&s, &err), PL_OK);
    sha256_add(&s, "a", 1);
    sha256_add(&s, "bc", 2);
    sha256_take(&s, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_take(&s, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_close(&s);
    sha256_close(&s);
}

/* The first bytes of a longer file, more than are read at once; a file that is shorter is told. */
static void test_sha256_of_a_file(void **state)
{
    (void)state;
    enum { N = 5 << 19, LONGER = 1 << 22 };
    char hex[2][65];
    pl_err err;
    FILE *file = tmpfile();
    char *bytes = calloc(1, N);
    struct sha256 s[2] = { { 0 } };
    assert_true(file && bytes && !ftruncate(fileno(file), LONGER));
    for (int i = 0; i < 2; i++) assert_int_equal(sha256_open(&s[i], &err), PL_OK);
    sha256_add(&s[0], bytes, N);
    assert_int_equal(sha256_add_file(&s[1], fileno(file), N, "f", &err), PL_OK);
    for (int i = 0; i < 2; i++) sha256_take(&s[i], hex[i]);
    assert_string_equal(hex[0], hex[1]);
    assert_int_equal(sha256_add_file(&s[1], fileno(file), LONGER + 1, "f", &err), PL_E_IO);
    assert_non_null(strstr(err.text, "got shorter"));
    for (int i = 0; i < 2; i++) sha256_close(&s[i]);
    free(bytes);
    fclose(file);
}

static void test_progress(void **state)
{
    (void)state;
    char line[512];
    struct progress p = { .what = "model.gguf", .n_total = 4680000000, .n_done = 1966000000,
                          .bytes_per_s = 38.2e6 };
    progress_format(line, sizeof line, 79, &p);
    assert_non_null(strstr(line, "42 %, 1.97 GB of 4.68 GB, 38.2 MB/s, 1:12 left"));
    for (unsigned columns = 1; columns < 300; columns++) {
        progress_format(line, sizeof line, columns, &p);
        assert_true(strlen(line) <= columns);
    }
    p.bytes_per_s = 0;
    p.n_total = 0;
    progress_format(line, sizeof line, 79, &p);
    assert_string_equal(line, "model.gguf 1.97 GB");
    p.n_total = 10;                     /* more came than was said: no bar overflows */
    progress_format(line, sizeof line, 200, &p);
    assert_true(strlen(line) < 200);
    assert_non_null(strstr(line, "100 %, 1.97 GB of 10 B"));
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = { { 0, "0 B" }, { 999, "999 B" }, { 1000, "1.00 kB" }, { 12345, "12.3 kB" },
                  { 999499, "999 kB" }, { 999500, "1.00 MB" }, { 4683073184, "4.68 GB" },
                  { 123456789012345, "123 TB" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[16];
        progress_bytes(text, sizeof text, cases[i].n);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_wrong_headers),
        cmocka_unit_test(test_the_longest_line),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_sha256_of_a_file),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "cli/load/sse.h"

#include <string.h>

static void take_data(struct sse *s, const char *value, size_t n)
{
    if (s->has_data) strbuf_add(&s->data, "\n", 1);
    s->has_data = true;
    strbuf_add(&s->data, value, n);
}

static void end_event(struct sse *s, sse_event_fn *on_event, void *arg)
{
    if (s->has_data && !s->data.failed) on_event(arg, s->data.bytes, s->data.n);
    s->has_data = false;
    strbuf_clear(&s->data);
}

/* "data" and "data:" are an empty line of data; one space after the colon is not the value's. */
static void take_line(struct sse *s, const char *line, size_t n, sse_event_fn *on_event, void *arg)
{
    static const char mark[] = "\xef\xbb\xbf", field[] = "data";
    const size_t n_mark = sizeof mark - 1, n_field = sizeof field - 1;

    if (!s->has_begun && n >= n_mark && !memcmp(line, mark, n_mark)) {
        line += n_mark;
        n -= n_mark;
    }
    s->has_begun = true;
    if (!n) {
        end_event(s, on_event, arg);
        return;
    }
    if (n < n_field || memcmp(line, field, n_field)) return;
    if (n == n_field) {
        take_data(s, "", 0);
    } else if (line[n_field] == ':') {
        const size_t skip = n_field + 1 + (n > n_field + 1 && line[n_field + 1] == ' ');
        take_data(s, line + skip, n - skip);
    }
}

static size_t line_length(const char *bytes, size_t n)
{
    size_t i = 0;
    while (i < n && bytes[i] != '\n' && bytes[i] != '\r') i++;
    return i;
}

bool sse_feed(struct sse *s, const char *bytes, size_t n_bytes, sse_event_fn *on_event, void *arg)
{
    while (n_bytes) {
        if (s->is_after_cr && *bytes == '\n') {         /* the second half of a CRLF */
            s->is_after_cr = false;
            bytes++;
            n_bytes--;
            continue;
        }
        s->is_after_cr = false;
        const size_t n = line_length(bytes, n_bytes);
        const bool is_whole = n < n_bytes;
        if (s->line.n + s->data.n + n > SSE_MAX_EVENT_BYTES) return false;
        if (s->line.n || !is_whole) strbuf_add(&s->line, bytes, n);
        if (!is_whole) break;
        if (s->line.n) take_line(s, s->line.bytes, s->line.n, on_event, arg);
        else take_line(s, bytes, n, on_event, arg);
        strbuf_clear(&s->line);
        s->is_after_cr = bytes[n] == '\r';
        bytes += n + 1;
        n_bytes -= n + 1;
    }
    return !s->line.failed && !s->data.failed;
}

void sse_free(struct sse *s)
{
    strbuf_free(&s->line);
    strbuf_free(&s->data);
    *s = (struct sse){ 0 };
}

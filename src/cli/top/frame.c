#include "cli/top/frame.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character at `at`; 0: it is none, or a control character. */
static size_t character(const char *at)
{
    const unsigned char c = (unsigned char)*at;
    const size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3
                     : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (c < 0x20 || c == 0x7f) return 0;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)at[i] & 0xc0) != 0x80) return 0;
    if (n == 2 && c == 0xc2 && (unsigned char)at[1] < 0xa0) return 0;   /* C1 controls */
    return n;
}

static void put(const struct frame *f, struct frame_line *line, const char *text)
{
    size_t n = 0;
    for (size_t columns = 0; *text && columns < f->columns; columns++) {
        const size_t n_bytes = character(text);
        const bool is_shown = n_bytes == 1 || (n_bytes > 1 && f->is_utf8);
        if (n + (is_shown ? n_bytes : 1) >= sizeof line->text) break;
        if (is_shown) memcpy(line->text + n, text, n_bytes);
        else line->text[n] = '?';
        n += is_shown ? n_bytes : 1;
        text += n_bytes ? n_bytes : 1;
    }
    while (n && line->text[n - 1] == ' ') n--;
    line->text[n] = 0;
}

void frame_add(struct frame *f, enum frame_style style, const char *format, ...)
{
    char text[FRAME_LINE_BYTES * 2];
    va_list args;
    if (f->n >= f->max_lines || f->n >= FRAME_MAX_LINES) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct frame_line *line = &f->line[f->n++];
    line->style = style;
    put(f, line, text);
}

void frame_graph_row(const struct frame *f, char *out, size_t n_out, const double *value, size_t n,
                     size_t columns, size_t row, size_t n_rows)
{
    static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    static const char *const plain[] = { " ", "_", ".", "-", "=", "+", "*", "%", "#" };
    double most = 0;
    size_t used = 0;
    if (n > columns) {
        value += n - columns;
        n = columns;
    }
    for (size_t i = 0; i < n; i++) most = fmax(most, value[i]);
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        const bool has_height = most > 0 && value[i] > 0;
        const double eighths = has_height ? ceil(value[i] / most * 8 * (double)n_rows) : 0;
        const int level = (int)fmin(fmax(eighths - 8 * (double)row, 0), 8);
        const char *c = (f->is_utf8 ? blocks : plain)[level];
        if (used + strlen(c) >= n_out) return;
        used += (size_t)snprintf(out + used, n_out - used, "%s", c);
    }
}

void frame_spark(const struct frame *f, char *out, size_t n_out, const double *value, size_t n,
                 size_t columns)
{
    frame_graph_row(f, out, n_out, value, n, columns, 0, 1);
}

void frame_bar(char *out, size_t n_out, double share, size_t columns)
{
    size_t n = 0;
    *out = 0;
    if (isnan(share) || columns < 3 || columns >= n_out) return;
    const size_t inside = columns - 2;
    const size_t full = (size_t)(fmin(fmax(share, 0), 1) * (double)inside + 0.5);
    out[n++] = '[';
    for (size_t i = 0; i < inside; i++) out[n++] = i < full ? '#' : '.';
    out[n++] = ']';
    out[n] = 0;
}

void frame_count(char *out, size_t n_out, double n)
{
    if (!isfinite(n) || n < 0) snprintf(out, n_out, "-");
    else if (n < 9999.5) snprintf(out, n_out, "%.0f", n);
    else if (n < 999500) snprintf(out, n_out, "%.0fk", n / 1000);
    else snprintf(out, n_out, "%.0fM", n / 1000000);
}

void frame_seconds(char *out, size_t n_out, double seconds)
{
    const bool is_known = isfinite(seconds) && seconds >= 0;
    const long s = is_known ? (long)fmin(seconds, 1e9) : 0;
    if (!is_known) snprintf(out, n_out, "-");
    else if (seconds < 0.00995) snprintf(out, n_out, "%.1f ms", seconds * 1000);
    else if (seconds < 0.9995) snprintf(out, n_out, "%.0f ms", seconds * 1000);
    else if (seconds < 9.995) snprintf(out, n_out, "%.2f s", seconds);
    else if (seconds < 60) snprintf(out, n_out, "%.0f s", seconds);
    else if (s < 3600) snprintf(out, n_out, "%ldm%02ld", s / 60, s % 60);
    else snprintf(out, n_out, "%ldh%02ld", s / 3600, s / 60 % 60);
}

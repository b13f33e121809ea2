/* Lines of text of a given width, with a style each: what the monitor shows, made without a
 * terminal so that it can be printed and tested. */
#ifndef CLI_TOP_FRAME_H
#define CLI_TOP_FRAME_H

#include <stdbool.h>
#include <stddef.h>

enum { FRAME_MAX_LINES = 640, FRAME_LINE_BYTES = 2048 };

enum frame_style { FRAME_PLAIN, FRAME_STRONG, FRAME_FAINT, FRAME_GOOD, FRAME_BAD };

struct frame_line {
    enum frame_style style;
    char text[FRAME_LINE_BYTES];
};

struct frame {
    size_t n, max_lines, columns;   /* lines beyond and characters beyond are left out */
    bool is_utf8;                   /* characters beyond ASCII may be shown */
    struct frame_line line[FRAME_MAX_LINES];
};

/* Control characters, which a server's names may hold, become "?". */
void frame_add(struct frame *f, enum frame_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The values, scaled to the largest, one character each; as many of the last as fit in columns.
 * NAN: none. */
void frame_spark(const struct frame *f, char *out, size_t n_out, const double *value, size_t n,
                 size_t columns);

/* Row `row` (0: the lowest) of `n_rows` of the same as a graph of that height. */
void frame_graph_row(const struct frame *f, char *out, size_t n_out, const double *value, size_t n,
                     size_t columns, size_t row, size_t n_rows);

/* "[####....]", `columns` wide. */
void frame_bar(char *out, size_t n_out, double share, size_t columns);

/* Short figures for people: "12", "9999", "123k", "45M"; "-" for what no count can be. */
void frame_count(char *out, size_t n_out, double n);
/* "31 ms", "1.25 s", "2m05", "3h10"; "-" for what no duration can be. */
void frame_seconds(char *out, size_t n_out, double seconds);

#endif

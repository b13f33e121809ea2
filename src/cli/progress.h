/* How far a download is, or what else takes long: a bar that is redrawn on a terminal, a line every
 * tenth elsewhere.
 *
 * The width is asked for at each drawing, so that a resized window needs no signal. One thread. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct progress {               /* zeroed says nothing */
    FILE *to;                   /* NULL: says nothing */
    bool is_terminal, is_drawn;
    bool is_share;              /* n_done of n_total are no bytes, only a part of the whole */
    char what[80];
    uint64_t n_total, n_done;   /* n_total 0: not known */
    uint64_t n_last, last_ns, drawn_ns;
    double bytes_per_s;         /* of the last seconds; 0: not known yet */
    uint32_t tenth;             /* the last one that got a line */
};

void progress_begin(struct progress *p, FILE *to, const char *what, uint64_t n_total,
                    uint64_t n_done);
void progress_at(struct progress *p, uint64_t n_done);

/* Draws if the last time is long enough ago. */
void progress_tick(struct progress *p);

/* A line of its own, without its newline, above the bar. */
void progress_say(struct progress *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void progress_end(struct progress *p);

/* A bar of at most `columns` bytes. */
void progress_format(char *to, size_t capacity, unsigned columns, const struct progress *p);

/* "4.68 GB" */
void progress_bytes(char *to, size_t capacity, uint64_t n);

#endif

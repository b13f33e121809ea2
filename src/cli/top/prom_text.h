/* Reading Prometheus text (0.0.4, and what OpenMetrics writes) sample by sample, from any bytes.
 *
 *   struct prom_reader r = prom_begin(text, n);
 *   for (struct prom_sample s; prom_next(&r, &s);) ...
 *
 * Nothing is copied or allocated: samples point into the text. A line that is no sample is counted
 * and passed over, so one bad line costs that line alone. */
#ifndef CLI_TOP_PROM_TEXT_H
#define CLI_TOP_PROM_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct prom_reader {
    const char *at, *end;
    size_t n_bad_lines;
};

struct prom_sample {
    const char *name;       /* (n_name) not zero-terminated */
    size_t n_name;
    const char *labels;     /* (n_labels) what stands between the braces */
    size_t n_labels;
    double value;           /* may be infinite or no number */
};

struct prom_reader prom_begin(const char *text, size_t n);

/* False: the text is at its end. */
bool prom_next(struct prom_reader *r, struct prom_sample *out);

bool prom_is(const struct prom_sample *s, const char *name);

/* The value of a label, unescaped and zero-terminated. False: the sample has none of that name, or
 * it does not fit. */
bool prom_label(const struct prom_sample *s, const char *name, char *out, size_t n_out);

#endif

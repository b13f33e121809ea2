/* Samples with weights, and what a report says of them.
 *
 * Percentiles are nearest-rank: the p-th is the smallest sample such that samples up to and
 * including it have at least p % of all weight. It is always a value that was measured; of few
 * samples the high percentiles are the maximum. */
#ifndef CLI_LOAD_STATS_H
#define CLI_LOAD_STATS_H

#include <stdbool.h>
#include <stddef.h>

struct load_sample {
    double value, weight;
};

struct load_samples {           /* zeroed: none */
    struct load_sample *at;     /* (n) */
    size_t n, capacity;
    bool failed;                /* out of memory: what was added later is missing */
};

struct load_summary {
    size_t n;                   /* samples; 0: the rest says nothing */
    double mean, p50, p90, p95, p99, max;
};

void load_samples_add(struct load_samples *s, double value, double weight);
void load_samples_free(struct load_samples *s);

/* Sorts the samples. */
struct load_summary load_samples_summarise(struct load_samples *s);

/* Of samples that are sorted; there is at least one. 0 < percent <= 100. */
double load_samples_percentile(const struct load_samples *s, double percent);

#endif

#include "cli/load/stats.h"

#include <stdlib.h>

void load_samples_add(struct load_samples *s, double value, double weight)
{
    if (s->failed) return;
    if (s->n == s->capacity) {
        const size_t capacity = s->capacity ? 2 * s->capacity : 256;
        struct load_sample *at = realloc(s->at, capacity * sizeof *at);
        if (!at) {
            s->failed = true;
            return;
        }
        s->at = at;
        s->capacity = capacity;
    }
    s->at[s->n++] = (struct load_sample){ value, weight };
}

void load_samples_free(struct load_samples *s)
{
    free(s->at);
    *s = (struct load_samples){ 0 };
}

static int by_value(const void *a, const void *b)
{
    const double x = ((const struct load_sample *)a)->value;
    const double y = ((const struct load_sample *)b)->value;
    return (x > y) - (x < y);
}

static double total_weight(const struct load_samples *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) sum += s->at[i].weight;
    return sum;
}

double load_samples_percentile(const struct load_samples *s, double percent)
{
    /* rounding of the sum must not push a rank that is met exactly to the next sample */
    const double wanted = total_weight(s) * percent / 100 * (1 - 1e-12);
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        if ((sum += s->at[i].weight) >= wanted) return s->at[i].value;
    return s->at[s->n - 1].value;
}

struct load_summary load_samples_summarise(struct load_samples *s)
{
    if (!s->n) return (struct load_summary){ 0 };
    qsort(s->at, s->n, sizeof *s->at, by_value);
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) sum += s->at[i].value * s->at[i].weight;
    return (struct load_summary){
        .n = s->n,
        .mean = sum / total_weight(s),
        .p50 = load_samples_percentile(s, 50),
        .p90 = load_samples_percentile(s, 90),
        .p95 = load_samples_percentile(s, 95),
        .p99 = load_samples_percentile(s, 99),
        .max = s->at[s->n - 1].value,
    };
}

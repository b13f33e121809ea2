#include "engine/sampler_cuts.h"

#include <math.h>

void cut_top_n_sigma(struct left *l, float n)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < l->n; i++) sum += (double)l->c[i].value;
    const double mean = sum / l->n;
    for (uint32_t i = 0; i < l->n; i++) {
        const double off = (double)l->c[i].value - mean;
        squares += off * off;
    }
    const double least = (double)l->max - (double)n * sqrt(squares / l->n);
    left_keep_above(l, (float)least);
}

static bool is_above(const struct left *l, const struct candidate *c, double least)
{
    return (double)row_exp((c->value - l->max) * l->scale) >= least;
}

void cut_top_choices(struct left *l, float threshold, uint32_t min_keep)
{
    const double least = (double)threshold * left_sum(l);
    struct candidate last = { INFINITY, -1 };
    uint32_t n_above = 0, n = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct candidate c = l->c[i];
        if (!is_above(l, &c, least)) continue;
        n_above++;
        if (c.value < last.value || (c.value == last.value && c.token > last.token)) last = c;
    }
    if (n_above < 2 || l->n - (n_above - 1) < min_keep) return;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct candidate c = l->c[i];
        if (c.token == last.token || !is_above(l, &c, least)) l->c[n++] = c;
    }
    l->n = n;
    l->max = last.value;
}

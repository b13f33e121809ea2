/* Nothing sorts a whole vocabulary: many candidates are parted at the mass by buckets, and only the
 * bucket at the border is ordered. */
#include "engine/filters.h"

#include <math.h>
#include <stddef.h>

double left_sum(const struct left *l)
{
    double sum = 0;
    for (uint32_t i = 0; i < l->n; i++)
        sum += (double)row_exp((l->c[i].value - l->max) * l->scale);
    return sum;
}

float left_max(const struct left *l)
{
    float max = -INFINITY;
    for (uint32_t i = 0; i < l->n; i++)
        if (l->c[i].value > max) max = l->c[i].value;
    return max;
}

/* The j best, which heap_next left at the end in reverse. */
static void keep_from_heap(struct left *l, uint32_t j)
{
    struct candidate *first = l->c + (l->n - j);
    for (uint32_t i = 0; i < j / 2; i++) {
        const struct candidate swapped = first[i];
        first[i] = first[j - 1 - i];
        first[j - 1 - i] = swapped;
    }
    l->c = first;
    l->n = j;
    l->is_sorted = true;
}

void left_keep_best(struct left *l, uint32_t k)
{
    if (l->is_sorted) {
        if (k < l->n) l->n = k;
        return;
    }
    struct heap h = heap_open(l->c, l->n);
    uint32_t j = 0;
    while (j < k && heap_next(&h)) j++;
    keep_from_heap(l, j);
}

/* What a candidate weighs. Where the order is not by logit, logits has its logit. */
static double weight(const struct left *l, const struct candidate *c, const float *logits)
{
    return (double)row_exp(((logits ? logits[c->token] : c->value) - l->max) * l->scale);
}

/* Of many candidates: those of the better buckets go to the front as they stand, then those of the
 * bucket in which the mass is reached; the rest is dropped. Returns how many are surely kept;
 * *missing is what they lack of the mass. */
static uint32_t narrow(struct left *l, double mass, const float *logits, double *missing)
{
    enum { N_BUCKETS = 1024 };
    double in_bucket[N_BUCKETS] = { 0 };
    float best = -INFINITY, worst = INFINITY;
    for (uint32_t i = 0; i < l->n; i++) {
        best = fmaxf(best, l->c[i].value);
        worst = fminf(worst, l->c[i].value);
    }
    const float scale = best > worst ? (N_BUCKETS - 1) / (best - worst) : 0;
#define BUCKET_OF(c) ((uint32_t)((best - (c).value) * scale))
    for (uint32_t i = 0; i < l->n; i++)
        in_bucket[BUCKET_OF(l->c[i])] += weight(l, &l->c[i], logits);
    uint32_t last = 0;
    double sum = 0;
    while (last + 1 < N_BUCKETS && sum + in_bucket[last] < mass) sum += in_bucket[last++];

    uint32_t n_better = 0, n_kept = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct candidate c = l->c[i];
        const uint32_t bucket = BUCKET_OF(c);
        if (bucket > last) continue;
        l->c[n_kept++] = c;
        if (bucket == last) continue;
        l->c[n_kept - 1] = l->c[n_better];
        l->c[n_better++] = c;
    }
#undef BUCKET_OF
    l->n = n_kept;
    *missing = mass - sum;
    return n_better;
}

/* As left_keep_mass, of candidates in no order. With many to be kept whatever they weigh, buckets
 * by weight are of no use. */
static void order_mass(struct left *l, double mass, uint32_t min_keep, const float *logits)
{
    const bool is_narrowed = l->n > LEFT_MANY && min_keep <= 1;
    const uint32_t n_surely = is_narrowed ? narrow(l, mass, logits, &mass) : 0;
    double sum = 0;
    uint32_t j = 0;
    struct left border = *l;
    border.c += n_surely;
    border.n -= n_surely;
    struct heap h = heap_open(border.c, border.n);
    for (const struct candidate *c; n_surely + j < min_keep || sum < mass; j++) {
        if (!(c = heap_next(&h))) break;
        sum += weight(l, c, logits);
    }
    keep_from_heap(&border, j);
    if (!is_narrowed) {
        *l = border;
        return;
    }
    for (uint32_t i = 0; i < j; i++) l->c[n_surely + i] = border.c[i];
    l->n = n_surely + j;
}

void left_keep_mass(struct left *l, double mass, uint32_t min_keep, const float *logits)
{
    if (!l->is_sorted) {
        order_mass(l, mass, min_keep, logits);
        return;
    }
    double sum = 0;
    uint32_t j = 0;
    while (j < l->n && (j < min_keep || sum < mass)) sum += weight(l, &l->c[j++], logits);
    l->n = j;
}

/* Meister et al. 2022: those whose surprise is nearest to the expected one, as many as have
 * typical_p of the mass. */
void left_keep_typical(struct left *l, float typical_p, uint32_t min_keep, const float *logits)
{
    const double log_sum = log(l->sum);
    double entropy = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const float x = (l->c[i].value - l->max) * l->scale;
        entropy -= (double)row_exp(x) / l->sum * ((double)x - log_sum);
    }
    for (uint32_t i = 0; i < l->n; i++) {
        const double log_p = (double)((l->c[i].value - l->max) * l->scale) - log_sum;
        l->c[i].value = (float)-fabs(-log_p - entropy);
    }
    l->is_sorted = false;
    left_keep_mass(l, (double)typical_p * l->sum, min_keep, logits);

    l->is_sorted = false;       /* by surprise it is, but not by value */
    for (uint32_t i = 0; i < l->n; i++) l->c[i].value = logits[l->c[i].token];
    l->max = left_max(l);
    l->sum = left_sum(l);
}

void left_keep_above(struct left *l, float least)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (l->c[i].value >= least) l->c[n++] = l->c[i];
    l->n = n;
}

void left_keep_min_p(struct left *l, float min_p, uint32_t min_keep)
{
    const float least = l->max + logf(min_p) / l->scale;
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++) n += l->c[i].value >= least;
    if (n < min_keep) left_keep_best(l, min_keep);
    else left_keep_above(l, least);     /* the best always stays: min_p <= 1 */
}

int32_t left_draw(struct left *l, double unit, double *p)
{
    if (!l->is_sorted && l->n <= LEFT_MANY) left_keep_mass(l, INFINITY, 1, NULL);
    double sum = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        l->c[i].value = row_exp((l->c[i].value - l->max) * l->scale);
        sum += (double)l->c[i].value;
    }
    double target = unit * sum;
    uint32_t at = 0;            /* where rounding leaves none */
    for (uint32_t i = 0; i < l->n; i++) {
        target -= (double)l->c[i].value;
        if (target >= 0) continue;
        at = i;
        break;
    }
    *p = (double)l->c[at].value / sum;
    return l->c[at].token;
}

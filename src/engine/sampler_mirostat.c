#include "engine/sampler_mirostat.h"

#include <math.h>

double mirostat_first(const pl_sampling *p)
{
    return 2 * (double)p->mirostat_tau;
}

enum { N_FITTED = 100 };        /* of the best tokens, as the paper has it */

/* Candidates stand in another order afterwards. */
static uint32_t best_values(struct left *l, float *value)
{
    uint32_t n = 0;
    struct heap h = heap_open(l->c, l->n);
    for (const struct candidate *c; n < N_FITTED && (c = heap_next(&h)); n++) value[n] = c->value;
    l->is_sorted = false;
    return n;
}

/* The exponent of Zipf's law that fits the best tokens, by least squares of the logarithms of
 * ratios between neighbours. */
static double zipf_exponent(struct left *l)
{
    float value[N_FITTED];
    const uint32_t n = best_values(l, value);
    double products = 0, squares = 0;
    for (uint32_t i = 0; i + 1 < n; i++) {
        const double t = log((double)(i + 2) / (double)(i + 1));
        products += t * (double)((value[i] - value[i + 1]) * l->scale);
        squares += t * t;
    }
    return squares > 0 ? products / squares : 0;
}

/* How many of the best tokens have no more surprise than mu, by that law. */
static uint32_t n_unsurprising(double exponent, uint32_t n_vocab, double mu)
{
    const double epsilon = exponent - 1;
    const double k = pow(epsilon * pow(2, mu) / (1 - pow(n_vocab, -epsilon)), 1 / exponent);
    return !(k >= 1) ? 1 : k < n_vocab ? (uint32_t)k : n_vocab;
}

/* Those with p >= 2^-mu; where not even the best has that, the best. */
static void keep_unsurprising(struct left *l, double mu)
{
    const double least = left_sum(l) * pow(2, -mu);
    uint32_t n = 0;
    if (!(least <= 1)) {                /* the best weighs 1 */
        left_keep_best(l, 1);
        return;
    }
    for (uint32_t i = 0; i < l->n; i++)
        if ((double)row_exp((l->c[i].value - l->max) * l->scale) >= least) l->c[n++] = l->c[i];
    l->n = n;
}

int32_t mirostat_draw(struct left *l, const pl_sampling *p, uint32_t n_vocab, double unit,
                      double mu, double *next_mu)
{
    double probability;
    if (p->mirostat == 1) left_keep_best(l, n_unsurprising(zipf_exponent(l), n_vocab, mu));
    else keep_unsurprising(l, mu);
    const int32_t token = left_draw(l, unit, &probability);
    *next_mu = mu - (double)p->mirostat_eta * (-log2(probability) - (double)p->mirostat_tau);
    return token;
}

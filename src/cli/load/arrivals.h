/* When requests of an open loop arrive: a Poisson process, so gaps are exponential with mean
 * 1/rate. The times follow from rate and seed alone; what the server does moves none of them. */
#ifndef CLI_LOAD_ARRIVALS_H
#define CLI_LOAD_ARRIVALS_H

#include <math.h>

#include "base/rng.h"

struct load_arrivals {
    struct rng rng;
    double rate, last_s;
};

static inline void load_arrivals_begin(struct load_arrivals *a, double rate, uint64_t seed)
{
    rng_seed(&a->rng, seed);
    a->rate = rate;
    a->last_s = 0;
}

/* Nanoseconds after the beginning; never before the one returned last. */
static inline uint64_t load_arrivals_next_ns(struct load_arrivals *a)
{
    a->last_s -= log1p(-rng_unit(&a->rng)) / a->rate;
    return (uint64_t)(a->last_s * 1e9);
}

#endif

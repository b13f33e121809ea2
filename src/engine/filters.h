/* What is left of a distribution, and the filters that leave less of it: top-k, typical, top-p,
 * min-p, and the draw. Each sees the probabilities renormalised over the candidates that the one
 * before left, and keeps at least one.
 *
 * Threads: any. No allocation: candidates are the caller's. */
#ifndef ENGINE_FILTERS_H
#define ENGINE_FILTERS_H

#include <stdbool.h>

#include "engine/row_select.h"

/* Up to this many candidates are put in order. More are only parted, and drawn from as they stand:
 * which order that is follows from the row alone, too. */
enum { LEFT_MANY = 512 };

struct left {
    struct candidate *c;        /* (n) best first once is_sorted */
    uint32_t n;
    bool is_sorted;
    float max;                  /* of the values */
    float scale;                /* 1 / temperature: a candidate weighs exp((value - max) * scale) */
    double sum;                 /* of the weights of all that the last filter looked at, which may
                                 * be more than the candidates kept here */
};

/* Of the candidates there are. */
double left_sum(const struct left *l);
float left_max(const struct left *l);

/* The k best, in order; k is at least 1. */
void left_keep_best(struct left *l, uint32_t k);

/* The fewest of the best that weigh `mass` together, and at least min_keep (1 or more). Where the
 * order is not by logit, logits has the logit of every token. */
void left_keep_mass(struct left *l, double mass, uint32_t min_keep, const float *logits);

/* Those whose value is at least `least`, in the order in which they stand. */
void left_keep_above(struct left *l, float least);

/* Locally typical sampling. Wants l->sum; values are those of logits. */
void left_keep_typical(struct left *l, float typical_p, uint32_t min_keep, const float *logits);

/* Those that have min_p of the best one's probability, and at least min_keep. */
void left_keep_min_p(struct left *l, float min_p, uint32_t min_keep);

/* The token at `unit`, a random number in [0, 1). *p: its probability among those left; values are
 * weights afterwards. */
int32_t left_draw(struct left *l, double unit, double *p);

#endif

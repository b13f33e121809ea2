/* Mirostat: Basu et al. 2020, "Mirostat: a neural text decoding algorithm that directly controls
 * perplexity", arXiv 2007.14966. A reply has a bound mu on the surprise of its next token, in bits,
 * which every token moves so that the surprises come to tau.
 *
 * Threads: any. No allocation. */
#ifndef ENGINE_SAMPLER_MIROSTAT_H
#define ENGINE_SAMPLER_MIROSTAT_H

#include "engine/filters.h"
#include "paceline.h"

/* What mu begins with. */
double mirostat_first(const pl_sampling *p);

/* Cuts by version p->mirostat and draws at `unit`. *next_mu: for the token after this one, if this
 * one is taken. */
int32_t mirostat_draw(struct left *l, const pl_sampling *p, uint32_t n_vocab, double unit,
                      double mu, double *next_mu);

#endif

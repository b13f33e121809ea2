/* Cuts that look at the shape of a distribution: top-n-sigma and XTC.
 *
 * Threads: any. No allocation. */
#ifndef ENGINE_SAMPLER_CUTS_H
#define ENGINE_SAMPLER_CUTS_H

#include "engine/filters.h"

/* Those that are at most n standard deviations of the logits below the best one: Tang et al. 2024,
 * "Top-n-sigma: not all logits are you need", arXiv 2411.07641. A temperature, before or after,
 * changes nothing of it. */
void cut_top_n_sigma(struct left *l, float n);

/* XTC, "exclude top choices", by p-e-w (text-generation-webui's pull request 6335): of the tokens
 * that have at least `threshold` of the mass, all but the least likely go, if at least min_keep
 * stay. Whether it is done at all is drawn before. */
void cut_top_choices(struct left *l, float threshold, uint32_t min_keep);

#endif

/* Which samplers run for a request, and in which order: llama.cpp's names of them, and what is left
 * of an order once those that do nothing are out of it.
 *
 * Threads: any. */
#ifndef ENGINE_SAMPLER_ORDER_H
#define ENGINE_SAMPLER_ORDER_H

#include "paceline.h"

/* Samplers that the order leaves out become neutral, and the order keeps those that are not. It
 * stays empty where the sampler's own way, without a chain, is the same: so a request that names
 * the order it would have had anyway gets the same bytes, and a backend may pick its tokens. */
void sampler_order_settle(pl_sampling *p);

#endif

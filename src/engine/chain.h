/* Samplers one after the other, in an order that the request names or with some that only the
 * engine has: DRY, top-n-sigma, XTC, a temperature that moves, mirostat. The plain order has a
 * faster way, which is the sampler's own (sampler.c).
 *
 * Threads: any; a room is used by one at a time. No allocation. */
#ifndef ENGINE_CHAIN_H
#define ENGINE_CHAIN_H

#include "engine/sampler_dry.h"

struct chain {
    const pl_sampling *sampling;        /* settled (sampler_order.h), with an order */
    double unit[2];                     /* random numbers of this token: of the draw, and XTC's */
    uint32_t *seat;                     /* DRY's */
    double mu, next_mu;                 /* mirostat's, before this token and after it */
};

/* Makes a pick, which pick_make made for the end of `text`, one by the chain; chain_close ends it.
 * Its room and scratch (n_scratch) are lent to it until then. */
void chain_open(struct chain *c, const pl_sampling *sampling, double mu,
                const struct dry_text *text, struct candidate *scratch, uint32_t n_scratch,
                struct pick *pick, const struct pick_room *room);
void chain_close(const struct pick *pick, const struct pick_room *room);

/* Draws from a row, what is touched and masked being done. -1: no token may come. */
int32_t chain_draw(const struct pick *pick, const struct row *row, struct candidate *scratch);

#endif

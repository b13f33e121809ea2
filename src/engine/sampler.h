/* From logits to a token: what a pick means. The scalar specification of all backends that pick
 * tokens themselves.
 *
 * Threads: any. No allocation: scratch is the caller's. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include <stdint.h>

#include "backend/backend.h"
#include "engine/row_select.h"
#include "paceline.h"

/* Draws the next token. pick.last is a token or NO_LAST. The row is changed by what the pick
 * touches and by its mask. scratch: (row.n). Ties go to the smaller token id. */
void sampler_pick(const struct pick *pick, const struct row *row, struct candidate *scratch,
                  struct picked *out);

/* -log p(token) under the logits, and the n_top best (missing ones: token -1); for pl_score. A
 * token outside the vocabulary, or a row without a finite logit, gives +INFINITY. */
float sampler_score(const struct row *row, int32_t token, uint32_t n_top, pl_token_prob *top);

#endif

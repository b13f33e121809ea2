/* From what a request asks for and what it has said so far to the pick of one position: all that
 * its token depends on beside the logits, whoever picks. Random numbers are a function of the
 * request's seed and the position alone, so a position that is computed again draws the same.
 *
 * Threads: any; a room is used by one at a time. No allocation. */
#ifndef ENGINE_PICK_H
#define ENGINE_PICK_H

#include <stdint.h>

#include "backend/backend.h"
#include "paceline.h"

struct pick_room {
    uint32_t *seat;             /* (n_vocab) all 0, and left so */
    struct touch *touch;        /* (max_touched) the pick's own, as long as it is used */
    uint32_t max_touched;
};

/* Room for pick_bias, beside what the request's sampling touches. */
enum { PICK_MORE_TOUCHED = 97 };

/* So many are enough whatever the request, where prompt and reply have max_tokens at most. */
uint32_t pick_max_touched(uint32_t n_vocab, uint32_t max_tokens);

/* Adds to the bias of one token, after the pick was made; what does not fit is left out likewise.
 */
void pick_bias(struct pick *pick, int32_t token, float bias, const struct pick_room *room);

/* history: the tokens at 0 .. position - 2. last: the one at position - 1, or what stands for it in
 * a batch. What does not fit the room is left out: n_touched is above max_touched then, and the
 * pick is of no use. Never is_by_backend: the caller says so. */
struct pick pick_make(const pl_sampling *p, uint32_t n_vocab, const int32_t *history,
                      uint32_t position, int32_t last, const struct pick_room *room);

#endif

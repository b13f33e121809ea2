/* Tokens that end a reply beside the model's own end tokens, and how long none of either may come.
 *
 * Threads: any. No allocation. */
#ifndef ENGINE_ENDING_H
#define ENGINE_ENDING_H

#include "engine/pick.h"
#include "engine/text.h"
#include "paceline.h"

enum { ENDING_MAX_TOKENS = 64 };

struct ending {
    int32_t *token;             /* (n_tokens) storage of the stream */
    uint32_t n_tokens;
    uint32_t min_tokens;        /* of the reply, before one of them or an end token may come */
};

_Static_assert(ENDING_MAX_TOKENS + TEXT_MAX_ENDS < PICK_MORE_TOUCHED, "all find their place");

/* PL_E_PARAM names the value, its bounds and what was found. */
pl_status ending_check(const pl_request *r, uint32_t n_vocab, pl_err *err);

/* to: (ENDING_MAX_TOKENS) */
struct ending ending_copy(const pl_request *r, int32_t *to);

bool ending_has(const struct ending *e, int32_t token);

/* Forbids all of them where the pick is that of one of the reply's first tokens; n_reply: how many
 * come before it. */
void ending_forbid(const struct ending *e, const struct text *text, uint32_t n_reply,
                   struct pick *pick, const struct pick_room *room);

#endif

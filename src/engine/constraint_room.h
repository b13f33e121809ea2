/* What the constraints of an engine share: the vocabulary as grammars see it, and the thread that
 * computes masks. Both are made when the first grammar comes: an engine that is never asked for one
 * has neither. Threads: any. */
#ifndef ENGINE_CONSTRAINT_ROOM_H
#define ENGINE_CONSTRAINT_ROOM_H

#include <pthread.h>

#include "base/worker.h"
#include "text/matcher.h"
#include "tokenizer/tokenizer.h"

struct constraint_room {
    pthread_mutex_t lock;           /* guards the opening */
    bool has_lock, is_open;
    const struct tokenizer *tokenizer;
    struct vocabulary *vocabulary;
    uint32_t *ends;                 /* (n_words) bits of the tokens that end a reply */
    uint32_t *others;               /* (n_words) of all others */
    size_t n_words;
    struct worker worker;
};

/* The tokenizer must outlive the room. */
pl_status constraint_room_open(struct constraint_room *r, const struct tokenizer *t, pl_err *err);

/* Makes what is made once, unless it is there. */
pl_status constraint_room_fill(struct constraint_room *r, pl_err *err);

/* After the last constraint was closed. A zeroed room may be closed. */
void constraint_room_close(struct constraint_room *r);

#endif

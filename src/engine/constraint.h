/* A stream's grammar: which tokens it may go on with. A mask is computed by a thread of its own
 * while the step that will need it runs.
 *
 *   WAITING --a trigger is written--> BUSY --the worker is done--> READY
 *      |  no grammar yet               ^                             |
 *      |                               +------- constraint_push -----+
 *      +--------------------------- what was written is not of it: OFF
 *
 * Who touches what: constraint_push and constraint_close are the engine thread's, constraint_wait a
 * sampling thread's; between the two is a step, or its end. While BUSY the matcher and the mask are
 * the worker's. */
#ifndef ENGINE_CONSTRAINT_H
#define ENGINE_CONSTRAINT_H

#include "engine/constraint_room.h"
#include "paceline.h"

struct constraint;

/* Compiles the grammar. PL_E_GRAMMAR: see matcher_open. PL_E_PARAM: triggers out of bounds. Any
 * thread. */
pl_status constraint_open(struct constraint **out, struct constraint_room *room,
                          const pl_grammar *grammar, bool ignores_eos, pl_err *err);

/* Has the first mask computed; once. */
void constraint_start(struct constraint *c);

/* The reply went on with a token. */
void constraint_push(struct constraint *c, int32_t token);

/* Waits for the mask of the next token: bit t % 32 of (*mask)[t / 32] is set where token t may
 * come. NULL: every token may. */
enum matcher_next constraint_wait(struct constraint *c, const uint32_t **mask);

/* Never waits: what the worker is still at is freed by it. NULL is allowed. */
void constraint_close(struct constraint *c);

#endif

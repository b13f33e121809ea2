/* Computing a step again that the system interrupted (a GPU's command buffer that took too long),
 * in two halves of its columns, one after the other. What a column gets does not depend on which
 * others are in its step (the law of backend.h), and what it writes is what the interrupted step
 * would have written: so replies have the same bytes.
 *
 * Engine thread only. Allocates nothing. */
#ifndef ENGINE_RECOMPUTE_H
#define ENGINE_RECOMPUTE_H

#include "engine/engine.h"

/* Makes a step in flight, which no backend is at, ready to be recorded again, on top of no other:
 * the steps before it were committed and delivered, so that all its tokens are known. */
void recompute_prepare(struct pl_engine *e, struct step *step);

/* Computes it and leaves what was picked where the first attempt would have. Fails with what the
 * backend said where a half fails, too. */
pl_status recompute_step(struct pl_engine *e, struct step *step, pl_err *err);

#endif

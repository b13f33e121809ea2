/* The outputs of a step: from rows of logits to tokens, on the backend's threads or by the backend
 * itself. */
#ifndef ENGINE_OUTPUTS_H
#define ENGINE_OUTPUTS_H

#include "engine/engine.h"

/* Before the step is recorded: how its tokens are picked, by the backend where it can. Of a stream
 * that has left nothing is picked. */
void outputs_fill_picks(struct pl_engine *e, struct step *step);

/* sample_fn of the outputs that are not; arg: the step. What was picked goes to the engine's
 * `picked`. */
void outputs_sample(void *arg, uint32_t output, const struct logit_rows *rows);

#endif

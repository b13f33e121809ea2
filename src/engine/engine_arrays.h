/* What the engine takes for itself, beside its parts: planned and taken by one list. */
#ifndef ENGINE_ENGINE_ARRAYS_H
#define ENGINE_ENGINE_ARRAYS_H

#include "engine/engine.h"

/* For plan_compute. */
uint64_t engine_own_bytes(const struct plan *p);

/* As e->plan says. On failure too: released with engine_free_arrays. */
pl_status engine_take_arrays(struct pl_engine *e, pl_err *err);
void engine_free_arrays(struct pl_engine *e);

#endif

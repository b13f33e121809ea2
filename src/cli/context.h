/* The context of a stream where nobody asked for one. */
#ifndef CLI_CONTEXT_H
#define CLI_CONTEXT_H

#include "base/status.h"
#include "paceline.h"

/* params->ctx_tokens, where it is 0: the model's limit, or `most` (0: no such bound) if that is
 * less, or as much of it as fits into three quarters of the memory that is free, in which other
 * programs work too. It is never made smaller than CONTEXT_LEAST: then pl_open says what is
 * missing. A pool of its own size (kv_tokens) is what is left as it is. Fails as pl_plan_compute
 * does. */
pl_status context_choose(pl_params *params, uint32_t most, pl_err *err);

enum { CONTEXT_LEAST = 2048, CONTEXT_STEP = 256 };

/* The same with so many bytes of free memory. */
pl_status context_choose_within(pl_params *params, uint32_t most, uint64_t free_bytes, pl_err *err);

#endif

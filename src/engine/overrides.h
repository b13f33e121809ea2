/* What a user sets instead of what the model file says: keys of it, and RoPE's among them by
 * options of their own. No weight depends on it, so packed weights on disk stay good. */
#ifndef ENGINE_OVERRIDES_H
#define ENGINE_OVERRIDES_H

#include "base/status.h"
#include "gguf/gguf.h"
#include "paceline.h"

/* On a file that was just opened. */
pl_status overrides_apply(struct gguf *g, const pl_params *params, pl_err *err);

#endif

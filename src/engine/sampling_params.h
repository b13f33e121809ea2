/* What a request may ask of the sampler. Any thread. */
#ifndef ENGINE_SAMPLING_PARAMS_H
#define ENGINE_SAMPLING_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "paceline.h"

enum { SAMPLING_MAX_BIAS = 1024, SAMPLING_MAX_BREAKERS = 32, SAMPLING_MAX_BREAKER_BYTES = 40 };

bool sampling_has_penalties(const pl_sampling *p);

/* PL_E_PARAM names the value, its bounds and what was found. */
pl_status sampling_check(const pl_sampling *p, uint32_t n_vocab, pl_err *err);

#endif

/* How long a reply's parts took, as llama-server tells it. */
#ifndef SERVER_TIMINGS_H
#define SERVER_TIMINGS_H

#include "base/strbuf.h"
#include "paceline.h"

/* Appends {"cache_n", "prompt_n", "prompt_ms", ..., "predicted_n", "predicted_ms", ...}. The first
 * token of a reply comes with its prompt: the rate is that of the others. */
void timings_add(struct strbuf *to, const pl_usage *usage);

#endif

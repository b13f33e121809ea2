/* What /metrics says beside its own names. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "base/strbuf.h"
#include "paceline.h"

/* Appends the figures under vLLM's names, with `model` as model_name. */
void metrics_vllm(struct strbuf *b, const char *model, const pl_stats *stats, const pl_plan *plan,
                  bool has_prefix_cache);

#endif

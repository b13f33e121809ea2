/* --metrics-compat vllm: vLLM's names and labels for what this server measures too, so that boards,
 * routers and gateways made for vLLM work unchanged. A name whose figure is not had is left out.
 *
 * The histograms have vLLM's bounds already (engine/stats.c). A KV block of theirs is a page. */
#ifndef SERVER_METRICS_VLLM_H
#define SERVER_METRICS_VLLM_H

#include "base/strbuf.h"
#include "paceline.h"

/* Appends the figures under vLLM's names, with `model` as model_name. */
void metrics_vllm(struct strbuf *b, const char *model, const pl_stats *stats, const pl_plan *plan,
                  bool has_prefix_cache);

#endif

/* --metrics, or --metrics-compat llama.cpp: llama-server's names for what this server measures too,
 * for boards made for it. */
#ifndef SERVER_METRICS_LLAMA_H
#define SERVER_METRICS_LLAMA_H

#include "base/strbuf.h"
#include "paceline.h"

void metrics_llama(struct strbuf *b, const pl_stats *stats);

#endif

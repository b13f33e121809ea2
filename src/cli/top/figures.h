/* What one answer of /metrics says, as figures. The names are paceline's own, else vLLM's, else
 * llama-server's: a server that speaks several is read by the first. */
#ifndef CLI_TOP_FIGURES_H
#define CLI_TOP_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOP_MAX_BOUNDS = 40, TOP_MAX_NAMED = 8 };

/* Cumulative, bounds ascending, the last one infinite. */
struct top_histogram {
    uint32_t n;
    double bound[TOP_MAX_BOUNDS], count[TOP_MAX_BOUNDS];
};

struct top_named {
    char name[20];
    double value;
};

struct top_list {
    uint32_t n;
    struct top_named item[TOP_MAX_NAMED];   /* those beyond are left out */
};

/* Figures that are not told are NAN, texts empty. */
struct top_figures {
    const char *dialect;                    /* "paceline", "vLLM", "llama-server"; NULL: none */
    char model[64], backend[16], isa[20], version[16];
    double slots, running, queued, queued_tokens, context_tokens;
    double kv_pages, kv_used, kv_cached, kv_share;  /* kv_share: 0 to 1 */
    double requests, prompt_tokens, computed_tokens, cached_tokens, reply_tokens;   /* ever */
    double reply_tokens_per_s;              /* as the server says it */
    double resident_bytes, is_healthy, is_throttled;
    struct top_list pools, rejects;         /* bytes by pool; counts by reason */
    struct top_histogram ttft, inter_token, queue;
};

void top_figures_read(struct top_figures *out, const char *text, size_t n);

/* The quantile of what was observed between `before` (NULL: the start) and `now`, interpolated as
 * Prometheus does. NAN: nothing was. */
double top_quantile(const struct top_histogram *now, const struct top_histogram *before, double q);

#endif

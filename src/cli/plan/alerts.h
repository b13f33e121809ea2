/* Alert rules for Prometheus. deploy/prometheus/alerts.yml is what the default thresholds give; a
 * test holds the file to it. Figures that depend on the machine and the model come from a plan. */
#ifndef CLI_PLAN_ALERTS_H
#define CLI_PLAN_ALERTS_H

#include <stdio.h>

struct alert_thresholds {
    /* ThroughputDegraded, while nearly every slot works: fewer reply tokens a second than this;
     * 0: less than 60 % of the server's own best five minutes of the last day */
    double tokens_per_s;
    /* HighMemoryUsage: more resident GB (1e9) than this; 0: 10 % more than it took at start */
    double memory_gb;
    double ttft_p95_s;          /* LatencyHigh: to the first token */
    double inter_token_p95_s;   /* LatencyHigh: between tokens */
    double queued;              /* QueueGrowing: more waiting than this; 0: than there are slots */
};

/* What suits a server nothing is known of. */
struct alert_thresholds alert_thresholds_default(void);

/* A YAML file of rules. The caller looks at ferror. */
void alerts_print(FILE *to, const struct alert_thresholds *t);

#endif

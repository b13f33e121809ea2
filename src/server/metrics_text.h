/* Writing Prometheus text, version 0.0.4. `labels` stand between the braces as they are
 * (metric_label makes them); NULL or "": none. */
#ifndef SERVER_METRICS_TEXT_H
#define SERVER_METRICS_TEXT_H

#include <stdint.h>

#include "base/strbuf.h"
#include "paceline.h"

/* Once a name, before its first value. */
void metric_head(struct strbuf *b, const char *name, const char *type, const char *help);
void metric_value(struct strbuf *b, const char *name, const char *labels, double value);

/* Head and value of a name with one value. */
void metric_counter(struct strbuf *b, const char *name, const char *labels, const char *help,
                    uint64_t value);
void metric_gauge(struct strbuf *b, const char *name, const char *labels, const char *help,
                  double value);
void metric_histogram(struct strbuf *b, const char *name, const char *labels, const char *help,
                      const pl_histogram *h);

/* Appends name="value" to the labels in `to`, the value escaped. */
void metric_label(struct strbuf *to, const char *name, const char *value);

/* A value with the one label `label`, which needs no escaping. */
void metric_labelled(struct strbuf *b, const char *name, const char *label, const char *value,
                     double number);

#endif

#include "server/metrics_text.h"

#include <inttypes.h>

void metric_head(struct strbuf *b, const char *name, const char *type, const char *help)
{
    strbuf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void name_and_labels(struct strbuf *b, const char *name, const char *labels)
{
    if (labels && *labels) strbuf_addf(b, "%s{%s} ", name, labels);
    else strbuf_addf(b, "%s ", name);
}

void metric_value(struct strbuf *b, const char *name, const char *labels, double value)
{
    name_and_labels(b, name, labels);
    strbuf_addf(b, "%.15g\n", value);
}

void metric_counter(struct strbuf *b, const char *name, const char *labels, const char *help,
                    uint64_t value)
{
    metric_head(b, name, "counter", help);
    name_and_labels(b, name, labels);
    strbuf_addf(b, "%" PRIu64 "\n", value);
}

void metric_gauge(struct strbuf *b, const char *name, const char *labels, const char *help,
                  double value)
{
    metric_head(b, name, "gauge", help);
    metric_value(b, name, labels, value);
}

void metric_histogram(struct strbuf *b, const char *name, const char *labels, const char *help,
                      const pl_histogram *h)
{
    const char *more = labels ? labels : "", *comma = *more ? "," : "";
    metric_head(b, name, "histogram", help);
    for (uint32_t i = 0; i < h->n_bounds; i++)
        strbuf_addf(b, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, more, comma, h->bound_s[i],
                    h->count[i]);
    strbuf_addf(b, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, more, comma, h->n);
    const char *open = *more ? "{" : "", *close = *more ? "}" : "";
    strbuf_addf(b, "%s_sum%s%s%s %.9g\n", name, open, more, close, h->sum_s);
    strbuf_addf(b, "%s_count%s%s%s %" PRIu64 "\n", name, open, more, close, h->n);
}

void metric_label(struct strbuf *to, const char *name, const char *value)
{
    strbuf_addf(to, "%s%s=\"", to->n ? "," : "", name);
    for (; *value; value++) {
        if (*value == '\n') strbuf_add_str(to, "\\n");
        else if (*value == '"' || *value == '\\') strbuf_addf(to, "\\%c", *value);
        else strbuf_add(to, value, 1);
    }
    strbuf_add_str(to, "\"");
}

void metric_labelled(struct strbuf *b, const char *name, const char *label, const char *value,
                     double number)
{
    strbuf_addf(b, "%s{%s=\"%s\"} %.15g\n", name, label, value, number);
}

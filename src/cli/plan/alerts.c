#include "cli/plan/alerts.h"

struct alert_thresholds alert_thresholds_default(void)
{
    return (struct alert_thresholds){ .ttft_p95_s = 10, .inter_token_p95_s = 0.5 };
}

/* Averages over minutes stand for "nearly always": a slot is free for a step between two streams,
 * and a scrape that sees that must not start the waiting anew. */
#define NEARLY_EVERY_SLOT_WORKS                                                                    \
    "          avg_over_time(llm_slots_processing[5m]) >= 0.9 * paceline_slots\n"

static void rule(FILE *to, const char *name)
{
    fprintf(to, "\n      - alert: %s\n        expr: |\n", name);
}

static void rest(FILE *to, const char *wait, const char *severity, const char *summary,
                 const char *description)
{
    fprintf(to, "        for: %s\n        labels:\n          severity: %s\n        annotations:\n"
            "          summary: \"%s\"\n          description: \"%s\"\n", wait, severity, summary,
            description);
}

static void server_down(FILE *to)
{
    rule(to, "ServerDown");
    fputs("          up{job=\"paceline\"} == 0 or paceline_healthy == 0\n", to);
    rest(to, "1m", "critical", "{{ $labels.instance }} is down",
         "No answer to the last scrapes, or an engine that makes no progress.");
}

static void throughput_degraded(FILE *to, double tokens_per_s)
{
    rule(to, "ThroughputDegraded");
    fputs("          avg_over_time(llm_tokens_per_second[5m])\n", to);
    if (tokens_per_s > 0)
        fprintf(to, "            < %.6g\n", tokens_per_s);
    else
        fputs("            < 0.6 * "
              "max_over_time(avg_over_time(llm_tokens_per_second[5m])[1d:5m])\n", to);
    fputs("          and\n" NEARLY_EVERY_SLOT_WORKS, to);
    rest(to, "10m", "warning", "{{ $labels.instance }} is slow: {{ $value | humanize }} tokens/s",
         tokens_per_s > 0
             ? "Every slot works, and fewer tokens come than the plan says: another program on the "
               "machine, heat, swap, or longer contexts than planned."
             : "Every slot works, and fewer tokens come than 60 % of the best of the last day: "
               "another program on the machine, heat, swap, or longer contexts.");
}

static void all_slots_busy(FILE *to)
{
    rule(to, "AllSlotsBusy");
    fputs(NEARLY_EVERY_SLOT_WORKS, to);
    rest(to, "5m", "info", "{{ $labels.instance }} has no free slot",
         "New requests have to wait. More slots, or another server, take more at once.");
}

static void queue_growing(FILE *to, double queued)
{
    rule(to, "QueueGrowing");
    if (queued > 0) fprintf(to, "          paceline_streams_queued > %.6g\n", queued);
    else fputs("          paceline_streams_queued > paceline_slots\n", to);
    fputs("          and deriv(paceline_streams_queued[10m]) > 0\n", to);
    rest(to, "5m", "warning", "{{ $labels.instance }}: {{ $value }} requests wait, and more come",
         "More comes in than is served. When the queue is full the answer is 429.");
}

/* The program itself is in no pool: 50 MB, which is much beside a small model. */
static void high_memory_usage(FILE *to, double memory_gb)
{
    rule(to, "HighMemoryUsage");
    if (memory_gb > 0)
        fprintf(to, "          llm_memory_usage_gb > %.6g\n", memory_gb);
    else
        fputs("          paceline_resident_memory_bytes\n"
              "            > 1.1 * sum without (pool) (paceline_memory_planned_bytes) + 5e7\n", to);
    rest(to, "5m", "warning", "{{ $labels.instance }} holds more memory than it should",
         "All memory is taken at start and does not grow: report this, and restart the server.");
}

static void latency_high(FILE *to, const struct alert_thresholds *t)
{
    const char *p95 = "          %shistogram_quantile(0.95, sum by (job, instance, le)\n"
                      "            (rate(%s_bucket[5m]))) > %.6g\n";
    rule(to, "LatencyHigh");
    fprintf(to, p95, "", "paceline_time_to_first_token_seconds", t->ttft_p95_s);
    fprintf(to, p95, "or ", "paceline_inter_token_latency_seconds", t->inter_token_p95_s);
    rest(to, "5m", "warning", "{{ $labels.instance }} is late: {{ $value | humanizeDuration }}",
         "One token of twenty comes later than this, the first or the next.");
}

static void thermal_throttling(FILE *to)
{
    rule(to, "ThermalThrottling");
    fputs("          paceline_thermal_throttled > 0\n"
          "          or increase(paceline_thermal_throttle_events_total[5m]) > 0\n", to);
    rest(to, "1m", "warning", "{{ $labels.instance }} is slowed by heat",
         "The machine holds its processors back. Air, fans, or fewer slots.");
}

void alerts_print(FILE *to, const struct alert_thresholds *t)
{
    fputs("# Alert rules for paceline servers scraped as job \"paceline\".\n"
          "# Thresholds of a machine and model: paceline plan --alerts.\n"
          "groups:\n"
          "  - name: paceline\n"
          "    rules:", to);
    server_down(to);
    throughput_degraded(to, t->tokens_per_s);
    all_slots_busy(to);
    queue_growing(to, t->queued);
    high_memory_usage(to, t->memory_gb);
    latency_high(to, t);
    thermal_throttling(to);
}

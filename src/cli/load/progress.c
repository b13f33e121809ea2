#include "cli/load/progress.h"

#include <inttypes.h>

enum { LINE_COLUMNS = 79 };

/* Chunks a second since the oldest call remembered. */
static double recent_rate(struct progress_line *l, const struct load_progress *p)
{
    const size_t n = l->n_seen < PROGRESS_WINDOW ? l->n_seen : PROGRESS_WINDOW;
    const size_t oldest = n ? (l->n_seen - n) % PROGRESS_WINDOW : 0;
    const double since_s = n ? l->seen[oldest].at_s : 0;
    const uint64_t n_before = n ? l->seen[oldest].n_chunks : 0;
    l->seen[l->n_seen % PROGRESS_WINDOW].at_s = p->elapsed_s;
    l->seen[l->n_seen++ % PROGRESS_WINDOW].n_chunks = p->n_chunks;
    return p->elapsed_s > since_s ? (double)(p->n_chunks - n_before) / (p->elapsed_s - since_s) : 0;
}

void progress_line_text(struct progress_line *l, const struct load_progress *p, char *out,
                        size_t n_out)
{
    char total[32] = "", limit[32] = "";
    if (p->n_requests) snprintf(total, sizeof total, "/%" PRIu64, p->n_requests);
    if (p->duration_s > 0) snprintf(limit, sizeof limit, "/%.0f", p->duration_s);
    snprintf(out, n_out,
             "%s%" PRIu64 "%s done, %u running, %.0f tok/s, %" PRIu64 " errors, %.0f%s s",
             p->is_warmup ? "warm-up: " : "", p->n_done, total, p->n_running, recent_rate(l, p),
             p->n_failed, p->elapsed_s, limit);
}

void progress_line_show(void *arg, const struct load_progress *p)
{
    struct progress_line *l = arg;
    char text[LINE_COLUMNS];
    if (!l->to) return;
    progress_line_text(l, p, text, sizeof text);
    if (p->is_last) {
        fprintf(l->to, "\r%*s\r", LINE_COLUMNS - 1, "");
        l->n_seen = 0;
    } else {
        fprintf(l->to, "\r%-*s", LINE_COLUMNS - 1, text);
    }
}

#include "engine/stats.h"

#include <string.h>

/* The bounds that existing boards for LLM servers draw (vLLM's), so that they work unchanged. */
static const double ttft_bounds[] = { .001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75,
                                      1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560 };
static const double inter_token_bounds[] = { .01, .025, .05, .075, .1, .15, .2, .3, .4, .5,
                                             .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80 };
static const double long_bounds[] = { .3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60,
                                      120, 240, 480, 960, 1920, 7680 };

#define SET_BOUNDS(h, bounds)                                                                      \
    do {                                                                                           \
        _Static_assert(sizeof(bounds) <= sizeof (h)->bound_s, "too many bounds");                  \
        memcpy((h)->bound_s, bounds, sizeof(bounds));                                              \
        (h)->n_bounds = sizeof(bounds) / sizeof *(bounds);                                         \
    } while (0)

pl_status stats_open(struct stats *s, pl_err *err)
{
    memset(s, 0, sizeof *s);
    if (pthread_mutex_init(&s->lock, NULL)) return pl_fail(err, PL_E_MEMORY, "cannot make a lock");
    SET_BOUNDS(&s->now.ttft, ttft_bounds);
    SET_BOUNDS(&s->now.inter_token, inter_token_bounds);
    SET_BOUNDS(&s->now.queue, long_bounds);
    SET_BOUNDS(&s->now.prefill, long_bounds);
    SET_BOUNDS(&s->now.decode, long_bounds);
    SET_BOUNDS(&s->now.end_to_end, long_bounds);
    return PL_OK;
}

void stats_close(struct stats *s)
{
    pthread_mutex_destroy(&s->lock);
}

void stats_lock(struct stats *s)
{
    pthread_mutex_lock(&s->lock);
}

void stats_unlock(struct stats *s)
{
    pthread_mutex_unlock(&s->lock);
}

void stats_observe(pl_histogram *h, uint64_t ns)
{
    const double seconds = (double)ns * 1e-9;
    uint32_t i = 0;
    while (i < h->n_bounds && seconds > h->bound_s[i]) i++;
    if (i < h->n_bounds) h->count[i]++;
    h->n++;
    h->sum_s += seconds;
}

/* More kinds than there is room for are left out. */
void stats_operation(struct stats *s, const char *name, uint64_t ns, bool is_prefill)
{
    uint32_t i = 0;
    while (i < s->now.n_operations && strcmp(s->now.operation[i].name, name)) i++;
    if (i == PL_OPERATIONS_MAX) return;
    pl_operation *op = &s->now.operation[i];
    if (i == s->now.n_operations) {
        op->name = name;
        s->now.n_operations++;
    }
    *(is_prefill ? &op->prefill_ns : &op->decode_ns) += ns;
}

/* Empties the parts of the ring that time has passed over. */
static void move_window(struct stats *s, uint64_t now_ns)
{
    const uint64_t part = now_ns / STATS_PART_NS;
    if (part <= s->last_part) return;
    const uint64_t n = part - s->last_part;
    for (uint64_t i = 1; i <= n && i <= STATS_WINDOW_PARTS; i++)
        s->part[(s->last_part + i) % STATS_WINDOW_PARTS] = 0;
    s->last_part = part;
}

static uint64_t window_tokens(const struct stats *s)
{
    uint64_t n = 0;
    for (int i = 0; i < STATS_WINDOW_PARTS; i++) n += s->part[i];
    return n;
}

void stats_reply_tokens(struct stats *s, uint64_t now_ns, uint32_t n)
{
    if (n == 0) return;
    move_window(s, now_ns);
    if (window_tokens(s) == 0) s->window_begin_ns = now_ns;
    s->part[s->last_part % STATS_WINDOW_PARTS] += n;
    s->now.n_reply_tokens += n;
}

/* Over the window, or since the first token of it where that came later; at least half a second, so
 * that a first token is no burst. */
static double reply_rate(struct stats *s, uint64_t now_ns)
{
    move_window(s, now_ns);
    const uint64_t first_ns = (s->last_part + 1 - STATS_WINDOW_PARTS) * STATS_PART_NS;
    const uint64_t from_ns = s->window_begin_ns > first_ns ? s->window_begin_ns : first_ns;
    const double seconds = now_ns > from_ns ? (double)(now_ns - from_ns) * 1e-9 : 0;
    return (double)window_tokens(s) / (seconds > 0.5 ? seconds : 0.5);
}

/* The mean of about the last ten. */
void stats_left_queue(struct stats *s, uint64_t now_ns, uint32_t n, bool has_more)
{
    const double gap_s = (double)(now_ns - s->left_queue_ns) * 1e-9 / (n ? n : 1);
    double *mean = &s->now.queue_gap_s;
    if (n && s->left_queue_ns) *mean = *mean > 0 ? 0.9 * *mean + 0.1 * gap_s : gap_s;
    if (n || !has_more) s->left_queue_ns = has_more ? now_ns : 0;
}

static void accumulate(pl_histogram *h)
{
    for (uint32_t i = 1; i < h->n_bounds; i++) h->count[i] += h->count[i - 1];
}

void stats_copy(struct stats *s, uint64_t now_ns, pl_stats *out)
{
    *out = s->now;
    out->reply_tokens_per_s = reply_rate(s, now_ns);
    accumulate(&out->ttft);
    accumulate(&out->inter_token);
    accumulate(&out->queue);
    accumulate(&out->prefill);
    accumulate(&out->decode);
    accumulate(&out->end_to_end);
}

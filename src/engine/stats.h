/* Counters and histograms behind pl_stats_read.
 *
 * One lock guards all of it. The engine thread takes it once a step and updates what the step's
 * events imply before anyone can see them; readers copy. */
#ifndef ENGINE_STATS_H
#define ENGINE_STATS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { STATS_WINDOW_PARTS = 20, STATS_PART_NS = 250000000 };

struct stats {
    pthread_mutex_t lock;
    pl_stats now;               /* histograms: count[i] of observations in bucket i alone */
    uint64_t part[STATS_WINDOW_PARTS]; /* reply tokens of each quarter second, as a ring */
    uint64_t last_part;         /* number of the quarter second that was added to last */
    uint64_t window_begin_ns;   /* first token after a window without any */
    uint64_t left_queue_ns;     /* when some left the queue last and others stayed; else 0 */
};

pl_status stats_open(struct stats *s, pl_err *err);
void stats_close(struct stats *s);

void stats_lock(struct stats *s);
void stats_unlock(struct stats *s);

/* All below: with the lock held. */
void stats_observe(pl_histogram *h, uint64_t ns);
void stats_operation(struct stats *s, const char *name, uint64_t ns, bool is_prefill);
void stats_reply_tokens(struct stats *s, uint64_t now_ns, uint32_t n);

/* n leave the queue for a slot; has_more: others stay. */
void stats_left_queue(struct stats *s, uint64_t now_ns, uint32_t n, bool has_more);

/* Copies with cumulative histograms and the rate as of now. */
void stats_copy(struct stats *s, uint64_t now_ns, pl_stats *out);

#endif

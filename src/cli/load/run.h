/* Runs a load: one thread, one libcurl multi handle, all times of one monotonic clock.
 *
 * Closed loop: `concurrency` clients each send their next request when the last has ended, or
 * after a tenth of a second where it failed, so that a server that refuses is not flooded. Open
 * loop: requests arrive when arrivals.h says, whatever the server does; one that finds
 * max_in_flight running waits, and its scheduled_ns stays the time it arrived. Warm-up is a run of
 * its own before the counted one begins. */
#ifndef CLI_LOAD_RUN_H
#define CLI_LOAD_RUN_H

#include <signal.h>
#include <stddef.h>

#include "base/status.h"
#include "cli/load/options.h"
#include "cli/load/record.h"

struct load_run {
    struct load_record *records;    /* (n_records) in the order they ended */
    size_t n_records, capacity;
    uint64_t begin_ns;              /* of the counted run */
    uint64_t n_warmup, n_warmup_failed;
    bool was_interrupted;
};

struct load_progress {
    bool is_warmup, is_last;        /* is_last: the run is over, nothing follows */
    uint64_t n_done, n_failed, n_requests, n_chunks;
    uint32_t n_running;
    double elapsed_s, duration_s;
};

/* Called a few times a second. */
typedef void load_progress_fn(void *arg, const struct load_progress *p);

/* Ends early, keeping what has ended, when *stop becomes nonzero (a signal handler may set it).
 * Requests that failed are records, not a failure of this. Release with load_run_free, also after a
 * failure. */
pl_status load_run(struct load_run *out, const struct load_options *o,
                   const volatile sig_atomic_t *stop, load_progress_fn *progress, void *arg,
                   pl_err *err);
void load_run_free(struct load_run *run);

#endif

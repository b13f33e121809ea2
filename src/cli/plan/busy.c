#include "cli/plan/busy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Two measurements of a quiet machine agree to some percent; this one's reads swing more where
 * machines share a host. */
#define LEAST_SHARE 0.7

void measured_before(struct measured_twice *m)
{
    double average[1];
    *m = (struct measured_twice){ .load_average = -1,
                                  .n_processors = (double)sysconf(_SC_NPROCESSORS_ONLN) };
    if (getloadavg(average, 1) == 1) m->load_average = average[0];
}

static bool differ(const double pair[2], double *share)
{
    *share = fmin(pair[0], pair[1]) / fmax(pair[0], pair[1]);
    return *share < LEAST_SHARE;
}

bool measured_busy(const struct measured_twice *m, char *why, size_t n)
{
    double share;
    *why = '\0';
    if (m->load_average > m->n_processors)
        snprintf(why, n, "load average %.1f on %.0f processors", m->load_average, m->n_processors);
    else if (differ(m->macs_per_s, &share))
        snprintf(why, n, "of two measurements of its arithmetic one reached %.0f %% of the other",
                 100 * share);
    else if (differ(m->read_bytes_per_s, &share))
        snprintf(why, n, "of two measurements of its reads one reached %.0f %% of the other",
                 100 * share);
    return *why;
}

#include "backend/metal/pace.h"

double pace_expected_ns(uint64_t n_macs, uint64_t n_read_bytes)
{
    static const double ns_per_mac = 1e-3, ns_per_byte = 0.02, launch_ns = 2000;
    const double multiply = (double)n_macs * ns_per_mac, read = (double)n_read_bytes * ns_per_byte;
    return launch_ns + (multiply > read ? multiply : read);
}

bool pace_has_room(const struct pace *p, double recorded_ns, double next_ns)
{
    const double factor = p->factor > 0 ? p->factor : 1;
    return (recorded_ns + next_ns) * factor <= (double)p->budget_ns;
}

/* Of less than a millisecond the launch is the larger part, and says little. */
void pace_learn(struct pace *p, double expected_ns, uint64_t took_ns)
{
    static const uint64_t least_ns = 1000000;
    if (took_ns < least_ns || !(expected_ns > 0)) return;
    const double factor = (double)took_ns / expected_ns;
    if (factor > p->factor) p->factor = factor;
    else p->factor += (factor - p->factor) / 4;
}

void pace_halve(struct pace *p)
{
    p->budget_ns = p->budget_ns / 2 > PACE_LEAST_NS ? p->budget_ns / 2 : PACE_LEAST_NS;
}

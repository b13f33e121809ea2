/* What the control groups that this process is in grant it (Linux): its own group's limits and
 * those of every group above it, of version 2, of version 1, or of both side by side. Any
 * thread. */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include <stdint.h>

struct cgroup_limits {
    uint64_t memory_bytes;      /* the limit that leaves least; UINT64_MAX: there is none */
    uint64_t memory_left_bytes; /* below it: what can be dropped (inactive files) counts as free */
    double cpus;                /* CPUs' worth of time, the least quota; 0: there is none */
};

/* root: what stands before /proc and /sys, "" but in tests. What cannot be read sets no limit. */
struct cgroup_limits cgroup_limits_read(const char *root);

#endif

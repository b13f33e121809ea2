/* Which processors of a machine with several kinds of cores are worth a computing thread. Any
 * thread. */
#ifndef BASE_CPU_CORES_H
#define BASE_CPU_CORES_H

#include <stdint.h>

/* How many of these processors (by number) have at least half of the largest capacity among them:
 * threads wait for each other at every operation, so a core slower than that holds up more than it
 * computes. All of them where the system tells no capacities, as where all cores are alike. root:
 * what stands before /sys, "" but in tests. */
uint32_t cpu_fast_cores(const char *root, const uint32_t *cpu, uint32_t n_cpus);

#endif

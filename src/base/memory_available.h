/* How many bytes this process can still take without swapping. Any thread. */
#ifndef BASE_MEMORY_AVAILABLE_H
#define BASE_MEMORY_AVAILABLE_H

#include <stdint.h>

/* The smaller of what the machine has free (page cache counts as free) and what the process's
 * control groups still allow (cgroup.h); UINT64_MAX where the system does not say. */
uint64_t memory_available(void);

/* The same of a system whose files stand below `root`, for tests. */
uint64_t memory_available_at(const char *root);

#endif

/* How many bytes this process can still take without swapping. Any thread. */
#ifndef BASE_MEMORY_AVAILABLE_H
#define BASE_MEMORY_AVAILABLE_H

#include <stdint.h>

/* The smaller of what the machine has free (page cache counts as free) and what the process's
 * control group still allows; UINT64_MAX where the system does not say. */
uint64_t memory_available(void);

#endif

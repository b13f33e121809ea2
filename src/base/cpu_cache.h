/* How large the caches are that all of the machine's memory has to get past. Any thread. */
#ifndef BASE_CPU_CACHE_H
#define BASE_CPU_CACHE_H

#include <stdint.h>

/* Bytes of the last-level caches of all processors together, of a system whose files stand below
 * `root` ("" but in tests); 0 where the system does not say. */
uint64_t cpu_last_cache_bytes(const char *root);

#endif

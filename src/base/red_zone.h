/* Memory between the parts of an arena, which nobody may touch. AddressSanitizer is told, so that
 * it finds what runs over its part as it does in memory from malloc; in other builds red zones have
 * no byte, parts lie side by side and all of this is nothing. Any thread. */
#ifndef BASE_RED_ZONE_H
#define BASE_RED_ZONE_H

#include <stddef.h>

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define HAS_RED_ZONES 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__
#define HAS_RED_ZONES 1
#endif

#ifdef HAS_RED_ZONES
#include <sanitizer/asan_interface.h>

enum { RED_ZONE_BYTES = 64 };

static inline void red_zone_set(const void *from, size_t n_bytes)
{
    ASAN_POISON_MEMORY_REGION(from, n_bytes);
}

static inline void red_zone_lift(const void *from, size_t n_bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(from, n_bytes);
}
#else
enum { RED_ZONE_BYTES = 0 };

/* Until it is lifted, whoever touches these bytes is reported. */
static inline void red_zone_set(const void *from, size_t n_bytes)
{
    (void)from;
    (void)n_bytes;
}

/* Before memory is given out, or back to the system: what is mapped there later is another's. */
static inline void red_zone_lift(const void *from, size_t n_bytes)
{
    (void)from;
    (void)n_bytes;
}
#endif

#endif

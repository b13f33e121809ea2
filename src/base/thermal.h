/* What the operating system says of this machine being slowed, by heat or to save power, as far as
 * it tells without root.
 *
 * Linux: cooling devices that hold processors back, the processors' own counts of having been
 * slowed (x86), the platform profile. macOS: the thermal pressure level, low-power mode. Elsewhere,
 * and in virtual machines: nothing. */
#ifndef BASE_THERMAL_H
#define BASE_THERMAL_H

#include <stdbool.h>
#include <stdint.h>

struct thermal {
    bool tells_throttled, is_throttled; /* processors are held back now */
    bool tells_events;
    uint64_t n_events;                  /* since boot; an event of a package counts for each core */
    bool tells_pressure;
    uint32_t pressure;                  /* macOS: 0 nominal, 1 moderate, 2 heavy, 3 trapping, ... */
    bool tells_low_power, is_low_power; /* the owner or an empty battery asked for less power */
};

/* Any thread. */
void thermal_read(struct thermal *out);

/* macOS, where it is asked of an Objective-C object. */
bool thermal_is_low_power(void);

/* Linux's files below `root` instead of /sys. */
void thermal_read_sysfs(struct thermal *out, const char *root);

#endif

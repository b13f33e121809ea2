/* Events for people, one line each: PL_LOG(INFO, "kv", "evicted pages=%u", n). Never per token.
 * Any thread. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "paceline.h"

#define PL_LOG(level, subsystem, ...) log_write(PL_LOG_##level, subsystem, __VA_ARGS__)

void log_write(pl_log_level level, const char *subsystem, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

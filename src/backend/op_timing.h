/* Time by operation, for benchmarks: what every backend's timing and timings are made of. One
 * thread. */
#ifndef BACKEND_OP_TIMING_H
#define BACKEND_OP_TIMING_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { OP_TIMINGS_MAX = 24 };

struct op_timings {
    bool is_on;
    uint32_t n;
    const char *name[OP_TIMINGS_MAX];
    uint64_t ns[OP_TIMINGS_MAX];
};

static inline void op_timings_set(struct op_timings *t, bool on)
{
    t->is_on = on;
    t->n = 0;
}

/* An operation of a name beyond OP_TIMINGS_MAX is left out. */
static inline void op_timings_add(struct op_timings *t, const char *name, uint64_t ns)
{
    uint32_t i = 0;
    while (i < t->n && strcmp(t->name[i], name)) i++;
    if (i == OP_TIMINGS_MAX) return;
    if (i == t->n) {
        t->name[t->n] = name;
        t->ns[t->n++] = 0;
    }
    t->ns[i] += ns;
}

/* Hands out what was added since the last call; returns how many. */
static inline uint32_t op_timings_take(struct op_timings *t, const char **name, uint64_t *ns,
                                       uint32_t max)
{
    const uint32_t n = t->n < max ? t->n : max;
    memcpy(name, t->name, n * sizeof *name);
    memcpy(ns, t->ns, n * sizeof *ns);
    t->n = 0;
    return n;
}

#endif

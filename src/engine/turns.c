#include "engine/turns.h"

#include <assert.h>

uint32_t turns_entries(uint32_t n_streams)
{
    uint32_t n = 2;
    while (n < 2 * n_streams) n *= 2;
    return n;
}

void turns_open(struct turns *t, struct flow *flow, uint32_t n_entries)
{
    *t = (struct turns){ .flow = flow, .mask = n_entries - 1 };
}

static uint32_t home_of(const struct turns *t, uint64_t who)
{
    uint64_t z = who * 0x9e3779b97f4a7c15u;
    z ^= z >> 32;
    return (uint32_t)z & t->mask;
}

/* Its entry, or the free one that it would have. */
static uint32_t find(const struct turns *t, uint64_t who)
{
    uint32_t i = home_of(t, who);
    while (t->flow[i].n_streams && t->flow[i].who != who) i = (i + 1) & t->mask;
    return i;
}

/* Later entries move back, so that none is behind a gap. */
static void remove_entry(struct turns *t, uint32_t gap)
{
    for (uint32_t i = (gap + 1) & t->mask; t->flow[i].n_streams; i = (i + 1) & t->mask) {
        const uint32_t home = home_of(t, t->flow[i].who);
        if (((i - home) & t->mask) < ((i - gap) & t->mask)) continue;
        t->flow[gap] = t->flow[i];
        gap = i;
    }
    t->flow[gap] = (struct flow){ 0 };
    t->n_flows--;
}

int64_t turns_come(struct turns *t, uint64_t who, int32_t priority, uint32_t n_tokens)
{
    struct flow *f = &t->flow[find(t, who)];
    if (!f->n_streams) {
        assert(2 * t->n_flows <= t->mask);
        *f = (struct flow){ .who = who };
        t->n_flows++;
    }
    const int64_t start = f->end > t->now ? f->end : t->now;
    f->end = start + n_tokens;
    f->n_streams++;
    return start - (int64_t)priority * TURN_PRIORITY_TOKENS;
}

/* What it costs passes for all at the pace at which each is served. */
void turns_start(struct turns *t, int64_t rank, uint32_t n_tokens)
{
    if (t->now < rank) t->now = rank;
    t->now += n_tokens / (t->n_flows ? t->n_flows : 1) + 1;
}

void turns_leave(struct turns *t, uint64_t who, uint32_t n_unused)
{
    const uint32_t i = find(t, who);
    struct flow *f = &t->flow[i];
    assert(f->n_streams);
    f->end -= n_unused;
    if (!--f->n_streams) remove_entry(t, i);
}

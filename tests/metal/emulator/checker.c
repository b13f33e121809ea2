#include "checker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memory.h"

/* Whom a mark stands for, beside the thread that it names: others of the same kind at the same
 * time. */
enum many { ALONE, MANY_IN_SIMD, MANY_IN_GROUP, MANY_IN_GRID };

/* Who read or wrote a byte last, and when. */
struct mark {
    uint32_t group;             /* number + 1; 0: nobody */
    uint32_t pc;                /* from the library's start */
    uint16_t thread, epoch, simd_epoch;
    uint8_t many, is_atomic;
};

struct cell {
    struct mark read, write;
};

/* Memory of one kind that lies together. Bindings that overlap share one. */
struct region {
    uintptr_t low, high;
    struct cell *cells;         /* one a byte, untouched until used */
    bool is_shared;             /* threadgroup memory */
    int index;                  /* of the binding, for messages; -1: declared in the kernel */
};

enum { MAX_REGIONS = 2 * EMU_MAX_BUFFERS + 1 };

struct checker {
    const struct emu_dispatch *dispatch;
    uintptr_t image_low, image_high;
    uint32_t group;             /* number + 1 */
    int n_regions, last;
    struct region region[MAX_REGIONS];
};

/* ---- regions -------------------------------------------------------------------------------- */

static bool map_cells(struct region *r)
{
    r->cells = mmap(NULL, (r->high - r->low) * sizeof *r->cells, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r->cells != MAP_FAILED) return true;
    r->cells = NULL;
    return false;
}

static void add(struct checker *c, uintptr_t low, uint64_t n_bytes, bool is_shared, int index)
{
    struct region new = { low, low + n_bytes, NULL, is_shared, index };
    int kept = 0;
    if (!n_bytes) return;
    for (int i = 0; i < c->n_regions; i++) {        /* what overlaps becomes one */
        const struct region *r = &c->region[i];
        if (r->is_shared == is_shared && r->low < new.high && new.low < r->high) {
            if (r->low < new.low) new.low = r->low;
            if (r->high > new.high) new.high = r->high;
        } else {
            c->region[kept++] = *r;
        }
    }
    c->region[kept] = new;
    c->n_regions = kept + 1;
}

struct checker *checker_open(const struct emu_dispatch *dispatch, const struct worker *worker,
                             uintptr_t image_low, uintptr_t image_high)
{
    struct checker *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->dispatch = dispatch;
    c->image_low = image_low;
    c->image_high = image_high;
    for (int i = 0; i < EMU_MAX_BUFFERS; i++)
        if (dispatch->buffer[i].at)
            add(c, (uintptr_t)dispatch->buffer[i].at, dispatch->buffer[i].n_bytes, false, i);
    for (int i = 0; i < EMU_MAX_BUFFERS; i++)
        if (dispatch->shared_bytes[i])
            add(c, (uintptr_t)worker->group.shared[i], dispatch->shared_bytes[i], true, i);
    add(c, (uintptr_t)worker->static_shared, EMU_MAX_SHARED_BYTES, true, -1);
    for (int i = 0; i < c->n_regions; i++)
        if (!map_cells(&c->region[i])) {
            checker_close(c);
            return NULL;
        }
    return c;
}

void checker_close(struct checker *c)
{
    for (int i = 0; c && i < c->n_regions; i++) {
        struct region *r = &c->region[i];
        if (r->cells) munmap(r->cells, (r->high - r->low) * sizeof *r->cells);
    }
    free(c);
}

void checker_begin_group(struct checker *c, uint32_t group_number)
{
    c->group = group_number + 1;
}

static struct region *region_of(struct checker *c, uintptr_t at, uint64_t n_bytes)
{
    struct region *r = &c->region[c->last];
    if (at >= r->low && at + n_bytes <= r->high) return r;
    for (int i = 0; i < c->n_regions; i++) {
        r = &c->region[i];
        if (at >= r->low && at + n_bytes <= r->high) {
            c->last = i;
            return r;
        }
    }
    return NULL;
}

/* ---- order ---------------------------------------------------------------------------------- */

/* Whether what the mark stands for came before `me`, by a barrier or as it is the same thread. What
 * another group did to threadgroup memory is no concern: every group has its own. */
static inline bool is_ordered(const struct region *r, const struct mark *m, const struct mark *me)
{
    if (!m->group) return true;
    if (m->group != me->group) return r->is_shared;
    if (m->epoch != me->epoch) return true;
    if (m->thread == me->thread && m->many == ALONE) return true;
    return m->many <= MANY_IN_SIMD && m->thread / EMU_LANES == me->thread / EMU_LANES &&
           m->simd_epoch != me->simd_epoch;
}

/* The mark stands for `me`, too. */
static inline void join(const struct region *r, struct mark *m, const struct mark *me)
{
    const uint8_t many = m->group != me->group                             ? MANY_IN_GRID
                         : m->thread / EMU_LANES != me->thread / EMU_LANES ? MANY_IN_GROUP
                                                                           : MANY_IN_SIMD;
    if (is_ordered(r, m, me)) *m = *me;
    else if (many > m->many) m->many = many;
}

static void name_region(const struct region *r, char *text, size_t n)
{
    if (r->index < 0) snprintf(text, n, "threadgroup memory declared in the kernel");
    else if (r->is_shared) snprintf(text, n, "threadgroup memory(%d)", r->index);
    else snprintf(text, n, "buffer(%d)", r->index);
}

static _Noreturn void fail_race(struct worker *w, const struct checker *c, const struct region *r,
                                uintptr_t at, int kind, const struct mark *m, const struct mark *me,
                                bool was_write)
{
    const uintptr_t base = c->image_low;
    char where[64];
    name_region(r, where, sizeof where);
    emu_worker_fail(w, (const void *)(base + me->pc), (const void *)(base + m->pc),
                "race at byte %llu of %s: thread %u of group %u %s at %%1 what thread %u of group "
                "%u%s %s at %%2, with no barrier for %s memory between",
                (unsigned long long)(at - r->low), where, me->thread, me->group - 1,
                kind == EMU_READ ? "reads" : "writes", m->thread, m->group - 1,
                m->many ? " (and others)" : "", was_write ? "wrote" : "read",
                r->is_shared ? "threadgroup" : "device");
}

static inline void touch(struct worker *w, struct checker *c, struct region *r, uintptr_t at,
                         int kind, const struct mark *me)
{
    struct cell *cell = &r->cells[at - r->low];
    if (!is_ordered(r, &cell->write, me) && !(kind == EMU_ATOMIC && cell->write.is_atomic))
        fail_race(w, c, r, at, kind, &cell->write, me, true);
    if (kind == EMU_READ) {
        join(r, &cell->read, me);
        return;
    }
    if (!is_ordered(r, &cell->read, me)) fail_race(w, c, r, at, kind, &cell->read, me, false);
    if (kind == EMU_ATOMIC) join(r, &cell->write, me);
    else cell->write = *me;
}

/* ---- bounds --------------------------------------------------------------------------------- */

static _Noreturn void fail_bounds(struct worker *w, const struct checker *c, uintptr_t at,
                                  uint64_t n_bytes, int kind, const void *pc)
{
    const struct emu_fiber *f = w->group.now;
    const struct region *near = NULL;
    int64_t past = 0;
    const int unbound = memory_unbound_index((const void *)at);
    if (unbound >= 0)
        emu_worker_fail(w, pc, NULL, "buffer(%d) is not bound, and is used at %%1", unbound);
    for (int i = 0; i < c->n_regions; i++) {     /* the nearest that it is in part or just beside */
        const struct region *r = &c->region[i];
        const int64_t away = at < r->low ? (int64_t)(at - r->low)
                             : (int64_t)(at + n_bytes - r->high);
        if (!near || llabs(away) < llabs(past)) {
            near = r;
            past = away;
        }
    }
    char where[160] = "", name[64] = "";
    if (near) name_region(near, name, sizeof name);
    if (near && llabs(past) < 1 << 20)
        snprintf(where, sizeof where, ", %lld bytes %s %s of %llu bytes", (long long)llabs(past),
                 past < 0 ? "before" : "past the end of", name,
                 (unsigned long long)(near->high - near->low));
    emu_worker_fail(w, pc, NULL,
                "out of bounds: thread %u of group %u (%u, %u, %u) %s %llu bytes at %%1%s",
                f->index, c->group - 1, w->group.at[0], w->group.at[1], w->group.at[2],
                kind == EMU_READ ? "reads" : "writes", (unsigned long long)n_bytes, where);
}

void checker_access(struct emu_group *g, const volatile void *address, uint64_t n_bytes, int kind,
                    const void *pc)
{
    struct worker *w = (struct worker *)g;
    struct checker *c = w->checker;
    const uintptr_t at = (uintptr_t)address;
    uintptr_t low, high;

    emu_worker_stack(w, &low, &high);
    if (at >= low && at + n_bytes <= high) return;
    struct region *r = region_of(c, at, n_bytes);
    if (!r || (r->index < 0 && at + n_bytes > r->low + g->now->shared_bytes)) {
        if (kind == EMU_READ && at >= c->image_low && at + n_bytes <= c->image_high) return;
        fail_bounds(w, c, at, n_bytes, kind, pc);
    }
    const struct emu_simd *s = g->now->simd;
    const struct mark me = {
        .group = c->group, .thread = (uint16_t)g->now->index, .is_atomic = kind == EMU_ATOMIC,
        .epoch = (uint16_t)w->group_epoch[!r->is_shared],
        .simd_epoch = (uint16_t)s->epoch[!r->is_shared],
        .pc = (uint32_t)((uintptr_t)pc - c->image_low),
    };
    for (uint64_t i = 0; i < n_bytes; i++) touch(w, c, r, at + i, kind, &me);
}

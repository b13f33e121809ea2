#include "worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    PAGE = 4096, STACK_BYTES = 128 * 1024, STACK_STRIDE = STACK_BYTES + PAGE,
    COLOUR_BYTES = 448,     /* 7 cache lines: lanes' stacks shall not share the sets of a cache */
};

static _Thread_local struct worker *running;

struct worker *emu_worker_running(void)
{
    return running;
}

/* ---- switching ------------------------------------------------------------------------------ */

/* What is live is kept by the compiler, as all registers are said to change. A jump, not a return:
 * lanes in step go on at the same address, which the processor then foresees. */
static inline void switch_to(struct emu_fiber *from, struct emu_fiber *to)
{
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "movq %%rsp, 0(%0)\n\t"
                     "movq %%rax, 8(%0)\n\t"
                     "movq %%rbp, 16(%0)\n\t"
                     "movq 0(%1), %%rsp\n\t"
                     "movq 16(%1), %%rbp\n\t"
                     "jmpq *8(%1)\n"
                     "1:"
                     : "+D"(from), "+S"(to)
                     :
                     : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                       "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                       "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory",
                       "cc");
}

/* A new fiber begins here with the worker in rbp. */
void emu_fiber_start(void);
__asm__(".text\n"
        ".hidden emu_fiber_start\n"
        ".globl emu_fiber_start\n"
        "emu_fiber_start:\n\t"
        "movq %rbp, %rdi\n\t"
        "xorl %ebp, %ebp\n\t"
        "call emu_fiber_main\n\t"
        "ud2\n");

/* ---- whose turn it is ----------------------------------------------------------------------- */

static uint32_t random_below(struct worker *w, uint32_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)((w->random >> 32) * n >> 32);
}

static inline uint32_t runnable(const struct emu_simd *s)
{
    return s->present & ~(s->waiting | s->blocked | s->finished);
}

static inline uint32_t pick(struct worker *w, uint32_t lanes)
{
    if (w->order == EMU_ASCENDING) return (uint32_t)__builtin_ctz(lanes);
    if (w->order == EMU_DESCENDING) return 31 - (uint32_t)__builtin_clz(lanes);
    const uint32_t turn = random_below(w, EMU_LANES);
    const uint32_t turned = turn ? lanes >> turn | lanes << (32 - turn) : lanes;
    return ((uint32_t)__builtin_ctz(turned) + turn) % EMU_LANES;
}

static inline struct emu_fiber *fiber_of(struct worker *w, const struct emu_simd *s, uint32_t lane)
{
    return &w->fibers[(uint32_t)(s - w->simds) * EMU_LANES + lane];
}

/* A lane of this simdgroup, else of another; NULL: none can run. */
static struct emu_fiber *next_fiber(struct worker *w, const struct emu_simd *s)
{
    const uint32_t lanes = runnable(s);
    if (lanes) return fiber_of(w, s, pick(w, lanes));
    for (uint32_t i = 0; i < w->group.n_simds; i++) {
        const struct emu_simd *other = &w->simds[w->simd_order[i]];
        const uint32_t others = runnable(other);
        if (others) return fiber_of(w, other, pick(w, others));
    }
    return NULL;
}

static inline void go_to(struct worker *w, struct emu_fiber *to)
{
    struct emu_fiber *from = w->group.now;
    w->group.now = to;
    switch_to(from, to);
}

_Noreturn void emu_worker_fail(struct worker *w, const void *pc, const void *other,
                               const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(w->text, sizeof w->text, format, list);
    va_end(list);
    w->pc[0] = pc;
    w->pc[1] = other;
    w->has_failed = true;
    switch_to(w->group.now, &w->main);
    __builtin_unreachable();
}

/* ---- waiting -------------------------------------------------------------------------------- */

static uint32_t count(uint32_t lanes)
{
    return (uint32_t)__builtin_popcount(lanes);
}

/* Nobody can go on, or nobody of this simdgroup: what the others are at. */
static _Noreturn void fail_divergent(struct worker *w, const struct emu_simd *s, const char *what,
                                     const void *pc)
{
    const struct emu_fiber *self = w->group.now;
    uint32_t blocked = 0, finished = 0;
    const void *other = NULL;
    for (uint32_t t = 0; t < w->group.n_in_group; t++) {
        const struct emu_fiber *f = &w->fibers[t];
        const uint32_t bit = 1u << f->lane;
        if (s && f->simd != s) continue;
        blocked += (f->simd->blocked & bit) != 0;
        finished += (f->simd->finished & bit) != 0;
        if (f != self && ((f->simd->blocked | f->simd->waiting) & bit) && !other) other = f->pc;
    }
    emu_worker_fail(w, pc, other,
                "divergent: thread %u of the group is at %s, %%1, which others do not reach: of %u "
                "threads of its %s %u returned, %u are at a threadgroup_barrier%s",
                self->index, what, s ? count(s->present) : w->group.n_in_group,
                s ? "simdgroup" : "group", finished, blocked, other ? ", one at %2" : "");
}

void worker_meet(struct emu_group *g, const void *kind, const char *what,
                 void (*combine)(struct emu_simd *))
{
    struct worker *w = (struct worker *)g;
    struct emu_fiber *self = g->now;
    struct emu_simd *s = self->simd;

    if (!s->waiting) {
        s->kind = kind;
        s->what = what;
    } else if (__builtin_expect(s->kind != kind, 0)) {
        const void *other = fiber_of(w, s, (uint32_t)__builtin_ctz(s->waiting))->pc;
        emu_worker_fail(w, __builtin_return_address(0), other,
                    "divergent: lane %u of a simdgroup is at %s, %%1, while lane %d is at %s, %%2",
                    self->lane, what, __builtin_ctz(s->waiting), s->what);
    }
    s->waiting |= 1u << self->lane;
    if (s->waiting == s->present) {
        s->waiting = 0;
        combine(s);
        return;
    }
    self->pc = __builtin_return_address(0);
    const uint32_t lanes = runnable(s);
    if (__builtin_expect(!lanes, 0)) fail_divergent(w, s, what, self->pc);
    go_to(w, fiber_of(w, s, pick(w, lanes)));
}

static void pass(struct emu_simd *s)
{
    s->epoch[0] += (s->flags & EMU_MEM_THREADGROUP) != 0;
    s->epoch[1] += (s->flags & EMU_MEM_DEVICE) != 0;
}

void worker_simd_barrier(struct emu_group *g, uint32_t flags)
{
    static const char kinds[4];
    g->now->simd->flags = flags;
    worker_meet(g, &kinds[flags & 3], "simdgroup_barrier", pass);
}

void worker_barrier(struct emu_group *g, uint32_t flags)
{
    struct worker *w = (struct worker *)g;
    struct emu_fiber *self = g->now;
    struct emu_simd *s = self->simd;

    self->pc = __builtin_return_address(0);
    s->blocked |= 1u << self->lane;
    if (++w->n_blocked == g->n_in_group) {
        w->n_blocked = 0;
        for (uint32_t i = 0; i < g->n_simds; i++) w->simds[i].blocked = 0;
        w->group_epoch[0] += (flags & EMU_MEM_THREADGROUP) != 0;
        w->group_epoch[1] += (flags & EMU_MEM_DEVICE) != 0;
        return;
    }
    struct emu_fiber *next = next_fiber(w, s);
    if (!next) fail_divergent(w, NULL, "threadgroup_barrier", self->pc);
    go_to(w, next);
}

/* Kernels declare in the same order in all threads, which the place follows from. */
void *worker_shared(struct emu_group *g, uint64_t n_bytes, uint64_t align)
{
    struct worker *w = (struct worker *)g;
    const uint64_t at = (g->now->shared_bytes + align - 1) / align * align;
    if (w->shared_bytes + at + n_bytes > EMU_MAX_SHARED_BYTES)
        emu_worker_fail(w, __builtin_return_address(0), NULL,
                    "threadgroup memory: %llu bytes are declared in the kernel and %u given by the "
                    "dispatch, more than %d",
                    (unsigned long long)(at + n_bytes), w->shared_bytes, EMU_MAX_SHARED_BYTES);
    g->now->shared_bytes = (uint32_t)(at + n_bytes);
    if (g->now->shared_bytes > w->static_bytes) w->static_bytes = g->now->shared_bytes;
    return w->static_shared + at;
}

/* ---- a threadgroup -------------------------------------------------------------------------- */

__attribute__((visibility("hidden"), used)) void emu_fiber_main(struct worker *w)
{
    struct emu_group *g = &w->group;
    w->entry->run(g);
    struct emu_simd *s = g->now->simd;
    s->finished |= 1u << g->now->lane;
    if (++w->n_finished == g->n_in_group) switch_to(g->now, &w->main);
    struct emu_fiber *next = next_fiber(w, s);
    if (next) go_to(w, next);
    /* all others wait: say so in the name of the first of them */
    for (uint32_t t = 0; t < g->n_in_group; t++) {
        struct emu_fiber *f = &w->fibers[t];
        if (f->simd->finished >> f->lane & 1) continue;
        const bool at_barrier = f->simd->blocked >> f->lane & 1;
        g->now = f;
        fail_divergent(w, at_barrier ? NULL : f->simd,
                       at_barrier ? "threadgroup_barrier" : f->simd->what, f->pc);
    }
    __builtin_unreachable();
}

static void start_fiber(struct worker *w, uint32_t index)
{
    struct emu_fiber *f = &w->fibers[index];
    char *top = w->stacks + (size_t)(index + 1) * STACK_STRIDE;
    const uint32_t *n = w->group.n_threads;
    f->sp = top - f->lane * COLOUR_BYTES - 64;
    f->ip = (void *)emu_fiber_start;
    f->bp = w;
    f->shared_bytes = 0;
    f->at[0] = index % n[0];
    f->at[1] = index / n[0] % n[1];
    f->at[2] = index / n[0] / n[1];
}

static void order_simds(struct worker *w)
{
    const uint32_t n = w->group.n_simds;
    for (uint32_t i = 0; i < n; i++)
        w->simd_order[i] = (uint8_t)(w->order == EMU_DESCENDING ? n - 1 - i : i);
    for (uint32_t i = n; w->order == EMU_SHUFFLED && i > 1; i--) {
        const uint32_t other = random_below(w, i);
        const uint8_t kept = w->simd_order[i - 1];
        w->simd_order[i - 1] = w->simd_order[other];
        w->simd_order[other] = kept;
    }
}

/* With NaN, of halves as of floats; only what the group before may have written. */
static void fill_shared(struct worker *w)
{
    const uint32_t dynamic = w->shared_bytes ? w->shared_bytes + EMU_MAX_BUFFERS * 64u : 0;
    memset(w->shared + WORKER_SHARED_BYTES - dynamic, 0xff, dynamic);
    memset(w->static_shared, 0xff, w->static_bytes);
    w->static_bytes = 0;
}

bool emu_worker_run(struct worker *w, const uint32_t at[3])
{
    struct emu_group *g = &w->group;
    memcpy(g->at, at, sizeof g->at);
    fill_shared(w);
    w->n_blocked = w->n_finished = 0;
    w->group_epoch[0] = w->group_epoch[1] = 0;
    g->n_simds = (g->n_in_group + EMU_LANES - 1) / EMU_LANES;
    for (uint32_t i = 0; i < g->n_simds; i++) {
        struct emu_simd *s = &w->simds[i];
        const uint32_t rest = g->n_in_group - i * EMU_LANES;
        s->n_lanes = rest < EMU_LANES ? rest : EMU_LANES;
        s->present = s->n_lanes == EMU_LANES ? ~0u : (1u << s->n_lanes) - 1;
        s->waiting = s->blocked = s->finished = 0;
        s->epoch[0] = s->epoch[1] = 0;
    }
    for (uint32_t t = 0; t < g->n_in_group; t++) start_fiber(w, t);
    order_simds(w);
    g->now = next_fiber(w, &w->simds[w->simd_order[0]]);
    running = w;
    switch_to(&w->main, g->now);
    running = NULL;
    return !w->has_failed;
}

void emu_worker_stack(const struct worker *w, uintptr_t *low, uintptr_t *high)
{
    *low = (uintptr_t)w->stacks + (uintptr_t)w->group.now->index * STACK_STRIDE + PAGE;
    *high = *low + STACK_BYTES;
}

/* ---- life ----------------------------------------------------------------------------------- */

struct worker *emu_worker_open(void)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->fibers = calloc(EMU_MAX_THREADS, sizeof *w->fibers);
    w->simds = aligned_alloc(64, EMU_MAX_SIMDS * sizeof *w->simds);
    w->shared = emu_memory_take(WORKER_SHARED_BYTES);
    w->static_shared = emu_memory_take(WORKER_SHARED_BYTES);
    w->stacks = mmap(NULL, (size_t)EMU_MAX_THREADS * STACK_STRIDE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w->stacks == MAP_FAILED) w->stacks = NULL;
    w->static_bytes = EMU_MAX_SHARED_BYTES;
    if (!w->fibers || !w->simds || !w->shared || !w->static_shared || !w->stacks) {
        emu_worker_close(w);
        return NULL;
    }
    memset(w->simds, 0, EMU_MAX_SIMDS * sizeof *w->simds);
    for (uint32_t i = 0; i < EMU_MAX_THREADS; i++) {
        struct emu_fiber *f = &w->fibers[i];
        mprotect(w->stacks + (size_t)i * STACK_STRIDE, PAGE, PROT_NONE);
        f->index = i;
        f->lane = i % EMU_LANES;
        f->simd_index = i / EMU_LANES;
        f->simd = &w->simds[f->simd_index];
    }
    return w;
}

void emu_worker_close(struct worker *w)
{
    if (!w) return;
    if (w->stacks) munmap(w->stacks, (size_t)EMU_MAX_THREADS * STACK_STRIDE);
    emu_memory_give(w->static_shared);
    emu_memory_give(w->shared);
    free(w->simds);
    free(w->fibers);
    free(w);
}

/* Memory whose end is guarded, and what becomes of accesses that hit a guard. */
#include "memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "worker.h"

enum { PAGE = 4096, ALIGN = 64 };

/* Before what is given, at the start of its first page. */
struct head {
    char *map;
    uint64_t map_bytes;
};

void *emu_memory_take(uint64_t n_bytes)
{
    const uint64_t used = (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
    const uint64_t map_bytes = (ALIGN + used + PAGE - 1) / PAGE * PAGE + PAGE;
    char *map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return NULL;
    mprotect(map + map_bytes - PAGE, PAGE, PROT_NONE);
    char *at = map + map_bytes - PAGE - used;
    *(struct head *)(at - ALIGN) = (struct head){ map, map_bytes };
    return at;
}

void emu_memory_give(void *memory)
{
    if (!memory) return;
    const struct head head = *(struct head *)((char *)memory - ALIGN);
    munmap(head.map, head.map_bytes);
}

/* ---- buffers that are not bound ------------------------------------------------------------- */

enum { UNBOUND_SHIFT = 32 };    /* 4 GiB of address space a buffer: none of it can be touched */

static char *unbound;

void *memory_unbound(int index)
{
    if (!unbound) {
        void *map = mmap(NULL, (uint64_t)EMU_MAX_BUFFERS << UNBOUND_SHIFT, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED) return NULL;
        unbound = map;
    }
    return unbound + ((uint64_t)index << UNBOUND_SHIFT);
}

int memory_unbound_index(const void *at)
{
    const uint64_t away = (uint64_t)((const char *)at - unbound);
    return unbound && away >> UNBOUND_SHIFT < EMU_MAX_BUFFERS ? (int)(away >> UNBOUND_SHIFT) : -1;
}

/* ---- faults --------------------------------------------------------------------------------- */

static struct sigaction old_segv, old_bus, old_fpe;
static const struct emu_dispatch *dispatched;

/* Into which buffer, or past which end. */
static void describe(char *text, size_t n, const char *at)
{
    int64_t least = INT64_MAX;
    const int index = memory_unbound_index(at);
    snprintf(text, n, "out of bounds: an access at %%1 to address %p", (const void *)at);
    if (index >= 0) snprintf(text, n, "buffer(%d) is not bound, and is used at %%1", index);
    for (int i = 0; i < EMU_MAX_BUFFERS && index < 0; i++) {
        const char *end = (const char *)dispatched->buffer[i].at + dispatched->buffer[i].n_bytes;
        if (!dispatched->buffer[i].at || at < end || at - end >= least) continue;
        least = at - end;
        if (least < 1 << 20)
            snprintf(text, n,
                     "out of bounds: an access at %%1, %lld bytes past the end of buffer(%d)",
                     (long long)least, i);
    }
}

/* In a fiber: the worker goes on where it switched to the fiber. */
static void on_fault(int signal, siginfo_t *info, void *context)
{
    struct worker *w = emu_worker_running();
    greg_t *reg = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (!w) {                   /* not ours: as it was before */
        sigaction(signal, signal == SIGSEGV ? &old_segv : signal == SIGBUS ? &old_bus : &old_fpe,
                  NULL);
        return;
    }
    if (signal == SIGFPE) snprintf(w->text, sizeof w->text, "an integer is divided by zero at %%1");
    else describe(w->text, sizeof w->text, info->si_addr);
    w->pc[0] = (const void *)(reg[REG_RIP] + 1);    /* as if it were the address of a return */
    w->pc[1] = NULL;
    w->has_failed = true;
    reg[REG_RIP] = (greg_t)w->main.ip;
    reg[REG_RSP] = (greg_t)w->main.sp;
    reg[REG_RBP] = (greg_t)w->main.bp;
}

static _Thread_local stack_t old_stack;
static _Thread_local void *signal_stack;

bool memory_watch_thread(void)
{
    enum { STACK_BYTES = 64 * 1024 };
    if (!signal_stack) signal_stack = malloc(STACK_BYTES);
    if (!signal_stack) return false;
    const stack_t stack = { .ss_sp = signal_stack, .ss_size = STACK_BYTES };
    return sigaltstack(&stack, &old_stack) == 0;
}

void memory_unwatch_thread(void)
{
    sigaltstack(&old_stack, NULL);
    free(signal_stack);
    signal_stack = NULL;
}

void memory_watch(const struct emu_dispatch *dispatch)
{
    struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
    action.sa_sigaction = on_fault;
    sigemptyset(&action.sa_mask);
    dispatched = dispatch;
    sigaction(SIGSEGV, &action, &old_segv);
    sigaction(SIGBUS, &action, &old_bus);
    sigaction(SIGFPE, &action, &old_fpe);
}

void memory_unwatch(void)
{
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
    sigaction(SIGFPE, &old_fpe, NULL);
}

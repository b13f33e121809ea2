#include "base/lazy_memory.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

pl_status lazy_memory_open(void **out, size_t n_bytes, pl_err *err)
{
    *out = NULL;
    void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return pl_fail(err, PL_E_MEMORY, "cannot reserve %zu bytes of address space: %s", n_bytes,
                       strerror(errno));
    *out = memory;
    return PL_OK;
}

void lazy_memory_close(void *memory, size_t n_bytes)
{
    if (memory) munmap(memory, n_bytes);
}

void lazy_memory_forget(void *memory, size_t n_bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)memory + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)memory + n_bytes) / page * page;
    if (end <= first) return;
#ifdef __APPLE__
    madvise((void *)first, end - first, MADV_FREE);     /* DONTNEED keeps pages there */
#else
    madvise((void *)first, end - first, MADV_DONTNEED);
#endif
}

size_t lazy_memory_round(size_t n_bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (n_bytes + page - 1) / page * page;
}

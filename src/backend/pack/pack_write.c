/* The payload is written block by block, each gathered in a buffer first: one hash, one large
 * aligned write. A file system with large folios then keeps the file in huge pages, which later
 * maps profit from; writes matrix by matrix would cut them into small ones. */
#include "backend/pack/pack_write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct writing {
    const struct cache_writer *to;
    const struct pack_header *header;
    const struct pack_entry *entry;
    uint8_t *const *const *at;
    uint64_t *block_hash;       /* (n_blocks) */
    uint8_t *buffer;            /* (n_threads, PACK_BLOCK_BYTES) */
    atomic_int error;           /* errno of a failed write. Relaxed: read after the run */
};

static int write_all(int fd, const uint8_t *bytes, size_t n, uint64_t offset)
{
    while (n > 0) {
        const ssize_t written = pwrite(fd, bytes, n, (off_t)offset);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return written < 0 ? errno : EIO;
        bytes += written;
        n -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

/* Copies payload bytes [first, first + n), which may begin and end inside matrices. */
static void gather(const struct writing *w, uint64_t first, size_t n, uint8_t *to)
{
    uint32_t low = 0, high = w->header->n_entries;      /* the last entry that starts by `first` */
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (w->entry[middle].offset <= first) low = middle;
        else high = middle;
    }
    memset(to, 0, n);
    for (uint32_t i = low; i < w->header->n_entries && w->entry[i].offset < first + n; i++) {
        const struct pack_entry *e = &w->entry[i];
        const uint64_t from = e->offset > first ? e->offset : first;
        uint64_t end = e->offset + e->n_bytes;
        if (end > first + n) end = first + n;
        if (from < end)
            memcpy(to + (from - first), *w->at[i] + (from - e->offset), end - from);
    }
}

static void write_share(void *arg, uint32_t id, uint32_t n_threads)
{
    struct writing *w = arg;
    const struct pack_header *h = w->header;
    uint8_t *buffer = w->buffer + (size_t)id * PACK_BLOCK_BYTES;

    for (uint64_t i = id; i < h->n_blocks; i += n_threads) {
        const uint64_t first = i * PACK_BLOCK_BYTES, left = h->payload_bytes - first;
        const size_t n = left < PACK_BLOCK_BYTES ? (size_t)left : PACK_BLOCK_BYTES;
        if (atomic_load_explicit(&w->error, memory_order_relaxed)) return;
        gather(w, first, n, buffer);
        w->block_hash[i] = hash64(buffer, n);
        const int error = write_all(w->to->fd, buffer, n, h->payload_offset + first);
        if (error) atomic_store_explicit(&w->error, error, memory_order_relaxed);
    }
}

/* head: header and tables, one after the other, as the file has them. */
static pl_status write_parts(struct cache_writer *to, uint8_t *head, uint8_t *buffer,
                             uint8_t *const *const *at, struct thread_pool *pool, pl_err *err)
{
    struct pack_header *h = (struct pack_header *)head;
    const struct pack_entry *entry = (const struct pack_entry *)(h + 1);
    struct writing w = { .to = to, .header = h, .entry = entry, .at = at,
                         .block_hash = (uint64_t *)(uintptr_t)(entry + h->n_entries),
                         .buffer = buffer };
    thread_pool_run(pool, write_share, &w);
    int error = atomic_load_explicit(&w.error, memory_order_relaxed);
    pack_header_seal(h, entry);
    if (!error) error = write_all(to->fd, head, sizeof *h + pack_tables_bytes(h), 0);
    if (!error) return PL_OK;
    return pl_fail(err, PL_E_IO, "%s/%s: %s", to->dir->path, to->name, strerror(error));
}

pl_status pack_write(struct cache_writer *w, const struct pack_key *key, struct pack_entry *entry,
                     uint8_t *const *const *at, uint32_t n, struct thread_pool *pool,
                     pl_err *err)
{
    const struct pack_header h = pack_header_of(key, entry, n);
    uint8_t *head = calloc(1, sizeof h + pack_tables_bytes(&h));
    uint8_t *buffer = malloc((size_t)thread_pool_n(pool) * PACK_BLOCK_BYTES);
    pl_status st = PL_OK;

    if (head && buffer) {
        memcpy(head, &h, sizeof h);
        memcpy(head + sizeof h, entry, n * sizeof *entry);
        st = write_parts(w, head, buffer, at, pool, err);
    } else {
        st = pl_fail(err, PL_E_MEMORY, "no memory to write %s/%s", w->dir->path, w->name);
    }
    free(head);
    free(buffer);
    if (!st) return cache_write_commit(w, err);
    cache_write_abandon(w);
    return st;
}

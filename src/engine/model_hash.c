#include "engine/model_hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum { MEMO_VERSION = 1 };

static const int64_t settled_ns = 2000000000;

/* The file's bytes: this, the identities of the parts, and hash64 of all that. */
struct memo {
    char magic[8];              /* "plmodel\0" */
    uint32_t byte_order, version;
    uint32_t n_parts, zero;
    struct hash128 content;
    struct file_identity part[];
};

struct memo_file {
    char name[CACHE_NAME_MAX];
    size_t n_bytes;             /* with the hash at the end */
    struct memo *expected;      /* all but the content is known before */
};

static size_t hashed_bytes(const struct memo_file *f)
{
    return f->n_bytes - sizeof(uint64_t);
}

static pl_status memo_open(struct memo_file *f, const struct gguf *g, pl_err *err)
{
    char *path = realpath(g->part[0].path, NULL);
    *f = (struct memo_file){
        .n_bytes = sizeof *f->expected + g->n_parts * sizeof f->expected->part[0] + sizeof(uint64_t)
    };
    f->expected = calloc(1, f->n_bytes);
    if (!path || !f->expected) {
        free(path);
        free(f->expected);
        return pl_fail(err, path ? PL_E_MEMORY : PL_E_IO, "%s: cannot be told from other models",
                       g->part[0].path);
    }
    snprintf(f->name, sizeof f->name, "model-%016" PRIx64 ".id", hash64(path, strlen(path)));
    free(path);
    memcpy(f->expected->magic, "plmodel", 8);
    f->expected->byte_order = 0x01020304;
    f->expected->version = MEMO_VERSION;
    f->expected->n_parts = g->n_parts;
    for (uint32_t i = 0; i < g->n_parts; i++) f->expected->part[i] = g->part[i].identity;
    return PL_OK;
}

/* A missing, damaged or outdated memory is the same as none. */
static bool recall(const struct memo_file *f, const struct cache_dir *dir, struct hash128 *out)
{
    bool is_good = false;
    int fd;
    if (cache_dir_find(dir, f->name, &fd, NULL) != PL_OK || fd < 0) return false;
    struct memo *found = malloc(f->n_bytes + 1);
    if (found && pread(fd, found, f->n_bytes + 1, 0) == (ssize_t)f->n_bytes) {
        uint64_t hash;
        memcpy(&hash, (const uint8_t *)found + hashed_bytes(f), sizeof hash);
        is_good = hash == hash64(found, hashed_bytes(f));
        *out = found->content;
        found->content = f->expected->content;
        is_good = is_good && !memcmp(found, f->expected, hashed_bytes(f));
    }
    free(found);
    close(fd);
    return is_good;
}

static bool is_settled(const struct gguf *g)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    const int64_t now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    for (uint32_t i = 0; i < g->n_parts; i++) {
        const struct file_identity *f = &g->part[i].identity;
        if (f->mtime_ns > now - settled_ns || f->ctime_ns > now - settled_ns) return false;
    }
    return true;
}

static pl_status remember(struct memo_file *f, const struct cache_dir *dir, struct hash128 content,
                          pl_err *err)
{
    struct cache_writer w;
    f->expected->content = content;
    const uint64_t hash = hash64(f->expected, hashed_bytes(f));
    memcpy((uint8_t *)f->expected + hashed_bytes(f), &hash, sizeof hash);
    const pl_status st = cache_write_begin(&w, dir, f->name, f->n_bytes, err);
    if (st) return st;
    if (pwrite(w.fd, f->expected, f->n_bytes, 0) == (ssize_t)f->n_bytes)
        return cache_write_commit(&w, err);
    cache_write_abandon(&w);
    return pl_fail(err, PL_E_IO, "%s/%s: cannot be written", dir->path, f->name);
}

/* The hash of the sizes and hashes of the parts. */
static pl_status read_all(const struct gguf *g, uint32_t n_threads, struct hash128 *out,
                          pl_err *err)
{
    struct {
        uint64_t n_bytes;
        struct hash128 hash;
    } *part = calloc(g->n_parts, sizeof *part);
    struct thread_pool *pool = NULL;
    if (!part) return pl_fail(err, PL_E_MEMORY, "no memory for %" PRIu32 " hashes", g->n_parts);
    pl_status st = thread_pool_open(&pool, n_threads, err);
    for (uint32_t i = 0; i < g->n_parts && !st; i++) {
        part[i].n_bytes = g->part[i].n_bytes;
        st = hash128_by_team(pool, g->part[i].data, g->part[i].n_bytes, &part[i].hash, err);
    }
    thread_pool_close(pool);
    if (!st) *out = hash128(part, g->n_parts * sizeof *part);
    free(part);
    for (uint32_t i = 0; i < g->n_parts && !st; i++)
        if (!file_map_is_current(&g->part[i]))
            st = pl_fail(err, PL_E_IO, "%s: changed while it was read", g->part[i].path);
    return st;
}

pl_status model_hash(const struct gguf *g, const struct cache_dir *dir, uint32_t n_threads,
                     struct hash128 *out, bool *was_known, pl_err *err)
{
    struct memo_file f;
    pl_err why = { 0 };
    pl_status st = memo_open(&f, g, err);
    if (st) return st;
    *was_known = recall(&f, dir, out);
    if (!*was_known) {
        st = read_all(g, n_threads, out, err);
        if (!st && is_settled(g) && remember(&f, dir, *out, &why) == PL_E_IO)
            PL_LOG(WARN, "pack", "%s; the model file is read again at the next start", why.text);
    }
    free(f.expected);
    return st;
}

#include "backend/pack/pack_cache.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/pack/pack_write.h"
#include "base/cache_dir.h"
#include "base/file_map.h"
#include "base/log.h"

struct pack_cache {
    struct cache_dir dir;
    struct pack_key key;
    char start[CACHE_NAME_MAX];     /* of the names of all versions */
    char name[CACHE_NAME_MAX];

    struct file_map map;            /* closed: nothing usable was found */
    struct pack_view view;

    /* What was loaded, in order: for the writer. */
    struct pack_entry *entry;       /* (capacity) */
    uint8_t ***at;                  /* (capacity) */
    uint32_t n, capacity;
    bool differs;                   /* from the file that is mapped, or there is none */
    bool is_out_of_memory;          /* the lists are not complete: nothing can be written */
};

/* ---- the file that is there ----------------------------------------------------------------- */

struct checking {
    const struct pack_view *view;
    atomic_uint_fast64_t next;      /* relaxed: it only gives out numbers */
    atomic_bool is_bad;             /* relaxed: read after the run */
};

static void check_blocks(void *arg, uint32_t id, uint32_t n_threads)
{
    struct checking *c = arg;
    (void)id, (void)n_threads;
    while (!atomic_load_explicit(&c->is_bad, memory_order_relaxed)) {
        const uint64_t i = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);
        if (i >= c->view->header->n_blocks) return;
        if (!pack_block_is_good(c->view, i))
            atomic_store_explicit(&c->is_bad, true, memory_order_relaxed);
    }
}

static pl_status check_all(struct pack_view *view, const struct file_map *map,
                           const struct pack_key *key, struct thread_pool *pool, pl_err *err)
{
    const pl_status st = pack_file_check(view, map->data, map->n_bytes, key, err);
    if (st) return st;
    struct checking c = { .view = view };
    thread_pool_run(pool, check_blocks, &c);
    if (!atomic_load_explicit(&c.is_bad, memory_order_relaxed)) return PL_OK;
    return pl_fail(err, PL_E_FORMAT, "its weights are damaged");
}

/* Maps the file and checks all of it; *map stays closed where there is none. */
static pl_status map_file(const struct pack_cache *c, struct file_map *map, struct pack_view *view,
                          struct thread_pool *pool, pl_err *err)
{
    int fd;
    pl_err why = { 0 };
    *map = (struct file_map){ 0 };
    pl_status st = cache_dir_find(&c->dir, c->name, &fd, err);
    if (st || fd < 0) return st;
    st = file_map_open_fd(map, fd, c->name, err);
    close(fd);
    if (st) return st;
    file_map_want_huge_pages(map);
    st = check_all(view, map, &c->key, pool, &why);
    if (!st) return PL_OK;
    file_map_close(map);
    return pl_fail(err, st, "%s/%s: %s", c->dir.path, c->name, why.text);
}

struct pack_cache *pack_cache_open(const char *dir, const struct pack_key *key,
                                   struct thread_pool *pool)
{
    pl_err why;
    struct pack_cache *c = calloc(1, sizeof *c);
    if (!c || cache_dir_open(&c->dir, dir, &why)) {
        PL_LOG(WARN, "pack", "%s; weights are packed in memory", c ? why.text : "no memory");
        free(c);
        return NULL;
    }
    c->key = *key;
    snprintf(c->start, sizeof c->start, "%016" PRIx64 "%016" PRIx64 "-%s-v", key->model.high,
             key->model.low, key->target);
    snprintf(c->name, sizeof c->name, "%.90s%d.%" PRIu64 ".pack", c->start, PACK_FILE_VERSION,
             key->layout_version);
    if (map_file(c, &c->map, &c->view, pool, &why))
        PL_LOG(WARN, "pack", "%s; it is written anew", why.text);
    c->differs = !c->map.data;
    return c;
}

void pack_cache_close(struct pack_cache *c)
{
    if (!c) return;
    file_map_close(&c->map);
    cache_dir_close(&c->dir);
    free(c->entry);
    free(c->at);
    free(c);
}

/* ---- loading -------------------------------------------------------------------------------- */

static bool make_room(struct pack_cache *c)
{
    if (c->n < c->capacity) return true;
    const uint32_t capacity = c->capacity ? 2 * c->capacity : 256;
    struct pack_entry *entry = realloc(c->entry, capacity * sizeof *entry);
    if (entry) c->entry = entry;
    uint8_t ***at = realloc(c->at, capacity * sizeof *at);
    if (at) c->at = at;
    if (!entry || !at) return false;
    c->capacity = capacity;
    return true;
}

static bool is_same(const struct pack_entry *a, const struct pack_entry *b)
{
    return a->name_hash == b->name_hash && a->type == b->type && a->n_rows == b->n_rows &&
           a->n_k == b->n_k && a->format == b->format && a->n_bytes == b->n_bytes;
}

/* Entries are in loading order, so the n-th matrix is the n-th entry's or the file is of no use
 * from here on. */
bool pack_cache_take(struct pack_cache *c, const struct pack_weight *w, uint8_t **at)
{
    const struct pack_entry e = {
        .name_hash = hash64(w->name, strlen(w->name)), .type = w->type, .n_rows = w->n_rows,
        .n_k = w->n_k, .format = w->format, .n_bytes = w->n_bytes,
    };
    c->is_out_of_memory = c->is_out_of_memory || !make_room(c);
    if (c->is_out_of_memory) return false;
    const uint32_t i = c->n++;
    c->entry[i] = e;
    c->at[i] = at;
    if (!c->differs)
        c->differs = i >= c->view.header->n_entries || !is_same(&c->view.entry[i], &e);
    if (c->differs) return false;
    *at = (uint8_t *)(uintptr_t)(c->view.payload + c->view.entry[i].offset);
    return true;
}

/* ---- after loading -------------------------------------------------------------------------- */

/* All matrices from now on lie in this file, which has them all. */
static void move_into(struct pack_cache *c, struct file_map map, struct pack_view view)
{
    for (uint32_t i = 0; i < c->n; i++)
        *c->at[i] = (uint8_t *)(uintptr_t)(view.payload + view.entry[i].offset);
    file_map_close(&c->map);
    c->map = map;
    c->view = view;
    c->differs = false;
}

static bool has_all(const struct pack_cache *c, const struct pack_view *view)
{
    if (view->header->n_entries != c->n) return false;
    for (uint32_t i = 0; i < c->n; i++)
        if (!is_same(&view->entry[i], &c->entry[i])) return false;
    return true;
}

/* Maps what is there now and moves into it, if it may; false: it is of no use. */
static bool use_file(struct pack_cache *c, struct thread_pool *pool, bool may_move)
{
    struct file_map map;
    struct pack_view view;
    if (map_file(c, &map, &view, pool, NULL) || !map.data) return false;
    const bool is_good = has_all(c, &view);
    if (is_good && may_move) move_into(c, map, view);
    else file_map_close(&map);
    return is_good;
}

static pl_status write_file(struct pack_cache *c, struct thread_pool *pool, bool may_move,
                            pl_err *err)
{
    struct cache_writer w;
    const struct pack_header h = pack_header_of(&c->key, c->entry, c->n);
    pl_status st = cache_write_begin(&w, &c->dir, c->name, h.payload_offset + h.payload_bytes, err);
    if (use_file(c, pool, may_move)) {  /* another process was faster: its file is as good */
        if (!st) cache_write_abandon(&w);
        return PL_OK;
    }
    if (st) return st;
    st = pack_write(&w, &c->key, c->entry, (uint8_t *const *const *)c->at, c->n, pool, err);
    if (st) return st;
    const uint32_t n_old = cache_dir_remove_versions(&c->dir, c->start, ".pack", c->name);
    PL_LOG(INFO, "pack", "written file=\"%s/%s\" bytes=%" PRIu64 " old_removed=%" PRIu32,
           c->dir.path, c->name, h.payload_offset + h.payload_bytes, n_old);
    if (!use_file(c, pool, may_move))
        PL_LOG(WARN, "pack", "%s/%s: cannot be read back; this process keeps its own copy",
               c->dir.path, c->name);
    return PL_OK;
}

bool pack_cache_finish(struct pack_cache *c, struct thread_pool *pool, bool may_move)
{
    pl_err why = { .text = "no memory" };
    c->differs = c->differs || c->is_out_of_memory || c->n != c->view.header->n_entries;
    pl_status st = PL_OK;
    if (c->differs) st = c->is_out_of_memory ? PL_E_MEMORY : write_file(c, pool, may_move, &why);
    if (st) PL_LOG(WARN, "pack", "%s; this process keeps its own copy of the weights", why.text);
    if (!c->differs)
        PL_LOG(INFO, "pack", "mapped file=\"%s/%s\" bytes=%" PRIu64, c->dir.path, c->name,
               c->view.header->payload_bytes);
    return !c->differs;
}

const void *pack_cache_mapped(const struct pack_cache *c, uint64_t *n_bytes)
{
    const bool is_used = c && !c->differs;
    *n_bytes = is_used ? c->view.header->payload_bytes : 0;
    return is_used ? c->view.payload : NULL;
}

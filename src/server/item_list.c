#include "server/item_list.h"

#include <stdlib.h>

#include "base/hash.h"

enum { FIRST_CAPACITY = 16 };

static bool has_room(struct item_list *l)
{
    if (l->n < l->capacity) return true;
    const size_t capacity = l->capacity ? 2 * l->capacity : FIRST_CAPACITY;
    struct item_mark *more = realloc(l->mark, capacity * sizeof *more);
    if (!more) return false;
    l->mark = more;
    l->capacity = capacity;
    return true;
}

void item_list_add(struct item_list *l, const char *id, size_t n_id, const char *text, size_t n)
{
    if (l->n) strbuf_add_str(&l->text, ",");
    const size_t at = l->text.n;
    strbuf_add(&l->text, text, n);
    l->failed = l->failed || l->text.failed || !has_room(l);
    if (!l->failed) l->mark[l->n++] = (struct item_mark){ hash64(id, n_id), at, n };
}

size_t item_list_find(const struct item_list *l, const char *id, size_t n_id)
{
    const uint64_t wanted = hash64(id, n_id);
    size_t i = 0;
    while (i < l->n && l->mark[i].id_hash != wanted) i++;
    return i;
}

size_t item_list_bytes(const struct item_list *l)
{
    return l->text.capacity + l->capacity * sizeof *l->mark;
}

void item_list_free(struct item_list *l)
{
    strbuf_free(&l->text);
    free(l->mark);
    *l = (struct item_list){ 0 };
}

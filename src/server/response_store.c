#include "server/response_store.h"

#include <stdlib.h>
#include <string.h>

struct stored {
    struct stored *older, *newer;
    struct response_record is;      /* id is owned */
    size_t n_bytes;
};

static size_t bytes_of(const struct response_record *r)
{
    return sizeof(struct stored) + strlen(r->id) + 1 + r->document.capacity +
           item_list_bytes(&r->items);
}

static void free_one(struct stored *one)
{
    if (!one) return;
    free((void *)(uintptr_t)one->is.id);
    strbuf_free(&one->is.document);
    item_list_free(&one->is.items);
    free(one);
}

/* ---- under the lock ------------------------------------------------------------------------- */

static void take_out(struct response_store *s, struct stored *one)
{
    *(one->older ? &one->older->newer : &s->oldest) = one->newer;
    *(one->newer ? &one->newer->older : &s->newest) = one->older;
    s->n--;
    s->n_bytes -= one->n_bytes;
    free_one(one);
}

static void put_in(struct response_store *s, struct stored *one)
{
    while (s->oldest && (s->n >= s->max_responses || s->n_bytes + one->n_bytes > s->max_bytes))
        take_out(s, s->oldest);
    one->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = one;
    s->newest = one;
    s->n++;
    s->n_bytes += one->n_bytes;
}

static struct stored *find(const struct response_store *s, uint32_t key_number, const char *id)
{
    struct stored *one = s->newest;
    while (one && (one->is.key_number != key_number || strcmp(one->is.id, id))) one = one->older;
    return one;
}

static void add_part(const struct response_record *r, enum stored_part part, struct strbuf *to)
{
    const struct item_list *l = &r->items;
    if (part == STORED_DOCUMENT) {
        strbuf_add(to, r->document.bytes, r->document.n);
        return;
    }
    const size_t n = part == STORED_INPUT ? r->n_input : l->n;
    const size_t n_bytes = n ? l->mark[n - 1].at + l->mark[n - 1].n_bytes : 0;
    strbuf_add_str(to, "[");
    if (n_bytes) strbuf_add(to, l->text.bytes, n_bytes);
    strbuf_add_str(to, "]");
}

/* ---- what others call ----------------------------------------------------------------------- */

bool response_store_open(struct response_store *s, size_t max_responses, size_t max_bytes)
{
    *s = (struct response_store){ .max_responses = max_responses, .max_bytes = max_bytes };
    s->is_open = !pthread_mutex_init(&s->lock, NULL);
    return s->is_open;
}

void response_store_clear(struct response_store *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->oldest) take_out(s, s->oldest);
    pthread_mutex_unlock(&s->lock);
}

void response_store_close(struct response_store *s)
{
    if (!s->is_open) return;
    response_store_clear(s);
    pthread_mutex_destroy(&s->lock);
    s->is_open = false;
}

void response_store_put(struct response_store *s, struct response_record *record)
{
    struct stored *one = calloc(1, sizeof *one);
    char *id = strdup(record->id);
    bool is_kept = one && id && !record->document.failed && !record->items.failed;
    if (is_kept) {
        one->is = *record;
        one->is.id = id;
        one->n_bytes = bytes_of(&one->is);
        is_kept = s->max_responses && one->n_bytes <= s->max_bytes;
    }
    if (is_kept) {
        pthread_mutex_lock(&s->lock);
        put_in(s, one);
        pthread_mutex_unlock(&s->lock);
    } else {
        strbuf_free(&record->document);
        item_list_free(&record->items);
        free(id);
        free(one);
    }
    record->document = (struct strbuf){ 0 };
    record->items = (struct item_list){ 0 };
}

bool response_store_get(struct response_store *s, uint32_t key_number, const char *id,
                        enum stored_part part, struct strbuf *to)
{
    pthread_mutex_lock(&s->lock);
    const struct stored *one = find(s, key_number, id);
    if (one) add_part(&one->is, part, to);
    pthread_mutex_unlock(&s->lock);
    return one != NULL;
}

bool response_store_item(struct response_store *s, uint32_t key_number, const char *id, size_t n_id,
                         struct strbuf *to)
{
    bool is_found = false;
    pthread_mutex_lock(&s->lock);
    for (const struct stored *one = s->newest; one && !is_found; one = one->older) {
        const struct item_list *l = &one->is.items;
        if (one->is.key_number != key_number) continue;
        const size_t i = item_list_find(l, id, n_id);
        is_found = i < l->n;
        if (is_found) strbuf_add(to, l->text.bytes + l->mark[i].at, l->mark[i].n_bytes);
    }
    pthread_mutex_unlock(&s->lock);
    return is_found;
}

bool response_store_drop(struct response_store *s, uint32_t key_number, const char *id)
{
    pthread_mutex_lock(&s->lock);
    struct stored *one = find(s, key_number, id);
    if (one) take_out(s, one);
    pthread_mutex_unlock(&s->lock);
    return one != NULL;
}

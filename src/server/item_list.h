/* Items of a conversation as JSON text, each to be found by its id. */
#ifndef SERVER_ITEM_LIST_H
#define SERVER_ITEM_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

struct item_mark {
    uint64_t id_hash;
    size_t at, n_bytes;             /* where it stands in the text */
};

/* A zeroed one is empty. Failure is sticky, as a strbuf's is. */
struct item_list {
    struct strbuf text;             /* objects, a comma between two */
    struct item_mark *mark;         /* (n) */
    size_t n, capacity;
    bool failed;
};

/* Appends a copy of an object's text. */
void item_list_add(struct item_list *l, const char *id, size_t n_id, const char *text, size_t n);

/* The place of the first item of that id, or n. Ids are compared by their hashes. */
size_t item_list_find(const struct item_list *l, const char *id, size_t n_id);

size_t item_list_bytes(const struct item_list *l);
void item_list_free(struct item_list *l);

#endif

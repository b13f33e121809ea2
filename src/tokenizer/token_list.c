#include <stdlib.h>

#include "tokenizer/token_list.h"

pl_status token_list_push(struct token_list *list, int32_t id, pl_err *err)
{
    if (list->n == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 256;
        int32_t *ids = realloc(list->ids, capacity * sizeof *ids);
        if (!ids) return pl_fail(err, PL_E_MEMORY, "no memory for %zu tokens", capacity);
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->n++] = id;
    return PL_OK;
}

void token_list_free(struct token_list *list)
{
    free(list->ids);
    *list = (struct token_list){ 0 };
}

/* The input of a response as items of one form: each has its type and an id, and content comes in
 * parts. That is what the API gives back, and what a conversation that goes on is made of. */
#ifndef SERVER_DIALECTS_RESPONSES_ITEMS_H
#define SERVER_DIALECTS_RESPONSES_ITEMS_H

#include "server/completion.h"
#include "server/request_fields.h"

/* Appends what `input` holds: a string, or an array of items. Any thread. */
void responses_items_read(struct fields *f, const struct completion *c, json_t *to);

#endif

/* Items of a conversation as the messages of a chat. */
#ifndef SERVER_DIALECTS_RESPONSES_MESSAGES_H
#define SERVER_DIALECTS_RESPONSES_MESSAGES_H

#include <jansson.h>

/* A new array; NULL: out of memory. items: as responses_items.h has them. Any thread. */
json_t *responses_messages(const json_t *instructions, const json_t *items);

#endif

/* Responses that clients may come back to: the document, and the conversation that led to it. In
 * memory alone; the oldest make room for new ones.
 *
 * I1  At most max_responses are kept, and max_bytes of all of them together.
 * I2  Who asks gets those of its own API key (by its number; 0: no keys are wanted) and no others.
 *
 * Any thread: one lock guards everything, and what is given out is a copy. */
#ifndef SERVER_RESPONSE_STORE_H
#define SERVER_RESPONSE_STORE_H

#include <pthread.h>

#include "server/item_list.h"

enum { STORE_MAX_RESPONSES = 256, STORE_MAX_BYTES = 64 << 20 };

struct stored;

struct response_store {
    pthread_mutex_t lock;           /* guards what follows */
    bool is_open;
    struct stored *oldest, *newest;
    size_t n, n_bytes, max_responses, max_bytes;
};

bool response_store_open(struct response_store *s, size_t max_responses, size_t max_bytes);
void response_store_close(struct response_store *s);
void response_store_clear(struct response_store *s);

/* What is kept of a response. */
struct response_record {
    uint32_t key_number;
    const char *id;                 /* copied */
    struct strbuf document;
    struct item_list items;         /* the conversation with its reply; the first n_input came in */
    size_t n_input;
};

/* Takes document and items, which are empty afterwards. What is larger than everything may be, or
 * finds no memory, is not kept. */
void response_store_put(struct response_store *s, struct response_record *record);

enum stored_part {
    STORED_DOCUMENT,
    STORED_INPUT,                   /* an array of items */
    STORED_CONVERSATION,            /* likewise, with the reply's */
};

/* Appends it. False: that key has no such response. */
bool response_store_get(struct response_store *s, uint32_t key_number, const char *id,
                        enum stored_part part, struct strbuf *to);

/* Appends an item of any response of that key, by its id. */
bool response_store_item(struct response_store *s, uint32_t key_number, const char *id, size_t n_id,
                         struct strbuf *to);

bool response_store_drop(struct response_store *s, uint32_t key_number, const char *id);

#endif

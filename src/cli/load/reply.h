/* Reads one reply of a chat or text completion, streamed or whole, into a record. Knows bytes and
 * times, no sockets.
 *
 * A chunk is an event with generated text: content, reasoning, a piece of a tool call. Comments,
 * the role that opens a chat, the usage that ends it and empty text are none. A stream has ended
 * well when "[DONE]" came, or a finish_reason and then the end of the transfer. */
#ifndef CLI_LOAD_REPLY_H
#define CLI_LOAD_REPLY_H

#include <stddef.h>

#include "cli/load/record.h"
#include "cli/load/sse.h"

struct load_reply {             /* zeroed: nothing came */
    struct load_record *record; /* the request's; set before anything else */
    bool wants_stream;
    bool has_head, is_events, has_event, has_done, has_finish;
    uint64_t now_ns;            /* of the bytes being read */
    struct sse sse;
    struct strbuf body;         /* of a reply that is not a stream */
};

/* Once, before the first bytes. `content_type` may be NULL. */
void load_reply_head(struct load_reply *r, int status, const char *content_type);

void load_reply_bytes(struct load_reply *r, const char *bytes, size_t n_bytes, uint64_t now_ns);

/* The transfer is over: sets the record's outcome. `transport` is LOAD_OK where it ended well,
 * else what went wrong with `text`. Frees what was collected; the reply may be used for another
 * record. */
void load_reply_end(struct load_reply *r, enum load_outcome transport, const char *text);

#endif

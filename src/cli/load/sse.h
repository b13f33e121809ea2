/* Server-sent events out of a reply's bytes, however the network cut them.
 *
 * As the HTML standard reads an event stream: lines end in LF, CR or CRLF, a line that begins with
 * a colon is a comment (a keep-alive), "data" lines of one event are joined by LF, an empty line
 * ends the event, and one that the stream's end cut short is dropped. Other fields are skipped. */
#ifndef CLI_LOAD_SSE_H
#define CLI_LOAD_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

enum { SSE_MAX_EVENT_BYTES = 16 << 20 };

struct sse {                    /* zeroed: at the beginning of a stream */
    struct strbuf line;         /* what came of a line that has not ended */
    struct strbuf data;         /* what came of an event that has not ended */
    bool has_data, has_begun, is_after_cr;
};

/* `data` is zero-terminated and stays until the call returns. */
typedef void sse_event_fn(void *arg, const char *data, size_t n_bytes);

/* Calls `on_event` for each event that ends within these bytes. False: out of memory, or an event
 * of more than SSE_MAX_EVENT_BYTES; the stream cannot go on. */
bool sse_feed(struct sse *s, const char *bytes, size_t n_bytes, sse_event_fn *on_event, void *arg);

/* Back to the beginning of a stream. */
void sse_free(struct sse *s);

#endif

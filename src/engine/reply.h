/* From picked tokens to the events of a reply. Engine thread. */
#ifndef ENGINE_REPLY_H
#define ENGINE_REPLY_H

#include "engine/stream.h"

/* In the place of a token: the stream's grammar is complete. */
enum { PICKED_COMPLETE = -2 };

/* What turns tokens into text; the buffer belongs to the engine thread. */
struct reply_context {
    const struct tokenizer *tokenizer;
    char *text;                 /* STOP_MAX_BYTES, then layout.max_text_bytes */
    struct stats *stats;        /* locked by the caller */
};

/* Takes a picked token: event, text, stop strings. Returns how the stream finishes with it,
 * PL_FINISH_NONE: it goes on. *stop_index: the matching stop string or -1. */
pl_finish reply_token(const struct reply_context *c, struct pl_stream *s,
                      const struct picked *picked, uint64_t now_ns, int32_t *stop_index);

/* The last event, with the text that was held back; counts the stream in the statistics. */
void reply_end(const struct reply_context *c, struct pl_stream *s, pl_finish finish,
               int32_t stop_index, uint64_t now_ns);

#endif

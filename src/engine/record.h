/* An event as it lies in a stream's ring: this, then (n_top) pl_token_prob, or with PL_EVENT_END
 * the pl_usage, then the text. */
#ifndef ENGINE_RECORD_H
#define ENGINE_RECORD_H

#include "engine/stream_pool.h"

struct record {
    uint32_t kind;              /* pl_event_kind */
    int32_t token;
    float logprob;
    uint32_t n_top;
    uint32_t n_text_bytes;
    uint32_t finish;            /* pl_finish */
    int32_t stop_index;
    uint32_t reserved;          /* keeps what follows aligned to 8 */
};

void record_emit(struct pl_stream *s, const struct record *r, const pl_token_prob *top,
                 const pl_usage *usage, const char *text);

/* Bytes of the largest record. */
static inline size_t record_max_bytes(const struct stream_layout *l)
{
    return sizeof(struct record) + PICK_MAX_TOP * sizeof(pl_token_prob) + sizeof(pl_usage) +
           l->max_text_bytes;
}

#endif

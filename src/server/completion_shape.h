/* The documents of chat.completion, chat.completion.chunk and text_completion. */
#ifndef SERVER_COMPLETION_SHAPE_H
#define SERVER_COMPLETION_SHAPE_H

#include "server/completion.h"

void shape_take_logprobs(const struct completion *c, struct choice *ch, const pl_event *e);
void shape_chunk_first(struct completion *c, uint32_t choice);   /* role, or echo */
void shape_chunk_event(struct completion *c, uint32_t choice, const pl_event *e);
void shape_chunk_usage(struct completion *c);
void shape_document(struct completion *c, struct strbuf *to);

#endif

/* One request for text being answered: its streams and what they have produced so far. */
#ifndef SERVER_COMPLETION_H
#define SERVER_COMPLETION_H

#include "server/exchange.h"
#include "server/request.h"

struct prompt {
    pl_tokens tokens;           /* until they are submitted */
    size_t n_tokens;
    struct strbuf echo;         /* what comes before the reply; with `echo` */
};

/* One reply: choices[i] of the answer. */
struct choice {
    pl_stream *stream;
    uint32_t prompt;            /* which prompt it answers */
    struct strbuf text;         /* the whole reply; not kept while streaming */
    struct strbuf logprobs;     /* elements of the logprobs arrays, as JSON */
    struct strbuf token_logprobs, top_logprobs, text_offset;    /* completions only */
    size_t n_characters;        /* of echo and tokens so far: the next token's text_offset */
    bool has_started, has_ended;
    pl_finish finish;
    pl_usage usage;
};

struct completion {
    struct exchange *exchange;
    pl_engine *engine;
    struct request request;     /* what points into the body was taken out of it by the start */
    char *model;                /* as the request named it; NULL: not named */
    struct prompt *prompt;      /* (n_prompts) */
    uint32_t n_prompts, n_choices, n_ended;
    struct choice *choice;      /* (n_choices) */
    char id[48];
    uint64_t created_s;
    struct strbuf out;          /* streaming: what is to be sent, from out_at on */
    size_t out_at;
    bool is_finished;           /* everything is in `out` */
};

/* completion_shape.c: the documents */
const char *completion_model(const struct completion *c);
void shape_take_logprobs(const struct completion *c, struct choice *ch, const pl_event *e);
void shape_chunk_first(struct completion *c, uint32_t choice);   /* role, or echo */
void shape_chunk_event(struct completion *c, uint32_t choice, const pl_event *e);
void shape_chunk_usage(struct completion *c);
void shape_document(struct completion *c, struct strbuf *to);

#endif

/* One request for text being answered: its streams and what they have produced so far. It is made
 * by route_completion.c, filled by completion_prompts.c and events.c, and told by its dialect. */
#ifndef SERVER_COMPLETION_H
#define SERVER_COMPLETION_H

#include <stdatomic.h>

#include "base/strbuf.h"
#include "server/reply_reader.h"
#include "server/request.h"

struct dialect;
struct exchange;

struct prompt {
    pl_tokens tokens;           /* until they are submitted, or told with their logprobs */
    size_t n_tokens;
    struct strbuf echo;         /* what comes before the reply; with `echo`, or of chats with -v */
    bool is_thinking;           /* it ends where thoughts begin */
};

/* One reply: choices[i] of the answer. */
struct choice {
    pl_stream *stream;
    uint32_t prompt;            /* which prompt it answers */
    struct strbuf text;         /* the whole reply; not kept while streaming, nor with a reader */
    struct reply_reader reader; /* of chats: tells thoughts, content and calls apart */
    uint32_t n_calls_told;      /* streaming */
    /* streaming, where replies come in parts: the one that goes on, and how many were begun */
    enum { PART_NONE, PART_THOUGHTS, PART_CONTENT } open_part;
    uint32_t n_parts;
    struct strbuf logprobs;     /* elements of the logprobs arrays, as JSON */
    struct strbuf token_ids;    /* likewise, where the dialect tells them */
    struct strbuf token_logprobs, top_logprobs, text_offset;    /* completions only */
    size_t n_characters;        /* of echo and tokens so far: the next token's text_offset */
    uint32_t n_tokens;          /* so far */
    bool has_started, has_ended;
    bool has_new_line;          /* likewise */
    atomic_bool is_cancelled;   /* the client wants no more of it: stored before the stream is
                                 * cancelled, read when it has ended */
    bool has_prompt_logprobs;   /* those of a prompt that is echoed are among the logprobs */
    pl_finish finish;
    int32_t stop_index;         /* as pl_event has it */
    pl_usage usage;
};

struct completion {
    struct exchange *exchange;
    pl_engine *engine;
    const struct dialect *dialect;
    struct request request;     /* what points into the body was taken out of it by the start */
    const struct tool_syntax *syntax;   /* of the calls that replies may hold; NULL: none */
    json_t *tools;              /* as reply_reader has them */
    json_t *stops;              /* an array: the request's stop strings */
    struct prompt *prompt;      /* (n_prompts) */
    uint32_t n_prompts, n_choices, n_ended;
    struct choice *choice;      /* (n_choices) */
    char id[48];
    void *own;                  /* the dialect's, and how it is released; NULL: nothing */
    void (*free_own)(void *own);
    uint64_t created_s;
    struct strbuf out;          /* streaming: what is to be sent, from out_at on */
    size_t out_at;
    bool is_finished;           /* everything is in `out` */
};

/* Of all choices, as far as they came. */
struct completion_sums {
    uint64_t n_prompt, n_cached, n_reply;
    uint64_t queue_ns, prefill_ns, decode_ns;   /* the longest */
};

/* It ended otherwise than by its own end. */
static inline bool finish_is_failure(pl_finish finish)
{
    return finish == PL_FINISH_ERROR || finish == PL_FINISH_CANCELLED;
}

void completion_cancel(struct completion *c);   /* any thread, while watched */
/* One reply ends, the others go on. Likewise. */
void completion_cancel_choice(struct completion *c, uint32_t choice);
/* It ended otherwise than by its own end, and not because the client wants no more of it. */
bool choice_has_failed(const struct choice *ch);
void completion_free(struct completion *c);     /* with its streams */
/* The stop string that ended the reply, or NULL. */
const char *completion_stop_string(const struct completion *c, const struct choice *ch);

struct completion_sums completion_sums(const struct completion *c);

#endif

/* What a body of /v1/chat/completions or /v1/completions asks for, checked. */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include <jansson.h>

#include "paceline.h"
#include "server/infill.h"
#include "server/server.h"
#include "server/tool_form.h"

enum {
    REQUEST_MAX_STOPS = 16,
    REQUEST_MAX_STOP_BYTES = 256,
    REQUEST_MAX_STOP_TOKENS = 64,
    REQUEST_MAX_BREAKERS = 32,
    REQUEST_MAX_BREAKER_BYTES = 40,
    REQUEST_MAX_BIASES = 1024,
    REQUEST_MAX_REPLIES = 64,
    REQUEST_MAX_PROMPTS = 64,
};

/* What form the reply has; source NULL: any. */
struct request_grammar {
    pl_grammar_kind kind;
    char *source;                   /* owned */
    const char *param;              /* the member that said so */
    const char *trigger[3];         /* where it begins; n_triggers 0: at once */
    size_t n_triggers;
    bool triggers_at_start;
    bool is_optional;               /* done without where it cannot be compiled */
};

struct request {
    bool is_chat, stream, include_usage, echo;
    const char *model;              /* as named; NULL: not named */
    uint32_t n;                     /* replies to each prompt */
    uint32_t max_tokens;            /* 0: to the end of the context */
    bool no_reply;                  /* the prompt is read; the one token is not told */
    pl_sampling sampling;           /* bias points to `bias` */
    bool has_seed;
    pl_logit_bias *bias;            /* owned */
    struct bias_text {              /* owned: (n_bias_texts) */
        const char *text;
        float bias;                 /* of all its tokens */
    } *bias_text;
    size_t n_bias_texts;
    const char *breaker[REQUEST_MAX_BREAKERS];      /* where sampling.dry_breaker points, if the
                                     * request has some of its own */
    const char *stop[REQUEST_MAX_STOPS];
    size_t n_stop;
    int32_t stop_tokens[REQUEST_MAX_STOP_TOKENS];
    size_t n_stop_tokens;
    uint32_t min_tokens;            /* before an end token or one of these may come */
    bool has_thought_limit;         /* of chats: thoughts have max_thought_tokens at most */
    uint32_t max_thought_tokens;
    bool logprobs, ignore_eos, computes_prompt;
    int32_t priority;
    const char *user;               /* who asks, where no key tells; NULL */
    uint32_t n_top_logprobs;
    struct request_grammar grammar;
    bool has_tools;                 /* the reply may call some */
    bool has_one_call;              /* at most */
    json_t *tools;                  /* owned; as reply_reader has them */
    bool splits_thoughts;
    const json_t *prompt;           /* completions: a string, strings, ids or arrays of ids */
    struct infill infill;           /* completions: prefix NULL: nothing is to be filled in */
    char **chat;                    /* chat: (n_chats) conversations as pl_chat_prompt takes them;
                                     * owned */
    uint32_t n_chats;
};

struct request_defaults {
    pl_sampling sampling;
    uint32_t max_tokens;
    bool has_seed, ignore_eos;
    int32_t max_priority;
    const json_t *template_kwargs;  /* an object, or NULL */
    const struct tool_form *tools;  /* syntax NULL: the model calls none */
};

/* What is wrong with a request: the parameter's name and a sentence. */
struct request_error {
    const char *param;
    char text[PL_ERR_TEXT_BYTES];
};

/* False: *error says why. Strings point into `body`, which must outlive the request. */
bool request_parse(struct request *out, const json_t *body, bool is_chat,
                   const struct request_defaults *defaults, struct request_error *error);
void request_free(struct request *r);

#endif

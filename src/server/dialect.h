/* How a family of routes speaks: what its bodies mean in OpenAI's members, and how replies are
 * told. Each family is a file below dialects/; request.c and the engine know nothing of them.
 *
 * All functions but `choose`, `translate` and `keep` write to c->out (of a stream) or `to`;
 * libmicrohttpd's thread. */
#ifndef SERVER_DIALECT_H
#define SERVER_DIALECT_H

#include <microhttpd.h>

#include "server/completion.h"

#define EVENT_STREAM "text/event-stream; charset=utf-8"
#define EVENT_COMMENT ": ping\n\n"

/* The body with OpenAI's members, a new reference; strings stay the body's. NULL: *error says why
 * not. What the dialect wants to know of the body later, it keeps in c->own; of the completion only
 * exchange and id are there yet. Any thread. */
typedef json_t *translate_fn(struct completion *c, const json_t *body, struct request_error *error);

struct dialect {
    const char *id_prefix;          /* of a reply's id, with what stands between: "cmpl-" */
    bool is_chat;                   /* a conversation: replies hold thoughts, content and calls */
    const char *stream_type;        /* a stream's Content-Type */
    const char *ping;               /* what tells a client that waits that the stream lives; NULL:
                                     * nothing can */

    bool takes_several;             /* conversations in one request: a choice for each */
    bool is_silent;                 /* there is no reply: `end`, or `document`, is the answer */

    /* Which of the family speaks for this body. Absent: this one. Any thread. */
    const struct dialect *(*choose)(const json_t *body);
    translate_fn *translate;        /* absent: the body's members are OpenAI's */
    /* What the body calls OpenAI's member, where an error is told; absent: the same. Any thread. */
    const char *(*param_name)(const struct completion *c, const char *param);

    /* Keeps in c->own what is to be told of a request whose streams have begun; absent: nothing
     * is. Any thread. */
    void (*keep)(struct completion *c, const json_t *body);
    void (*start)(struct completion *c, uint32_t choice);       /* of a stream; absent: nothing */
    /* Keeps what is to be told of a token beside its text; absent: nothing is. */
    void (*take_token)(struct completion *c, uint32_t choice, const pl_event *e);
    void (*event)(struct completion *c, uint32_t choice, const pl_event *e);    /* of a stream */
    bool has_all_events;            /* `event` is called where there is no stream, too; what it then
                                     * writes to c->out is not sent */
    void (*end)(struct completion *c);                          /* of a stream, after all replies */
    /* A reply of a stream could not be continued. */
    void (*failure)(struct completion *c, unsigned status, const char *code, const char *text);
    void (*document)(struct completion *c, struct strbuf *to);  /* the whole answer */
};

extern const struct dialect dialect_chat, dialect_text, dialect_messages, dialect_native,
                            dialect_infill, dialect_responses;
extern const struct dialect dialect_ollama_chat, dialect_ollama_generate;

/* `failure` of streams whose events have no names: OpenAI's error as an event. */
void dialect_fail_event(struct completion *c, unsigned status, const char *code, const char *text);

/* Reads a body into c->request, in the dialect that it chooses. *translated is what c->request
 * points into beside the body: released by the caller, whatever comes. False: refused, *result is
 * the answer's. Any thread. */
bool dialect_read(struct completion *c, const json_t *body, const struct request_defaults *defaults,
                  json_t **translated, enum MHD_Result *result);

/* As the body calls it. NULL stays so. */
static inline const char *dialect_param(const struct completion *c, const char *param)
{
    const struct dialect *d = c->dialect;
    return param && d->param_name ? d->param_name(c, param) : param;
}

#endif

/* How a family of routes speaks: what its bodies mean in OpenAI's members, and how replies are
 * told. Each family is a file below dialects/; request.c and the engine know nothing of them.
 *
 * All functions but `translate` write to c->out (of a stream) or `to`; libmicrohttpd's thread. */
#ifndef SERVER_DIALECT_H
#define SERVER_DIALECT_H

#include "server/completion.h"

#define EVENT_STREAM "text/event-stream; charset=utf-8"
#define EVENT_COMMENT ": ping\n\n"

struct dialect {
    const char *id_prefix;          /* of a reply's id, with what stands between: "cmpl-" */
    bool is_chat;                   /* a conversation: replies hold thoughts, content and calls */
    const char *stream_type;        /* a stream's Content-Type */
    const char *ping;               /* what tells a client that waits that the stream lives; NULL:
                                     * nothing can */

    /* The body with OpenAI's members, a new reference; strings stay the body's. NULL: *error says
     * why not. Absent: the members are OpenAI's. What the dialect wants to know of the body later,
     * it keeps in c->own; of the completion only exchange and id are there yet. Any thread. */
    json_t *(*translate)(struct completion *c, const json_t *body, struct request_error *error);
    /* What the body calls OpenAI's member, where an error is told; absent: the same. Any thread. */
    const char *(*param_name)(const struct completion *c, const char *param);

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

extern const struct dialect dialect_chat, dialect_text, dialect_responses;

#endif

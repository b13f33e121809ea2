#include "server/dialects/responses_events.h"

#include "server/dialects/responses.h"

struct strbuf *responses_event_open(struct completion *c, const char *type)
{
    struct response *r = c->own;
    if (!c->request.stream) return NULL;
    strbuf_addf(&c->out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%u", type, type,
                r->n_events++);
    return &c->out;
}

void responses_event_close(struct strbuf *to)
{
    strbuf_add_str(to, "}\n\n");
}

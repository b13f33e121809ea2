/* The frame of a stream's events: `event:` and `data:` lines, numbered. Of a completion that does
 * not stream nothing is written. */
#ifndef SERVER_DIALECTS_RESPONSES_EVENTS_H
#define SERVER_DIALECTS_RESPONSES_EVENTS_H

#include "server/completion.h"

/* Where further members are to be written, each after a comma; NULL: there is no stream. */
struct strbuf *responses_event_open(struct completion *c, const char *type);
void responses_event_close(struct strbuf *to);

#endif

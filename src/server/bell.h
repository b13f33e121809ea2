/* What calls the watcher out of its sleep: a pipe. Whoever gives it something new to look at rings;
 * any thread. */
#ifndef SERVER_BELL_H
#define SERVER_BELL_H

#include "paceline.h"

struct bell {
    int end[2];                     /* to hear, to ring; 0: closed */
};

pl_status bell_open(struct bell *b, pl_err *err);
void bell_close(struct bell *b);
void bell_ring(const struct bell *b);
void bell_hush(const struct bell *b);   /* all rings so far were heard */

#endif

/* Accept and Accept-Encoding: lists of what a client takes. */
#ifndef SERVER_ACCEPT_H
#define SERVER_ACCEPT_H

#include <stdbool.h>

/* Whether the list names it, and not with a weight of 0. What stands for several ("*") names none
 * of them. list may be NULL. */
bool accept_has(const char *list, const char *name);

#endif

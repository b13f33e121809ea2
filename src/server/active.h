/* Requests that compute something: a drain waits for those that it finds and lets no other begin.
 * Any thread. */
#ifndef SERVER_ACTIVE_H
#define SERVER_ACTIVE_H

#include "server/state.h"

/* Counts the exchange among them, until it is over. False: the server is shutting down, and the
 * answer says so. */
bool active_begin(struct exchange *x, enum MHD_Result *result);

/* 404: there is no model of that name here. */
enum MHD_Result active_fail_model(struct exchange *x, const char *name);

/* False: names are strict, and this one is another model's; the answer says so. */
bool active_has_model(struct exchange *x, const char *name, enum MHD_Result *result);

/* Why the server gave up what a client still waits for. */
struct active_end {
    unsigned status;
    const char *code, *text;
};

struct active_end active_end(const struct exchange *x);

#endif

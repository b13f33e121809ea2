/* Keeps the machine from going to sleep while a server runs. */
#ifndef CLI_SERVE_POWER_ASSERTION_H
#define CLI_SERVE_POWER_ASSERTION_H

/* macOS: until power_assertion_release the system does not sleep for want of a user. Elsewhere a
 * server machine does not sleep by itself, and these do nothing. One thread. */
void power_assertion_hold(void);
void power_assertion_release(void);

#endif

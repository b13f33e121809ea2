/* While a file is fetched: what is said when Ctrl-C or SIGTERM ends the program. One thread, one
 * file at a time. */
#ifndef CLI_PULL_INTERRUPT_H
#define CLI_PULL_INTERRUPT_H

/* From here on either ends the program with a line that `what` stays in part. A signal that is
 * ignored stays ignored. */
void interrupt_begin(const char *what);

void interrupt_end(void);

#endif

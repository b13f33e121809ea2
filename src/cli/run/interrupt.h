/* Ctrl-C as a flag. The handler does not restart what it interrupts: a wait for input ends with
 * EINTR. One thread reads the flag. */
#ifndef CLI_RUN_INTERRUPT_H
#define CLI_RUN_INTERRUPT_H

#include <stdbool.h>

/* From now on Ctrl-C does not end the program. */
void interrupt_catch(void);

bool interrupt_is_set(void);
void interrupt_set(void);
void interrupt_clear(void);

#endif

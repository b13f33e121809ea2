/* What a stream that people may look at can show. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

/* It is a terminal that is not "dumb", and nobody asked for none: NO_COLOR set to anything but
 * nothing (no-color.org). */
bool terminal_has_colours(FILE *to);

/* Columns of the terminal, 80 where it does not say; 0: it is none. */
unsigned terminal_width(FILE *to);

#endif

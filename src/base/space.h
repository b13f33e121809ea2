/* White space as JSON has it, whatever the locale. Any thread. */
#ifndef BASE_SPACE_H
#define BASE_SPACE_H

#include <stdbool.h>

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

#endif

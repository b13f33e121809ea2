/* Filling pl_err. The status list itself is part of the public header, which includes nothing. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "paceline.h"

/* Writes a one-line message and returns `status`, so that a failing function ends in
 * `return pl_fail(err, ...)`. Control characters become '?'; of more than 255 bytes the middle is
 * cut out. Arguments may point into *err. err may be NULL. */
pl_status pl_fail(pl_err *err, pl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

/* Whether what was opened is closed: the same number is open before and after. */
#ifndef TESTS_OPEN_FDS_H
#define TESTS_OPEN_FDS_H

#include <fcntl.h>

static inline int n_open_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) != -1;
    return n;
}

#endif

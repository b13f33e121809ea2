#include "server/bell.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"

pl_status bell_open(struct bell *b, pl_err *err)
{
    if (pipe(b->end)) return pl_fail(err, PL_E_IO, "cannot make a pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        fcntl(b->end[i], F_SETFL, O_NONBLOCK);
        fcntl(b->end[i], F_SETFD, FD_CLOEXEC);
    }
    return PL_OK;
}

void bell_close(struct bell *b)
{
    for (int i = 0; i < 2; i++)
        if (b->end[i] > 0) close(b->end[i]);
    *b = (struct bell){ { 0, 0 } };
}

/* A full pipe rings already. */
void bell_ring(const struct bell *b)
{
    const char one = 1;
    while (write(b->end[1], &one, 1) < 0 && errno == EINTR) continue;
}

void bell_hush(const struct bell *b)
{
    char bytes[256];
    while (read(b->end[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes) continue;
}

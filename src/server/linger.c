#include "server/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { LINGER_S = 10, DROPPED_BYTES = 64 << 20, READ_BYTES = 64 << 10, READS_A_TURN = 64 };

bool linger_open(struct linger_set *set, const struct bell *bell)
{
    for (int i = 0; i < MAX_LINGERING; i++) set->of[i].fd = -1;
    set->bell = bell;
    set->is_open = !pthread_mutex_init(&set->lock, NULL);
    return set->is_open;
}

static void end(struct lingering *l)
{
    close(l->fd);
    l->fd = -1;
}

void linger_close(struct linger_set *set)
{
    if (!set->is_open) return;
    for (int i = 0; i < MAX_LINGERING; i++)
        if (set->of[i].fd >= 0) end(&set->of[i]);
    pthread_mutex_destroy(&set->lock);
    set->is_open = false;
}

void linger_add(struct linger_set *set, int socket)
{
    const uint64_t now = clock_ns();
    pthread_mutex_lock(&set->lock);
    for (int i = 0; i < MAX_LINGERING; i++) {
        struct lingering *l = &set->of[i];
        if (l->fd >= 0) continue;
        *l = (struct lingering){ .fd = fcntl(socket, F_DUPFD_CLOEXEC, 0),
                                 .until_ns = now + LINGER_S * 1000000000ull,
                                 .n_left = DROPPED_BYTES };
        break;
    }
    pthread_mutex_unlock(&set->lock);
    bell_ring(set->bell);
}

int linger_list(struct linger_set *set, struct pollfd *list)
{
    int n = 0;
    pthread_mutex_lock(&set->lock);
    for (int i = 0; i < MAX_LINGERING; i++)
        if (set->of[i].fd >= 0)
            list[n++] = (struct pollfd){ .fd = set->of[i].fd, .events = POLLIN };
    pthread_mutex_unlock(&set->lock);
    return n;
}

/* Drops what is there; false: this is the end of it. A turn is bounded, for the others' sake. */
static bool drop(struct lingering *l)
{
    static char bytes[READ_BYTES];          /* the watcher's alone */
    for (int i = 0; i < READS_A_TURN; i++) {
        const ssize_t n = recv(l->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        if (n == 0 || (uint64_t)n >= l->n_left) return false;
        l->n_left -= (uint64_t)n;
    }
    return true;
}

void linger_read(struct linger_set *set)
{
    const uint64_t now = clock_ns();
    pthread_mutex_lock(&set->lock);
    for (int i = 0; i < MAX_LINGERING; i++) {
        struct lingering *l = &set->of[i];
        if (l->fd >= 0 && (now >= l->until_ns || !drop(l))) end(l);
    }
    pthread_mutex_unlock(&set->lock);
}

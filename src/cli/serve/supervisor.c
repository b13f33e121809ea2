#include "cli/serve/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

/* Signs in the time within which one is wanted: a late one is no stuck engine. */
enum { SIGNS_A_WATCH = 3, MAX_TEXT = 512 };

/* A path, or a name of Linux's abstract space, written with @ for the zero byte it begins with. */
static bool set_address(struct sockaddr_un *to, socklen_t *n, const char *name)
{
    const size_t n_name = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || !name[1] || n_name >= sizeof to->sun_path)
        return false;
    *to = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(to->sun_path, name, n_name);
    if (name[0] == '@') to->sun_path[0] = 0;
    /* an abstract name is as long as the address says; a path ends at its zero */
    *n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n_name + (name[0] == '/'));
    return true;
}

static int connect_to(const char *name)
{
    struct sockaddr_un address;
    socklen_t n;
    if (!set_address(&address, &n, name)) return -1;
    const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0) return -1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_sec = 2 },
               sizeof(struct timeval));
    if (!connect(fd, (const struct sockaddr *)&address, n)) return fd;
    close(fd);
    return -1;
}

/* Microseconds, meant for this process or for whichever reads them; 0: none are set. */
static uint64_t watchdog_us(void)
{
    const char *time = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;
    if (pid && strtol(pid, NULL, 10) != (long)getpid()) return 0;
    const uint64_t us = time ? strtoull(time, &end, 10) : 0;
    return us && !*end && us < UINT64_MAX / 1000 ? us : 0;
}

void supervisor_open(struct supervisor *s)
{
    const char *name = getenv("NOTIFY_SOCKET");
    *s = (struct supervisor){ .fd = name ? connect_to(name) : -1 };
    if (name && s->fd < 0)
        fprintf(stderr,
                "paceline: warning: NOTIFY_SOCKET=%s cannot be reached: whoever waits for this "
                "server to be ready is not told\n", name);
}

void supervisor_close(struct supervisor *s)
{
    if (s->fd >= 0) close(s->fd);
    *s = (struct supervisor){ .fd = -1 };
}

/* Never blocks for long (SO_SNDTIMEO), never fails: a server serves whether or not it is heard. */
static void tell(const struct supervisor *s, const char *message)
{
    if (s->fd < 0) return;
    while (send(s->fd, message, strlen(message), 0) < 0 && errno == EINTR) continue;
}

/* A line end would begin another assignment. */
static void tell_with_text(const struct supervisor *s, const char *assignments, const char *text)
{
    char message[MAX_TEXT];
    const int n = snprintf(message, sizeof message, "%sSTATUS=", assignments);
    snprintf(message + n, sizeof message - (size_t)n, "%.*s", (int)strcspn(text, "\n"), text);
    tell(s, message);
}

void supervisor_status(const struct supervisor *s, const char *text)
{
    tell_with_text(s, "", text);
}

void supervisor_ready(struct supervisor *s, const char *text)
{
    tell_with_text(s, "READY=1\n", text);
    if (s->fd < 0) return;
    s->watchdog_ns = watchdog_us() * 1000;
    s->next_sign_ns = clock_ns();
}

void supervisor_stopping(const struct supervisor *s)
{
    tell(s, "STOPPING=1\nSTATUS=running requests finish");
}

void supervisor_watch(struct supervisor *s, bool is_healthy)
{
    if (!s->watchdog_ns || clock_ns() < s->next_sign_ns) return;
    s->next_sign_ns = clock_ns() + s->watchdog_ns / SIGNS_A_WATCH;
    tell(s, is_healthy ? "WATCHDOG=1" : "STATUS=the engine makes no progress");
}

uint64_t supervisor_wait_ns(const struct supervisor *s)
{
    if (!s->watchdog_ns) return UINT64_MAX;
    const uint64_t now = clock_ns();
    return s->next_sign_ns > now ? s->next_sign_ns - now : 0;
}

#include "cli/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <mach-o/dyld.h>
#endif

extern char **environ;

bool program_path(char *out, size_t n)
{
#if defined(__APPLE__)
    char link[PATH_MAX], whole[PATH_MAX];
    uint32_t size = sizeof link;
    if (_NSGetExecutablePath(link, &size) || !realpath(link, whole) || strlen(whole) >= n)
        return false;
    memcpy(out, whole, strlen(whole) + 1);
    return true;
#else
    const ssize_t n_bytes = readlink("/proc/self/exe", out, n - 1);
    if (n_bytes <= 0 || (size_t)n_bytes == n - 1) return false;
    out[n_bytes] = 0;
    return true;
#endif
}

static int wait_for(pid_t child)
{
    int how;
    while (waitpid(child, &how, 0) < 0)
        if (errno != EINTR) return -1;
    if (WIFEXITED(how)) return WEXITSTATUS(how);
    errno = EINTR;
    return -1;
}

/* Its standard output goes to `out_fd`; -1: to ours. */
static pid_t start(const char *const *argv, int out_fd)
{
    posix_spawn_file_actions_t files;
    pid_t child;
    int failed = posix_spawn_file_actions_init(&files);
    if (!failed && out_fd >= 0)
        failed = posix_spawn_file_actions_adddup2(&files, out_fd, STDOUT_FILENO);
    if (!failed)
        failed = posix_spawnp(&child, argv[0], &files, NULL, (char *const *)(uintptr_t)argv,
                              environ);
    posix_spawn_file_actions_destroy(&files);
    errno = failed;
    return failed ? -1 : child;
}

int program_run(const char *const *argv)
{
    const pid_t child = start(argv, -1);
    return child < 0 ? -1 : wait_for(child);
}

int program_output(const char *const *argv, char *out, size_t n)
{
    int ends[2];
    size_t n_read = 0;
    if (pipe(ends)) return -1;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    const pid_t child = start(argv, ends[1]);
    const int why = errno;
    close(ends[1]);
    for (;;) {      /* to the end, also what finds no room: a full pipe would hold the program up */
        char part[4096];
        const ssize_t got = read(ends[0], part, sizeof part);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        const size_t kept = (size_t)got < n - 1 - n_read ? (size_t)got : n - 1 - n_read;
        memcpy(out + n_read, part, kept);
        n_read += kept;
    }
    close(ends[0]);
    out[n_read] = 0;
    errno = why;
    return child < 0 ? -1 : wait_for(child);
}

int program_number(const char *text, const char *word)
{
    const size_t n = strlen(word);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += strspn(line, " \t\n");
        if (!strncmp(line, word, n) && (line[n] == ' ' || line[n] == '\t'))
            return atoi(line + n);
    }
    return -1;
}

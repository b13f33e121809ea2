#include "cli/up/background.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/folders.h"

enum { POLL_MS = 50, LOG_END_BYTES = 2048 };

static pl_status io_error(const char *path, pl_err *err)
{
    return pl_fail(err, PL_E_IO, "%s: %s", path, strerror(errno));
}

/* The folder of the files, made where it is missing. */
static pl_status state_folder(char *out, size_t n, pl_err *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if ((!state || state[0] != '/') && (!home || home[0] != '/'))
        return pl_fail(err, PL_E_IO, "neither XDG_STATE_HOME nor HOME is set: where would the "
                       "server's files go?");
    if (state && state[0] == '/') snprintf(out, n, "%s/paceline", state);
    else snprintf(out, n, "%s/.local/state/paceline", home);
    return folders_make(out, 0700, err);
}

/* Its file, locked: PL_E_BUSY where a server holds the lock. */
static pl_status lock_run_file(const struct background *b, int *fd, pl_err *err)
{
    *fd = open(b->run_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0) return io_error(b->run_file, err);
    if (!flock(*fd, LOCK_EX | LOCK_NB)) return PL_OK;
    close(*fd);
    return pl_fail(err, PL_E_BUSY, "%s is locked: a server of this name runs", b->run_file);
}

static void read_run_file(struct background *b)
{
    long pid = 0;
    FILE *f = fopen(b->run_file, "re");
    if (!f) return;
    if (fscanf(f, "%ld", &pid) == 1 && pid > 1) b->pid = (pid_t)pid;
    fclose(f);
}

/* "listening  http://host:port" of the log: where it is, once it is ready. */
static void read_address(struct background *b)
{
    char line[512];
    FILE *f = fopen(b->log_file, "re");
    b->address[0] = 0;
    if (!f) return;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "listening %255s", b->address) == 1) break;
    fclose(f);
}

pl_status background_find(struct background *b, const char *name, pl_err *err)
{
    char folder[PATH_MAX - 80];
    int fd;
    *b = (struct background){ .pid = 0 };
    pl_status st = state_folder(folder, sizeof folder, err);
    if (st) return st;
    snprintf(b->run_file, sizeof b->run_file, "%s/%s.run", folder, name);
    snprintf(b->log_file, sizeof b->log_file, "%s/%s.log", folder, name);
    st = lock_run_file(b, &fd, err);
    if (st == PL_E_BUSY) {
        read_run_file(b);
        read_address(b);
        return PL_OK;
    }
    if (!st) close(fd);
    return st;
}

/* In the child: never returns. */
static void become(const char *const *argv, int run_fd, int log_fd)
{
    const int nothing = open("/dev/null", O_RDONLY);
    setsid();
    dup2(nothing, STDIN_FILENO);
    dup2(log_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    fcntl(run_fd, F_SETFD, 0);          /* the lock lives as long as the server */
    execv(argv[0], (char *const *)(uintptr_t)argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pl_status background_start(struct background *b, const char *const *argv, pl_err *err)
{
    int run_fd;
    pl_status st = lock_run_file(b, &run_fd, err);
    if (st) return st;
    const int log_fd = open(b->log_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        close(run_fd);
        return io_error(b->log_file, err);
    }
    b->pid = fork();
    if (b->pid == 0) become(argv, run_fd, log_fd);
    if (b->pid < 0 || ftruncate(run_fd, 0) || dprintf(run_fd, "%ld\n", (long)b->pid) < 0)
        st = io_error(b->run_file, err);
    close(run_fd);
    close(log_fd);
    return st;
}

/* The last lines of the log, as one. */
static void end_of_log(const struct background *b, char *out, size_t n)
{
    FILE *f = fopen(b->log_file, "re");
    out[0] = 0;
    if (!f) return;
    if (fseek(f, -(long)(n - 1), SEEK_END)) rewind(f);
    out[fread(out, 1, n - 1, f)] = 0;
    fclose(f);
    size_t end = strlen(out);
    while (end && out[end - 1] == '\n') out[--end] = 0;
    const char *line = strrchr(out, '\n');
    if (line) memmove(out, line + 1, strlen(line));
}

pl_status background_wait(struct background *b, unsigned timeout_s, pl_err *err)
{
    char last[LOG_END_BYTES];
    for (unsigned ms = 0; ms < timeout_s * 1000; ms += POLL_MS) {
        read_address(b);
        if (b->address[0]) return PL_OK;
        if (waitpid(b->pid, NULL, WNOHANG) == b->pid) {
            end_of_log(b, last, sizeof last);
            return pl_fail(err, PL_E_IO, "the server ended: %s (all of it: %s)", last, b->log_file);
        }
        clock_sleep_ms(POLL_MS);
    }
    return pl_fail(err, PL_E_BUSY, "the server is not ready after %u s; see %s", timeout_s,
                   b->log_file);
}

pl_status background_stop(struct background *b, unsigned timeout_s, pl_err *err)
{
    pl_err ignored;
    int fd;
    if (kill(b->pid, SIGTERM) && errno != ESRCH)
        return pl_fail(err, PL_E_IO, "process %ld: %s", (long)b->pid, strerror(errno));
    for (unsigned ms = 0; ms < timeout_s * 1000; ms += POLL_MS) {
        waitpid(b->pid, NULL, WNOHANG);         /* where it is our own child */
        if (!lock_run_file(b, &fd, &ignored)) {
            unlink(b->run_file);
            close(fd);
            return PL_OK;
        }
        clock_sleep_ms(POLL_MS);
    }
    return pl_fail(err, PL_E_BUSY, "process %ld still finishes requests after %u s", (long)b->pid,
                   timeout_s);
}

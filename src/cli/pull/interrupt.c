#include "cli/pull/interrupt.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the handler may use: made before it is installed, never changed while it is. */
static char message[256];
static struct sigaction before[2];
static const int signals[2] = { SIGINT, SIGTERM };

static void tell_and_end(int signal_number)
{
    const ssize_t n = write(STDERR_FILENO, message, strlen(message));
    (void)n;
    signal(signal_number, SIG_DFL);
    raise(signal_number);       /* delivered when this returns: the exit code stays the signal's */
}

void interrupt_begin(const char *what)
{
    const struct sigaction end = { .sa_handler = tell_and_end };
    snprintf(message, sizeof message,
             "%s%.150s: stopped; what has come of it stays, pull again to go on\n",
             isatty(STDERR_FILENO) ? "\r\033[K" : "", what);
    for (int i = 0; i < 2; i++) {
        sigaction(signals[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN) sigaction(signals[i], &end, NULL);
    }
}

void interrupt_end(void)
{
    for (int i = 0; i < 2; i++) sigaction(signals[i], &before[i], NULL);
}

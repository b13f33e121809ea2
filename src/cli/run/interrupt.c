#include "cli/run/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t is_set;

static void on_interrupt(int number)
{
    (void)number;
    is_set = 1;
}

void interrupt_catch(void)
{
    const struct sigaction action = { .sa_handler = on_interrupt };
    sigaction(SIGINT, &action, NULL);
}

bool interrupt_is_set(void)
{
    return is_set;
}

void interrupt_set(void)
{
    is_set = 1;
}

void interrupt_clear(void)
{
    is_set = 0;
}

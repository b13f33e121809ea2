#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
    pl_log_fn *fn;
    void *arg;
    pl_log_level most_verbose;
} sink;

void pl_set_log(pl_log_fn *fn, void *arg, pl_log_level most_verbose)
{
    sink.fn = fn;
    sink.arg = arg;
    sink.most_verbose = most_verbose;
}

void log_write(pl_log_level level, const char *subsystem, const char *format, ...)
{
    if (!sink.fn || level > sink.most_verbose) return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    sink.fn(sink.arg, level, subsystem, line);
}

#include "base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_inside_character(char c) /* a byte of a UTF-8 character after its first */
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Copies `from`; where it is too long the middle goes, because a message starts with what it is
 * about and ends with what is wanted. Whole characters stay whole. */
static void copy_cut(char *to, size_t capacity, const char *from)
{
    const size_t n = strlen(from);
    size_t n_kept = n, tail = n;
    if (n >= capacity) {
        n_kept = capacity / 3;
        while (n_kept > 0 && is_inside_character(from[n_kept])) n_kept--;
        tail = n - (capacity - 1 - strlen("...") - n_kept);
        while (is_inside_character(from[tail])) tail++;
    }
    snprintf(to, capacity, "%.*s%s%s", (int)n_kept, from, n_kept < n ? "..." : "", from + tail);
}

pl_status pl_fail(pl_err *err, pl_status status, const char *format, ...)
{
    if (err) {
        char text[4096];        /* the arguments may be err->text itself, or a long path */
        va_list args;
        text[0] = 0;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        for (char *c = text; *c; c++)
            if ((unsigned char)*c < 32 || *c == 127) *c = '?';
        err->status = status;
        copy_cut(err->text, sizeof err->text, text);
    }
    return status;
}

static const struct {
    const char *name;
    int http;
} statuses[] = {
#define X(name, http, text) { text, http },
    PL_STATUS_LIST(X)
#undef X
};

const char *pl_version(void)
{
    return PL_VERSION;
}

const char *pl_status_name(pl_status status)
{
    return (unsigned)status < PL_N_STATUS ? statuses[status].name : "unknown_status";
}

int pl_status_http(pl_status status)
{
    return (unsigned)status < PL_N_STATUS ? statuses[status].http : 500;
}

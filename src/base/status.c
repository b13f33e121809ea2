#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

pl_status pl_fail(pl_err *err, pl_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->status = status;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
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

const char *pl_status_name(pl_status status)
{
    return (unsigned)status < PL_N_STATUS ? statuses[status].name : "unknown_status";
}

int pl_status_http(pl_status status)
{
    return (unsigned)status < PL_N_STATUS ? statuses[status].http : 500;
}

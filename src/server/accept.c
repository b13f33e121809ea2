#include "server/accept.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The weight among an element's parameters; 1 where there is none. */
static double weight(const char *p, const char *end)
{
    while (p < end) {
        p += strspn(p, "; \t");
        if (end - p > 2 && !strncasecmp(p, "q=", 2)) return strtod(p + 2, NULL);
        p += strcspn(p, ";,");
    }
    return 1;
}

bool accept_has(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (const char *p = list; p && *p;) {
        p += strspn(p, ", \t");
        const char *end = p + strcspn(p, ",");
        const size_t n_name = strcspn(p, ";, \t");
        if (n_name == n && !strncasecmp(p, name, n)) return weight(p + n, end) > 0;
        p = end;
    }
    return false;
}

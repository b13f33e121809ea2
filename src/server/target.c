#include "server/target.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A proxy's way to say it: the path begins after the authority, and is "/" if there is none. */
static const char *without_authority(const char *target)
{
    const size_t n = !strncasecmp(target, "http://", 7)    ? 7
                     : !strncasecmp(target, "https://", 8) ? 8
                                                           : 0;
    if (!n) return target;
    const char *path = target + n + strcspn(target + n, "/?#");
    return *path == '/' ? path : "/";
}

static int hex_of(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) % 16 : -1;
}

/* The byte that "%41" stands for, or -1. */
static int byte_at(const char *p)
{
    if (p[0] != '%' || hex_of(p[1]) < 0 || hex_of(p[2]) < 0) return -1;
    return hex_of(p[1]) * 16 + hex_of(p[2]);
}

enum target_kind target_parse(const char *target, char **path)
{
    *path = NULL;
    if (strlen(target) > TARGET_MAX_BYTES) return TARGET_TOO_LONG;
    const char *from = without_authority(target), *end = from + strcspn(from, "?#");
    char *to = malloc((size_t)(end - from) + 1);
    if (!to) return TARGET_NO_MEMORY;
    size_t n = 0;
    while (from < end) {
        const int byte = byte_at(from);     /* a "%" of no number is one */
        if (byte == 0) {
            free(to);
            return TARGET_ZERO_BYTE;
        }
        to[n++] = byte > 0 ? (char)byte : *from;
        from += byte > 0 ? 3 : 1;
    }
    to[n] = 0;
    *path = to;
    return TARGET_PATH;
}

#include "base/workspace.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/red_zone.h"

enum { ALIGN = 16 };

void workspace_want(struct workspace *w, const char *what, uint64_t n_bytes, void *to)
{
    assert(w->n < WORKSPACE_MAX_PARTS);
    w->part[w->n++] = (struct workspace_part){ what, n_bytes, to };
}

static uint64_t rounded(uint64_t n_bytes)
{
    return (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
}

uint64_t workspace_bytes(const struct workspace *w)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) n += rounded(w->part[i].n_bytes);
    return n;
}

void *workspace_take(const struct workspace *w)
{
    char *block = calloc(1, workspace_bytes(w) + (uint64_t)w->n * RED_ZONE_BYTES);
    char *at = block;
    for (uint32_t i = 0; i < w->n && block; i++) {
        const uint64_t n_bytes = w->part[i].n_bytes, n_rounded = rounded(n_bytes);
        void *part = at;
        memcpy(w->part[i].to, &part, sizeof part);
        red_zone_set(at + n_bytes, n_rounded - n_bytes + RED_ZONE_BYTES);
        at += n_rounded + RED_ZONE_BYTES;
    }
    return block;
}

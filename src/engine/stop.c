#include "engine/stop.h"

#include <string.h>

/* Looks at one place: the shortest whole string there (its index), the beginning of one (-2), or
 * nothing (-1). A beginning holds back even where a later place has a whole string: the earliest
 * match wins, and this one may still come about. */
static int32_t look_at(const struct stop_strings *s, const char *at, size_t n_left)
{
    int32_t found = -1;
    for (uint32_t i = 0; i < s->n; i++) {
        const bool is_whole = s->n_bytes[i] <= n_left;
        if (memcmp(s->string[i], at, is_whole ? s->n_bytes[i] : n_left)) continue;
        if (!is_whole) {
            if (found < 0) found = -2;
        } else if (found < 0 || s->n_bytes[i] < s->n_bytes[found]) {
            found = (int32_t)i;
        }
    }
    return found;
}

struct stop_result stop_push(struct stop_strings *s, char *text, size_t n, const char **out)
{
    char *begin = text + STOP_MAX_BYTES - s->n_held;
    const size_t n_all = s->n_held + n;
    memcpy(begin, s->held, s->n_held);
    s->n_held = 0;
    *out = begin;

    for (size_t i = 0; s->n && i < n_all; i++) {
        const int32_t found = look_at(s, begin + i, n_all - i);
        if (found >= 0) return (struct stop_result){ i, found };
        if (found == -1) continue;
        s->n_held = (uint32_t)(n_all - i);      /* shorter than the string it may become */
        memcpy(s->held, begin + i, s->n_held);
        return (struct stop_result){ i, -1 };
    }
    return (struct stop_result){ n_all, -1 };
}

struct stop_result stop_finish(struct stop_strings *s)
{
    const size_t n = s->n_held;
    s->n_held = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t found = look_at(s, s->held + i, n - i);
        if (found >= 0) return (struct stop_result){ i, found };
    }
    return (struct stop_result){ n, -1 };
}

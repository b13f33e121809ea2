/* Stop strings in a stream of text: what could be the beginning of one is held back until the text
 * shows that it is none. Matching is over bytes, across whatever pieces the text comes in. Of the
 * matches, the one that begins first wins; of those that begin together, the shortest.
 *
 * A matcher belongs to one stream: one thread at a time. No allocation; strings are the owner's. */
#ifndef ENGINE_STOP_H
#define ENGINE_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STOP_MAX_STRINGS = 16, STOP_MAX_BYTES = 256 };

struct stop_strings {
    uint32_t n;
    const char *string[STOP_MAX_STRINGS];   /* n_bytes[i] each, not zero-terminated */
    uint32_t n_bytes[STOP_MAX_STRINGS];     /* 1..STOP_MAX_BYTES */
    uint32_t n_held;
    char held[STOP_MAX_BYTES];
};

/* Text that may go out; bytes point into `text` of the call. */
struct stop_result {
    size_t n_released;
    int32_t stop_index;         /* which string matched, or -1 */
};

/* Takes n bytes of text, which stand in text[STOP_MAX_BYTES ..]: the space before them is used to
 * put what was held back in front. Released bytes begin at *out. After a match nothing is held and
 * what follows the match is dropped. */
struct stop_result stop_push(struct stop_strings *s, char *text, size_t n, const char **out);

/* The end of the text: what is held stands in s->held, n_released bytes of it go out, and a match
 * that an earlier beginning had kept waiting is found. */
struct stop_result stop_finish(struct stop_strings *s);

#endif

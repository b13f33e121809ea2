/* Where in a reply a grammar begins: at the first of some strings that it writes. Engine thread; no
 * allocation. */
#ifndef ENGINE_TRIGGER_H
#define ENGINE_TRIGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRIGGER_MAX = 8, TRIGGER_MAX_BYTES = 64 };

/* The last tokens of the reply, as far as a string may still be unfinished in them. */
struct trigger {
    char string[TRIGGER_MAX][TRIGGER_MAX_BYTES];
    uint32_t n_bytes[TRIGGER_MAX];
    uint32_t n;                 /* strings; 0: there is nothing to wait for */
    bool is_left_out;           /* the string itself is not told, nor spaces behind it */
    bool is_first_only;         /* they count at the beginning of a reply alone, spaces aside */

    char text[8 * TRIGGER_MAX_BYTES];
    uint32_t n_text;
    struct trigger_token {
        int32_t token;
        uint32_t offset;        /* in text */
    } token[4 * TRIGGER_MAX_BYTES];
    uint32_t n_tokens;
    bool is_past_start;         /* text was dropped: it does not begin where the reply does */
};

/* What the grammar has to be told once a string was found: the end of the token in which the string
 * begins (n_bytes may be 0), then the tokens after that one. Where it is left out, what stands
 * behind it. */
struct trigger_rest {
    const char *bytes;
    uint32_t n_bytes;
    const struct trigger_token *token;
    uint32_t n_tokens;
};

/* The reply goes on with a token. True: a string is whole now. *rest points into t. */
bool trigger_push(struct trigger *t, int32_t token, const char *bytes, size_t n,
                  struct trigger_rest *rest);

#endif

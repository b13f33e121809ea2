/* The API keys that the command line and a file name. */
#ifndef CLI_SERVE_KEYS_H
#define CLI_SERVE_KEYS_H

#include <stdbool.h>

#include "cli/serve/options.h"

struct serve_keys {
    char *text;                     /* what the pointers point into */
    const char *key[2 * ARG_MAX_STRINGS];
    size_t n;
};

/* Lines of the file, then --api-key's. False: said on stderr, and *to is as it was. Read again, it
 * takes the place of what was read before. */
bool serve_keys_read(struct serve_keys *to, const struct serve_options *o);
void serve_keys_free(struct serve_keys *k);

#endif

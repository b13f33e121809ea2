/* What a report must not say of whoever made it. Pure text; any thread. */
#ifndef CLI_SELF_TEST_CLEAN_H
#define CLI_SELF_TEST_CLEAN_H

#include "base/strbuf.h"

/* Whose report it is: what of these is empty or shorter than three letters is not looked for. */
struct owner {
    char home[1024];            /* "/Users/jane" */
    char user[256], host[256];
};

/* Of this process. */
void owner_read(struct owner *o);

/* Appends the text without what is private:
 *
 *   the owner's home            "~"
 *   a path from / or ~ on       its last part behind ".../"
 *   user and host, as words     "USER", "HOST"
 *   keys                        "KEY": hf_..., sk-..., ghp_..., what follows Bearer, and long
 *                               mixtures of letters and digits
 *
 * A failure is the strbuf's. */
void clean_add(struct strbuf *to, const struct owner *o, const char *text);

#endif

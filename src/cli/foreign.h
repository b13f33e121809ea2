/* Options of another program whose command lines are to work here, which this one has no use for: a
 * table says of each whether it changes nothing, or asks for what is not there. */
#ifndef CLI_FOREIGN_H
#define CLI_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

enum foreign_effect {
    FOREIGN_NOTHING,        /* accepted; `text` says why nothing changes */
    FOREIGN_REFUSED,        /* refused but for neutral values; `text` says what to do instead */
};

enum foreign_value { FOREIGN_FLAG, FOREIGN_SWITCH /* [on|off|auto] or --no-NAME */, FOREIGN_VALUE };

struct foreign {
    const char *names;      /* parted by spaces; "--spec-*" is all that begin so, as the last one */
    enum foreign_effect effect;
    enum foreign_value value;
    const char *neutral;    /* of refused ones: values, parted by spaces, that ask for nothing;
                             * "off" is --no-NAME too; NULL: none */
    const char *text;
};

struct foreign_table {
    const struct foreign *list;
    size_t n;
};

/* What was accepted without effect, as it was written. */
struct foreign_taken {
    struct {
        const char *word;       /* into argv; n_word bytes of it */
        size_t n_word;
        const char *text;
    } list[64];
    size_t n;
};

/* The row of a word of n bytes, and whether it is its --no- form; NULL: none. */
const struct foreign *foreign_find(const struct foreign_table *t, const char *word, size_t n,
                                   bool *is_negated);

/* Whether the row takes this word with this value (NULL: none, or "off" of a --no- form). False:
 * the reason is on standard error. */
bool foreign_take(const struct foreign *f, const char *word, size_t n_word, const char *value,
                  struct foreign_taken *taken);

#endif

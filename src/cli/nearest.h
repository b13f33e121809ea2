/* Of some names the one that a misspelt word most likely meant. */
#ifndef CLI_NEAREST_H
#define CLI_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *word;
    size_t n, least;
    const char *name;           /* the best so far; NULL: none is near */
};

void nearest_begin(struct nearest *best, const char *word, size_t n);

/* `name` must live as long as `best`. Of equally near ones the first counts. */
void nearest_offer(struct nearest *best, const char *name);

/* The same for names of which people write a part: one that has the word in it is near, and the
 * shortest of those the nearest. */
void nearest_offer_part(struct nearest *best, const char *name);

#endif

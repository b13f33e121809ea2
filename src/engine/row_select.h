/* Selection of the largest of a row of logits. Ties go to the smaller token; a block whose largest
 * is too small is not looked into. No allocation; any thread. */
#ifndef ENGINE_ROW_SELECT_H
#define ENGINE_ROW_SELECT_H

#include "engine/row.h"

struct candidate {
    float value;
    int32_t token;
};

/* Tokens whose value is at least `least` (and above -INFINITY), in ascending order of token. */
uint32_t row_gather(const struct row *row, float least, struct candidate *out);

/* The k largest values, or all above -INFINITY if they are fewer, best first, ties by smaller
 * token; returns how many. out has room for k. */
uint32_t row_top(const struct row *row, uint32_t k, struct candidate *out);

/* Orders candidates best first, as far as asked: each heap_next moves the next best to the end of
 * what is left, so that after j calls on n candidates c[n - 1], c[n - 2] ... c[n - j] are the best.
 */
struct heap {
    struct candidate *c;
    uint32_t n_left;
};

struct heap heap_open(struct candidate *c, uint32_t n);

/* NULL: none is left. */
const struct candidate *heap_next(struct heap *h);

#endif

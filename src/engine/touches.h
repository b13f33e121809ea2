/* What penalties and biases do to a row, as struct touch says.
 *
 * Threads: any. No allocation. */
#ifndef ENGINE_TOUCHES_H
#define ENGINE_TOUCHES_H

#include "backend/backend.h"
#include "engine/row.h"

/* Changes the row. Returns what touched the last token, with its logit: `touch` may not have it. */
struct touch touches_apply(const struct pick *p, const struct row *row);

/* The penalties alone, where they come later: on logits that the temperature has been at, which are
 * scale times those of the row. */
void touches_penalise(const struct pick *p, const struct row *row, float scale);

/* The logit as it was before. */
float touches_raw_logit(const struct pick *p, const struct touch *last, const struct row *row,
                        int32_t token);

#endif

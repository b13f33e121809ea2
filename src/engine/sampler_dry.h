/* DRY, "don't repeat yourself", by p-e-w (text-generation-webui's pull request 5677): where what
 * was written last stands earlier, too, the token that came next there loses the more the longer
 * the repetition is. Repetitions end where a breaker is written. Breakers are read as text here, so
 * that one counts however it was cut into tokens.
 *
 * Threads: any; a room is used by one at a time. No allocation. */
#ifndef ENGINE_SAMPLER_DRY_H
#define ENGINE_SAMPLER_DRY_H

#include "engine/pick.h"
#include "engine/row_select.h"

/* What is looked back on. */
struct dry_text {
    const int32_t *token;       /* (n) prompt and reply so far */
    uint32_t n;
    const char *(*bytes)(const void *arg, int32_t token, size_t *n_bytes);
    const void *arg;
};

/* Each token that would go on with a repetition becomes one of the pick's touched ones, and its
 * seat in the room says how long that is, until dry_forget. scratch: (n_scratch), and no more
 * tokens are looked back on. */
void dry_measure(const pl_sampling *p, const struct dry_text *text, struct candidate *scratch,
                 uint32_t n_scratch, struct pick *pick, const struct pick_room *room);

/* Takes off what is due, of logits that are scale times those of the row. */
void dry_apply(const pl_sampling *p, const struct pick *pick, const uint32_t *seat,
               const struct row *row, float scale);

/* All seats are 0 again. */
void dry_forget(const struct pick *pick, const struct pick_room *room);

#endif

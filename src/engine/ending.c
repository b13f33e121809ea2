#include "engine/ending.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

pl_status ending_check(const pl_request *r, uint32_t n_vocab, pl_err *err)
{
    if (r->n_stop_tokens > ENDING_MAX_TOKENS)
        return pl_fail(err, PL_E_PARAM, "%zu stop tokens; at most %d are allowed", r->n_stop_tokens,
                       ENDING_MAX_TOKENS);
    for (size_t i = 0; i < r->n_stop_tokens; i++)
        if (r->stop_tokens[i] < 0 || (uint32_t)r->stop_tokens[i] >= n_vocab)
            return pl_fail(err, PL_E_PARAM,
                           "stop token %zu is %" PRId32 "; 0 to %" PRIu32 " are wanted", i,
                           r->stop_tokens[i], n_vocab - 1);
    if (r->max_tokens && r->min_tokens > r->max_tokens)
        return pl_fail(err, PL_E_PARAM, "min_tokens is %" PRIu32 "; at most max_tokens, %" PRIu32
                       ", is wanted", r->min_tokens, r->max_tokens);
    return PL_OK;
}

struct ending ending_copy(const pl_request *r, int32_t *to)
{
    const size_t n = r->n_stop_tokens;
    if (n) memcpy(to, r->stop_tokens, n * sizeof *to);
    return (struct ending){ .token = to, .n_tokens = (uint32_t)n, .min_tokens = r->min_tokens };
}

bool ending_has(const struct ending *e, int32_t token)
{
    for (uint32_t i = 0; i < e->n_tokens; i++)
        if (e->token[i] == token) return true;
    return false;
}

void ending_forbid(const struct ending *e, const struct text *text, uint32_t n_reply,
                   struct pick *pick, const struct pick_room *room)
{
    if (n_reply >= e->min_tokens) return;
    for (uint32_t i = 0; i < text->n_ends; i++) pick_bias(pick, text->end[i], -INFINITY, room);
    for (uint32_t i = 0; i < e->n_tokens; i++) pick_bias(pick, e->token[i], -INFINITY, room);
}

#include "engine/thought.h"

#include <inttypes.h>
#include <string.h>

/* Beyond what any logit, penalty or other bias comes to; infinity would leave no distribution. */
static const float FORCED = 1e6f;

static pl_status check_mark(const char *name, const int32_t *token, size_t n, uint32_t n_vocab,
                            pl_err *err)
{
    if (n > THOUGHT_MAX_MARK)
        return pl_fail(err, PL_E_PARAM, "thoughts.%s has %zu tokens; at most %d are allowed", name,
                       n, THOUGHT_MAX_MARK);
    for (size_t i = 0; i < n; i++)
        if (token[i] < 0 || (uint32_t)token[i] >= n_vocab)
            return pl_fail(err, PL_E_PARAM, "thoughts.%s holds token %" PRId32 "; 0 to %" PRIu32
                           " are wanted", name, token[i], n_vocab - 1);
    return PL_OK;
}

pl_status thought_check(const pl_thoughts *t, uint32_t n_vocab, pl_err *err)
{
    pl_status st = check_mark("begin", t->begin, t->n_begin, n_vocab, err);
    return st ? st : check_mark("end", t->end, t->n_end, n_vocab, err);
}

struct thought thought_copy(const pl_thoughts *t)
{
    struct thought to = { .n_begin = (uint32_t)t->n_begin, .n_end = (uint32_t)t->n_end,
                          .max_tokens = t->max_tokens };
    if (t->n_begin) memcpy(to.begin, t->begin, t->n_begin * sizeof *t->begin);
    if (t->n_end) memcpy(to.end, t->end, t->n_end * sizeof *t->end);
    return to;
}

int32_t thought_next(const struct thought *t, const int32_t *reply, uint32_t n)
{
    const size_t size = sizeof *reply;
    if (!t->n_end || n < t->n_begin || n - t->n_begin < t->max_tokens ||
        memcmp(reply, t->begin, t->n_begin * size))
        return -1;
    for (uint32_t i = t->n_begin; i + t->n_end <= n; i++)
        if (reply[i] == t->end[0] && !memcmp(reply + i, t->end, t->n_end * size)) return -1;
    uint32_t k = n - t->n_begin < t->n_end ? n - t->n_begin : t->n_end - 1;
    while (k && memcmp(reply + n - k, t->end, k * size)) k--;
    return t->end[k];
}

void thought_force(const struct thought *t, const int32_t *reply, uint32_t n, struct pick *pick,
                   const struct pick_room *room)
{
    const int32_t next = thought_next(t, reply, n);
    if (next >= 0) pick_bias(pick, next, FORCED, room);
}

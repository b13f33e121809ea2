#include "engine/pick.h"

#include <math.h>

#include "base/rng.h"
#include "engine/sampling_params.h"

uint32_t pick_max_touched(uint32_t n_vocab, uint32_t max_tokens)
{
    const uint64_t most = (uint64_t)max_tokens + SAMPLING_MAX_BIAS + PICK_MORE_TOUCHED;
    return most < n_vocab ? (uint32_t)most : n_vocab;
}

/* The token's entry, a new one where it has none yet; NULL: there is no room. */
static struct touch *entry_of(struct pick *pick, int32_t token, const struct pick_room *room)
{
    uint32_t *seat = &room->seat[token];
    if (*seat) return &pick->touch[*seat - 1];
    if (pick->n_touched >= room->max_touched) {
        pick->n_touched = room->max_touched + 1;
        return NULL;
    }
    *seat = ++pick->n_touched;
    pick->touch[*seat - 1] = (struct touch){ .token = token };
    return &pick->touch[*seat - 1];
}

static void touch_window(struct pick *pick, const int32_t *window, uint32_t n,
                         const struct pick_room *room)
{
    for (uint32_t i = 0; i < n && pick->n_touched <= room->max_touched; i++) {
        struct touch *t = entry_of(pick, window[i], room);
        if (t) t->count++;
    }
}

/* Biases of one token add up. */
static void touch_biased(struct pick *pick, const pl_sampling *p, const struct pick_room *room)
{
    for (size_t i = 0; i < p->n_bias && pick->n_touched <= room->max_touched; i++) {
        struct touch *t = entry_of(pick, p->bias[i].token, room);
        if (t) t->bias += p->bias[i].bias;
    }
}

static void free_seats(const struct pick *pick, const struct pick_room *room)
{
    const uint32_t n =
        pick->n_touched < room->max_touched ? pick->n_touched : room->max_touched;
    for (uint32_t i = 0; i < n; i++) room->seat[pick->touch[i].token] = 0;
}

void pick_bias(struct pick *pick, int32_t token, float bias, const struct pick_room *room)
{
    if (pick->n_touched > room->max_touched) return;
    for (uint32_t i = 0; i < pick->n_touched; i++)
        if (pick->touch[i].token == token) {
            pick->touch[i].bias += bias;
            return;
        }
    if (pick->n_touched++ == room->max_touched) return;
    pick->touch[pick->n_touched - 1] = (struct touch){ .token = token, .bias = bias };
}

/* Of a temperature so near to 0 that its inverse is infinite, the limit is drawn: the largest. */
static bool is_greedy(const pl_sampling *p)
{
    return p->top_k == 1 || !isfinite(1 / p->temperature);
}

struct pick pick_make(const pl_sampling *p, uint32_t n_vocab, const int32_t *history,
                      uint32_t position, int32_t last, const struct pick_room *room)
{
    struct pick pick = { .top_p = 1, .typical_p = 1, .touch = room->touch, .last = NO_LAST };
    if (!is_greedy(p)) {
        pick.temperature = p->temperature;
        pick.top_k = p->top_k < n_vocab ? p->top_k : 0;
        pick.top_p = p->top_p;
        pick.min_p = p->min_p;
        pick.typical_p = p->typical_p;
        pick.unit = rng_unit_at(p->seed, position);
    }
    const uint32_t n_window = position < p->penalty_last_n ? position : p->penalty_last_n;
    if (n_window && sampling_has_penalties(p)) {
        pick.repetition_penalty = p->repetition_penalty;
        pick.frequency_penalty = p->frequency_penalty;
        pick.presence_penalty = p->presence_penalty;
        pick.last = last;
        touch_window(&pick, history + (position - n_window), n_window - 1, room);
    }
    touch_biased(&pick, p, room);
    free_seats(&pick, room);
    return pick;
}

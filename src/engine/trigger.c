#include "engine/trigger.h"

#include <string.h>

#include "base/space.h"

static void forget(struct trigger *t)
{
    t->n_text = t->n_tokens = 0;
    t->is_past_start = true;
}

/* Drops tokens whose bytes no string can begin in any more, once half of the room is used. */
static void make_room(struct trigger *t, size_t n)
{
    const uint32_t max_tokens = sizeof t->token / sizeof *t->token;
    if (t->n_text + n <= sizeof t->text && t->n_tokens < max_tokens) return;
    uint32_t i = 0;
    while (i < t->n_tokens && t->n_text - t->token[i].offset > 2 * TRIGGER_MAX_BYTES) i++;
    if (i == t->n_tokens || t->n_tokens - i >= max_tokens) {
        forget(t);
        return;
    }
    const uint32_t from = t->token[i].offset;
    memmove(t->text, t->text + from, t->n_text - from);
    memmove(t->token, t->token + i, (t->n_tokens - i) * sizeof *t->token);
    t->n_text -= from;
    t->n_tokens -= i;
    for (uint32_t k = 0; k < t->n_tokens; k++) t->token[k].offset -= from;
    t->is_past_start = t->is_past_start || from > 0;
}

static bool begin(const struct trigger *t, uint32_t at, uint32_t string, uint32_t *from)
{
    *from = at + (t->is_left_out ? t->n_bytes[string] : 0);
    while (t->is_left_out && *from < t->n_text && is_space(t->text[*from])) ++*from;
    return true;
}

/* Whether a string was found; *from: where what is to be told begins. */
static bool find(const struct trigger *t, uint32_t *from)
{
    for (uint32_t at = 0; at < t->n_text; at++) {
        for (uint32_t i = 0; i < t->n; i++)
            if (t->n_bytes[i] <= t->n_text - at &&
                !memcmp(t->text + at, t->string[i], t->n_bytes[i]))
                return begin(t, at, i, from);
        if (t->is_first_only && (t->is_past_start || !is_space(t->text[at]))) break;
    }
    return false;
}

bool trigger_push(struct trigger *t, int32_t token, const char *bytes, size_t n,
                  struct trigger_rest *rest)
{
    make_room(t, n);
    if (n > sizeof t->text - t->n_text) {
        forget(t);
        return false;
    }
    t->token[t->n_tokens++] = (struct trigger_token){ token, t->n_text };
    memcpy(t->text + t->n_text, bytes, n);
    t->n_text += (uint32_t)n;
    uint32_t at;
    if (!find(t, &at)) return false;

    uint32_t i = 0;
    while (i < t->n_tokens && t->token[i].offset < at) i++;
    const uint32_t whole = i < t->n_tokens ? t->token[i].offset : t->n_text;
    *rest = (struct trigger_rest){ t->text + at, whole - at, t->token + i, t->n_tokens - i };
    return true;
}

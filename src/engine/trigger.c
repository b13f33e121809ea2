#include "engine/trigger.h"

#include <string.h>

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

/* Where the first of the strings begins, or n_text. */
static uint32_t find(const struct trigger *t)
{
    uint32_t first = t->n_text;
    for (uint32_t at = 0; at < t->n_text; at++) {
        for (uint32_t i = 0; i < t->n; i++)
            if (t->n_bytes[i] <= t->n_text - at &&
                !memcmp(t->text + at, t->string[i], t->n_bytes[i]))
                return at;
        if (t->is_first_only && (t->is_past_start || !memchr(" \t\r\n", t->text[at], 4))) break;
    }
    return first;
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
    const uint32_t at = find(t);
    if (at == t->n_text) return false;

    uint32_t i = 0;
    while (i < t->n_tokens && t->token[i].offset < at) i++;
    const uint32_t whole = i < t->n_tokens ? t->token[i].offset : t->n_text;
    *rest = (struct trigger_rest){ t->text + at, whole - at, t->token + i, t->n_tokens - i };
    return true;
}

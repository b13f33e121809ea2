#include "engine/sampler_dry.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { IS_TOUCHED = 1u << 31 };         /* beside a seat's length, which counts from 1 */

/* ---- breakers ------------------------------------------------------------------------------- */

/* The bytes of the token that has `back` others behind it. */
static const char *bytes_of(const struct dry_text *t, uint32_t back, size_t *n_bytes)
{
    return t->bytes(t->arg, t->token[t->n - 1 - back], n_bytes);
}

/* Whether a breaker of n bytes ends with byte `at` of a token; it may begin in one before. */
static bool ends_at(const struct dry_text *t, uint32_t back, size_t at, const char *breaker,
                    size_t n)
{
    size_t n_left;
    const char *bytes = bytes_of(t, back, &n_left);
    for (n_left = at + 1; n; n--) {
        while (!n_left) {
            if (++back == t->n) return false;
            bytes = bytes_of(t, back, &n_left);
        }
        if (bytes[--n_left] != breaker[n - 1]) return false;
    }
    return true;
}

static bool ends_one(const pl_sampling *p, const struct dry_text *t, uint32_t back)
{
    size_t n_bytes;
    const char *bytes = bytes_of(t, back, &n_bytes);
    for (size_t i = 0; i < p->n_dry_breakers; i++) {
        const size_t n = strlen(p->dry_breaker[i]);
        for (size_t at = 0; at < n_bytes && n; at++)
            if (bytes[at] == p->dry_breaker[i][n - 1] &&
                ends_at(t, back, at, p->dry_breaker[i], n))
                return true;
    }
    return false;
}

static bool holds_one(const pl_sampling *p, const struct dry_text *t, int32_t token)
{
    size_t n_bytes;
    const char *bytes = t->bytes(t->arg, token, &n_bytes);
    for (size_t i = 0; i < p->n_dry_breakers; i++) {
        const size_t n = strlen(p->dry_breaker[i]);
        if (n && memmem(bytes, n_bytes, p->dry_breaker[i], n)) return true;
    }
    return false;
}

/* ---- repetitions ---------------------------------------------------------------------------- */

/* Of a text read backwards, by the Z algorithm: scratch[i].token becomes how many tokens before the
 * i-th from the end are the last ones of all. So it takes as long as the text, however repetitive.
 * Returns the most of them. */
static uint32_t measure(const struct dry_text *t, uint32_t n, struct candidate *scratch)
{
    const int32_t *last = t->token + (t->n - 1);
    uint32_t begin = 0, end = 0;        /* the match that reaches farthest back */
    uint32_t most = 0;
    for (uint32_t i = 1; i < n; i++) {
        uint32_t length = 0;
        if (i < end) {
            const uint32_t known = (uint32_t)scratch[i - begin].token;
            length = known < end - i ? known : end - i;
        }
        while (i + length < n && last[-(int64_t)length] == last[-(int64_t)(i + length)]) length++;
        if (i + length > end) {
            begin = i;
            end = i + length;
        }
        scratch[i].token = (int32_t)length;
        if (length > most) most = length;
    }
    return most;
}

/* Tokens behind the last breaker, if they are fewer than `most`: no repetition is longer. */
static uint32_t behind_breaker(const pl_sampling *p, const struct dry_text *t, uint32_t most)
{
    uint32_t back = 0;
    while (back < most && !ends_one(p, t, back)) back++;
    return back;
}

/* Seats of those that have an entry already; a breaker is never held back. */
static void mark_touched(const pl_sampling *p, const struct dry_text *t, const struct pick *pick,
                         uint32_t *seat)
{
    for (uint32_t i = 0; i < pick->n_touched; i++) {
        uint32_t *s = &seat[pick->touch[i].token];
        if (*s) *s = holds_one(p, t, pick->touch[i].token) ? 0 : *s | IS_TOUCHED;
    }
}

void dry_measure(const pl_sampling *p, const struct dry_text *t, struct candidate *scratch,
                 uint32_t n_scratch, struct pick *pick, const struct pick_room *room)
{
    uint32_t n = t->n < n_scratch ? t->n : n_scratch;
    if (p->dry_last_n >= 0 && (uint32_t)p->dry_last_n < n) n = (uint32_t)p->dry_last_n;
    if (n <= p->dry_allowed_length) return;
    const uint32_t most = behind_breaker(p, t, measure(t, n, scratch));
    if (most < p->dry_allowed_length) return;
    for (uint32_t i = 1; i < n; i++) {
        const uint32_t length = (uint32_t)scratch[i].token < most ? (uint32_t)scratch[i].token
                                                                  : most;
        uint32_t *seat = &room->seat[t->token[t->n - i]];
        if (length >= p->dry_allowed_length && length + 1 > *seat) *seat = length + 1;
    }
    mark_touched(p, t, pick, room->seat);
    for (uint32_t i = 1; i < n; i++) {
        const int32_t token = t->token[t->n - i];
        uint32_t *seat = &room->seat[token];
        if (!*seat || *seat & IS_TOUCHED) continue;
        if (holds_one(p, t, token) || pick->n_touched >= room->max_touched) {
            *seat = 0;
            continue;
        }
        pick->touch[pick->n_touched++] = (struct touch){ .token = token };
        *seat |= IS_TOUCHED;
    }
}

/* Logits stay finite: however long a repetition, there is a best token. */
static float penalty(const pl_sampling *p, uint32_t length)
{
    const double most = 1e30;
    const double x = (double)p->dry_multiplier *
                     pow((double)p->dry_base, (double)(length - p->dry_allowed_length));
    return (float)(x < most ? x : most);
}

void dry_apply(const pl_sampling *p, const struct pick *pick, const uint32_t *seat,
               const struct row *row, float scale)
{
    for (uint32_t i = 0; i < pick->n_touched; i++) {
        const int32_t token = pick->touch[i].token;
        const uint32_t length = seat[token] & ~(uint32_t)IS_TOUCHED;
        if (!length) continue;
        row->x[token] -= penalty(p, length - 1) / scale;
        row_measure_block(row, (uint32_t)token / ROW_BLOCK);
    }
}

void dry_forget(const struct pick *pick, const struct pick_room *room)
{
    for (uint32_t i = 0; i < pick->n_touched; i++) room->seat[pick->touch[i].token] = 0;
}

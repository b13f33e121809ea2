/* States of layers that remember a stream in place of its positions: where a sequence's is, and
 * which of them others may take up.
 *
 * A state cannot be cut back to an earlier position. So a copy is kept where another prompt may go
 * on: at the end of a prompt's shareable pages, where others began like it (n_found), where a
 * sequence that was admitted later leaves it (follows), and at the last page that is full of a
 * reply. What is kept is never copied: a step writes it beside, or leaves it where it is and goes
 * on in another place (backend.h, struct span).
 *
 * A sequence holds three places at most: its state's, one that is kept until the step is committed,
 * and the last one that it entered into the index. */
#include <assert.h>
#include <string.h>

#include "engine/scheduler_internal.h"

uint32_t scheduler_n_states(const struct scheduler_params *params)
{
    enum { OF_A_SLOT = 3, KEPT_FOR_LATER = 4 };
    return OF_A_SLOT * params->n_slots + KEPT_FOR_LATER;
}

static uint32_t take(struct scheduler *s)
{
    const bool is_there = kv_pool_reserve(s->states, 1);
    assert(is_there);           /* scheduler.h I9 */
    (void)is_there;
    return kv_pool_take(s->states);
}

static void let_go(struct scheduler *s, uint32_t *state)
{
    if (*state != NO_STATE) kv_pool_release(s->states, *state);
    *state = NO_STATE;
}

void scheduler_begin_state(struct scheduler *s, struct seq *q, uint32_t found)
{
    q->kept = q->entered = NO_STATE;
    q->own_state = found;
    if (found == NO_STATE) return;
    const bool is_shared = kv_pool_hold(s->states, found);
    assert(is_shared);
    (void)is_shared;
}

void scheduler_give_back_states(struct scheduler *s, struct seq *q)
{
    if (!s->states) return;
    let_go(s, &q->kept);
    let_go(s, &q->own_state);
    let_go(s, &q->entered);
}

/* ---- what is kept --------------------------------------------------------------------------- */

/* The first position from `from` on, up to `end`, after which others may go on; 0: there is none.
 */
static uint32_t next_border(const struct scheduler *s, const struct seq *q, uint32_t from,
                            uint32_t end)
{
    uint32_t first = 0;
    if (s->params.no_prefix_cache || q->is_unindexable) return 0;
    const uint32_t ends[] = { n_shareable(q), q->n_found };
    for (int i = 0; i < 2; i++) {
        const uint32_t at = ends[i] * PAGE_TOKENS;
        if (at >= from && at <= end && (!first || at < first)) first = at;
    }
    for (const struct seq *r = s->running.first; r; r = r->next) {
        const uint32_t at = r->follows == q ? r->n_followed * PAGE_TOKENS : 0;
        if (at && at >= from && at <= end && (!first || at < first)) first = at;
    }
    if (!first && end > q->n_prompt && end % PAGE_TOKENS == 0) first = end;
    return first;
}

/* At most one is kept inside of a span, another at its end. */
uint32_t scheduler_cut_at_states(const struct scheduler *s, const struct seq *q, uint32_t n)
{
    if (!s->states) return n;
    const uint32_t end = q->n_issued + n, first = next_border(s, q, q->n_issued + 1, end);
    const uint32_t second = first ? next_border(s, q, first + 1, end) : 0;
    return second ? first - q->n_issued : n;
}

void scheduler_add_state(struct scheduler *s, struct seq *q, struct span *span)
{
    const uint32_t end = span->first_pos + span->n_cols;
    span->state_from = span->state_to = span->state_kept = NO_STATE;
    if (!s->states) return;

    span->state_from = q->own_state;
    if (q->own_state == NO_STATE || !kv_pool_is_writable(s->states, q->own_state)) {
        const uint32_t to = take(s);    /* before the other is given back: it may be that one */
        let_go(s, &q->own_state);
        q->own_state = to;
    }
    span->state_to = q->own_state;

    const uint32_t border = next_border(s, q, span->first_pos + 1, end);
    if (!border || q->kept != NO_STATE) return;
    q->kept_pages = border / PAGE_TOKENS;
    if (border == end) {
        q->kept = q->own_state;
        kv_pool_hold(s->states, q->kept);
    } else {
        q->kept = span->state_kept = take(s);
        span->n_kept_cols = border - span->first_pos;
    }
}

/* ---- the index ------------------------------------------------------------------------------ */

/* One from inside a reply is of use until the next. */
static void replace_entered(struct scheduler *s, struct seq *q, uint32_t state, uint32_t n_pages)
{
    if (q->entered != NO_STATE && q->entered_pages > n_shareable(q))
        kv_pool_release_first(s->states, q->entered);
    else
        let_go(s, &q->entered);
    q->entered = state;
    q->entered_pages = n_pages;
}

void scheduler_enter_state(struct scheduler *s, struct seq *q, uint32_t i, struct prefix_key key)
{
    const int32_t *tokens = page_tokens(q, i);
    if (!s->states || q->kept == NO_STATE || q->kept_pages != i + 1) return;
    if (kv_pool_find(s->states, key, tokens) == KV_NO_PAGE &&
        kv_pool_enter(s->states, q->kept, key, tokens)) {
        replace_entered(s, q, q->kept, i + 1);
        q->kept = NO_STATE;
    } else {
        let_go(s, &q->kept);
    }
}

/* ---- equal beginnings that are being read --------------------------------------------------- */

/* Full pages that two prompts begin with alike. */
static uint32_t n_common_pages(const struct seq *a, const struct seq *b)
{
    const uint32_t most = n_shareable(a) < b->n_prefill / PAGE_TOKENS ? n_shareable(a)
                                                                      : b->n_prefill / PAGE_TOKENS;
    uint32_t n = 0;
    while (n < most &&
           !memcmp(page_tokens(a, n), page_tokens(b, n), PAGE_TOKENS * sizeof *a->token))
        n++;
    return n;
}

void scheduler_follow(struct scheduler *s, struct seq *q)
{
    q->follows = NULL;
    q->n_followed = q->n_indexed;
    if (!s->states || s->params.no_prefix_cache || q->computes_prompt) return;
    for (struct seq *r = s->running.first; r; r = r->next) {
        if (r == q || !is_in_prefill(r) || r->is_unindexable) continue;
        const uint32_t n = n_common_pages(q, r);
        if (n <= q->n_followed || r->n_issued >= n * PAGE_TOKENS) continue;
        q->follows = r;
        q->n_followed = n;
    }
}

/* Whether what the sequence waited for is there now, or never will be. */
bool scheduler_has_followed(struct seq *q)
{
    if (!q->follows || q->follows->n_computed < q->n_followed * PAGE_TOKENS) return false;
    q->follows = NULL;
    return true;
}

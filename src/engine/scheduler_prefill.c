/* Which prompts a step reads, and how much of each: scheduler.h's P1 to P3. */
#include "engine/scheduler_internal.h"

/* What is left to share out while a step is composed. */
struct prompt_budget {
    uint32_t n_cols;
    uint32_t n_score_cols;      /* of these, for wants_every_logit */
};

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- sizes of chunks ------------------------------------------------------------------------ */

static uint32_t n_steps(uint32_t n_cols, uint32_t budget)
{
    return n_cols / budget + (n_cols % budget != 0);
}

/* Prompt columns of q in a step that has room for `budget`. Ends at a page border rather than a
 * little beyond it where the prompt takes no step more for that; never less than P2's two thirds.
 */
static uint32_t chunk_cols(const struct seq *q, uint32_t budget)
{
    const uint32_t n_left = q->n_prefill - q->n_issued;
    if (n_left <= budget) return n_left;

    const uint32_t beyond = (q->n_issued + budget) % PAGE_TOKENS;
    if (budget == 0 || beyond > budget / 3) return budget;
    const uint32_t n_after = n_left - budget;
    return n_steps(n_after + beyond, budget) == n_steps(n_after, budget) ? budget - beyond : budget;
}

static uint32_t chunk_within(const struct seq *q, const struct prompt_budget *b, uint32_t n_cols)
{
    return chunk_cols(q, q->wants_every_logit ? min_u32(n_cols, b->n_score_cols) : n_cols);
}

/* Prompt columns beside n that decode: as many as they may cost, and those that cost nothing more.
 */
static uint32_t prefill_beside(const struct scheduler_params *p, uint32_t n)
{
    const uint32_t unit = p->column_unit ? p->column_unit : 1;
    return (n + p->prefill_tokens + unit - 1) / unit * unit - n;
}

/* I3. There is room for one column at least: a sequence that prefills has a slot and no decode
 * column, and step_tokens >= n_slots. */
static struct prompt_budget budget_of(const struct scheduler *s, const struct step *p)
{
    uint32_t n = s->params.step_tokens - p->batch.n_cols;
    if (p->batch.n_cols) n = min_u32(n, prefill_beside(&s->params, p->batch.n_cols));
    const uint32_t n_score = s->params.score_tokens ? s->params.score_tokens : n;
    return (struct prompt_budget){ n, n_score };
}

/* P2. A third, in whole pages where there are any; a budget that has no third goes to the others
 * every third step. */
static uint32_t part_of(const struct scheduler *s, uint32_t budget)
{
    const uint32_t third = budget / 3;
    if (third == 0) return s->n_composed % 3 ? 0 : budget;
    return third < PAGE_TOKENS ? third : third - third % PAGE_TOKENS;
}

/* ---- who waits for another's pages ---------------------------------------------------------- */

uint32_t scheduler_max_claims(const struct scheduler_params *p)
{
    /* of the oldest prompt, which claims what it would read alone, and of all others together */
    return 2 * (p->step_tokens / PAGE_TOKENS) + 2 * p->n_slots + 2;
}

static bool has_keys(const struct scheduler *s, const struct seq *q)
{
    return !s->params.no_prefix_cache && !q->is_unindexable;
}

/* The key of all full pages up to n_issued: those in flight are not in q->key yet. */
static struct prefix_key key_ahead(struct seq *q)
{
    if (q->n_ahead < q->n_indexed) {
        q->n_ahead = q->n_indexed;
        q->ahead_key = q->key;
    }
    for (; q->n_ahead < q->n_issued / PAGE_TOKENS; q->n_ahead++)
        q->ahead_key = prefix_key_next(q->ahead_key, page_tokens(q, q->n_ahead));
    return q->ahead_key;
}

/* Notes the pages that the next n columns of a prompt lie in, before they are issued. */
static void claim(const struct scheduler *s, struct step *p, struct seq *q, uint32_t n)
{
    if (!has_keys(s, q) || s->states) return;
    const uint32_t end = q->n_issued + n;
    struct prefix_key key = key_ahead(q);
    for (uint32_t i = q->n_issued / PAGE_TOKENS;
         i * PAGE_TOKENS < end && (i + 1) * PAGE_TOKENS <= q->n_prefill; i++) {
        key = prefix_key_next(key, page_tokens(q, i));
        p->claim[p->n_claims++] =
            (struct claim){ .key = key, .by = q, .n_cols = end == q->n_prefill ? UINT32_MAX : n };
    }
}

static bool is_claimed(const struct step *p, struct prefix_key key, const struct seq *not_by,
                       uint32_t n_cols)
{
    for (uint32_t i = 0; i < p->n_claims; i++) {
        const struct claim *c = &p->claim[i];
        if (c->by && c->by != not_by && c->n_cols >= n_cols &&
            c->key.bits[0] == key.bits[0] && c->key.bits[1] == key.bits[1])
            return true;
    }
    return false;
}

/* P3. Whether the page that q would compute next is computed by a step in flight, or by another in
 * this one which goes on at least as fast as q would with n columns, or is done then. */
static bool is_held_back(struct scheduler *s, const struct step *p, struct seq *q, uint32_t n)
{
    const uint32_t next_page = q->n_issued / PAGE_TOKENS;
    if (s->states) return q->follows != NULL;
    if (!has_keys(s, q) || q->computes_prompt || next_page >= n_shareable(q)) return false;
    if (!p->n_claims && !s->n_in_flight) return false;
    const struct prefix_key key = prefix_key_next(key_ahead(q), page_tokens(q, next_page));
    for (uint32_t i = 0; i < s->n_in_flight; i++)
        if (is_claimed(step_at(s, i), key, q, 0)) return true;
    return is_claimed(p, key, q, n);
}

/* ---- the step ------------------------------------------------------------------------------- */

/* The oldest prompt that need not wait for a page in flight. */
static struct seq *oldest_prompt(struct scheduler *s, const struct step *p)
{
    for (struct seq *q = s->running.first; q; q = q->next)
        if (is_in_prefill(q) && !is_held_back(s, p, q, UINT32_MAX)) return q;
    return NULL;
}

/* The prompt with least left of those not looked at for this step; the older of equal ones. */
static struct seq *least_left(const struct scheduler *s)
{
    struct seq *least = NULL;
    for (struct seq *q = s->running.first; q; q = q->next) {
        if (!is_in_prefill(q) || q->seen_at == s->n_composed) continue;
        if (!least || q->n_prefill - q->n_issued < least->n_prefill - least->n_issued) least = q;
    }
    return least;
}

static void read_prompt(struct scheduler *s, struct step *p, struct prompt_budget *b,
                        struct seq *q, uint32_t n)
{
    if (n == 0) return;
    n = scheduler_cut_at_states(s, q, n);
    scheduler_add_span(s, p, q, n);
    b->n_cols -= n;
    if (q->wants_every_logit) b->n_score_cols -= n;
}

/* P2 */
static void read_others(struct scheduler *s, struct step *p, struct prompt_budget *b,
                        uint32_t part)
{
    for (struct seq *q; part && (q = least_left(s));) {
        q->seen_at = s->n_composed;
        const uint32_t n = chunk_within(q, b, part);
        if (n == 0 || is_held_back(s, p, q, n)) continue;
        claim(s, p, q, n);
        read_prompt(s, p, b, q, n);
        part -= n;
    }
}

void scheduler_add_prefill(struct scheduler *s, struct step *p)
{
    struct prompt_budget b = budget_of(s, p);
    struct seq *oldest = oldest_prompt(s, p);
    if (!oldest) return;

    const uint32_t n_cols = b.n_cols, n_alone = chunk_within(oldest, &b, n_cols);
    const uint32_t part = part_of(s, n_cols), n_spare = n_cols - n_alone;
    oldest->seen_at = s->n_composed;
    claim(s, p, oldest, n_alone);
    if (oldest->wants_every_logit) b.n_score_cols -= n_alone;   /* its own, until its turn */
    read_others(s, p, &b, part > n_spare ? part : n_spare);
    if (oldest->wants_every_logit) b.n_score_cols += n_alone;

    /* The border of a page is free where a prompt has the steps to itself, but not in shared ones
     * of changing size. */
    uint32_t n = n_alone;
    if (b.n_cols < n_cols) n = min_u32(oldest->n_prefill - oldest->n_issued, b.n_cols);
    if (oldest->wants_every_logit) n = min_u32(n, n_alone);
    read_prompt(s, p, &b, oldest, n);
}

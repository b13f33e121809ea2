/* What sequences share: pages found in the index, and those of a fork's source.
 *
 * A sequence computes at least the last token of its prompt itself, so that there are logits. Only
 * the pages before that token's page are shared: all of them are full, nobody writes them again.
 * A fork gets a copy of the source's page that the last token lies in. The copy is made here and
 * not at the first write, because the source writes that page too, maybe in this very step: it
 * reserved no page for a copy, the fork did. So no page that is written is ever shared.
 *
 * The index is asked again before each chunk of a prompt (scheduler_take_up), and content
 * that is in it already is not kept twice (merge). Both may happen while a step is in flight:
 *   - what is in the index was computed by steps that were committed, and is full: no step in
 *     flight writes it;
 *   - scheduler_take_up changes the page table of a sequence that has no column in flight;
 *   - merge gives a page back that the step in flight may still read. Only a step that is computed
 *     after it can write that page (scheduler.h I4), and the step in flight has a copy of the table
 *     (backend.h). */
#include <assert.h>
#include <string.h>

#include "engine/scheduler_internal.h"

/* The last page first: of a prefix that is cached its end is evicted before its beginning, without
 * which the end could not be found. */
static void release_pages(struct scheduler *s, struct seq *q)
{
    for (uint32_t g = 0; g < s->params.kv.n; g++) {
        for (uint32_t i = q->n_pages; i > q->first_page[g]; i--)
            kv_pool_release(s->pool[g], q->page[g][i - 1]);
        q->first_page[g] = 0;
    }
    q->n_pages = 0;
    scheduler_give_back_states(s, q);
}

void scheduler_give_back(struct scheduler *s, struct seq *q)
{
    release_pages(s, q);
    kv_pool_unreserve(s->pool[0], q->n_reserved);
    q->n_reserved = 0;
}

void scheduler_take_page(struct scheduler *s, struct seq *q)
{
    for (uint32_t g = 0; g < s->params.kv.n; g++) {
        const bool is_there = g == 0 || kv_pool_reserve(s->pool[g], 1);
        assert(is_there);       /* scheduler.h I8 */
        (void)is_there;
        q->page[g][q->n_pages] = kv_pool_take(s->pool[g]);
    }
    q->n_pages++;
    q->n_reserved--;
}

/* Whether page i of a window is of a place where another prompt may go on: where its own ends, and
 * as far as others began like it. A window's pool has no room to keep all places. */
static bool is_worth_keeping(const struct scheduler *s, const struct seq *q, uint32_t kv_group,
                             uint32_t i)
{
    const uint32_t ends[] = { n_shareable(q), q->n_found };
    for (int k = 0; k < 2; k++)
        if (i < ends[k] && i >= first_needed(s, kv_group, ends[k] * PAGE_TOKENS)) return true;
    return false;
}

/* A step in flight may still read them: scheduler.h I4. What it writes itself and the next does not
 * see any more (a window narrower than a step's columns) goes before it could enter the index. */
void scheduler_leave_behind(struct scheduler *s, struct seq *q)
{
    for (uint32_t g = 1; g < s->params.kv.n; g++) {
        const uint32_t needed = first_needed(s, g, q->n_issued);
        for (uint32_t i; (i = q->first_page[g]) < needed && i < q->n_pages; q->first_page[g]++) {
            if (is_worth_keeping(s, q, g, i)) kv_pool_release(s->pool[g], q->page[g][i]);
            else kv_pool_release_first(s->pool[g], q->page[g][i]);
            q->page[g][i] = NO_PAGE;
        }
    }
}

/* ---- entering what was computed ------------------------------------------------------------- */

/* The same content as in page i of the sequence is in another: that one is held instead. Cannot
 * fail: where that page is only cached, giving the own one back has made the room. */
static void merge(struct scheduler *s, struct seq *q, uint32_t kv_group, uint32_t i,
                  uint32_t indexed)
{
    struct kv_pool *pool = s->pool[kv_group];
    uint32_t *page = &q->page[kv_group][i];
    assert(kv_pool_is_writable(pool, *page));
    kv_pool_release(pool, *page);
    const bool is_shared = kv_pool_hold(pool, indexed);
    assert(is_shared);
    (void)is_shared;
    *page = indexed;
    if (q->n_told_pages > i) q->n_told_pages = i;
    s->may_admit = true;
}

/* False: the key is taken by other content. */
static bool enter_page(struct scheduler *s, struct seq *q, uint32_t kv_group, uint32_t i,
                       struct prefix_key key)
{
    struct kv_pool *pool = s->pool[kv_group];
    if (i < q->first_page[kv_group]) return true;       /* left behind already */
    const int64_t indexed = kv_pool_find(pool, key, page_tokens(q, i));
    if (indexed == KV_NO_PAGE)
        return kv_pool_enter(pool, q->page[kv_group][i], key, page_tokens(q, i));
    merge(s, q, kv_group, i, (uint32_t)indexed);
    return true;
}

void scheduler_enter_pages(struct scheduler *s, struct seq *q)
{
    if (s->params.no_prefix_cache) return;
    while (!q->is_unindexable && q->n_indexed < q->n_computed / PAGE_TOKENS) {
        const struct prefix_key key = prefix_key_next(q->key, page_tokens(q, q->n_indexed));
        for (uint32_t g = 0; g < s->params.kv.n && !q->is_unindexable; g++)
            q->is_unindexable = !enter_page(s, q, g, q->n_indexed, key);
        if (q->is_unindexable) return;
        scheduler_enter_state(s, q, q->n_indexed, key);
        q->key = key;
        q->n_indexed++;
    }
}

/* ---- looking ------------------------------------------------------------------------------- */

/* Pages that may be taken from the index. Of one that computes its whole prompt itself, those that
 * it computed before it was paused. */
static uint32_t n_findable(const struct seq *q)
{
    const uint32_t n_own = q->n_reached / PAGE_TOKENS;
    return q->computes_prompt && n_own < n_shareable(q) ? n_own : n_shareable(q);
}

/* What of a prompt is in the index and can be shared. */
struct found {
    uint32_t n;                 /* its first pages */
    struct prefix_key key;      /* of the last of these */
    uint32_t state;             /* after them; NO_STATE where streams have none */
};

/* Looks the pages of the prompt up from `first` on, those before being the sequence's own, and
 * names what is found in the page tables. To be shared are so many that of each KV group all that
 * position PAGE_TOKENS * n needs are there, and the state. */
static struct found find_pages(const struct scheduler *s, struct seq *q, uint32_t first,
                               struct prefix_key key)
{
    uint32_t n_run[MAX_KV_GROUPS];                      /* found up to here without a gap */
    struct found found = { first, key, NO_STATE };
    for (uint32_t g = 0; g < s->params.kv.n; g++) n_run[g] = first - q->first_page[g];
    for (uint32_t i = first; i < n_findable(q); i++) {
        bool is_enough = true;
        const int32_t *tokens = page_tokens(q, i);
        key = prefix_key_next(key, tokens);
        for (uint32_t g = 0; g < s->params.kv.n; g++) {
            const int64_t page = kv_pool_find(s->pool[g], key, tokens);
            n_run[g] = page == KV_NO_PAGE ? 0 : n_run[g] + 1;
            q->page[g][i] = page == KV_NO_PAGE ? NO_PAGE : (uint32_t)page;
            is_enough &= n_run[g] + first_needed(s, g, (i + 1) * PAGE_TOKENS) >= i + 1;
        }
        if (!n_run[0]) {
            q->n_found = i;
            q->missing = key;
            break;
        }
        const int64_t state = s->states ? kv_pool_find(s->states, key, tokens) : KV_NO_PAGE;
        if (!is_enough || (s->states && state == KV_NO_PAGE)) continue;
        found = (struct found){ i + 1, key, s->states ? (uint32_t)state : NO_STATE };
    }
    return found;
}

/* One more holder of pages [first, end) of a table, or of none of them. */
static bool hold_pages(struct kv_pool *pool, const uint32_t *page, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++) {
        if (kv_pool_hold(pool, page[i])) continue;
        while (i-- > first) kv_pool_release(pool, page[i]);
        return false;
    }
    return true;
}

/* ---- looking again -------------------------------------------------------------------------- */

static bool may_take_up(const struct scheduler *s, const struct seq *q)
{
    return !s->params.no_prefix_cache && !q->computes_prompt && !q->is_unindexable &&
           q->n_issued == q->n_computed && q->n_indexed < n_shareable(q);
}

/* Another's page in the place of the next one, which the sequence may have begun to compute. */
static void take_up(struct scheduler *s, struct seq *q, uint32_t kv_group, uint32_t indexed)
{
    if (q->n_pages > q->n_indexed) {
        merge(s, q, kv_group, q->n_indexed, indexed);
        return;
    }
    if (kv_group == 0) {        /* so that a cached page can be shared */
        kv_pool_unreserve(s->pool[0], 1);
        q->n_reserved--;
    }
    const bool is_shared = kv_pool_hold(s->pool[kv_group], indexed);
    assert(is_shared);
    (void)is_shared;
    q->page[kv_group][q->n_indexed] = indexed;
    s->may_admit = true;
}

/* The next page of its prompt, if it is there by now. */
static bool take_up_page(struct scheduler *s, struct seq *q)
{
    const int32_t *tokens = page_tokens(q, q->n_indexed);
    const struct prefix_key key = prefix_key_next(q->key, tokens);
    int64_t indexed[MAX_KV_GROUPS];

    for (uint32_t g = 0; g < s->params.kv.n; g++)
        if ((indexed[g] = kv_pool_find(s->pool[g], key, tokens)) == KV_NO_PAGE) return false;
    for (uint32_t g = 0; g < s->params.kv.n; g++) take_up(s, q, g, (uint32_t)indexed[g]);
    q->key = key;
    q->n_indexed++;
    if (q->n_pages < q->n_indexed) q->n_pages = q->n_indexed;
    return true;
}

/* All that is there of a beginning which another has read, up to where its state was kept. */
static void take_up_state(struct scheduler *s, struct seq *q)
{
    struct found found = find_pages(s, q, q->n_indexed, q->key);
    const uint32_t n_more = found.n - q->n_indexed;
    if (!n_more) return;
    assert(q->n_pages == q->n_indexed);
    kv_pool_unreserve(s->pool[0], n_more);      /* so that cached pages can be shared */
    q->n_reserved -= n_more;
    const bool is_shared = hold_pages(s->pool[0], q->page[0], q->n_indexed, found.n);
    assert(is_shared);
    (void)is_shared;
    scheduler_give_back_states(s, q);
    scheduler_begin_state(s, q, found.state);
    q->key = found.key;
    q->n_pages = q->n_indexed = found.n;
    s->may_admit = true;
}

static void count_taken_up(struct seq *q, struct step *step)
{
    const uint32_t before = q->n_computed;
    q->n_computed = q->n_issued = q->n_indexed * PAGE_TOKENS;
    count_found(q, before, step);
}

void scheduler_take_up(struct scheduler *s, struct step *step)
{
    for (struct seq *q = s->running.first; q; q = q->next) {
        if (!is_in_prefill(q)) continue;
        if (s->states) {
            if (!scheduler_has_followed(q)) continue;
            take_up_state(s, q);
            count_taken_up(q, step);
            continue;
        }
        while (may_take_up(s, q) && take_up_page(s, q)) {
            count_taken_up(q, step);
            scheduler_leave_behind(s, q);
        }
    }
}

/* ---- on admission --------------------------------------------------------------------------- */

/* The first n pages, which its page tables name already, become the sequence's own: of each KV
 * group those that next_pos needs. False: a page that is cached is all promised to others. */
static bool share_pages(struct scheduler *s, struct seq *q, uint32_t n, uint32_t next_pos)
{
    for (uint32_t g = 0; g < s->params.kv.n; g++) {
        const uint32_t needed = first_needed(s, g, next_pos), first = needed < n ? needed : n;
        if (!hold_pages(s->pool[g], q->page[g], first, n)) {
            assert(g == 0);     /* scheduler.h I8 */
            return false;
        }
        for (uint32_t i = 0; i < first; i++) q->page[g][i] = NO_PAGE;
        q->first_page[g] = first;
    }
    q->n_pages = q->n_indexed = n;
    return true;
}

/* False: a page that is cached is all promised to others. */
static bool share_indexed(struct scheduler *s, struct seq *q)
{
    q->has_looked = true;
    q->n_found = n_shareable(q);    /* as if all were there, where it is not known */
    if (s->params.no_prefix_cache || !n_findable(q)) return true;
    const struct found found = find_pages(s, q, 0, q->key);
    if (!share_pages(s, q, found.n, found.n * PAGE_TOKENS)) return false;
    scheduler_begin_state(s, q, found.state);
    q->key = found.key;
    return true;
}

/* Whether the source still has what the last prompt token sees. */
static bool can_fork(const struct scheduler *s, const struct seq *q)
{
    if (s->states) return false;        /* it has gone on: what it kept is in the index */
    for (uint32_t g = 1; g < s->params.kv.n; g++)
        if (q->fork_of->first_page[g] > first_needed(s, g, q->n_prompt - 1)) return false;
    return true;
}

/* The source holds its pages, and sharing a held page cannot fail. */
static bool share_forked(struct scheduler *s, struct seq *q)
{
    const struct seq *source = q->fork_of;
    const uint32_t n = n_shareable(q);
    assert(source->n_prompt == q->n_prompt && source->n_computed >= q->n_prompt);

    for (uint32_t g = 0; g < s->params.kv.n; g++)
        memcpy(q->page[g], source->page[g], n * sizeof *q->page[g]);
    if (!share_pages(s, q, n, q->n_prompt - 1)) return false;
    for (uint32_t i = 0; i < n; i++) q->key = prefix_key_next(q->key, page_tokens(q, i));
    q->is_unindexable = source->is_unindexable;
    return true;
}

static void copy_last_prompt_page(struct scheduler *s, struct seq *q)
{
    const uint32_t last = q->n_pages;
    scheduler_take_page(s, q);
    for (uint32_t g = 0; g < s->params.kv.n; g++)
        s->copy(s->copy_arg, g, q->page[g][last], q->fork_of->page[g][last]);
}

/* Sharing never makes it harder to fit: a cached page that is shared costs what a reserved one
 * would, a held one costs nothing. */
bool scheduler_take_memory(struct scheduler *s, struct seq *q, uint64_t n_spare)
{
    q->n_pages = q->n_told_pages = q->n_indexed = q->n_ahead = 0;
    q->key = q->ahead_key = (struct prefix_key){ { 0, 0 } };
    q->is_unindexable = false;
    memset(q->first_page, 0, sizeof q->first_page);

    if (q->fork_of && !can_fork(s, q)) q->fork_of = NULL;
    const bool is_shared = q->fork_of ? share_forked(s, q) : share_indexed(s, q);
    const uint32_t n_rest = pages_of(q->n_prefill) - q->n_pages;
    if (!is_shared || n_rest + n_spare > kv_pool_n_available(s->pool[0])) {
        release_pages(s, q);
        q->n_indexed = 0;
        return false;
    }
    kv_pool_reserve(s->pool[0], n_rest);
    q->n_reserved = n_rest;
    q->n_computed = q->n_pages * PAGE_TOKENS;
    if (q->fork_of) {
        q->n_computed = q->n_prompt - 1;
        if (q->n_computed % PAGE_TOKENS) copy_last_prompt_page(s, q);
        q->fork_of = NULL;
    }
    q->n_issued = q->n_computed;
    scheduler_follow(s, q);
    return true;
}

/* Admission: what a new sequence shares and what it reserves.
 *
 * A sequence computes at least the last token of its prompt itself, so that there are logits. Only
 * the pages before that token's page are shared: all of them are full, nobody writes them again.
 * A fork gets a copy of the source's page that the last token lies in. The copy is made here and
 * not at the first write, because the source writes that page too, maybe in this very step: it
 * reserved no page for a copy, the fork did. So no page that is written is ever shared. */
#include <assert.h>

#include "engine/scheduler_internal.h"

/* The last page first: of a prefix that is cached its end is evicted before its beginning, without
 * which the end could not be found. */
static void release_pages(struct scheduler *s, struct seq *q)
{
    while (q->n_pages) kv_pool_release(s->pool, q->page[--q->n_pages]);
}

void scheduler_give_back(struct scheduler *s, struct seq *q)
{
    release_pages(s, q);
    kv_pool_unreserve(s->pool, q->n_reserved);
    q->n_reserved = 0;
}

static const int32_t *page_tokens(const struct seq *q, uint32_t page)
{
    return q->token + (size_t)page * PAGE_TOKENS;
}

void scheduler_publish(struct scheduler *s, struct seq *q)
{
    if (s->params.no_prefix_cache) return;
    while (!q->is_unpublishable && q->n_published < q->n_computed / PAGE_TOKENS) {
        const int32_t *tokens = page_tokens(q, q->n_published);
        const struct prefix_key key = prefix_key_next(q->key, tokens);
        if (kv_pool_publish(s->pool, q->page[q->n_published], key, tokens)) {
            q->key = key;
            q->n_published++;
        } else {
            q->is_unpublishable = true;
        }
    }
}

/* Full pages before the one that holds the last prompt token. */
static uint32_t n_shareable(const struct seq *q)
{
    return (q->n_prompt - 1) / PAGE_TOKENS;
}

/* One more holder of what is known to be page n_pages of the sequence. */
static bool share_page(struct scheduler *s, struct seq *q, uint32_t page, struct prefix_key key)
{
    if (!kv_pool_share(s->pool, page)) return false;
    q->page[q->n_pages++] = page;
    q->n_published = q->n_pages;
    q->key = key;
    return true;
}

/* False: a page that is cached is all promised to others. */
static bool share_indexed(struct scheduler *s, struct seq *q)
{
    if (s->params.no_prefix_cache || q->wants_every_logit) return true;
    while (q->n_pages < n_shareable(q)) {
        const int32_t *tokens = page_tokens(q, q->n_pages);
        const struct prefix_key key = prefix_key_next(q->key, tokens);
        const int64_t page = kv_pool_find(s->pool, key, tokens);
        if (page == KV_NO_PAGE) return true;
        if (!share_page(s, q, (uint32_t)page, key)) return false;
    }
    return true;
}

/* The source holds its pages, and sharing a held page cannot fail. */
static bool share_forked(struct scheduler *s, struct seq *q)
{
    const struct seq *source = q->fork_of;
    assert(source->n_prompt == q->n_prompt && source->n_computed >= q->n_prompt);

    while (q->n_pages < n_shareable(q)) {
        const struct prefix_key key = prefix_key_next(q->key, page_tokens(q, q->n_pages));
        if (!share_page(s, q, source->page[q->n_pages], key)) return false;
    }
    q->is_unpublishable = source->is_unpublishable;
    return true;
}

static void copy_last_prompt_page(struct scheduler *s, struct seq *q)
{
    const uint32_t from = q->fork_of->page[q->n_pages];
    const uint32_t to = kv_pool_take(s->pool);
    q->n_reserved--;
    q->page[q->n_pages++] = to;
    s->copy(s->copy_arg, to, from);
}

/* Takes shared pages and reserves the rest, or leaves the sequence as it was. Sharing never makes
 * it harder to fit: a cached page that is shared costs what a reserved one would, a held one costs
 * nothing. */
static bool take_memory(struct scheduler *s, struct seq *q)
{
    q->n_pages = q->n_published = 0;
    q->key = (struct prefix_key){ { 0, 0 } };
    q->is_unpublishable = false;

    const bool is_shared = q->fork_of ? share_forked(s, q) : share_indexed(s, q);
    const uint32_t n_rest = pages_of(q->max_tokens) - q->n_pages;
    if (!is_shared || !kv_pool_reserve(s->pool, n_rest)) {
        release_pages(s, q);
        return false;
    }
    q->n_reserved = n_rest;
    q->n_cached = q->n_pages * PAGE_TOKENS;
    if (q->fork_of) {
        q->n_cached = q->n_prompt - 1;
        if (q->n_cached % PAGE_TOKENS) copy_last_prompt_page(s, q);
        q->fork_of = NULL;
    }
    q->n_computed = q->n_issued = q->n_cached;
    return true;
}

static void enter_slot(struct scheduler *s, struct planned *step, struct seq *q)
{
    uint32_t slot = 0;
    while (s->slot[slot]) slot++;
    s->slot[slot] = q;
    q->slot = slot;
    q->state = SEQ_PREFILL;
    seq_list_remove(&s->waiting, q);
    seq_list_append(&s->running, q);
    step->admitted[step->n_admitted++] = q;
}

void scheduler_admit(struct scheduler *s, struct planned *step)
{
    s->is_short_of_pages = false;
    while (s->waiting.n && s->running.n < s->params.n_slots) {
        struct seq *q = s->waiting.first;
        if (q->fork_of && q->fork_of->state != SEQ_DECODE) return;
        s->is_short_of_pages = !take_memory(s, q);
        if (s->is_short_of_pages) return;
        enter_slot(s, step, q);
    }
}

/* Who is paused when pages run short: scheduler.h's M2 and M3.
 *
 * What a paused sequence computed stays in the index while it can, as everything there does: what
 * others take of it is its end, because the last page is given back first. So what it computes
 * again is about what the others wrote meanwhile, and the page that it had begun. */
#include <assert.h>

#include "engine/scheduler_internal.h"

static bool wants_page(const struct seq *q)
{
    return !is_in_prefill(q) && !q->is_stalled && !q->n_reserved &&
           q->n_issued + 1 < q->max_tokens && pages_of(q->n_issued + 1) > q->n_pages;
}

uint32_t scheduler_n_wanted(const struct scheduler *s)
{
    uint32_t n = 0;
    for (const struct seq *q = s->running.first; q; q = q->next) n += wants_page(q);
    return n;
}

void scheduler_forget(struct scheduler *s, const struct seq *q)
{
    for (struct seq *w = s->line.first; w; w = w->next)
        if (w->fork_of == q) w->fork_of = NULL;
    for (struct seq *r = s->running.first; r; r = r->next)
        if (r->follows == q) r->follows = NULL;
}

void scheduler_pause(struct scheduler *s, struct step *step, struct seq *q)
{
    assert(!s->n_in_flight && q->n_issued == q->n_computed);
    if (q->n_reached < q->n_computed) q->n_reached = q->n_computed;
    scheduler_give_back(s, q);
    seq_list_remove(&s->running, q);
    q->state = SEQ_PAUSED;
    q->n_prefill = q->n_tokens;
    q->n_computed = q->n_issued = q->n_indexed = q->n_passed_tokens = 0;
    q->follows = NULL;
    q->passed = NULL;
    q->has_looked = false;
    scheduler_forget(s, q);
    seq_list_insert(&s->line, q);
    s->n_paused++;
    s->may_admit = true;
    step->n_paused++;
}

struct seq *scheduler_last_stalled(const struct scheduler *s)
{
    struct seq *last = NULL;
    for (struct seq *q = s->running.first; q; q = q->next)
        if (q->is_stalled && (!last || !seq_goes_before(q, last))) last = q;
    return last;
}

/* Stalled ones first: they have no use for their pages now. */
static struct seq *next_to_pause(const struct scheduler *s)
{
    struct seq *last = scheduler_last_stalled(s);
    if (last) return last;
    for (struct seq *q = s->running.first; q; q = q->next)
        if (!last || !seq_goes_before(q, last)) last = q;
    return last;
}

/* It ends: one that runs alone has all pages, and wants no more than there are. */
void scheduler_make_room(struct scheduler *s, struct step *step)
{
    while (scheduler_n_wanted(s) > kv_pool_n_available(s->pool[0]))
        scheduler_pause(s, step, next_to_pause(s));
    for (struct seq *q = s->running.first; q; q = q->next) {
        if (!wants_page(q)) continue;
        kv_pool_reserve(s->pool[0], 1);
        q->n_reserved = 1;
    }
}

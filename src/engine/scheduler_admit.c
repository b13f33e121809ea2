/* The line: who of those without memory starts. The rules are scheduler.h's L1 to L3 and M1. */
#include "engine/scheduler_internal.h"

void scheduler_leave_line(struct scheduler *s, struct seq *q)
{
    seq_list_remove(&s->line, q);
    s->n_paused -= q->state == SEQ_PAUSED;
    for (struct seq *r = s->running.first; r; r = r->next)
        if (r->passed == q) r->passed = NULL;
}

static void enter_slot(struct scheduler *s, struct step *step, struct seq *q)
{
    uint32_t slot = 0;
    while (s->slot[slot]) slot++;
    s->slot[slot] = q;
    q->slot = slot;
    step->admitted[step->n_admitted++] = q;
}

static void start(struct scheduler *s, struct step *step, struct seq *q)
{
    scheduler_leave_line(s, q);
    if (q->state == SEQ_WAITING) enter_slot(s, step, q);
    q->state = SEQ_PREFILL;
    seq_list_append(&s->running, q);
    count_found(q, 0, step);
}

/* While the line is looked at. */
struct look {
    struct seq *head;           /* the first that cannot start for want of pages */
    uint64_t n_pages_passed;    /* L2: of those that passed it and still run */
    uint64_t n_growth;          /* M1: pages that are left free for those that run */
};

static uint64_t growth_of_running(const struct scheduler *s)
{
    uint64_t n = 0;
    for (const struct seq *q = s->running.first; q; q = q->next)
        n += growth_of(s, q, q->n_pages + q->n_reserved);
    return n;
}

/* Whether its memory may be there, told without hashing its tokens again: at least so many pages
 * are wanted, unless one is in the index by now that was missing when it was looked for. */
static bool may_fit(const struct scheduler *s, const struct seq *q, uint64_t n_spare)
{
    const uint32_t n_found = q->has_looked && !q->fork_of ? q->n_found : n_shareable(q);
    if (pages_of(q->n_prefill) - n_found + n_spare <= kv_pool_n_available(s->pool[0])) return true;
    return n_found < n_shareable(q) &&
           kv_pool_find(s->pool[0], q->missing, page_tokens(q, n_found)) != KV_NO_PAGE;
}

/* False: it cannot start yet. */
static bool take_memory(struct scheduler *s, const struct look *look, struct seq *q)
{
    const uint64_t n_spare = look->n_growth + growth_of(s, q, pages_of(q->n_prefill));
    if (q->fork_of && q->fork_of->state != SEQ_DECODE) return false;
    return may_fit(s, q, n_spare) && scheduler_take_memory(s, q, n_spare);
}

/* The first of the line: those whose readers are slow hold no pages that it wants. */
static bool take_memory_first(struct scheduler *s, struct step *step, struct look *look,
                              struct seq *q)
{
    while (!take_memory(s, look, q)) {
        struct seq *stalled = q->fork_of ? NULL : scheduler_last_stalled(s);
        if (!stalled) return false;
        scheduler_pause(s, step, stalled);
        look->n_growth = growth_of_running(s);
    }
    return true;
}

static void make_head(const struct scheduler *s, struct look *look, struct seq *q)
{
    look->head = q;
    for (const struct seq *r = s->running.first; r; r = r->next)
        if (r->passed == q) look->n_pages_passed += pages_of(r->max_tokens);
}

/* Lets a later sequence start before the head, under L2 or L3. */
static bool pass(struct scheduler *s, struct look *look, struct seq *q)
{
    struct seq *head = look->head;
    const uint32_t n_pages = pages_of(q->max_tokens);
    const uint64_t n_wanted = look->n_pages_passed + n_pages + pages_of(head->max_tokens);
    const uint64_t n_tokens = (uint64_t)head->n_passed_tokens + q->max_tokens;
    const bool is_free = n_wanted <= kv_pool_counts(s->pool[0]).n_pages;
    if ((!is_free && n_tokens > head->max_tokens) || !take_memory(s, look, q)) return false;
    if (is_free) {
        q->passed = head;
        look->n_pages_passed += n_pages;
    } else {
        head->n_passed_tokens = (uint32_t)n_tokens;
    }
    return true;
}

/* Who is paused has a slot already; a slow reader's wants nothing. */
static bool is_in_turn(const struct scheduler *s, const struct seq *q)
{
    return q->state == SEQ_PAUSED ? !q->is_stalled : n_in_slots(s) < s->params.n_slots;
}

void scheduler_admit(struct scheduler *s, struct step *step)
{
    if (!s->may_admit || step->n_paused) return;    /* who was paused just now rests for a step */
    s->may_admit = false;
    struct look look = { .n_growth = growth_of_running(s) };
    for (struct seq *q = s->line.first, *next; q; q = next) {
        if (!s->n_paused && n_in_slots(s) == s->params.n_slots) return;
        next = q->next;
        if (!is_in_turn(s, q)) continue;
        if (look.head ? pass(s, &look, q) : take_memory_first(s, step, &look, q)) {
            start(s, step, q);
            look.n_growth = growth_of_running(s);
        } else if (!look.head) {
            make_head(s, &look, q);
        }
    }
    /* the slots may be full now, and then the head waits for one of them, not for pages */
    if (look.head && !is_in_turn(s, look.head)) s->may_admit = true;
}

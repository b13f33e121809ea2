/* Admission: who of the line enters a slot. The rules are scheduler.h's L1 to L3. */
#include "engine/scheduler_internal.h"

void scheduler_leave_line(struct scheduler *s, struct seq *q)
{
    seq_list_remove(&s->waiting, q);
    for (struct seq *r = s->running.first; r; r = r->next)
        if (r->passed == q) r->passed = NULL;
}

static void enter_slot(struct scheduler *s, struct step *step, struct seq *q)
{
    uint32_t slot = 0;
    while (s->slot[slot]) slot++;
    s->slot[slot] = q;
    q->slot = slot;
    q->state = SEQ_PREFILL;
    scheduler_leave_line(s, q);
    seq_list_append(&s->running, q);
    step->admitted[step->n_admitted++] = q;
    step->n_cached_tokens += q->n_cached;
}

/* Whether its memory may be there, told without hashing its prompt again: at least so many pages
 * are wanted, unless one is in the index by now that was missing when it was looked for. */
static bool may_fit(const struct scheduler *s, const struct seq *q)
{
    const uint32_t n_found = q->has_looked && !q->fork_of ? q->n_found : n_shareable(q);
    if (pages_of(q->max_tokens) - n_found <= kv_pool_n_available(s->pool[0])) return true;
    return n_found < n_shareable(q) &&
           kv_pool_find(s->pool[0], q->missing, page_tokens(q, n_found)) != KV_NO_PAGE;
}

/* False: it cannot start yet. */
static bool take_memory(struct scheduler *s, struct seq *q)
{
    if (q->fork_of && q->fork_of->state != SEQ_DECODE) return false;
    return may_fit(s, q) && scheduler_take_memory(s, q);
}

/* The head that cannot start, and the pages of those that passed it and still run (L2). */
struct head {
    struct seq *seq;
    uint64_t n_pages_passed;
};

static struct head head_at(const struct scheduler *s, struct seq *q)
{
    struct head head = { .seq = q };
    for (const struct seq *r = s->running.first; r; r = r->next)
        if (r->passed == q) head.n_pages_passed += pages_of(r->max_tokens);
    return head;
}

/* Lets a later sequence start before the head, under L2 or L3. */
static bool pass(struct scheduler *s, struct head *head, struct seq *q)
{
    const uint32_t n_pages = pages_of(q->max_tokens);
    const uint64_t n_wanted = head->n_pages_passed + n_pages + pages_of(head->seq->max_tokens);
    const uint64_t n_tokens = (uint64_t)head->seq->n_passed_tokens + q->max_tokens;
    const bool is_free = n_wanted <= kv_pool_counts(s->pool[0]).n_pages;
    if ((!is_free && n_tokens > head->seq->max_tokens) || !take_memory(s, q)) return false;
    if (is_free) {
        q->passed = head->seq;
        head->n_pages_passed += n_pages;
    } else {
        head->seq->n_passed_tokens = (uint32_t)n_tokens;
    }
    return true;
}

void scheduler_admit(struct scheduler *s, struct step *step)
{
    struct head head = { 0 };
    if (!s->may_admit) return;
    s->may_admit = false;
    for (struct seq *q = s->waiting.first, *next; q && s->running.n < s->params.n_slots; q = next) {
        if (!kv_pool_n_available(s->pool[0])) return;      /* each needs one page at least */
        next = q->next;
        if (head.seq ? pass(s, &head, q) : take_memory(s, q)) enter_slot(s, step, q);
        else if (!head.seq) head = head_at(s, q);
    }
}

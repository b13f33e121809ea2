#include "engine/scheduler_internal.h"

static const char *audit_waiting(const struct scheduler *s)
{
    uint32_t n = 0, n_paused = 0;
    const struct seq *previous = NULL;
    for (const struct seq *q = s->line.first; q; previous = q, q = q->next) {
        if (++n > s->line.n) return "scheduler: the line is longer than its count";
        if (q->state != SEQ_WAITING && q->state != SEQ_PAUSED)
            return "scheduler: someone in the line does not wait";
        if (q->previous != previous) return "scheduler: the line is torn";
        if (previous && seq_goes_before(q, previous))
            return "scheduler L1: the line is out of order";
        if (q->n_pages || q->n_reserved) return "scheduler: a waiting sequence holds memory";
        n_paused += q->state == SEQ_PAUSED;
        if (q->state == SEQ_PAUSED && (q->slot >= s->params.n_slots || s->slot[q->slot] != q))
            return "scheduler I1: a paused sequence is not in its slot";
        if (!q->fork_of || q->fork_of->state == SEQ_PREFILL || q->fork_of->state == SEQ_DECODE)
            continue;
        const struct seq *source = previous;    /* else it must be before it in the line */
        while (source && source != q->fork_of) source = source->previous;
        if (!source) return "scheduler: a fork waits for a source that is not ahead of it";
    }
    if (n_paused != s->n_paused) return "scheduler: the paused are not those of the line";
    return n == s->line.n && previous == s->line.last ? NULL : "scheduler: the line is short";
}

static const char *audit_table(const struct scheduler *s, const struct seq *q, uint32_t kv_group)
{
    const struct kv_pool *pool = s->pool[kv_group];
    const uint32_t *page = q->page[kv_group], first = q->first_page[kv_group];

    if (first > first_needed(s, kv_group, q->n_issued) || first > q->n_pages)
        return "scheduler I8: a page is given back that is still seen";
    for (uint32_t i = 0; i < first; i++)
        if (page[i] != NO_PAGE) return "scheduler: a page table names a page that was given back";
    for (uint32_t i = first; i < q->n_pages; i++)
        if (page[i] >= kv_pool_counts(pool).n_pages || !kv_pool_n_refs(pool, page[i]))
            return "scheduler: a page table names a page that is not held";
    for (uint32_t i = q->n_computed / PAGE_TOKENS; i < q->n_pages; i++)
        if (i >= first && !kv_pool_is_writable(pool, page[i]))
            return "scheduler I4: a page that is still to be written is shared or in the index";
    return NULL;
}

static const char *audit_pages(const struct scheduler *s, const struct seq *q)
{
    if (is_in_prefill(q) ? q->n_pages + q->n_reserved != pages_of(q->n_prefill)
                         : q->n_reserved > 1 || q->n_pages > pages_of(q->max_tokens))
        return "scheduler I5: pages held and reserved are not those that it needs now";
    if (q->n_computed > q->n_pages * PAGE_TOKENS)
        return "scheduler: positions computed that no page holds";
    if (q->n_told_pages > q->n_pages) return "scheduler I7: more pages told than there are";
    if (q->n_indexed > q->n_computed / PAGE_TOKENS)
        return "scheduler: a page entered that is not full";
    for (uint32_t g = 0; g < s->params.kv.n; g++) {
        const char *wrong = audit_table(s, q, g);
        if (wrong) return wrong;
    }
    return NULL;
}

static const char *audit_progress(const struct scheduler *s, const struct seq *q)
{
    if (q->slot >= s->params.n_slots || s->slot[q->slot] != q)
        return "scheduler I1: a running sequence is not in its slot";
    if (q->fork_of) return "scheduler: a running sequence still names its fork source";
    const uint32_t n_had = q->n_reached > q->n_computed ? q->n_reached : q->n_computed;
    if (q->n_cached >= q->n_prompt || n_had < q->n_cached)
        return "scheduler: a prompt is cached to its end or forgotten";
    if (q->state == SEQ_PREFILL)
        return q->n_computed < q->n_prefill && q->n_tokens == q->n_prefill
                   ? NULL
                   : "scheduler: a sequence prefills beyond what it had";
    if (q->state != SEQ_DECODE) return "scheduler: a running sequence neither prefills nor decodes";
    return q->n_computed >= q->n_prefill && q->n_tokens - q->n_computed <= 1 &&
                   q->n_issued - q->n_computed <= MAX_IN_FLIGHT
               ? NULL
               : "scheduler: a decoding sequence is not one token ahead of its KV";
}

/* Every holder of a page is a running sequence. */
static const char *audit_holders(const struct scheduler *s, uint32_t kv_group)
{
    const uint32_t n_pages = kv_pool_counts(s->pool[kv_group]).n_pages;
    uint64_t n_refs = 0, n_held = 0;
    for (const struct seq *q = s->running.first; q; q = q->next)
        n_held += q->n_pages - q->first_page[kv_group];
    for (uint32_t i = 0; i < n_pages; i++) n_refs += kv_pool_n_refs(s->pool[kv_group], i);
    return n_refs == n_held ? NULL
                            : "scheduler I5: pages are held that no running sequence holds";
}

/* I9. Every holder of a state is a running sequence. */
static const char *audit_states(const struct scheduler *s)
{
    uint64_t n_refs = 0, n_held = 0;
    if (!s->states) return NULL;
    for (const struct seq *q = s->running.first; q; q = q->next) {
        n_held += (q->own_state != NO_STATE) + (q->kept != NO_STATE) + (q->entered != NO_STATE);
        if (q->n_issued && q->own_state == NO_STATE)
            return "scheduler I9: a sequence has columns and no state";
        if (q->kept != NO_STATE && q->kept_pages * PAGE_TOKENS > q->n_issued)
            return "scheduler I9: a state is kept of positions that are still to come";
    }
    for (uint32_t i = 0; i < s->params.kv.n_states; i++) n_refs += kv_pool_n_refs(s->states, i);
    return n_refs == n_held ? NULL : "scheduler I9: states are held that no running sequence holds";
}

static const char *audit_running(const struct scheduler *s)
{
    uint64_t n_reserved = 0;
    uint32_t n = 0, n_slots_taken = 0;

    for (const struct seq *q = s->running.first; q; q = q->next) {
        if (++n > s->running.n) return "scheduler: more run than are counted";
        const char *wrong = audit_progress(s, q);
        if (!wrong) wrong = audit_pages(s, q);
        if (wrong) return wrong;
        n_reserved += q->n_reserved;
    }
    for (uint32_t i = 0; i < s->params.n_slots; i++) n_slots_taken += s->slot[i] != NULL;
    if (n != s->running.n || n_in_slots(s) != n_slots_taken)
        return "scheduler I1: slots and running sequences differ";

    for (uint32_t g = 0; g < s->params.kv.n; g++) {
        const char *wrong = audit_holders(s, g);
        if (wrong) return wrong;
        if (kv_pool_counts(s->pool[g]).n_reserved != (g ? 0 : n_reserved))
            return "scheduler I5: pages are reserved for no running sequence";
    }
    return NULL;
}

static uint32_t n_cols_in_flight(struct scheduler *s, const struct seq *q)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < s->n_in_flight; k++) {
        const struct step *p = step_at(s, k);
        for (uint32_t i = 0; i < p->batch.n_spans; i++)
            n += p->span_seq[i] == q ? p->span[i].n_cols : 0;
    }
    return n;
}

static const char *audit_steps(struct scheduler *s)
{
    for (uint32_t k = 0; k < s->n_in_flight; k++)
        if (step_at(s, k)->batch.n_cols > s->params.step_tokens ||
            step_at(s, k)->batch.n_spans > s->params.n_slots)
            return "scheduler I3: a step is too large";
    for (const struct seq *q = s->running.first; q; q = q->next)
        if (q->n_issued != q->n_computed + n_cols_in_flight(s, q))
            return "scheduler: a sequence's columns in flight are not those of the steps";
    return NULL;
}

const char *scheduler_audit(struct scheduler *s)
{
    const char *wrong = audit_waiting(s);
    if (!wrong) wrong = audit_running(s);
    if (!wrong) wrong = audit_steps(s);
    if (!wrong) wrong = audit_states(s);
    return wrong;
}

#include "engine/scheduler.h"

#include <assert.h>
#include <stdlib.h>

#include "base/workspace.h"
#include "engine/scheduler_internal.h"

/* ---- open and close ------------------------------------------------------------------------- */

static struct workspace workspace_of(struct scheduler *s)
{
    const size_t n_slots = s->params.n_slots, n_cols = s->params.step_tokens;
    const size_t n_score = s->params.score_tokens;
    const size_t n_rows = n_score && n_slots + n_score < n_cols ? n_slots + n_score : n_cols;
    const char *what = "the scheduler";
    struct workspace w = { 0 };

    workspace_want(&w, what, n_slots * sizeof *s->slot, &s->slot);
    for (struct step *p = s->step; p < s->step + MAX_IN_FLIGHT; p++) {
        workspace_want(&w, what, n_cols * sizeof *p->token, &p->token);
        workspace_want(&w, what, n_cols * sizeof *p->pos, &p->pos);
        workspace_want(&w, what, n_rows * sizeof *p->pick, &p->pick);
        workspace_want(&w, what, n_slots * sizeof *p->span, &p->span);
        workspace_want(&w, what, n_slots * sizeof *p->output, &p->output);
        workspace_want(&w, what, n_slots * sizeof *p->span_seq, &p->span_seq);
        workspace_want(&w, what, n_slots * sizeof *p->admitted, &p->admitted);
        workspace_want(&w, what, scheduler_max_claims(&s->params) * sizeof *p->claim, &p->claim);
    }
    return w;
}

uint64_t scheduler_bytes(const struct scheduler_params *params)
{
    struct scheduler s = { .params = *params };
    const struct workspace w = workspace_of(&s);
    return sizeof s + workspace_bytes(&w);
}

/* A sequence's window, with the rest of the chunk it begins in, touches so many pages at most; a
 * step adds what its prompt columns take. */
uint32_t scheduler_window_pages(const struct scheduler_params *params, uint32_t window)
{
    const uint32_t chunk = params->chunk_pages ? params->chunk_pages : 1;
    const uint32_t of_slot = (window + PAGE_TOKENS - 2) / PAGE_TOKENS + chunk;
    return params->n_slots * (of_slot + 1) + params->step_tokens / PAGE_TOKENS;
}

pl_status scheduler_open(struct scheduler **out, const struct scheduler_params *params,
                         struct kv_pool *const *pool, struct kv_pool *states, copy_page_fn *copy,
                         void *copy_arg, pl_err *err)
{
    *out = NULL;
    if (params->n_slots == 0 || params->step_tokens < params->n_slots)
        return pl_fail(err, PL_E_PARAM,
                       "step of %u tokens for %u slots; wanted at least one slot and one token for "
                       "each: raise step_tokens or lower n_streams",
                       params->step_tokens, params->n_slots);
    if (params->prefill_tokens == 0)
        return pl_fail(err, PL_E_PARAM, "prefill_tokens is 0; wanted at least 1");

    struct scheduler *s = calloc(1, sizeof *s);
    if (s) {
        s->params = *params;
        const struct workspace w = workspace_of(s);
        s->block = workspace_take(&w);
    }
    if (!s || !s->block) {
        free(s);
        return pl_fail(err, PL_E_MEMORY, "no %llu bytes for a scheduler of %u slots",
                       (unsigned long long)scheduler_bytes(params), params->n_slots);
    }
    if (!s->params.kv.n) s->params.kv.n = 1;
    if (!s->params.chunk_pages) s->params.chunk_pages = 1;
    if (!s->params.growth_pages) s->params.growth_pages = SCHEDULER_GROWTH_PAGES;
    for (uint32_t g = 0; g < s->params.kv.n; g++) s->pool[g] = pool[g];
    s->states = states;
    assert(!states || s->params.kv.n == 1);
    s->copy = copy;
    s->copy_arg = copy_arg;
    *out = s;
    return PL_OK;
}

void scheduler_close(struct scheduler *s)
{
    if (!s) return;
    free(s->block);
    free(s);
}

/* ---- coming and going ----------------------------------------------------------------------- */

void scheduler_add(struct scheduler *s, struct seq *q)
{
    assert(q->n_prompt > 0 && q->n_prompt <= q->max_tokens);
    assert(pages_of(q->max_tokens) <= kv_pool_counts(s->pool[0]).n_pages);
    assert(!q->fork_of || (q->fork_of->state != SEQ_NONE && q->fork_of->state != SEQ_GONE));

    if (seq_wants_every_column(q)) q->fork_of = NULL;
    q->computes_prompt |= seq_wants_every_column(q);
    q->state = SEQ_WAITING;
    q->n_tokens = q->n_prefill = q->n_prompt;
    q->n_computed = q->n_issued = q->n_cached = q->n_pages = q->n_reserved = q->n_indexed = 0;
    q->n_reached = 0;
    q->own_state = q->kept = q->entered = NO_STATE;
    q->follows = NULL;
    q->n_passed_tokens = 0;
    q->passed = NULL;
    q->has_looked = false;
    seq_list_insert(&s->line, q);
    s->may_admit = true;
}

static void leave_steps(struct scheduler *s, const struct seq *q)
{
    for (uint32_t k = 0; k < s->n_in_flight; k++) {
        const struct step *p = step_at(s, k);
        for (uint32_t i = 0; i < p->batch.n_spans; i++)
            if (p->span_seq[i] == q) p->span_seq[i] = NULL;
        for (uint32_t i = 0; i < p->n_claims; i++)
            if (p->claim[i].by == q) p->claim[i].by = NULL;
    }
}

void scheduler_remove(struct scheduler *s, struct seq *q)
{
    assert(q->state != SEQ_NONE && q->state != SEQ_GONE);

    if (q->state == SEQ_WAITING || q->state == SEQ_PAUSED) {
        scheduler_leave_line(s, q);
    } else {
        scheduler_give_back(s, q);
        seq_list_remove(&s->running, q);
        leave_steps(s, q);
    }
    if (q->state != SEQ_WAITING) s->slot[q->slot] = NULL;
    q->state = SEQ_GONE;
    q->fork_of = NULL;
    s->may_admit = true;
    scheduler_forget(s, q);
}

void scheduler_stall(struct scheduler *s, struct seq *q, bool is_stalled)
{
    s->may_admit |= q->is_stalled && !is_stalled;
    q->is_stalled = is_stalled;
}

struct seq *scheduler_slot(const struct scheduler *s, uint32_t slot)
{
    return slot < s->params.n_slots ? s->slot[slot] : NULL;
}

uint32_t scheduler_n_waiting(const struct scheduler *s)
{
    return s->line.n - s->n_paused;
}

uint32_t scheduler_n_running(const struct scheduler *s)
{
    return n_in_slots(s);
}

uint32_t scheduler_n_paused(const struct scheduler *s)
{
    return s->n_paused;
}

/* ---- composing a step ----------------------------------------------------------------------- */

static bool is_any_in_prefill(const struct scheduler *s)
{
    for (const struct seq *q = s->running.first; q; q = q->next)
        if (is_in_prefill(q)) return true;
    return false;
}

static void add_decode(struct scheduler *s, struct step *p)
{
    for (struct seq *q = s->running.first; q; q = q->next) {
        if (is_in_prefill(q) || q->is_stalled) continue;
        assert(s->n_in_flight ? q->n_tokens - q->n_issued <= 1
                              : q->n_tokens == q->n_issued + 1 && q->n_tokens < q->max_tokens);
        if (q->n_issued + 1 < q->max_tokens)    /* else its last token is in flight */
            scheduler_add_span(s, p, q, 1);
    }
}

struct step *scheduler_compose(struct scheduler *s)
{
    assert(s->n_in_flight < MAX_IN_FLIGHT);
    struct step *p = step_at(s, s->n_in_flight);
    p->batch = (struct batch){ .token = p->token, .pos = p->pos, .span = p->span,
                               .output = p->output };
    p->n_admitted = p->n_claims = p->n_cached_tokens = p->n_prompt_cols = 0;
    p->n_paused = p->n_recomputed_cols = 0;
    s->n_composed++;

    for (struct seq *q = s->running.first; q; q = q->next) scheduler_leave_behind(s, q);
    scheduler_take_up(s, p);    /* before anybody is paused or admitted: it frees pages */
    scheduler_make_room(s, p);
    if (!s->n_in_flight) scheduler_admit(s, p);
    if (!s->params.prefill_first || !is_any_in_prefill(s)) add_decode(s, p);
    p->n_decode_cols = p->batch.n_cols;
    scheduler_add_prefill(s, p);
    p->n_prefill_cols = p->batch.n_cols - p->n_decode_cols;
    s->n_in_flight += p->batch.n_cols > 0;
    return p;
}

uint32_t scheduler_n_in_flight(const struct scheduler *s)
{
    return s->n_in_flight;
}

struct step *scheduler_step(struct scheduler *s, uint32_t i)
{
    assert(i < s->n_in_flight);
    return step_at(s, i);
}

bool scheduler_may_run_ahead(const struct scheduler *s)
{
    const bool is_slot_free = n_in_slots(s) < s->params.n_slots;
    const bool may_admit = (is_slot_free ? s->line.n : s->n_paused) && s->may_admit;
    return s->n_in_flight == 1 && !may_admit &&
           scheduler_n_wanted(s) <= kv_pool_n_available(s->pool[0]);
}

void scheduler_abandon(struct scheduler *s)
{
    assert(s->n_in_flight);
    for (; s->n_in_flight; s->n_in_flight--) {
        const struct step *p = step_at(s, s->n_in_flight - 1);
        for (uint32_t i = 0; i < p->batch.n_spans; i++)
            if (p->span_seq[i]) p->span_seq[i]->n_issued = p->span_seq[i]->n_computed;
    }
}

void scheduler_commit(struct scheduler *s)
{
    assert(s->n_in_flight);
    const struct step *p = step_at(s, 0);
    s->oldest = (s->oldest + 1) % MAX_IN_FLIGHT;
    s->n_in_flight--;
    for (uint32_t i = 0; i < p->batch.n_spans; i++) {
        struct seq *q = p->span_seq[i];
        if (!q) continue;
        q->n_computed += p->span[i].n_cols;
        if (q->state == SEQ_PREFILL && q->n_computed >= q->n_prefill) {
            q->state = SEQ_DECODE;
            s->may_admit = true;    /* its forks, and those whose prompt begins like its own */
        }
        scheduler_enter_pages(s, q);
    }
}

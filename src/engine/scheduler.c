#include "engine/scheduler.h"

#include <assert.h>
#include <stdlib.h>

#include "engine/scheduler_internal.h"

void seq_list_append(struct seq_list *list, struct seq *q)
{
    q->next = NULL;
    q->previous = list->last;
    if (list->last)
        list->last->next = q;
    else
        list->first = q;
    list->last = q;
    list->n++;
}

void seq_list_remove(struct seq_list *list, struct seq *q)
{
    if (q->previous)
        q->previous->next = q->next;
    else
        list->first = q->next;
    if (q->next)
        q->next->previous = q->previous;
    else
        list->last = q->previous;
    q->next = q->previous = NULL;
    list->n--;
}

/* ---- open and close ------------------------------------------------------------------------- */

/* Hands out parts of one block of memory; with base NULL it only counts. */
struct carver {
    char *base;
    size_t n_bytes;
};

static void *carve(struct carver *c, size_t n, size_t size)
{
    void *part = c->base ? c->base + c->n_bytes : NULL;
    c->n_bytes += (n * size + 15) / 16 * 16;
    return part;
}

static void lay_out(struct scheduler *s, struct carver *c)
{
    const size_t n_slots = s->params.n_slots, n_cols = s->params.step_tokens;

    s->slot = carve(c, n_slots, sizeof *s->slot);
    for (struct planned *p = s->step; p < s->step + MAX_IN_FLIGHT; p++) {
        p->token = carve(c, n_cols, sizeof *p->token);
        p->pos = carve(c, n_cols, sizeof *p->pos);
        p->out_col = carve(c, n_cols, sizeof *p->out_col);
        p->out_pos = carve(c, n_cols, sizeof *p->out_pos);
        p->out_seq = carve(c, n_cols, sizeof *p->out_seq);
        p->span = carve(c, n_slots, sizeof *p->span);
        p->span_seq = carve(c, n_slots, sizeof *p->span_seq);
        p->admitted = carve(c, n_slots, sizeof *p->admitted);
    }
}

uint64_t scheduler_bytes(const struct scheduler_params *params)
{
    struct scheduler s = { .params = *params };
    struct carver c = { 0 };
    carve(&c, 1, sizeof s);
    lay_out(&s, &c);
    return c.n_bytes;
}

pl_status scheduler_open(struct scheduler **out, const struct scheduler_params *params,
                         struct kv_pool *pool, copy_page_fn *copy, void *copy_arg, pl_err *err)
{
    *out = NULL;
    if (params->n_slots == 0 || params->step_tokens < params->n_slots)
        return pl_fail(err, PL_E_PARAM,
                       "step of %u tokens for %u slots; wanted at least one slot and one token for "
                       "each: raise step_tokens or lower n_streams",
                       params->step_tokens, params->n_slots);
    if (params->prefill_tokens == 0)
        return pl_fail(err, PL_E_PARAM, "prefill_tokens is 0; wanted at least 1");

    struct carver c = { .base = calloc(1, scheduler_bytes(params)) };
    if (!c.base)
        return pl_fail(err, PL_E_MEMORY, "no %llu bytes for a scheduler of %u slots",
                       (unsigned long long)scheduler_bytes(params), params->n_slots);
    struct scheduler *s = carve(&c, 1, sizeof *s);
    s->params = *params;
    s->pool = pool;
    s->copy = copy;
    s->copy_arg = copy_arg;
    lay_out(s, &c);
    *out = s;
    return PL_OK;
}

void scheduler_close(struct scheduler *s)
{
    free(s);    /* every part lies in the same block */
}

/* ---- coming and going ----------------------------------------------------------------------- */

void scheduler_add(struct scheduler *s, struct seq *q)
{
    assert(q->n_prompt > 0 && q->n_prompt <= q->max_tokens);
    assert(pages_of(q->max_tokens) <= kv_pool_counts(s->pool).n_pages);
    assert(!q->fork_of || q->fork_of->state == SEQ_WAITING || q->fork_of->state == SEQ_PREFILL ||
           q->fork_of->state == SEQ_DECODE);

    if (q->wants_every_logit) q->fork_of = NULL;
    q->state = SEQ_WAITING;
    q->n_tokens = q->n_prompt;
    q->n_computed = q->n_issued = q->n_cached = q->n_pages = q->n_reserved = q->n_published = 0;
    seq_list_append(&s->waiting, q);
}

static void leave_steps(struct scheduler *s, const struct seq *q)
{
    for (uint32_t k = 0; k < s->n_in_flight; k++) {
        const struct planned *p = planned_at(s, k);
        for (uint32_t i = 0; i < p->n_spans; i++)
            if (p->span_seq[i] == q) p->span_seq[i] = NULL;
        for (uint32_t i = 0; i < p->n_outs; i++)
            if (p->out_seq[i] == q) p->out_seq[i] = NULL;
    }
}

void scheduler_remove(struct scheduler *s, struct seq *q)
{
    assert(q->state == SEQ_WAITING || q->state == SEQ_PREFILL || q->state == SEQ_DECODE);

    if (q->state == SEQ_WAITING) {
        seq_list_remove(&s->waiting, q);
    } else {
        scheduler_give_back(s, q);
        seq_list_remove(&s->running, q);
        s->slot[q->slot] = NULL;
        leave_steps(s, q);
    }
    q->state = SEQ_GONE;
    q->fork_of = NULL;
    s->is_short_of_pages = false;
    for (struct seq *w = s->waiting.first; w; w = w->next)
        if (w->fork_of == q) w->fork_of = NULL;
}

struct seq *scheduler_slot(const struct scheduler *s, uint32_t slot)
{
    return slot < s->params.n_slots ? s->slot[slot] : NULL;
}

uint32_t scheduler_n_waiting(const struct scheduler *s)
{
    return s->waiting.n;
}

uint32_t scheduler_n_running(const struct scheduler *s)
{
    return s->running.n;
}

/* ---- planning a step ------------------------------------------------------------------------ */

static bool is_in_prefill(const struct seq *q)
{
    return q->n_issued < q->n_prompt;
}

static void add_out(struct planned *p, struct seq *q, uint32_t pos)
{
    q->out = p->n_outs;
    p->out_col[p->n_outs] = p->n_cols;
    p->out_pos[p->n_outs] = pos;
    p->out_seq[p->n_outs] = q;
    p->n_outs++;
}

/* Columns for the next n positions of a sequence, and the pages they are written to. */
static void add_span(struct scheduler *s, struct planned *p, struct seq *q, uint32_t n)
{
    const uint32_t first_pos = q->n_issued, end = first_pos + n;

    while (q->n_pages * PAGE_TOKENS < end) {
        q->page[q->n_pages++] = kv_pool_take(s->pool);
        q->n_reserved--;
    }
    assert(kv_pool_is_writable(s->pool, q->page[first_pos / PAGE_TOKENS])); /* I4 */

    p->span_seq[p->n_spans] = q;
    p->span[p->n_spans++] = (struct span){
        .first_col = p->n_cols, .n_cols = n, .first_pos = first_pos, .page = q->page
    };
    for (uint32_t pos = first_pos; pos < end; pos++) {
        const bool is_known = pos < q->n_tokens;    /* else the step in flight picks it */
        p->token[p->n_cols] = is_known ? q->token[pos] : -1 - (int32_t)q->out;
        if (q->wants_every_logit || pos + 1 >= q->n_tokens) add_out(p, q, pos);
        p->pos[p->n_cols++] = pos;
    }
    q->n_issued = end;
}

static bool is_any_in_prefill(const struct scheduler *s)
{
    for (const struct seq *q = s->running.first; q; q = q->next)
        if (is_in_prefill(q)) return true;
    return false;
}

static void plan_decode(struct scheduler *s, struct planned *p)
{
    for (struct seq *q = s->running.first; q; q = q->next) {
        if (is_in_prefill(q) || q->is_paused) continue;
        assert(s->n_in_flight ? q->n_tokens - q->n_issued <= 1
                              : q->n_tokens == q->n_issued + 1 && q->n_tokens < q->max_tokens);
        if (q->n_issued + 1 < q->max_tokens)    /* else its last token is in flight */
            add_span(s, p, q, 1);
    }
}

static uint32_t n_steps(uint32_t n_cols, uint32_t budget)
{
    return n_cols / budget + (n_cols % budget != 0);
}

/* Prompt columns of q in a step that has room for `budget`. Ends at a page border rather than a
 * little beyond it where the prompt takes no step more for that. */
static uint32_t chunk_cols(const struct seq *q, uint32_t budget)
{
    const uint32_t n_left = q->n_prompt - q->n_issued;
    if (n_left <= budget) return n_left;

    const uint32_t beyond = (q->n_issued + budget) % PAGE_TOKENS;
    if (beyond >= budget) return budget;
    const uint32_t n_after = n_left - budget;
    return n_steps(n_after + beyond, budget) == n_steps(n_after, budget) ? budget - beyond : budget;
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
static void plan_prefill(struct scheduler *s, struct planned *p)
{
    uint32_t budget = s->params.step_tokens - p->n_cols;
    const uint32_t beside = prefill_beside(&s->params, p->n_cols);
    if (p->n_cols && budget > beside) budget = beside;
    uint32_t score_budget = s->params.score_tokens ? s->params.score_tokens : budget;

    for (struct seq *q = s->running.first; q && budget; q = q->next) {
        if (!is_in_prefill(q)) continue;
        const bool is_score = q->wants_every_logit && score_budget < budget;
        const uint32_t n = chunk_cols(q, is_score ? score_budget : budget);
        if (n == 0) continue;
        add_span(s, p, q, n);
        budget -= n;
        if (q->wants_every_logit) score_budget -= n;
    }
}

void scheduler_plan(struct scheduler *s, struct step *out)
{
    assert(s->n_in_flight < MAX_IN_FLIGHT);
    struct planned *p = planned_at(s, s->n_in_flight);
    p->n_cols = p->n_spans = p->n_outs = p->n_admitted = 0;

    if (!s->n_in_flight) scheduler_admit(s, p);
    if (!s->params.prefill_first || !is_any_in_prefill(s)) plan_decode(s, p);
    const uint32_t n_decode_cols = p->n_cols;
    plan_prefill(s, p);
    s->n_in_flight += p->n_cols > 0;

    *out = (struct step){
        .batch = { .n_cols = p->n_cols, .n_spans = p->n_spans, .n_outs = p->n_outs,
                   .token = p->token, .pos = p->pos, .span = p->span, .out_col = p->out_col },
        .span_seq = p->span_seq,
        .out_seq = p->out_seq,
        .out_pos = p->out_pos,
        .admitted = p->admitted,
        .n_admitted = p->n_admitted,
        .n_prefill_cols = p->n_cols - n_decode_cols,
        .n_decode_cols = n_decode_cols,
    };
}

bool scheduler_may_run_ahead(const struct scheduler *s)
{
    const bool may_admit =
        s->waiting.n && s->running.n < s->params.n_slots && !s->is_short_of_pages;
    return s->n_in_flight == 1 && !may_admit;
}

void scheduler_abandon(struct scheduler *s)
{
    assert(s->n_in_flight);
    for (; s->n_in_flight; s->n_in_flight--) {
        const struct planned *p = planned_at(s, s->n_in_flight - 1);
        for (uint32_t i = 0; i < p->n_spans; i++)
            if (p->span_seq[i]) p->span_seq[i]->n_issued = p->span_seq[i]->n_computed;
    }
}

void scheduler_commit(struct scheduler *s)
{
    assert(s->n_in_flight);
    const struct planned *p = planned_at(s, 0);
    s->oldest = (s->oldest + 1) % MAX_IN_FLIGHT;
    s->n_in_flight--;
    for (uint32_t i = 0; i < p->n_spans; i++) {
        struct seq *q = p->span_seq[i];
        if (!q) continue;
        q->n_computed += p->span[i].n_cols;
        if (q->n_computed >= q->n_prompt) q->state = SEQ_DECODE;
        scheduler_publish(s, q);
    }
}

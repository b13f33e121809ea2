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
    s->token = carve(c, n_cols, sizeof *s->token);
    s->pos = carve(c, n_cols, sizeof *s->pos);
    s->out_col = carve(c, n_cols, sizeof *s->out_col);
    s->out_pos = carve(c, n_cols, sizeof *s->out_pos);
    s->out_seq = carve(c, n_cols, sizeof *s->out_seq);
    s->span = carve(c, n_slots, sizeof *s->span);
    s->span_seq = carve(c, n_slots, sizeof *s->span_seq);
    s->admitted = carve(c, n_slots, sizeof *s->admitted);
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
    q->n_computed = q->n_cached = q->n_pages = q->n_reserved = q->n_published = 0;
    seq_list_append(&s->waiting, q);
}

void scheduler_remove(struct scheduler *s, struct seq *q)
{
    assert(!s->is_planned);
    assert(q->state == SEQ_WAITING || q->state == SEQ_PREFILL || q->state == SEQ_DECODE);

    if (q->state == SEQ_WAITING) {
        seq_list_remove(&s->waiting, q);
    } else {
        scheduler_give_back(s, q);
        seq_list_remove(&s->running, q);
        s->slot[q->slot] = NULL;
    }
    q->state = SEQ_GONE;
    q->fork_of = NULL;
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

static void add_out(struct scheduler *s, struct seq *q, uint32_t pos)
{
    s->out_col[s->n_outs] = s->n_cols;
    s->out_pos[s->n_outs] = pos;
    s->out_seq[s->n_outs] = q;
    s->n_outs++;
}

/* Columns for the next n positions of a sequence, and the pages they are written to. */
static void add_span(struct scheduler *s, struct seq *q, uint32_t n)
{
    const uint32_t first_pos = q->n_computed, end = first_pos + n;

    while (q->n_pages * PAGE_TOKENS < end) {
        q->page[q->n_pages++] = kv_pool_take(s->pool);
        q->n_reserved--;
    }
    assert(kv_pool_is_writable(s->pool, q->page[first_pos / PAGE_TOKENS])); /* I4 */

    s->span_seq[s->n_spans] = q;
    s->span[s->n_spans++] = (struct span){
        .first_col = s->n_cols, .n_cols = n, .first_pos = first_pos, .page = q->page
    };
    for (uint32_t pos = first_pos; pos < end; pos++) {
        if (q->wants_every_logit || pos + 1 == q->n_tokens) add_out(s, q, pos);
        s->token[s->n_cols] = q->token[pos];
        s->pos[s->n_cols++] = pos;
    }
}

static bool is_any_in_prefill(const struct scheduler *s)
{
    for (const struct seq *q = s->running.first; q; q = q->next)
        if (q->state == SEQ_PREFILL) return true;
    return false;
}

static void plan_decode(struct scheduler *s)
{
    for (struct seq *q = s->running.first; q; q = q->next) {
        if (q->state != SEQ_DECODE || q->is_paused) continue;
        assert(q->n_tokens == q->n_computed + 1 && q->n_tokens < q->max_tokens);
        add_span(s, q, 1);
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
    const uint32_t n_left = q->n_prompt - q->n_computed;
    if (n_left <= budget) return n_left;

    const uint32_t beyond = (q->n_computed + budget) % PAGE_TOKENS;
    if (beyond >= budget) return budget;
    const uint32_t n_after = n_left - budget;
    return n_steps(n_after + beyond, budget) == n_steps(n_after, budget) ? budget - beyond : budget;
}

/* I3. There is room for one column at least: a sequence that prefills has a slot and no decode
 * column, and step_tokens >= n_slots. */
static void plan_prefill(struct scheduler *s)
{
    uint32_t budget = s->params.step_tokens - s->n_cols;
    if (s->n_cols && budget > s->params.prefill_tokens) budget = s->params.prefill_tokens;
    uint32_t score_budget = s->params.score_tokens ? s->params.score_tokens : budget;

    for (struct seq *q = s->running.first; q && budget; q = q->next) {
        if (q->state != SEQ_PREFILL) continue;
        const bool is_score = q->wants_every_logit && score_budget < budget;
        const uint32_t n = chunk_cols(q, is_score ? score_budget : budget);
        if (n == 0) continue;
        add_span(s, q, n);
        budget -= n;
        if (q->wants_every_logit) score_budget -= n;
    }
}

void scheduler_plan(struct scheduler *s, struct step *out)
{
    assert(!s->is_planned);
    s->n_cols = s->n_spans = s->n_outs = s->n_admitted = 0;

    scheduler_admit(s);
    if (!s->params.prefill_first || !is_any_in_prefill(s)) plan_decode(s);
    const uint32_t n_decode_cols = s->n_cols;
    plan_prefill(s);
    s->is_planned = s->n_cols > 0;

    *out = (struct step){
        .batch = { .n_cols = s->n_cols, .n_spans = s->n_spans, .n_outs = s->n_outs,
                   .token = s->token, .pos = s->pos, .span = s->span, .out_col = s->out_col },
        .span_seq = s->span_seq,
        .out_seq = s->out_seq,
        .out_pos = s->out_pos,
        .admitted = s->admitted,
        .n_admitted = s->n_admitted,
        .n_prefill_cols = s->n_cols - n_decode_cols,
        .n_decode_cols = n_decode_cols,
    };
}

void scheduler_abandon(struct scheduler *s)
{
    assert(s->is_planned);
    s->is_planned = false;
}

void scheduler_commit(struct scheduler *s)
{
    assert(s->is_planned);
    s->is_planned = false;
    for (uint32_t i = 0; i < s->n_spans; i++) {
        struct seq *q = s->span_seq[i];
        q->n_computed += s->span[i].n_cols;
        if (q->n_computed >= q->n_prompt) q->state = SEQ_DECODE;
        scheduler_publish(s, q);
    }
}

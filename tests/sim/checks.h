/* What must hold of every step and of every request, apart from the product's own audits. */
#ifndef SIM_CHECKS_H
#define SIM_CHECKS_H

#include "sim/machine.h"
#include "sim/pauses.h"
#include "sim/sim.h"

enum { MAX_GROUP_PAGES = MAX_SLOTS * (MAX_TOKENS / PAGE_TOKENS + 10) + MAX_COLS };

static inline void audit_holders(struct sim *sim, uint32_t g, const char *when)
{
    uint32_t n_holders[MAX_GROUP_PAGES] = { 0 };
    for (uint32_t i = 0; i < sim->params.n_slots; i++) {
        const struct seq *q = scheduler_slot(sim->scheduler, i);
        for (uint32_t k = 0; q && k < q->n_pages; k++)
            if (q->page[g][k] != NO_PAGE) n_holders[q->page[g][k]]++;
    }
    for (uint32_t i = 0; i < sim->params.kv.group[g].n_pages; i++)
        if (n_holders[i] != kv_pool_n_refs(sim->pool[g], i))
            SIM_FAIL(sim, "%s: page %u of group %u: %u page tables name it, the pool counts %u",
                     when, i, g, n_holders[i], kv_pool_n_refs(sim->pool[g], i));
}

/* I9. */
static inline void audit_states(struct sim *sim, const char *when)
{
    uint32_t n_holders[3 * MAX_SLOTS + 64] = { 0 };
    const char *wrong = kv_pool_audit(sim->states);
    if (wrong) SIM_FAIL(sim, "%s: states: %s", when, wrong);
    for (uint32_t i = 0; i < sim->params.n_slots; i++) {
        const struct seq *q = scheduler_slot(sim->scheduler, i);
        if (!q) continue;
        const uint32_t held[] = { q->own_state, q->kept, q->entered };
        for (int k = 0; k < 3; k++)
            if (held[k] != NO_STATE) n_holders[held[k]]++;
    }
    for (uint32_t i = 0; i < sim->params.kv.n_states; i++)
        if (n_holders[i] != kv_pool_n_refs(sim->states, i))
            SIM_FAIL(sim, "%s: state %u: %u sequences hold it, the pool counts %u", when, i,
                     n_holders[i], kv_pool_n_refs(sim->states, i));
}

static inline void sim_audit(struct sim *sim, const char *when)
{
    const char *wrong = scheduler_audit(sim->scheduler);
    for (uint32_t g = 0; g < sim->params.kv.n && !wrong; g++) wrong = kv_pool_audit(sim->pool[g]);
    if (wrong) SIM_FAIL(sim, "%s: %s", when, wrong);
    for (uint32_t g = 0; g < sim->params.kv.n; g++) audit_holders(sim, g, when);
    if (sim->states) audit_states(sim, when);
}

/* What is in the index is in one page, and every page that was entered is that page. */
static inline void check_pages_are_merged(struct sim *sim)
{
    if (sim->params.no_prefix_cache || sim->plant || sim->step % 16) return;
    for (uint32_t i = 0; i < sim->params.n_slots; i++) {
        const struct seq *q = scheduler_slot(sim->scheduler, i);
        struct prefix_key key = { { 0, 0 } };
        for (uint32_t k = 0; q && !q->is_unindexable && k < q->n_indexed; k++) {
            const int32_t *tokens = q->token + k * PAGE_TOKENS;
            key = prefix_key_next(key, tokens);
            for (uint32_t g = 0; g < sim->params.kv.n; g++)
                if (q->page[g][k] != NO_PAGE &&
                    kv_pool_find(sim->pool[g], key, tokens) != (int64_t)q->page[g][k])
                    SIM_FAIL(sim, "I6: page %u of request %llu is not the one in the index", k,
                             (unsigned long long)q->id);
        }
    }
}

/* ---- the line: L1 to L3, by books of the simulator's own ------------------------------------ */

static inline bool is_in_line(const struct request *r)
{
    return r->is_alive && (r->seq.state == SEQ_WAITING || r->seq.state == SEQ_PAUSED);
}

/* Who waits for pages: who waits for a slot alone is no head. `last`: the last by rank that entered
 * a slot just now, or NULL. */
static inline bool waits_for_pages(const struct sim *sim, const struct request *r,
                                   const struct request *last)
{
    if (r->seq.state == SEQ_PAUSED) return !r->seq.is_stalled;
    return scheduler_n_running(sim->scheduler) < sim->params.n_slots ||
           (last && sim_goes_before(r, last));
}

/* The first of those that did not start. */
static inline struct request *head_of_line(struct sim *sim, const struct request *last)
{
    struct request *head = NULL;
    for (int i = 0; i < MAX_REQUESTS; i++) {
        struct request *r = &sim->request[i];
        if (!is_in_line(r) || !waits_for_pages(sim, r, last)) continue;
        if (!head || sim_goes_before(r, head)) head = r;
    }
    return head;
}

static inline bool leaves_room(const struct sim *sim, const struct request *head,
                               const struct seq *q)
{
    uint64_t n = sim_pages_of(head->seq.max_tokens) + (uint64_t)sim_pages_of(q->max_tokens);
    for (int i = 0; i < MAX_REQUESTS; i++) {
        const struct request *r = &sim->request[i];
        if (r->is_alive && r->passed_id == head->seq.id) n += sim_pages_of(r->seq.max_tokens);
    }
    return n <= sim->n_pages;
}

static inline void note_pass(struct sim *sim, struct request *head, struct request *r)
{
    sim->stats.n_passed++;
    if (leaves_room(sim, head, &r->seq)) {
        r->passed_id = head->seq.id;
        return;
    }
    sim->stats.n_passed_at_cost++;
    head->n_passed_tokens += r->seq.max_tokens;
    if (head->n_passed_tokens > head->seq.max_tokens)
        SIM_FAIL(sim, "L3: request %llu let %u tokens pass, its own are %u",
                 (unsigned long long)head->seq.id, head->n_passed_tokens, head->seq.max_tokens);
}

/* Nobody waits who could start. */
static inline void check_waiting(struct sim *sim, const struct request *head)
{
    const uint32_t n_available = kv_pool_n_available(sim->pool[0]);
    const uint32_t n_growth = sim_growth_of_running(sim);
    for (int i = 0; i < MAX_REQUESTS; i++) {
        const struct request *r = &sim->request[i];
        const struct seq *q = &r->seq;
        if (!is_in_line(r) || !waits_for_pages(sim, r, NULL)) continue;
        const uint32_t n_now = sim_pages_of(q->n_tokens);
        if (n_now + sim_growth(sim, q, n_now) + n_growth > n_available) continue;
        if (q->fork_of && q->fork_of->state != SEQ_DECODE) continue;
        const bool may = r == head || leaves_room(sim, head, q) ||
                         head->n_passed_tokens + q->max_tokens <= head->seq.max_tokens;
        if (may)
            SIM_FAIL(sim, "L1: request %llu waits although %u slots and %u pages are free",
                     (unsigned long long)q->id,
                     sim->params.n_slots - scheduler_n_running(sim->scheduler), n_available);
    }
}

/* Nobody has passed it any more. */
static inline void forget_passes(struct sim *sim, const struct request *r)
{
    for (int i = 0; i < MAX_REQUESTS; i++)
        if (sim->request[i].passed_id == r->seq.id) sim->request[i].passed_id = 0;
}

/* In the order in which they started. */
static inline void note_starts(struct sim *sim, const struct step *step)
{
    const struct request *last = NULL;
    for (uint32_t i = 0; i < step->n_admitted; i++) {
        const struct request *r = sim_request_of(step->admitted[i]);
        if (!last || sim_goes_before(last, r)) last = r;
    }
    struct request *head = head_of_line(sim, last);
    for (struct request *r; (r = sim_next_start(sim));) {
        r->started_as = ++sim->n_started;
        r->passed_id = r->n_passed_tokens = 0;
        r->is_running = true;
        forget_passes(sim, r);
        sim->stats.n_resumed += r->is_paused;
        r->is_paused = false;
        sim->last_start = sim->n_composed;
        if (sim->trace)
            printf("%llu: start %llu before %llu\n", (unsigned long long)sim->step,
                   (unsigned long long)r->seq.id, (unsigned long long)(head ? head->seq.id : 0));
        if (head && sim_goes_before(head, r)) note_pass(sim, head, r);
        if (sim->n_in_flight)
            SIM_FAIL(sim, "request %llu starts beside a step in flight",
                     (unsigned long long)r->seq.id);
    }
    if (head && !sim->n_in_flight && !step->n_paused) check_waiting(sim, head);
}

static inline void check_admissions(struct sim *sim, const struct step *step)
{
    uint32_t n_cached = 0;
    for (uint32_t i = 0; i < step->n_admitted; i++) {
        const struct seq *q = step->admitted[i];
        n_cached += q->n_cached;
        for (uint32_t g = 1; g < sim->params.kv.n; g++)
            sim->stats.n_cached_behind += q->n_cached && sim_first_read(sim, g, q->n_cached);
        if (q->n_cached % PAGE_TOKENS) sim->stats.n_forks_shared++;
        if (sim->params.no_prefix_cache && q->n_cached && q->n_cached != q->n_prompt - 1)
            SIM_FAIL(sim, "request %llu took %u cached tokens although the cache is off",
                     (unsigned long long)q->id, q->n_cached);
    }
    if (n_cached > step->n_cached_tokens)
        SIM_FAIL(sim, "%u tokens were cached, the step says %u", n_cached, step->n_cached_tokens);
    sim->stats.n_states_found += sim->states && n_cached;
    sim->stats.n_states_taken_up += sim->states && step->n_cached_tokens > n_cached;
    sim->stats.n_cached_tokens += step->n_cached_tokens;
    sim->stats.n_taken_up += step->n_cached_tokens - n_cached;
}

/* ---- the step ------------------------------------------------------------------------------- */

/* Positions of a sequence that are computed or in flight, before the step just planned. */
static inline uint32_t n_before(struct sim *sim, const struct seq *q)
{
    return q->n_computed + sim_in_flight(sim, q, sim->n_in_flight);
}

/* Its place in the order in which they started. */
static inline uint64_t start_of(const struct seq *q)
{
    return ((const struct request *)q)->started_as;
}

static inline uint32_t cols_of(const struct step *step, const struct seq *q)
{
    for (uint32_t i = 0; i < step->batch.n_spans; i++)
        if (step->span_seq[i] == q) return step->batch.span[i].n_cols;
    return 0;
}

/* P1, P2. Of `budget` prompt columns the oldest prompt gets two thirds or all it needs. With a step
 * in flight it may wait for a page of that. */
static inline void check_oldest(struct sim *sim, const struct step *step, const struct seq *oldest,
                                uint32_t n_left, uint32_t budget)
{
    const uint32_t n = cols_of(step, oldest);
    uint32_t wanted = budget - budget / 3;
    if (wanted > n_left) wanted = n_left;
    if (budget < 3 || oldest->wants_every_logit || (sim->n_in_flight && n == 0)) return;
    if (sim->states && (oldest->n_issued % PAGE_TOKENS == 0)) return;   /* cut where it is kept */
    if (n < wanted)
        SIM_FAIL(sim, "P1: the oldest prompt, of request %llu, gets %u of %u columns, %u are left",
                 (unsigned long long)oldest->id, n, budget, n_left);
}

/* I2, I3, and what the oldest prompt gets. */
static inline void check_columns(struct sim *sim, const struct step *step)
{
    const struct scheduler_params *p = &sim->params;
    uint32_t n_prefill = 0, n_decode = 0;
    const struct seq *oldest = NULL;

    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct seq *q = scheduler_slot(sim->scheduler, i);
        if (!q || q->state == SEQ_PAUSED) continue;
        const uint32_t n = n_before(sim, q);
        n_decode += n >= q->n_prefill && n + 1 < q->max_tokens && !q->is_stalled;
        n_prefill += n < q->n_prefill;
        if (n < q->n_prefill && (!oldest || start_of(q) < start_of(oldest))) oldest = q;
    }
    if (p->prefill_first && n_prefill) n_decode = 0;
    const uint32_t unit = p->column_unit;
    const uint32_t n_filled = (n_decode + p->prefill_tokens + unit - 1) / unit * unit;
    if (step->n_decode_cols != n_decode)
        SIM_FAIL(sim, "I2: %u decode columns for %u that decode", step->n_decode_cols, n_decode);
    if (step->n_decode_cols + step->n_prefill_cols != step->batch.n_cols ||
        step->batch.n_cols > p->step_tokens ||
        (n_decode && step->batch.n_cols > n_filled))
        SIM_FAIL(sim, "I3: %u decode and %u prefill columns of %u, budgets %u and %u",
                 step->n_decode_cols, step->n_prefill_cols, step->batch.n_cols, p->step_tokens,
                 p->prefill_tokens);
    uint32_t budget = p->step_tokens - n_decode;
    if (n_decode && budget > n_filled - n_decode) budget = n_filled - n_decode;
    if (oldest) check_oldest(sim, step, oldest, oldest->n_prefill - n_before(sim, oldest), budget);
}

/* The token that a column should name. */
static inline int32_t expected_token(struct sim *sim, const struct seq *q, uint32_t pos)
{
    if (pos < q->n_tokens) return q->token[pos];
    return sim->n_in_flight ? -1 - sim_row_of(sim, q, sim->n_in_flight - 1) : 0;
}

/* The arrays of the batch say what the sequences say. */
static inline void check_batch(struct sim *sim, const struct step *step)
{
    const struct batch *b = &step->batch;
    uint32_t col = 0, out = 0, row = 0, n_again = 0;

    for (uint32_t i = 0; i < b->n_spans; i++) {
        const struct span *span = &b->span[i];
        const struct seq *q = step->span_seq[i];
        if (scheduler_slot(sim->scheduler, q->slot) != q || span->page[0] != q->page[0] ||
            span->first_col != col || span->n_cols == 0 || span->first_pos != n_before(sim, q)) {
            SIM_FAIL(sim, "span %u is not the next piece of a sequence", i);
            return;
        }
        const uint32_t n_had = sim_request_of(step->span_seq[i])->n_had;
        if ((n_before(sim, q) >= q->n_prefill) != (i < step->n_decode_cols))
            SIM_FAIL(sim, "span %u: decode columns are not first", i);
        for (uint32_t pos = span->first_pos; pos < span->first_pos + span->n_cols; pos++, col++) {
            if (b->pos[col] != pos || b->token[col] != expected_token(sim, q, pos))
                SIM_FAIL(sim, "column %u is not position %u of request %llu", col, pos,
                         (unsigned long long)q->id);
            n_again += pos < n_had;
            if (seq_wants_every_column(q) ? pos < n_had : pos + 1 < q->n_tokens) continue;
            sim->stats.n_outs_after_pause += q->n_reached && seq_wants_every_column(q);
            const struct output *o = &b->output[out];
            if (out >= b->n_outputs || o->span != i || col - o->first_col >= o->n_cols ||
                row != o->first_row + (q->hidden ? 0 : col - o->first_col) ||
                o->kind != (q->hidden ? OUTPUT_HIDDEN : OUTPUT_LOGITS))
                SIM_FAIL(sim, "column %u should be row %u, of output %u", col, row, out);
            row += !q->hidden;
        }
        out += out < b->n_outputs && b->output[out].span == i;
    }
    if (n_again != step->n_recomputed_cols)
        SIM_FAIL(sim, "%u columns computed again, the step says %u", n_again,
                 step->n_recomputed_cols);
    if (col != b->n_cols || out != b->n_outputs || row != b->n_rows)
        SIM_FAIL(sim, "%u columns in spans of %u, %u outputs of %u, %u rows of %u", col, b->n_cols,
                 out, b->n_outputs, row, b->n_rows);
}

/* The reply is the one of a solo run: a pure function of the prompt. */
static inline void check_reply(struct sim *sim, const struct request *r)
{
    uint64_t chain = 0;
    for (uint32_t pos = 0; pos < r->seq.n_tokens; pos++) {
        if (pos >= r->seq.n_prompt && r->token[pos] != fake_sample(chain, sim->n_vocab))
            SIM_FAIL(sim, "request %llu: reply token %u is %d, alone it is %d",
                     (unsigned long long)r->seq.id, pos - r->seq.n_prompt, r->token[pos],
                     fake_sample(chain, sim->n_vocab));
        chain = chain_next(chain, r->token[pos]);
    }
}

/* Of its prompt, what was not computed was found. */
static inline void check_usage(struct sim *sim, const struct request *r)
{
    const uint32_t own = r->n_prompt_cols;
    if (own + r->seq.n_cached != r->seq.n_prompt)
        SIM_FAIL(sim, "request %llu: %u of %u prompt tokens computed, %u said to be cached",
                 (unsigned long long)r->seq.id, own, r->seq.n_prompt, r->seq.n_cached);
}

/* Nobody starves. Until a request ends, every step computes at least one column of it, of one
 * before it in the line, or of one that L2 or L3 let pass one of these; or it is held back for a
 * page that another computes for it. So its steps are bounded by what was there when it came: each
 * of those, and itself, with its work, as much again as L3 lets pass it, and one that L2 let pass
 * and that has the slot; those that came later and go before it; and where one was paused, what it
 * had, and those that may pass it again (note_pause). A third of them may go to shorter prompts
 * where the budget is one or two columns. While a reader is slow, time stands. With prefill_first
 * later prompts may go before replies: their columns count too. Where
 * steps run ahead, each request may leave one behind that is computed for nobody. The figures are
 * coarse; test_scheduler_bounds has sharp ones. */
static inline void sim_check_patience(struct sim *sim)
{
    for (int i = 0; i < MAX_REQUESTS; i++) {
        const struct request *r = &sim->request[i];
        if (!r->is_alive) continue;
        const uint64_t later = sim->params.prefill_first ? sim->work_added - r->work_before : 0;
        const uint64_t work = (r->work_ahead + later) * 3 / 2;
        const uint64_t bound = sim->runs_ahead ? 2 * work + MAX_IN_FLIGHT : work;
        const uint64_t n_stalled = sim->n_stalled_steps - r->stalled_before;
        if (sim->step - r->added_step >= bound + n_stalled)
            SIM_FAIL(sim, "request %llu starves: %llu steps, bound %llu, state %d",
                     (unsigned long long)r->seq.id, (unsigned long long)(sim->step - r->added_step),
                     (unsigned long long)bound, r->seq.state);
    }
}

#endif

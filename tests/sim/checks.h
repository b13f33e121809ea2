/* What must hold of every step and of every request, apart from the product's own audits. */
#ifndef SIM_CHECKS_H
#define SIM_CHECKS_H

#include "sim/machine.h"
#include "sim/sim.h"

static inline void sim_audit(struct sim *sim, const char *when)
{
    uint32_t n_holders[MAX_SLOTS * (MAX_TOKENS / PAGE_TOKENS) + 40];
    const char *wrong = kv_pool_audit(sim->pool);
    if (!wrong) wrong = scheduler_audit(sim->scheduler);
    if (wrong) SIM_FAIL(sim, "%s: %s", when, wrong);

    memset(n_holders, 0, sim->n_pages * sizeof *n_holders);
    for (uint32_t i = 0; i < sim->params.n_slots; i++) {
        const struct seq *q = scheduler_slot(sim->scheduler, i);
        for (uint32_t k = 0; q && k < q->n_pages; k++) n_holders[q->page[k]]++;
    }
    for (uint32_t i = 0; i < sim->n_pages; i++)
        if (n_holders[i] != kv_pool_n_refs(sim->pool, i))
            SIM_FAIL(sim, "%s: page %u: %u page tables name it, the pool counts %u", when, i,
                     n_holders[i], kv_pool_n_refs(sim->pool, i));
}

/* Nobody is admitted before an earlier one. */
static inline void check_admissions(struct sim *sim, const struct step *step)
{
    for (uint32_t i = 0; i < step->n_admitted; i++) {
        const struct seq *q = step->admitted[i];
        if (q->id <= sim->last_admitted)
            SIM_FAIL(sim, "request %llu admitted after %llu", (unsigned long long)q->id,
                     (unsigned long long)sim->last_admitted);
        sim->last_admitted = q->id;
        sim->stats.n_cached_tokens += q->n_cached;
        if (q->n_cached % PAGE_TOKENS) sim->stats.n_forks_shared++;
        if (sim->params.no_prefix_cache && q->n_cached && q->n_cached != q->n_prompt - 1)
            SIM_FAIL(sim, "request %llu took %u cached tokens although the cache is off",
                     (unsigned long long)q->id, q->n_cached);
    }
    for (int i = 0; i < MAX_REQUESTS; i++) {
        const struct request *r = &sim->request[i];
        if (r->is_alive && r->seq.state == SEQ_WAITING && r->seq.id < sim->last_admitted)
            SIM_FAIL(sim, "request %llu still waits, %llu was admitted",
                     (unsigned long long)r->seq.id, (unsigned long long)sim->last_admitted);
    }
}

/* Positions of a sequence that are computed or in flight, before the step just planned. */
static inline uint32_t n_before(struct sim *sim, const struct seq *q)
{
    return q->n_computed + sim_in_flight(sim, q, sim->n_in_flight);
}

/* I2, I3, and the oldest prompt first. */
static inline void check_columns(struct sim *sim, const struct step *step)
{
    const struct scheduler_params *p = &sim->params;
    uint32_t n_prefill = 0, n_decode = 0;
    const struct seq *oldest = NULL;

    for (uint32_t i = 0; i < p->n_slots; i++) {
        const struct seq *q = scheduler_slot(sim->scheduler, i);
        if (!q) continue;
        const uint32_t n = n_before(sim, q);
        n_decode += n >= q->n_prompt && n + 1 < q->max_tokens;
        n_prefill += n < q->n_prompt;
        if (n < q->n_prompt && (!oldest || q->id < oldest->id)) oldest = q;
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
    if (oldest && (step->batch.n_spans <= n_decode ||
                   step->batch.span[n_decode].page != oldest->page))
        SIM_FAIL(sim, "the oldest prompt, of request %llu, is not first",
                 (unsigned long long)oldest->id);
}

/* The token that a column should name. */
static inline int32_t expected_token(struct sim *sim, const struct seq *q, uint32_t pos)
{
    if (pos < q->n_tokens) return q->token[pos];
    return sim->n_in_flight ? -1 - sim_output_of(sim, q, sim->n_in_flight - 1) : 0;
}

/* The arrays of the batch say what the sequences say. */
static inline void check_batch(struct sim *sim, const struct step *step)
{
    const struct batch *b = &step->batch;
    uint32_t col = 0, out = 0;

    for (uint32_t i = 0; i < b->n_spans; i++) {
        const struct span *span = &b->span[i];
        const struct seq *q = step->span_seq[i];
        if (scheduler_slot(sim->scheduler, q->slot) != q || span->page != q->page ||
            span->first_col != col || span->n_cols == 0 || span->first_pos != n_before(sim, q)) {
            SIM_FAIL(sim, "span %u is not the next piece of a sequence", i);
            return;
        }
        if ((n_before(sim, q) >= q->n_prompt) != (i < step->n_decode_cols))
            SIM_FAIL(sim, "span %u: decode columns are not first", i);
        for (uint32_t pos = span->first_pos; pos < span->first_pos + span->n_cols; pos++, col++) {
            if (b->pos[col] != pos || b->token[col] != expected_token(sim, q, pos))
                SIM_FAIL(sim, "column %u is not position %u of request %llu", col, pos,
                         (unsigned long long)q->id);
            if (!q->wants_every_logit && pos + 1 < q->n_tokens) continue;
            if (out >= b->n_outs || b->out_col[out] != col || step->out_seq[out] != q ||
                step->out_pos[out] != pos)
                SIM_FAIL(sim, "column %u should be output %u", col, out);
            out++;
        }
    }
    if (col != b->n_cols || out != b->n_outs)
        SIM_FAIL(sim, "%u columns in spans of %u, %u outputs of %u", col, b->n_cols, out,
                 b->n_outs);
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

/* Nobody starves. Until a request ends, every step computes at least one column of it or of an
 * earlier one: the oldest prompt advances, else the earlier ones decode, else it is the head of the
 * line with the whole pool before it. So its steps are at most the columns these needed when it
 * came. With prefill_first later prompts may go before replies: their columns count too. Where
 * steps run ahead, each request may leave one behind that is computed for nobody. */
static inline void sim_check_patience(struct sim *sim)
{
    for (int i = 0; i < MAX_REQUESTS; i++) {
        const struct request *r = &sim->request[i];
        if (!r->is_alive) continue;
        const uint64_t later = sim->params.prefill_first ? sim->work_added - r->work_before : 0;
        const uint64_t work = r->work_ahead + later;
        const uint64_t bound = sim->runs_ahead ? 2 * work + MAX_IN_FLIGHT : work;
        if (sim->step - r->added_step >= bound)
            SIM_FAIL(sim, "request %llu starves: %llu steps, bound %llu, state %d",
                     (unsigned long long)r->seq.id, (unsigned long long)(sim->step - r->added_step),
                     (unsigned long long)bound, r->seq.state);
    }
}

#endif

/* Filters work on what is left of the distribution, in the order of paceline.h.
 *
 * Nothing sorts a whole vocabulary. Top-k keeps a heap of k. Without it, top-p gathers what lies
 * within some distance of the best, and farther, until it has its mass; min-p knows the distance.
 * Only typical sampling without top-k looks at every token. Temperature alone draws from the row.
 */
#include "engine/sampler.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "engine/chain.h"
#include "engine/filters.h"
#include "engine/touches.h"

/* Tokens that may not come have no logit. */
static void apply_mask(const uint32_t *mask, const struct row *row)
{
    enum { WORDS = ROW_BLOCK / 32 };
    const uint32_t n_words = (row->n + 31) / 32;
    for (uint32_t i = 0; i < row_n_blocks(row->n); i++) {
        const uint32_t first = i * WORDS;
        const uint32_t end = first + WORDS < n_words ? first + WORDS : n_words;
        uint32_t all = UINT32_MAX;
        for (uint32_t w = first; w < end; w++) all &= mask[w];
        if (all == UINT32_MAX) continue;
        for (uint32_t t = first * 32; t < end * 32 && t < row->n; t++)
            if (!(mask[t / 32] >> (t % 32) & 1)) row->x[t] = -INFINITY;
        row_measure_block(row, i);
    }
}

/* ---- the draw ------------------------------------------------------------------------------- */

/* Candidates that hold top_p of the mass, and few others: looks ever deeper below the best until
 * what is found is enough, or min_p ends the search. */
static void gather_mass(struct left *l, const struct pick *p, const struct row *row)
{
    const float deepest = p->min_p > 0 ? -logf(p->min_p) : INFINITY;
    for (float depth = 4;; depth *= 2) {
        const float least = depth < 200 && depth < deepest ? l->max - depth : l->max - deepest;
        l->n = row_gather(row, least, l->c);
        if (depth >= 200 || depth >= deepest || left_sum(l) >= (double)p->top_p * l->sum) return;
    }
}

/* The first filter's candidates, with all that none of the active ones could keep left out. */
static struct left first_candidates(const struct pick *p, const struct row *row, float max,
                                    struct candidate *scratch)
{
    struct left l = { .c = scratch, .max = max, .scale = 1 };
    if (p->top_k && p->top_k < row->n) {
        l.n = row_top(row, p->top_k, scratch);
        l.is_sorted = true;
        l.sum = left_sum(&l);
        return l;
    }
    if (p->typical_p < 1 || p->top_p < 1) l.sum = row_sum_exp(row->x, row->n, max, 1);
    if (p->typical_p < 1)
        l.n = row_gather(row, -FLT_MAX, scratch);
    else if (p->top_p < 1)
        gather_mass(&l, p, row);
    else
        l.n = row_gather(row, max + logf(p->min_p), scratch);
    return l;
}

static int32_t draw_from(const struct pick *p, const struct row *row, struct candidate *scratch)
{
    const struct row_max max = row_max(row);
    if (max.token < 0 || p->temperature == 0 || p->top_k == 1) return max.token;

    const bool has_top_k = p->top_k && p->top_k < row->n;
    if (!has_top_k && !(p->typical_p < 1) && !(p->top_p < 1) && !(p->min_p > 0)) {
        const float scale = 1 / p->temperature;
        const double sum = row_sum_exp(row->x, row->n, max.value, scale);
        return row_find(row->x, row->n, max.value, scale, p->unit * sum);
    }
    struct left l = first_candidates(p, row, max.value, scratch);
    if (p->typical_p < 1) left_keep_typical(&l, p->typical_p, 1, row->x);
    if (p->top_p < 1) left_keep_mass(&l, (double)p->top_p * l.sum, 1, NULL);
    if (p->min_p > 0) left_keep_min_p(&l, p->min_p, 1);
    l.scale = 1 / p->temperature;
    double p_drawn;
    return left_draw(&l, p->unit, &p_drawn);
}

/* ---- log-probabilities ---------------------------------------------------------------------- */

/* Log of the row's sum; the row must hold a finite value. */
static double log_sum_exp(const struct row *row, float max)
{
    return (double)max + log(row_sum_exp(row->x, row->n, max, 1));
}

static uint32_t best_tokens(const struct row *row, double log_sum, uint32_t n_top,
                            pl_token_prob *top)
{
    struct candidate c[PICK_MAX_TOP];
    const uint32_t n = row_top(row, n_top, c);
    for (uint32_t i = 0; i < n; i++)
        top[i] = (pl_token_prob){ c[i].token, (float)((double)c[i].value - log_sum) };
    return n;
}

void sampler_pick(const struct pick *pick, const struct row *row, struct candidate *scratch,
                  struct picked *out)
{
    const bool wants_logprob = pick->wants_logprob || pick->n_top;
    double log_sum = 0;
    *out = (struct picked){ .token = -1 };
    if (wants_logprob) {
        const struct row_max max = row_max(row);
        if (max.token < 0) return;
        log_sum = log_sum_exp(row, max.value);
        out->n_top = best_tokens(row, log_sum, pick->n_top, out->top);
    }
    const struct touch last = touches_apply(pick, row);
    if (pick->mask) apply_mask(pick->mask, row);
    out->token = pick->chain ? chain_draw(pick, row, scratch) : draw_from(pick, row, scratch);
    if (out->token >= 0 && wants_logprob)
        out->logprob = (float)((double)touches_raw_logit(pick, &last, row, out->token) - log_sum);
}

float sampler_score(const struct row *row, int32_t token, uint32_t n_top, pl_token_prob *top)
{
    const struct row_max max = row_max(row);
    if (n_top > PICK_MAX_TOP) n_top = PICK_MAX_TOP;
    for (uint32_t i = 0; i < n_top; i++) top[i] = (pl_token_prob){ -1, -INFINITY };
    if (max.token < 0) return INFINITY;

    const double log_sum = log_sum_exp(row, max.value);
    best_tokens(row, log_sum, n_top, top);
    if (token < 0 || (uint32_t)token >= row->n || !(row->x[token] >= -FLT_MAX)) return INFINITY;
    return (float)(log_sum - (double)row->x[token]);
}

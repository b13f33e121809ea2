/* Filters work on what is left of the distribution, in the order of paceline.h: each sees the
 * probabilities renormalised over the candidates that the one before left.
 *
 * Nothing sorts a whole vocabulary. Top-k keeps a heap of k. Without it, top-p gathers what lies
 * within some distance of the best, and farther, until it has its mass; min-p knows the distance.
 * Only typical sampling without top-k looks at every token. Many candidates are parted at the mass
 * by buckets, and only the bucket at the border is ordered. Temperature alone draws from the row.
 */
#include "engine/sampler.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

/* ---- penalties and bias --------------------------------------------------------------------- */

static void touch_logit(const struct pick *p, const struct row *row, struct touch *t)
{
    float x = t->logit = row->x[t->token];
    if (t->count) {
        if (p->repetition_penalty > 0)
            x = x > 0 ? x / p->repetition_penalty : x * p->repetition_penalty;
        x = x - (float)t->count * p->frequency_penalty - p->presence_penalty;
    }
    row->x[t->token] = x + t->bias;
    row_measure_block(row, (uint32_t)t->token / ROW_BLOCK);
}

/* What touches the last token, which `touch` may count, or not have at all. */
static struct touch touch_all(const struct pick *p, const struct row *row)
{
    struct touch last = { .token = p->last };
    for (uint32_t i = 0; i < p->n_touched; i++) {
        if (p->touch[i].token == p->last) last = p->touch[i];
        else touch_logit(p, row, &p->touch[i]);
    }
    if (last.token == NO_LAST) return last;
    last.count++;
    touch_logit(p, row, &last);
    return last;
}

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

static float raw_logit(const struct pick *p, const struct touch *last, const struct row *row,
                       int32_t token)
{
    if (last->token == token) return last->logit;
    for (uint32_t i = 0; i < p->n_touched; i++)
        if (p->touch[i].token == token) return p->touch[i].logit;
    return row->x[token];
}

/* ---- candidates ----------------------------------------------------------------------------- */

/* Up to this many candidates are put in order. More are only parted, and drawn from as they stand:
 * which order that is follows from the row alone, too. */
enum { MANY = 512 };

/* What is left of the distribution. sum: of exp(value - max) over all that the last filter looked
 * at, which may be more than the candidates kept here. */
struct left {
    struct candidate *c;        /* (n) best first once is_sorted */
    uint32_t n;
    bool is_sorted;
    float max;
    double sum;
};

static double sum_exp(const struct left *l)
{
    double sum = 0;
    for (uint32_t i = 0; i < l->n; i++) sum += (double)row_exp(l->c[i].value - l->max);
    return sum;
}

/* The j best, which heap_next left at the end in reverse. */
static void keep_from_heap(struct left *l, uint32_t j)
{
    struct candidate *first = l->c + (l->n - j);
    for (uint32_t i = 0; i < j / 2; i++) {
        const struct candidate swapped = first[i];
        first[i] = first[j - 1 - i];
        first[j - 1 - i] = swapped;
    }
    l->c = first;
    l->n = j;
    l->is_sorted = true;
}

/* What a candidate weighs. Where the order is not by logit, logits has its logit. */
static double weight(const struct left *l, const struct candidate *c, const float *logits)
{
    return (double)row_exp((logits ? logits[c->token] : c->value) - l->max);
}

/* Of many candidates: those of the better buckets go to the front as they stand, then those of the
 * bucket in which the mass is reached; the rest is dropped. Returns how many are surely kept;
 * *missing is what they lack of the mass. */
static uint32_t narrow(struct left *l, double mass, const float *logits, double *missing)
{
    enum { N_BUCKETS = 1024 };
    double in_bucket[N_BUCKETS] = { 0 };
    float best = -INFINITY, worst = INFINITY;
    for (uint32_t i = 0; i < l->n; i++) {
        best = fmaxf(best, l->c[i].value);
        worst = fminf(worst, l->c[i].value);
    }
    const float scale = best > worst ? (N_BUCKETS - 1) / (best - worst) : 0;
#define BUCKET_OF(c) ((uint32_t)((best - (c).value) * scale))
    for (uint32_t i = 0; i < l->n; i++)
        in_bucket[BUCKET_OF(l->c[i])] += weight(l, &l->c[i], logits);
    uint32_t last = 0;
    double sum = 0;
    while (last + 1 < N_BUCKETS && sum + in_bucket[last] < mass) sum += in_bucket[last++];

    uint32_t n_better = 0, n_kept = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct candidate c = l->c[i];
        const uint32_t bucket = BUCKET_OF(c);
        if (bucket > last) continue;
        l->c[n_kept++] = c;
        if (bucket == last) continue;
        l->c[n_kept - 1] = l->c[n_better];
        l->c[n_better++] = c;
    }
#undef BUCKET_OF
    l->n = n_kept;
    *missing = mass - sum;
    return n_better;
}

/* Keeps the fewest of the best that have `mass` together, and at least one. */
static void keep_mass(struct left *l, double mass, const float *logits)
{
    double sum = 0;
    uint32_t j = 0, n_surely = 0;
    if (l->is_sorted) {
        while (j < l->n && (j == 0 || sum < mass)) sum += weight(l, &l->c[j++], logits);
        l->n = j;
        return;
    }
    const bool is_many = l->n > MANY;
    if (is_many) n_surely = narrow(l, mass, logits, &mass);
    struct left border = *l;
    border.c += n_surely;
    border.n -= n_surely;
    struct heap h = heap_open(border.c, border.n);
    for (const struct candidate *c; n_surely + j == 0 || sum < mass; j++) {
        if (!(c = heap_next(&h))) break;
        sum += weight(l, c, logits);
    }
    keep_from_heap(&border, j);
    if (!is_many) {
        *l = border;
        return;
    }
    for (uint32_t i = 0; i < j; i++) l->c[n_surely + i] = border.c[i];
    l->n = n_surely + j;
}

/* Locally typical sampling (Meister et al. 2022): those whose surprise is nearest to the expected
 * one, as many as have typical_p of the mass. */
static void filter_typical(struct left *l, float typical_p, const float *logits)
{
    const double log_sum = log(l->sum);
    double entropy = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const float x = l->c[i].value - l->max;
        entropy -= (double)row_exp(x) / l->sum * ((double)x - log_sum);
    }
    for (uint32_t i = 0; i < l->n; i++) {
        const double log_p = (double)(l->c[i].value - l->max) - log_sum;
        l->c[i].value = (float)-fabs(-log_p - entropy);
    }
    l->is_sorted = false;
    keep_mass(l, (double)typical_p * l->sum, logits);

    l->is_sorted = false;       /* by surprise it is, but not by value */
    l->max = -INFINITY;
    for (uint32_t i = 0; i < l->n; i++) {
        l->c[i].value = logits[l->c[i].token];
        if (l->c[i].value > l->max) l->max = l->c[i].value;
    }
    l->sum = sum_exp(l);
}

static void filter_min_p(struct left *l, float min_p)
{
    const float least = l->max + logf(min_p);
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n; i++)
        if (l->c[i].value >= least) l->c[n++] = l->c[i];
    l->n = n;                   /* the best always stays: min_p <= 1 */
}

/* Candidates that hold top_p of the mass, and few others: looks ever deeper below the best until
 * what is found is enough, or min_p ends the search. */
static void gather_mass(struct left *l, const struct pick *p, const struct row *row)
{
    const float deepest = p->min_p > 0 ? -logf(p->min_p) : INFINITY;
    for (float depth = 4;; depth *= 2) {
        const float least = depth < 200 && depth < deepest ? l->max - depth : l->max - deepest;
        l->n = row_gather(row, least, l->c);
        if (depth >= 200 || depth >= deepest || sum_exp(l) >= (double)p->top_p * l->sum) return;
    }
}

/* The first filter's candidates, with all that none of the active ones could keep left out. */
static struct left first_candidates(const struct pick *p, const struct row *row, float max,
                                    struct candidate *scratch)
{
    struct left l = { .c = scratch, .max = max };
    if (p->top_k && p->top_k < row->n) {
        l.n = row_top(row, p->top_k, scratch);
        l.is_sorted = true;
        l.sum = sum_exp(&l);
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

static int32_t draw(struct left *l, float temperature, double unit)
{
    if (!l->is_sorted && l->n <= MANY) keep_mass(l, INFINITY, NULL);
    const float scale = 1 / temperature;
    double sum = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        l->c[i].value = row_exp((l->c[i].value - l->max) * scale);
        sum += (double)l->c[i].value;
    }
    double target = unit * sum;
    for (uint32_t i = 0; i < l->n; i++) {
        target -= (double)l->c[i].value;
        if (target < 0) return l->c[i].token;
    }
    return l->c[0].token;       /* rounding left none */
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
    if (p->typical_p < 1) filter_typical(&l, p->typical_p, row->x);
    if (p->top_p < 1) keep_mass(&l, (double)p->top_p * l.sum, NULL);
    if (p->min_p > 0) filter_min_p(&l, p->min_p);
    return draw(&l, p->temperature, p->unit);
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
    const struct touch last = touch_all(pick, row);
    if (pick->mask) apply_mask(pick->mask, row);
    out->token = draw_from(pick, row, scratch);
    if (out->token >= 0 && wants_logprob)
        out->logprob = (float)((double)raw_logit(pick, &last, row, out->token) - log_sum);
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

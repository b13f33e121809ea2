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

#include "engine/row.h"

void sampler_init(struct sampler *s, const pl_sampling *params, uint32_t n_vocab)
{
    s->params = *params;
    s->n_vocab = n_vocab;
    rng_seed(&s->rng, params->seed);
}

/* ---- penalties and bias --------------------------------------------------------------------- */

/* By token: how often it stands in the window (-1 once that is applied, and for a bias), and the
 * logit as it was. */
struct touched {
    struct candidate *of;       /* (n_vocab) .token: the count, .value: the raw logit */
    const int32_t *window;
    uint32_t n_window;
};

static void touch(struct touched *t, float *logits, int32_t token)
{
    struct candidate *c = &t->of[token];
    if (c->token == 0) c->value = logits[token];
}

static void penalise(const pl_sampling *p, struct touched *t, float *logits, int32_t token)
{
    struct candidate *c = &t->of[token];
    if (c->token <= 0) return;  /* applied already */
    const float count = (float)c->token;
    float x = logits[token];
    if (p->repetition_penalty > 0)
        x = x > 0 ? x / p->repetition_penalty : x * p->repetition_penalty;
    logits[token] = x - count * p->frequency_penalty - p->presence_penalty;
    c->token = -1;
}

static bool has_penalties(const pl_sampling *p)
{
    return (p->repetition_penalty > 0 && p->repetition_penalty != 1) ||
           p->frequency_penalty != 0 || p->presence_penalty != 0;
}

static void measure_around(const struct row *row, int32_t token)
{
    row_measure_block(row, (uint32_t)token / ROW_BLOCK);
}

static struct touched apply_penalties(const struct sampler *s, const struct row *row,
                                      const int32_t *history, uint32_t n_history,
                                      struct candidate *of)
{
    const pl_sampling *p = &s->params;
    float *logits = row->x;
    struct touched t = { .of = of };
    if (has_penalties(p)) {
        t.n_window = n_history < p->penalty_last_n ? n_history : p->penalty_last_n;
        t.window = history + (n_history - t.n_window);
    }
    for (uint32_t i = 0; i < t.n_window; i++) {
        touch(&t, logits, t.window[i]);
        t.of[t.window[i]].token++;
    }
    for (uint32_t i = 0; i < t.n_window; i++) penalise(p, &t, logits, t.window[i]);
    for (uint32_t i = 0; i < t.n_window; i++) measure_around(row, t.window[i]);
    for (size_t i = 0; i < p->n_bias; i++) {
        touch(&t, logits, p->bias[i].token);
        t.of[p->bias[i].token].token = -1;
        logits[p->bias[i].token] += p->bias[i].bias;
        measure_around(row, p->bias[i].token);
    }
    return t;
}

static float raw_logit(const struct touched *t, const float *logits, int32_t token)
{
    return t->of[token].token ? t->of[token].value : logits[token];
}

static void forget_penalties(const struct sampler *s, const struct touched *t)
{
    for (uint32_t i = 0; i < t->n_window; i++) t->of[t->window[i]] = (struct candidate){ 0, 0 };
    for (size_t i = 0; i < s->params.n_bias; i++)
        t->of[s->params.bias[i].token] = (struct candidate){ 0, 0 };
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
static void gather_mass(struct left *l, const pl_sampling *p, const struct row *row)
{
    const float deepest = p->min_p > 0 ? -logf(p->min_p) : INFINITY;
    for (float depth = 4;; depth *= 2) {
        const float least = depth < 200 && depth < deepest ? l->max - depth : l->max - deepest;
        l->n = row_gather(row, least, l->c);
        if (depth >= 200 || depth >= deepest || sum_exp(l) >= (double)p->top_p * l->sum) return;
    }
}

/* The first filter's candidates, with all that none of the active ones could keep left out. */
static struct left first_candidates(const pl_sampling *p, const struct row *row, float max,
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

static int32_t draw(struct left *l, float temperature, struct rng *rng)
{
    if (!l->is_sorted && l->n <= MANY) keep_mass(l, INFINITY, NULL);
    const float scale = 1 / temperature;
    double sum = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        l->c[i].value = row_exp((l->c[i].value - l->max) * scale);
        sum += (double)l->c[i].value;
    }
    double target = rng_unit(rng) * sum;
    for (uint32_t i = 0; i < l->n; i++) {
        target -= (double)l->c[i].value;
        if (target < 0) return l->c[i].token;
    }
    return l->c[0].token;       /* rounding left none */
}

static bool is_greedy(const pl_sampling *p)
{
    return p->temperature == 0 || p->top_k == 1;
}

static int32_t pick(struct sampler *s, const struct row *row, struct candidate *scratch)
{
    const pl_sampling *p = &s->params;
    const struct row_max max = row_max(row);
    if (max.token < 0 || is_greedy(p)) return max.token;

    const bool has_top_k = p->top_k && p->top_k < s->n_vocab;
    if (!has_top_k && !(p->typical_p < 1) && !(p->top_p < 1) && !(p->min_p > 0)) {
        const float scale = 1 / p->temperature;
        const double sum = row_sum_exp(row->x, row->n, max.value, scale);
        return row_find(row->x, row->n, max.value, scale, rng_unit(&s->rng) * sum);
    }
    struct left l = first_candidates(p, row, max.value, scratch);
    if (p->typical_p < 1) filter_typical(&l, p->typical_p, row->x);
    if (p->top_p < 1) keep_mass(&l, (double)p->top_p * l.sum, NULL);
    if (p->min_p > 0) filter_min_p(&l, p->min_p);
    return draw(&l, p->temperature, &s->rng);
}

struct pick sampler_delegate(struct sampler *s)
{
    const pl_sampling *p = &s->params;
    if (has_penalties(p) || p->n_bias || p->typical_p < 1) return (struct pick){ 0 };
    struct pick pick = { .is_by_backend = true, .top_p = 1 };
    if (is_greedy(p)) return pick;
    pick.temperature = p->temperature;
    pick.top_k = p->top_k < s->n_vocab ? p->top_k : 0;
    pick.top_p = p->top_p;
    pick.min_p = p->min_p;
    pick.unit = rng_unit(&s->rng);
    return pick;
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
    struct candidate c[SAMPLER_MAX_TOP];
    const uint32_t n = row_top(row, n_top, c);
    for (uint32_t i = 0; i < n; i++)
        top[i] = (pl_token_prob){ c[i].token, (float)((double)c[i].value - log_sum) };
    return n;
}

void sampler_pick(struct sampler *s, const struct row *row, const int32_t *history,
                  uint32_t n_history, bool want_logprob, uint32_t n_top,
                  struct candidate *scratch, struct sampled *out)
{
    double log_sum = 0;
    *out = (struct sampled){ .token = -1 };
    if (n_top > SAMPLER_MAX_TOP) n_top = SAMPLER_MAX_TOP;
    if (want_logprob || n_top) {
        const struct row_max max = row_max(row);
        if (max.token < 0) return;
        log_sum = log_sum_exp(row, max.value);
        out->n_top = best_tokens(row, log_sum, n_top, out->top);
    }
    const struct touched touched =
        apply_penalties(s, row, history, n_history, scratch + s->n_vocab);
    out->token = pick(s, row, scratch);
    if (out->token >= 0 && (want_logprob || n_top))
        out->logprob = (float)((double)raw_logit(&touched, row->x, out->token) - log_sum);
    forget_penalties(s, &touched);
}

float sampler_score(const struct row *row, int32_t token, uint32_t n_top, pl_token_prob *top)
{
    const struct row_max max = row_max(row);
    if (n_top > SAMPLER_MAX_TOP) n_top = SAMPLER_MAX_TOP;
    for (uint32_t i = 0; i < n_top; i++) top[i] = (pl_token_prob){ -1, -INFINITY };
    if (max.token < 0) return INFINITY;

    const double log_sum = log_sum_exp(row, max.value);
    best_tokens(row, log_sum, n_top, top);
    if (token < 0 || (uint32_t)token >= row->n || !(row->x[token] >= -FLT_MAX)) return INFINITY;
    return (float)(log_sum - (double)row->x[token]);
}

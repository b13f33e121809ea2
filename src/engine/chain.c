/* The row has the logits as penalties leave them, always before any temperature; candidates are
 * gathered from it when the first sampler wants them, and again have its values when one changed
 * it. The temperature so far is left.scale. */
#include "engine/chain.h"

#include <float.h>
#include <math.h>

#include "base/rng.h"
#include "engine/filters.h"
#include "engine/sampler_cuts.h"
#include "engine/sampler_mirostat.h"
#include "engine/touches.h"

struct work {
    const struct pick *pick;
    const pl_sampling *p;
    const struct row *row;
    struct candidate *scratch;
    uint32_t min_keep;          /* at least 1 */
    struct left left;           /* c NULL: the whole row */
};

/* ---- opening -------------------------------------------------------------------------------- */

/* The last token is known wherever a chain is made: it counts like the others. */
static void count_last(struct pick *pick, const struct pick_room *room)
{
    if (pick->last == NO_LAST) return;
    pick_bias(pick, pick->last, 0, room);       /* there is an entry now */
    for (uint32_t i = 0; i < pick->n_touched; i++)
        if (pick->touch[i].token == pick->last) pick->touch[i].count++;
    pick->last = NO_LAST;
}

void chain_open(struct chain *c, const pl_sampling *sampling, double mu,
                const struct dry_text *text, struct candidate *scratch, uint32_t n_scratch,
                struct pick *pick, const struct pick_room *room)
{
    *c = (struct chain){ .sampling = sampling, .seat = room->seat, .mu = mu, .next_mu = mu };
    rng_units_at(sampling->seed, text->n, c->unit);
    pick->chain = c;
    pick->penalises_later = sampling->order[0] != PL_SAMPLER_PENALTIES;
    count_last(pick, room);
    for (uint32_t i = 0; i < sampling->n_order; i++)
        if (sampling->order[i] == PL_SAMPLER_DRY)
            dry_measure(sampling, text, scratch, n_scratch, pick, room);
}

void chain_close(const struct pick *pick, const struct pick_room *room)
{
    dry_forget(pick, room);
}

/* ---- candidates ----------------------------------------------------------------------------- */

static void gather(struct work *w)
{
    if (w->left.c) return;
    w->left.c = w->scratch;
    w->left.max = row_max(w->row).value;
    w->left.n = row_gather(w->row, -FLT_MAX, w->scratch);
}

/* Of the whole row there is no need to look at more than the k best. */
static void take_top_k(struct work *w)
{
    if (w->left.c) {
        left_keep_best(&w->left, w->p->top_k);
        return;
    }
    w->left.c = w->scratch;
    w->left.max = row_max(w->row).value;
    w->left.n = row_top(w->row, w->p->top_k < w->row->n ? w->p->top_k : w->row->n, w->scratch);
    w->left.is_sorted = true;
}

/* The row was changed. */
static void refresh(struct work *w)
{
    struct left *l = &w->left;
    for (uint32_t i = 0; i < l->n; i++) l->c[i].value = w->row->x[l->c[i].token];
    l->max = left_max(l);
    l->is_sorted = false;
}

/* ---- temperature ---------------------------------------------------------------------------- */

/* From temperature - range to temperature + range, by how much of the entropy that so many tokens
 * could have theirs do have: "dynamic temperature", by kalomaze (llama.cpp's pull request 4972). */
static float temperature_of(const struct left *l, const pl_sampling *p)
{
    if (!(p->dynatemp_range > 0) || l->n < 2) return p->temperature;
    const double least = fmax(0, (double)p->temperature - (double)p->dynatemp_range);
    const double most = (double)p->temperature + (double)p->dynatemp_range;
    double sum = 0, products = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const float x = (l->c[i].value - l->max) * l->scale;
        const double weight = (double)row_exp(x);
        sum += weight;
        products += weight * (double)x;
    }
    const double share = (log(sum) - products / sum) / log(l->n);
    return (float)(least + (most - least) * pow(share, (double)p->dynatemp_exponent));
}

static void heat(struct left *l, const pl_sampling *p)
{
    const float inverse = 1 / temperature_of(l, p);
    const float scale = l->scale * inverse;
    if (isfinite(inverse) && isfinite(scale)) l->scale = scale;
    else left_keep_best(l, 1);
}

/* ---- one after the other -------------------------------------------------------------------- */

static void filter(struct work *w, pl_sampler sampler)
{
    const pl_sampling *p = w->p;
    struct left *l = &w->left;
    l->sum = left_sum(l);
    switch (sampler) {
    case PL_SAMPLER_TOP_N_SIGMA: cut_top_n_sigma(l, p->top_n_sigma); break;
    case PL_SAMPLER_TYPICAL: left_keep_typical(l, p->typical_p, w->min_keep, w->row->x); break;
    case PL_SAMPLER_TOP_P:
        left_keep_mass(l, (double)p->top_p * l->sum, w->min_keep, NULL);
        break;
    case PL_SAMPLER_MIN_P: left_keep_min_p(l, p->min_p, w->min_keep); break;
    case PL_SAMPLER_XTC:
        if (w->pick->chain->unit[1] < (double)p->xtc_probability)
            cut_top_choices(l, p->xtc_threshold, w->min_keep);
        break;
    default: heat(l, p);
    }
}

/* False: no token may come. */
static bool sample(struct work *w, uint32_t i)
{
    const pl_sampler sampler = (pl_sampler)w->p->order[i];
    switch (sampler) {
    case PL_SAMPLER_PENALTIES:
        if (w->pick->penalises_later) touches_penalise(w->pick, w->row, w->left.scale);
        refresh(w);
        return true;
    case PL_SAMPLER_DRY:
        dry_apply(w->p, w->pick, w->pick->chain->seat, w->row, w->left.scale);
        refresh(w);
        return true;
    case PL_SAMPLER_TOP_K: take_top_k(w); return w->left.n > 0;
    default:
        gather(w);
        if (w->left.n) filter(w, sampler);
        return w->left.n > 0;
    }
}

int32_t chain_draw(const struct pick *pick, const struct row *row, struct candidate *scratch)
{
    struct chain *c = pick->chain;
    const pl_sampling *p = c->sampling;
    struct work w = { .pick = pick, .p = p, .row = row, .scratch = scratch,
                      .min_keep = p->min_keep ? p->min_keep : 1, .left = { .scale = 1 } };
    double probability;
    for (uint32_t i = 0; i < p->n_order; i++)
        if (!sample(&w, i)) return -1;
    gather(&w);
    if (!w.left.n) return -1;
    if (p->mirostat) return mirostat_draw(&w.left, p, row->n, c->unit[0], c->mu, &c->next_mu);
    return left_draw(&w.left, c->unit[0], &probability);
}

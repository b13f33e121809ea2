#include "engine/sampler_order.h"

#include <math.h>
#include <string.h>

#include "engine/sampling_params.h"

/* ---- names ---------------------------------------------------------------------------------- */

enum { ALWAYS_OFF = PL_N_SAMPLERS };

static const struct {
    const char *name;
    char letter;                /* 0: none */
    uint8_t sampler;
} names[] = {
    { "penalties", 'e', PL_SAMPLER_PENALTIES },
    { "dry", 'd', PL_SAMPLER_DRY },
    { "top_n_sigma", 's', PL_SAMPLER_TOP_N_SIGMA },
    { "top_k", 'k', PL_SAMPLER_TOP_K },
    { "typ_p", 'y', PL_SAMPLER_TYPICAL },
    { "typical_p", 0, PL_SAMPLER_TYPICAL },
    { "top_p", 'p', PL_SAMPLER_TOP_P },
    { "min_p", 'm', PL_SAMPLER_MIN_P },
    { "xtc", 'x', PL_SAMPLER_XTC },
    { "temperature", 't', PL_SAMPLER_TEMPERATURE },
    { "adaptive_p", 'a', ALWAYS_OFF },
    { "tfs_z", 0, ALWAYS_OFF },
};

static bool is_called(size_t i, const char *name, size_t n)
{
    if (n == 1 && names[i].letter && names[i].letter == name[0]) return true;
    return strlen(names[i].name) == n && !memcmp(names[i].name, name, n);
}

PL_API pl_status pl_sampling_add(pl_sampling *s, const char *name, size_t n_bytes, pl_err *err)
{
    size_t i = 0;
    while (i < sizeof names / sizeof *names && !is_called(i, name, n_bytes)) i++;
    if (i == sizeof names / sizeof *names)
        return pl_fail(err, PL_E_PARAM, "\"%.*s\" is no sampler; penalties, dry, top_n_sigma, "
                       "top_k, typ_p, top_p, min_p, xtc and temperature are",
                       (int)(n_bytes < 20 ? n_bytes : 20), name);
    if (names[i].sampler == ALWAYS_OFF) return PL_OK;
    /* the same twice in a row is the same once */
    if (s->n_order && s->order[s->n_order - 1] == names[i].sampler) return PL_OK;
    if (s->n_order && memchr(s->order, names[i].sampler, s->n_order))
        return pl_fail(err, PL_E_PARAM, "%s stands in the order of samplers twice", names[i].name);
    s->order[s->n_order++] = names[i].sampler;
    return PL_OK;
}

PL_API const char *pl_sampler_name(uint32_t sampler)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].sampler == sampler && sampler < PL_N_SAMPLERS) return names[i].name;
    return NULL;
}

/* ---- what is left of an order --------------------------------------------------------------- */

static bool is_active(const pl_sampling *p, uint8_t sampler)
{
    switch ((pl_sampler)sampler) {
    case PL_SAMPLER_PENALTIES: return sampling_has_penalties(p);
    case PL_SAMPLER_DRY: return p->dry_multiplier > 0 && p->dry_last_n != 0;
    case PL_SAMPLER_TOP_N_SIGMA: return p->top_n_sigma > 0;
    case PL_SAMPLER_TOP_K: return p->top_k > 0;
    case PL_SAMPLER_TYPICAL: return p->typical_p < 1;
    case PL_SAMPLER_TOP_P: return p->top_p < 1;
    case PL_SAMPLER_MIN_P: return p->min_p > 0;
    /* of two tokens that have more than half of it each there is none */
    case PL_SAMPLER_XTC: return p->xtc_probability > 0 && p->xtc_threshold <= 0.5f;
    case PL_SAMPLER_TEMPERATURE: return p->temperature != 1 || p->dynatemp_range > 0;
    default: return false;
    }
}

static void switch_off(pl_sampling *p, pl_sampler sampler)
{
    switch (sampler) {
    case PL_SAMPLER_PENALTIES:
        p->repetition_penalty = 1;
        p->frequency_penalty = p->presence_penalty = 0;
        break;
    case PL_SAMPLER_DRY: p->dry_multiplier = 0; break;
    case PL_SAMPLER_TOP_N_SIGMA: p->top_n_sigma = 0; break;
    case PL_SAMPLER_TOP_K: p->top_k = 0; break;
    case PL_SAMPLER_TYPICAL: p->typical_p = 1; break;
    case PL_SAMPLER_TOP_P: p->top_p = 1; break;
    case PL_SAMPLER_MIN_P: p->min_p = 0; break;
    case PL_SAMPLER_XTC: p->xtc_probability = 0; break;
    case PL_SAMPLER_TEMPERATURE:
        p->temperature = 1;
        p->dynatemp_range = 0;
        break;
    default: break;
    }
}

/* What the sampler does without a chain: filters in the default order, each of which keeps one
 * token or more. */
static bool is_plain(const pl_sampling *p)
{
    bool is_filtering = false;
    if (p->mirostat || p->dynatemp_range > 0) return false;
    for (uint32_t i = 0; i < p->n_order; i++) {
        const uint8_t s = p->order[i];
        if (i && s < p->order[i - 1]) return false;
        if (s == PL_SAMPLER_DRY || s == PL_SAMPLER_TOP_N_SIGMA || s == PL_SAMPLER_XTC) return false;
        is_filtering |= s == PL_SAMPLER_TYPICAL || s == PL_SAMPLER_TOP_P || s == PL_SAMPLER_MIN_P;
    }
    return p->min_keep <= 1 || !is_filtering;
}

/* As llama.cpp does with mirostat: nothing beside it but the temperature. Greedy it has no choice.
 */
static void settle_mirostat(pl_sampling *p)
{
    p->order[0] = PL_SAMPLER_TEMPERATURE;
    p->n_order = 1;
    p->dynatemp_range = 0;
    if (!isfinite(1 / p->temperature)) p->mirostat = 0;
}

void sampler_order_settle(pl_sampling *p)
{
    if (p->mirostat) settle_mirostat(p);
    for (int s = 0; s < PL_N_SAMPLERS && p->n_order; s++)
        if (!memchr(p->order, s, p->n_order)) switch_off(p, (pl_sampler)s);
    if (p->mirostat) return;
    if (!p->n_order)
        while (p->n_order < PL_N_SAMPLERS) {
            p->order[p->n_order] = (uint8_t)p->n_order;
            p->n_order++;
        }
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_order; i++)
        if (is_active(p, p->order[i])) p->order[n++] = p->order[i];
    p->n_order = n;
    if (is_plain(p)) p->n_order = 0;
}

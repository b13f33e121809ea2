#include "engine/sampling_params.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

PL_API pl_sampling pl_sampling_default(void)
{
    static const char *const breakers[] = { "\n", ":", "\"", "*" };
    return (pl_sampling){
        .temperature = 1, .top_p = 1, .typical_p = 1, .repetition_penalty = 1, .penalty_last_n = 64,
        .dry_base = 1.75f, .dry_allowed_length = 2, .dry_last_n = -1, .dry_breaker = breakers,
        .n_dry_breakers = sizeof breakers / sizeof *breakers, .top_n_sigma = -1,
        .xtc_threshold = 0.1f,
        .dynatemp_exponent = 1, .mirostat_tau = 5, .mirostat_eta = 0.1f,
    };
}

bool sampling_has_penalties(const pl_sampling *p)
{
    return (p->repetition_penalty > 0 && p->repetition_penalty != 1) ||
           p->frequency_penalty != 0 || p->presence_penalty != 0;
}

static pl_status check_limits(const pl_sampling *p, pl_err *err)
{
    const struct {
        const char *name;
        float value, min, max;
    } limits[] = {
        { "temperature", p->temperature, 0, 1000 },
        { "top_p", p->top_p, 0, 1 },
        { "min_p", p->min_p, 0, 1 },
        { "typical_p", p->typical_p, 0, 1 },
        { "repetition_penalty", p->repetition_penalty, 0, 100 },
        { "frequency_penalty", p->frequency_penalty, -100, 100 },
        { "presence_penalty", p->presence_penalty, -100, 100 },
        { "dry_multiplier", p->dry_multiplier, 0, 100 },
        { "dry_base", p->dry_multiplier > 0 ? p->dry_base : 1, 1, 100 },
        { "top_n_sigma", p->top_n_sigma, -1000, 1000 },
        { "xtc_probability", p->xtc_probability, 0, 1 },
        { "xtc_threshold", p->xtc_threshold, 0, 1 },
        { "dynatemp_range", p->dynatemp_range, 0, 1000 },
        { "dynatemp_exponent", p->dynatemp_exponent, 0, 100 },
        { "mirostat", (float)p->mirostat, 0, 2 },
        { "mirostat_tau", p->mirostat_tau, 0, 100 },
        { "mirostat_eta", p->mirostat_eta, 0, 100 },
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!(limits[i].value >= limits[i].min && limits[i].value <= limits[i].max))
            return pl_fail(err, PL_E_PARAM, "%s is %g; %g to %g is wanted", limits[i].name,
                           (double)limits[i].value, (double)limits[i].min, (double)limits[i].max);
    return PL_OK;
}

static pl_status check_bias(const pl_sampling *p, uint32_t n_vocab, pl_err *err)
{
    if (p->n_bias > SAMPLING_MAX_BIAS)
        return pl_fail(err, PL_E_PARAM, "logit_bias has %zu entries; at most %d are allowed",
                       p->n_bias, SAMPLING_MAX_BIAS);
    if (p->n_bias && !p->bias)
        return pl_fail(err, PL_E_PARAM, "logit_bias has %zu entries but no array", p->n_bias);
    for (size_t i = 0; i < p->n_bias; i++) {
        const pl_logit_bias *b = &p->bias[i];
        if (b->token < 0 || (uint32_t)b->token >= n_vocab)
            return pl_fail(err, PL_E_PARAM,
                           "logit_bias names token %" PRId32 "; 0 to %" PRIu32 " are wanted",
                           b->token, n_vocab - 1);
        if (isnan(b->bias) || (isinf(b->bias) && b->bias > 0))
            return pl_fail(err, PL_E_PARAM,
                           "logit_bias of token %" PRId32 " is %g; a number or -infinity is wanted",
                           b->token, (double)b->bias);
    }
    return PL_OK;
}

static pl_status check_breakers(const pl_sampling *p, pl_err *err)
{
    if (p->n_dry_breakers > SAMPLING_MAX_BREAKERS)
        return pl_fail(err, PL_E_PARAM, "%zu breakers of DRY; at most %d are allowed",
                       p->n_dry_breakers, SAMPLING_MAX_BREAKERS);
    for (size_t i = 0; i < p->n_dry_breakers; i++) {
        const size_t n = p->dry_breaker[i] ? strlen(p->dry_breaker[i]) : 0;
        if (n == 0 || n > SAMPLING_MAX_BREAKER_BYTES)
            return pl_fail(err, PL_E_PARAM, "breaker %zu of DRY has %zu bytes; 1 to %d are allowed",
                           i, n, SAMPLING_MAX_BREAKER_BYTES);
    }
    return PL_OK;
}

static pl_status check_order(const pl_sampling *p, pl_err *err)
{
    if (p->n_order > PL_N_SAMPLERS)
        return pl_fail(err, PL_E_PARAM, "%" PRIu32 " samplers; there are %d", p->n_order,
                       PL_N_SAMPLERS);
    for (uint32_t i = 0; i < p->n_order; i++)
        if (p->order[i] >= PL_N_SAMPLERS || (i && memchr(p->order, p->order[i], i)))
            return pl_fail(err, PL_E_PARAM, "sampler %" PRIu32 " of the order is %d; each of 0 to "
                           "%d may stand there once", i, p->order[i], PL_N_SAMPLERS - 1);
    return PL_OK;
}

pl_status sampling_check(const pl_sampling *p, uint32_t n_vocab, pl_err *err)
{
    pl_status st = check_limits(p, err);
    if (!st) st = check_bias(p, n_vocab, err);
    if (!st) st = check_breakers(p, err);
    if (!st) st = check_order(p, err);
    return st;
}

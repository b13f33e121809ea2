#include "engine/sampling_params.h"

#include <inttypes.h>
#include <math.h>

PL_API pl_sampling pl_sampling_default(void)
{
    return (pl_sampling){
        .temperature = 1, .top_p = 1, .typical_p = 1, .repetition_penalty = 1, .penalty_last_n = 64
    };
}

pl_status sampling_check(const pl_sampling *p, uint32_t n_vocab, pl_err *err)
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
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!(limits[i].value >= limits[i].min && limits[i].value <= limits[i].max))
            return pl_fail(err, PL_E_PARAM, "%s is %g; %g to %g is wanted", limits[i].name,
                           (double)limits[i].value, (double)limits[i].min, (double)limits[i].max);
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

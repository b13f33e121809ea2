/* YaRN: Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models", 2023. */
#include "model/rope.h"

#include <math.h>

/* The pair, as a real number, that turns `turns` times within the original context. */
static double pair_of_turns(const struct rope_params *r, double turns)
{
    return r->n_rot * log(r->original_ctx / (turns * 2 * M_PI)) / (2 * log(r->base));
}

/* 1 for pairs that turn fast (kept as they are), 0 for slow ones (interpolated), a ramp between. */
static double yarn_keep(const struct rope_params *r, uint32_t pair)
{
    double low = pair_of_turns(r, r->yarn_beta_fast), high = pair_of_turns(r, r->yarn_beta_slow);
    if (r->is_ramp_rounded) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(0, low);
    high = fmin(r->n_rot - 1, high);
    const double along = (pair - low) / fmax(0.001, high - low);
    return (1 - fmin(1, fmax(0, along))) * r->yarn_ext_factor;
}

void rope_table(const struct rope_params *r, const float *factors, uint32_t n_positions,
                float *cos_sin)
{
    const uint32_t d = r->n_rot, n_pairs = d / 2;
    double magnitude = r->attn_factor;
    if (r->yarn_ext_factor != 0 && r->factor > 1)
        magnitude *= (1 + 0.1 * log(r->factor)) /
                     (1 + 0.1 * (double)r->yarn_log_multiplier * log(r->factor));
    for (uint32_t pair = 0; pair < n_pairs; pair++) {
        double frequency = pow(r->base, -2.0 * pair / d) / (factors ? factors[pair] : 1);
        const double keep = r->yarn_ext_factor != 0 ? yarn_keep(r, pair) : 0;
        frequency = frequency / r->factor * (1 - keep) + frequency * keep;
        for (uint32_t pos = 0; pos < n_positions; pos++) {
            float *to = cos_sin + ((size_t)pos * n_pairs + pair) * 2;
            to[0] = (float)(cos(pos * frequency) * magnitude);
            to[1] = (float)(sin(pos * frequency) * magnitude);
        }
    }
}

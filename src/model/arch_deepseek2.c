/* DeepSeek V2 and V3, R1, Kimi K2: attention over latents, the first layers dense, then mixtures
 * beside an expert for all columns. V2's router is a softmax, whose groups rank by their highest;
 * V3's a sigmoid with a bias that chooses and does not weigh, whose groups rank by their two
 * highest. */
#include <math.h>

#include "model/hparams_read.h"

/* YaRN's own factor goes to the scores, squared, and not to cosines and sines: the file has a tenth
 * of what the factor's logarithm is multiplied by. */
static void scale_scores(struct hparams *h, uint32_t d_key)
{
    struct rope_params *r = &h->rope[0];
    float scale = 1 / sqrtf((float)d_key);
    if (r->yarn_log_multiplier != 0 && r->factor > 1) {
        const float magnitude = 1 + r->yarn_log_multiplier * logf(r->factor);
        scale *= magnitude * magnitude;
        r->yarn_log_multiplier = 1;     /* rope_table: what it would multiply by is divided out */
    }
    for (uint32_t i = 0; i < h->dims.n_layers; i++) h->layer[i].attention.q_scale = scale;
}

static pl_status read_deepseek2(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct latent_dims *l = &h->dims.latent;
    (void)g;
    (void)err;
    scale_scores(h, l->d_plain + l->d_turned);
    for (uint32_t i = 0; i < h->dims.n_layers; i++) {
        struct router_params *r = &h->layer[i].ffn.router;
        r->ranks_by_best = r->score == ROUTER_SOFTMAX;
    }
    return PL_OK;
}

const struct arch arch_deepseek2 = {
    .name = "deepseek2",
    .rope_interleaved = true,
    .has_latents = true,
    .activation = ACTIVATION_SILU,
    .experts = REQUIRED,
    .shared_expert = OPTIONAL,
    .router_score = ROUTER_SOFTMAX,
    .may_lead_dense = true,
    .read = read_deepseek2,
};

/* What sets one family of models apart from the next, as data. A family's file fills one struct
 * arch for each of its architectures; hparams.c and bind.c read them; forward.c needs none. */
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include <stdbool.h>

#include "model/model.h"

enum presence { ABSENT, OPTIONAL, REQUIRED };

/* Layers that have a mixer: those that the file calls recurrent, those without KV heads, all. */
enum mixer_place { MIXERS_WHERE_RECURRENT, MIXERS_WITHOUT_KV_HEADS, MIXERS_BESIDE_ATTENTION };

/* Tensors of a layer of which a backend wants to know beforehand whether there are any. */
#define GATE_BIAS "ffn_gate.bias"
#define UP_BIAS "ffn_up.bias"
#define EXPERT_BIAS "_exps.bias"

struct arch {
    const char *name;               /* general.architecture */
    bool rope_interleaved;          /* pairs are neighbours (2i, 2i + 1), not halves of the head */
    enum presence qkv_bias;         /* other biases are optional everywhere */
    enum presence head_norms;       /* RMS norm of every query and key head before RoPE */
    bool norms_turned_heads;        /* head norms come after RoPE */
    bool norms_all_heads;           /* of a column together instead */
    bool norms_values;              /* RMS norm of every value head, without weights */
    bool may_lack_values;           /* where there is no attn_v, values are the keys' product */
    bool has_latents;               /* keys and values are made of one latent row a token */
    bool has_layer_heads;           /* its head counts and widths of dense layers may differ from
                                     * layer to layer: `read` says which; those of its last layer
                                     * are the common ones until then */
    enum presence layer_scale;      /* a number that X is multiplied by at a layer's end */
    enum presence sinks;            /* scores that join every softmax and stand for no value */
    bool has_layer_norms;           /* norms take the mean off first */
    bool is_parallel;               /* one norm before attention and feed-forward, whose results are
                                     * added to the X that it read */
    bool multiplies_logits;         /* by the file's logit_scale */
    bool has_no_pre_norms;          /* attention and feed-forward read X as it is */
    const char *ffn_norm;           /* what feed-forward's norm is called; NULL: ffn_norm.weight */
    enum presence post_norms;       /* RMS norm of what attention and feed-forward add to X */
    enum mixer_kind mixer;          /* what some layers have for attention: */
    enum mixer_place mixer_place;
    bool is_single;                 /* a layer is attention, a mixer or feed-forward, after one norm
                                     */
    bool has_rope_switch;           /* rope.scaling.finetuned false: positions do not turn */
    bool has_no_ffn_gate;           /* what is activated is up itself, whose square it then is */
    const char *output_norm;        /* what the last norm is called; NULL: output_norm.weight */
    bool keys_are_in_turn;          /* as struct mixer_params has it */
    bool has_grouped_decay;         /* a mixer's beta and decay are one tensor, ssm_ba */
    bool gates_attention;           /* attn_q has of every head the query, then its gate */
    bool has_fused_qkv;             /* rows of Q, K and V are one tensor, attn_qkv */
    bool has_fused_up;              /* rows of gate and up are one, ffn_up */
    enum activation activation;
    enum presence experts;          /* its feed-forward layers are mixtures of them */
    enum presence shared_expert;    /* one that all columns go through */
    enum presence shared_router;    /* which decides how much that one counts */
    bool normalises_experts;        /* weights of the experts chosen sum to 1 */
    enum router_score router_score; /* where the file does not say */
    bool may_lead_dense;            /* its first layers may be dense */
    bool may_interleave_dense;      /* experts may come in every so many-th layer alone */
    bool has_both_ffs;              /* layers with experts have a dense part beside them */
    bool has_narrow_shared;         /* where the file does not say how wide the shared expert is: as
                                     * wide as the others */
    bool has_wide_experts;          /* where the file does not say how wide they are: as wide as a
                                     * dense layer would be, not that over the number used */
    bool has_multipliers;           /* the file may scale embedding, residual and logits */
    uint32_t window_period;         /* every so many-th layer is global; 0: none is, if the file has
                                     * a window. Of both the file may say otherwise */
    uint32_t window;                /* where the file names none; 0: all layers are global */
    bool may_lack_window;           /* some of its models have none */
    bool yarn_is_unrounded;         /* the ends of YaRN's ramp, unless the file says otherwise */
    float score_cap, logit_cap;     /* where the file names none; 0: no caps */
    /* Edits the plan of the layers, and whatever else only this family has, after all of hparams is
     * filled; may be NULL. */
    pl_status (*read)(struct hparams *h, const struct gguf *g, pl_err *err);
};

extern const struct arch arch_llama, arch_mistral3, arch_smollm3, arch_granite, arch_granitemoe;
extern const struct arch arch_qwen2, arch_qwen3, arch_qwen2moe, arch_qwen3moe;
extern const struct arch arch_granitehybrid, arch_nemotron_h, arch_falcon_h1, arch_lfm2;
extern const struct arch arch_qwen35, arch_qwen35moe, arch_qwen3next;
extern const struct arch arch_qwen3vl, arch_qwen3vlmoe, arch_seed_oss;
extern const struct arch arch_gemma2, arch_gemma3, arch_gemma3n, arch_gemma4;
extern const struct arch arch_deepseek2, arch_phi3, arch_glm4, arch_glm4moe;
extern const struct arch arch_exaone4;
extern const struct arch arch_olmo2, arch_gpt_oss, arch_cohere2;
extern const struct arch arch_lfm2moe, arch_ernie4_5, arch_ernie4_5_moe;
extern const struct arch arch_hunyuan_dense, arch_hunyuan_moe, arch_minimax_m2;
extern const struct arch arch_llama4;

/* NULL: not a known architecture. */
const struct arch *arch_find(struct gguf_string name);

/* "llama, qwen2, ... and 20 more", for messages: of all architectures, or of those that may be
 * mixtures. */
struct arch_list {
    char text[192];
};
struct arch_list arch_names(bool of_mixtures);

#endif

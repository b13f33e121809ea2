/* What sets one family of models apart from the next, as data. A family's file fills one struct
 * arch for each of its architectures; hparams.c and bind.c read them; forward.c needs none. */
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include <stdbool.h>

#include "model/model.h"

enum presence { ABSENT, OPTIONAL, REQUIRED };

struct arch {
    const char *name;               /* general.architecture */
    bool rope_interleaved;          /* pairs are neighbours (2i, 2i + 1), not halves of the head */
    enum presence qkv_bias;
    enum presence head_norms;       /* RMS norm of every query and key head before RoPE */
    enum presence post_norms;       /* RMS norm of what attention and feed-forward add to X */
    enum activation activation;
    bool has_experts;               /* its feed-forward layers are mixtures of experts */
    bool has_shared_expert;         /* one that all columns go through */
    bool normalises_experts;        /* weights of the experts chosen sum to 1 */
    /* Reads what only this family has, after the common part of hparams is filled; may be NULL. */
    pl_status (*read)(struct hparams *h, const struct gguf *g, pl_err *err);
};

extern const struct arch arch_llama, arch_qwen2, arch_qwen3, arch_gemma3;
extern const struct arch arch_qwen2moe, arch_qwen3moe;

/* NULL: not a known architecture. */
const struct arch *arch_find(struct gguf_string name);

/* "llama, qwen2, ...": for messages. */
const char *arch_names(void);

#endif

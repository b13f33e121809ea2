/* Quantisation recipes: which type llama-quantize gives each tensor, hence how large a file of a
 * shape is before anyone has made it. */
#ifndef PLAN_RECIPE_H
#define PLAN_RECIPE_H

#include "plan/shape.h"
#include "quant/quant.h"

enum recipe { RECIPE_Q4_0, RECIPE_Q4_K_M, RECIPE_Q5_K_M, RECIPE_Q6_K, RECIPE_Q8_0, RECIPE_F16,
              N_RECIPES };

struct recipe_traits {
    const char *name;           /* "Q4_K_M" */
    double perplexity;          /* of Qwen2-7B-Instruct on wikitext, as its publisher measured it */
};

const struct recipe_traits *recipe_traits(enum recipe recipe);

/* False: there is none of that name. */
bool recipe_find(const char *name, enum recipe *out);

/* Weights of a model: bytes as in the file's tensor data. */
struct weights {
    uint64_t n_parameters;
    uint64_t bytes;             /* of all tensors */
    uint64_t step_bytes;        /* of these, read by every step: all but experts and looked-up rows */
    uint64_t expert_bytes;      /* of these, all experts: a step reads those its columns chose */
    uint64_t macs_per_token;    /* of the products; of experts, those a column uses */
    uint64_t head_macs;         /* of these, the output head: decode columns only */
};

void recipe_weights(const struct shape *shape, enum recipe recipe, struct weights *out);

#endif

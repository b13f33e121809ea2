/* Quantisation recipes: which type llama-quantize gives each tensor, hence how large a file of a
 * shape is before anyone has made it. */
#ifndef ESTIMATE_RECIPE_H
#define ESTIMATE_RECIPE_H

#include "estimate/backends.h"
#include "estimate/shape.h"
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

enum { MAX_WEIGHT_TYPES = 8 };

/* How many weights have a type: products of every column but the head's; the head; experts, of
 * which a column uses some; rows that are looked up. */
struct type_weights {
    uint32_t type;
    uint64_t dense, head, experts, looked_up;
};

/* Weights of a model: bytes as in the file's tensor data. */
struct weights {
    uint64_t n_parameters;
    uint64_t bytes;             /* of all tensors */
    uint64_t step_bytes;        /* of these, read by every step: no experts, no looked-up rows */
    uint64_t expert_bytes;      /* of these, all experts: a step reads those its columns chose */
    uint64_t macs_per_token;    /* of the products; of experts, those a column uses */
    uint64_t head_macs;         /* of these, the output head: decode columns only */
    uint64_t n_floats;          /* norms, biases, routers: kept as they are, read by every step */
    struct type_weights part[MAX_WEIGHT_TYPES]; /* the rest, by type */
    uint32_t n_parts;
};

/* Bytes as a backend packs them: of all, of what every step reads, of all experts. */
struct packed_bytes {
    double all, step, experts;
};
struct packed_bytes weights_packed(const struct weights *w, enum estimate_backend backend);

void recipe_weights(const struct shape *shape, enum recipe recipe, struct weights *out);

#endif

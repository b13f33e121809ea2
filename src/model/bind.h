/* Binding of weights by name. Inside src/model only. */
#ifndef MODEL_BIND_H
#define MODEL_BIND_H

#include "model/arch.h"
#include "model/weights.h"

struct binder {
    const struct gguf *g;
    const struct hparams *h;
    struct backend *b;              /* NULL: only plan */
    const struct backend_ops *ops;
    uint32_t ctx_tokens;
    struct model_plan plan;
    bool *is_bound;                 /* (n_tensors) */
    float *scratch;                 /* longest vector or the RoPE table */
};

/* "blk.<layer>.<name>" */
struct layer_name {
    char text[64];
};

struct layer_name name_of(uint32_t layer, const char *name);

/* The tensor of this name, which has found its place; NULL: there is none. */
const struct gguf_tensor *find_tensor(struct binder *k, const char *name);
pl_status missing_tensor(const struct binder *k, const char *name, pl_err *err);

/* Packs a tensor of n_rows rows altogether, whose shape has been checked; *n_bytes: packed. */
pl_status load_rows(struct binder *k, const struct gguf_tensor *t, const char *name,
                    uint32_t n_rows, uint32_t n_k, uint64_t *n_bytes, struct matrix **out,
                    pl_err *err);

/* n values of a tensor as f32, whose shape has been checked. */
pl_status load_floats(struct binder *k, const struct gguf_tensor *t, uint32_t n,
                      const struct vector **out, pl_err *err);

/* A matrix that every step reads all of. */
pl_status bind_matrix(struct binder *k, const char *name, uint32_t n_rows, uint32_t n_k,
                      struct matrix **out, pl_err *err);
pl_status bind_vector(struct binder *k, const char *name, uint32_t n, enum presence presence,
                      const struct vector **out, pl_err *err);

/* A layer's experts, router and, where the architecture has one, shared expert. */
pl_status bind_mixture(struct binder *k, uint32_t layer, struct expert_weights *out, pl_err *err);

#endif

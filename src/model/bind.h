/* Binding of weights by name. Inside src/model only. */
#ifndef MODEL_BIND_H
#define MODEL_BIND_H

#include "model/arch.h"
#include "model/weights.h"

struct binder {
    const struct gguf *g;
    const struct hparams *h;
    const struct homes *homes;
    struct backend *b;              /* the home that binds now; NULL: only plan */
    const struct backend_ops *ops;
    uint32_t ctx_tokens;
    struct model_plan plan;
    const struct model_watch *watch;    /* NULL: nobody is told */
    bool *is_bound;                 /* (n_tensors) */
    float *scratch;                 /* longest vector or the RoPE table */
};

/* "blk.<layer>.<name>" */
struct layer_name {
    char text[64];
};

struct layer_name name_of(uint32_t layer, const char *name);

/* What is bound from now on lives there. */
void bind_at(struct binder *k, const struct home *home);

/* The tensor of this name, which has found its place; NULL: there is none. */
const struct gguf_tensor *find_tensor(struct binder *k, const char *name);
/* Whether a tensor has this shape. Dimensions of 1 at the end make no difference. */
bool has_shape(const struct gguf_tensor *t, uint64_t first, uint64_t second, uint64_t third);

/* The tensor of this name, which has n_rows rows of n_k, however its dimensions are written. */
pl_status find_matrix(struct binder *k, const char *name, uint32_t n_rows, uint32_t n_k,
                      const struct gguf_tensor **out, pl_err *err);
pl_status missing_tensor(const struct binder *k, const char *name, pl_err *err);

/* Packs n_rows rows of a tensor from first_row on, whose shape has been checked, under a name of
 * their own; *n_bytes: packed. */
pl_status load_rows(struct binder *k, const struct gguf_tensor *t, const char *name,
                    uint32_t first_row, uint32_t n_rows, uint32_t n_k, uint64_t *n_bytes,
                    const struct matrix **out, pl_err *err);

/* n values of a tensor as f32, whose shape has been checked. */
pl_status load_floats(struct binder *k, const struct gguf_tensor *t, uint32_t n,
                      const struct vector **out, pl_err *err);

/* Likewise, times a scale. */
pl_status load_scaled(struct binder *k, const struct gguf_tensor *t, uint32_t n, float scale,
                      const struct vector **out, pl_err *err);

/* A matrix that every step reads all of. */
pl_status bind_matrix(struct binder *k, const char *name, uint32_t n_rows, uint32_t n_k,
                      const struct matrix **out, pl_err *err);
pl_status bind_vector(struct binder *k, const char *name, uint32_t n, enum presence presence,
                      const struct vector **out, pl_err *err);

/* Matrices whose rows lie one after the other in a tensor. */
struct fused_part {
    const char *name;           /* behind the tensor's */
    uint32_t n_rows;
    const struct matrix **out;
};

pl_status bind_fused(struct binder *k, const char *name, const struct fused_part *part,
                     uint32_t n_parts, uint32_t n_k, pl_err *err);

/* The first parts of a tensor whose shape has been checked, which may have more rows. */
pl_status bind_parts(struct binder *k, const struct gguf_tensor *t, const char *name,
                     const struct fused_part *part, uint32_t n_parts, uint32_t n_k, pl_err *err);

/* Runs of n_rows rows each, taken by turns from the rows of one tensor. */
pl_status bind_turns(struct binder *k, const char *name, const struct fused_part *part,
                     uint32_t n_parts, uint32_t n_turns, uint32_t n_k, pl_err *err);

/* How far loading is, for k->watch: what is planned so far is what is loaded so far.
 * PL_E_CANCELLED: it was told to stop. */
pl_status bind_tell(const struct binder *k, pl_err *err);

/* RoPE of layers [first, end), and what their queries are scaled by; layers: NULL where only a plan
 * is made. */
pl_status bind_ropes(struct binder *k, struct layer *layers, uint32_t first, uint32_t end,
                     pl_err *err);
pl_status bind_temperature(struct binder *k, struct layer *layers, uint32_t first, uint32_t end,
                           pl_err *err);

/* A layer's mixer. */
pl_status bind_mixer(struct binder *k, uint32_t layer, struct layer *l, pl_err *err);

/* n ones: the weight of a norm that has none. */
pl_status bind_ones(struct binder *k, uint32_t n, const struct vector **out, pl_err *err);

/* What of a layer joins a mixture and its dense part: norms of each and of both (bind_sides.c). */
pl_status bind_sides(struct binder *k, uint32_t layer, struct layer *l, pl_err *err);

/* Weights of attention over latents, its output apart (bind_latents.c). */
pl_status bind_latents(struct binder *k, uint32_t layer, struct latent_weights *out, pl_err *err);

/* The layer's input, and what X is multiplied by in the end; after all else of it. */
pl_status bind_layer_end(struct binder *k, uint32_t layer, struct layer *l, pl_err *err);

/* The narrow product beside attention, and what a layer does to residuals side by side; and what
 * these begin as and end in (bind_tracks.c). Nothing where the model has none. */
pl_status bind_track_layer(struct binder *k, uint32_t layer, struct layer *l, pl_err *err);
pl_status bind_track_ends(struct binder *k, struct track_ends *out, pl_err *err);

/* What all layers' inputs are made of, for the home that binds now. */
pl_status bind_inputs(struct binder *k, struct layer_inputs *out, pl_err *err);

/* A layer's experts, router and, where the architecture has one, shared expert. */
pl_status bind_mixture(struct binder *k, uint32_t layer, struct expert_weights *out, pl_err *err);

#endif

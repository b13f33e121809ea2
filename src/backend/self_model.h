/* A small random model run directly through a backend's operations: what its self-test computes
 * with. Weights follow from the seed; every stream has tokens and pages of its own. One thread. */
#ifndef BACKEND_SELF_MODEL_H
#define BACKEND_SELF_MODEL_H

#include "backend/backend.h"

enum { SELF_STREAMS = 64, SELF_POSITIONS = 40, SELF_LAYERS = 2, SELF_VOCAB = 96 };

struct self_params {
    uint32_t type;              /* enum quant_type of all matrices */
    enum kv_type k_type, v_type;
    uint32_t window;            /* of the first layer; 0: none */
    bool has_biases;            /* of all products; else head norms and norms after the blocks */
    bool has_large_gates;       /* with has_biases: gates of some +-20 and +-88, and GELU */
    const char *isa;            /* as backend_params has it */
};

struct self_model;

pl_status self_model_open(struct self_model **out, const struct backend_ops *ops,
                          const struct self_params *params, pl_err *err);
void self_model_close(struct self_model *m);        /* NULL: nothing to do */

/* Gives every stream other pages, chosen by the seed, and forgets all logits. */
void self_model_start(struct self_model *m, uint64_t seed);

/* Neighbouring positions of a stream, to be computed in one step. */
struct self_piece {
    uint32_t stream, first_pos, n_cols;
};

/* Computes the pieces in one step, logits of every column included. */
pl_status self_model_step(struct self_model *m, const struct self_piece *piece, uint32_t n_pieces,
                          pl_err *err);

/* Lets streams 0 .. n_streams - 1 go on from their first token: token i + 1 of stream s is what the
 * backend, which must have start, picks as pick[i * n_streams + s] says, and becomes its token at
 * position i + 1. is_ahead: each step is started on top of the one before, whose tokens it takes.
 * `last` of the picks is set where it is not NO_LAST. */
pl_status self_model_say(struct self_model *m, struct pick *pick, uint32_t n_streams,
                         uint32_t n, bool is_ahead, pl_err *err);

/* (SELF_POSITIONS) of a stream. */
const int32_t *self_model_tokens(const struct self_model *m, uint32_t stream);

/* (SELF_POSITIONS) of a stream: log-probabilities of the tokens that were said, where wanted. */
const float *self_model_logprobs(const struct self_model *m, uint32_t stream);

/* (SELF_VOCAB) of the stream's position, as the last step that computed it left them. */
const float *self_model_logits(const struct self_model *m, uint32_t stream, uint32_t pos);

#endif

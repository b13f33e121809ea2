/* How long a step takes, from what has to be computed and read. Nothing here is measured; callers
 * that show a figure of it say "modelled". */
#ifndef PLAN_ESTIMATE_H
#define PLAN_ESTIMATE_H

#include <stdint.h>

#include "plan/machine.h"
#include "plan/recipe.h"
#include "quant/kv_type.h"

/* What a model costs. */
struct work {
    double macs_per_token, head_macs; /* of the products; of these, the output head's */
    double step_bytes;          /* weights every step reads */
    double expert_bytes;        /* weights of all experts */
    uint32_t n_experts, n_experts_used; /* 0: dense */
    double kv_bytes_per_token;  /* read of KV for each token of context that no window hides */
    double attend_macs;         /* of one column with one token of context, all layers */
    double window_share;        /* of the layers, those that look back `window` tokens only */
    double window;
    uint32_t n_layers;
};

/* What a machine does of it in a second. */
struct rates {
    double macs_per_s, attend_macs_per_s, read_bytes_per_s;
    double extra_columns;       /* unpacking weights takes a pass as long as this many columns do */
    double layer_s, column_layer_s; /* a step's time that is neither, by layer; by column and layer */
    bool overlaps_in_part;      /* arithmetic and reads hold each other up where they take alike */
};

enum bound { BOUND_ARITHMETIC, BOUND_WEIGHTS, BOUND_KV, BOUND_LAUNCHES };

struct estimate {
    double arithmetic_s, weights_s, kv_s, launches_s;
    double step_s;              /* arithmetic beside reads, and launches */
    enum bound bound;
    double tok_s;               /* of all streams together */
};

const char *bound_name(enum bound bound);

/* Bytes of one token's keys and values in all layers. */
double kv_bytes_of(const struct shape *shape, enum kv_type k_type, enum kv_type v_type);

struct work work_of_shape(const struct shape *shape, const struct weights *weights,
                          double kv_bytes_per_token);

/* A GPU's rates. */
struct rates rates_of_machine(const struct machine *machine);

/* A CPU's, from what its cores can multiply and its memory deliver at most: the shares of it that
 * this engine reaches, as measured (docs/performance.md). Types whose blocks have 32 weights want a
 * scale eight times as often as those of 256, which a pass pays once for all its columns. */
struct rates rates_of_cpu(double macs_per_s, double read_bytes_per_s, bool has_blocks_of_32);

/* Weights that a step of n columns reads: of experts, those that columns choose at random. */
double estimate_weight_bytes(double step_bytes, double expert_bytes, uint32_t n_experts,
                             uint32_t n_experts_used, double n_columns);

/* A step in which `n_streams` streams, each with `ctx_tokens` in its KV, get a token each. */
struct estimate estimate_decode(const struct work *work, const struct rates *rates,
                                double n_streams, double ctx_tokens);

/* The same with every product's rows split between the GPU and a CPU that multiplies
 * cpu_macs_per_s, each in its share, SPLIT_CROSSINGS hand-overs of crossing_s a layer. Nothing here
 * does that yet. */
enum { SPLIT_CROSSINGS = 4 };
struct estimate estimate_split_decode(const struct work *work, const struct rates *rates,
                                      double cpu_macs_per_s, double crossing_s, double n_streams,
                                      double ctx_tokens);

/* Until a prompt is read beside n_streams that decode (0: alone), chunk_tokens of it in a step. */
double estimate_prefill_s(const struct work *work, const struct rates *rates, double n_tokens,
                          double n_streams, double ctx_tokens, double chunk_tokens);

/* The number of streams from which arithmetic takes longer than reading weights; 0: at any number.
 * Short contexts, dense models or all experts read. */
double estimate_ridge(const struct work *work, const struct rates *rates);

#endif

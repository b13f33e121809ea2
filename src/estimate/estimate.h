/* How long a step takes, from what has to be computed and read. Nothing here is measured; callers
 * that show a figure of it say "modelled". */
#ifndef ESTIMATE_ESTIMATE_H
#define ESTIMATE_ESTIMATE_H

#include <stdint.h>

#include "estimate/columns.h"
#include "estimate/machine.h"
#include "estimate/recipe.h"

/* What a model costs. */
struct work {
    double macs_per_token;      /* of the products, columns as they are */
    struct type_weights part[MAX_WEIGHT_TYPES]; /* looked_up: not looked at */
    uint32_t n_parts;
    double step_bytes;          /* weights every step reads */
    double expert_bytes;        /* weights of all experts */
    uint32_t n_experts, n_experts_used; /* 0: dense */
    double kv_bytes_per_token;  /* read of KV for each token of context that no window hides */
    double window_share;        /* of the layers, those that look back `window` tokens only */
    double window;
    double state_bytes;         /* of a stream: read and written by each of its columns */
    uint32_t n_layers, n_kv_layers, n_heads, n_kv_heads, d_head;
    enum kv_type k_type, v_type;
};

/* What a machine does of it in a second. */
struct rates {
    enum estimate_backend backend;
    double macs_per_s;          /* of the unit that products run on */
    double expert_macs_per_s;   /* of the unit that experts' products run on */
    double attend_macs_per_s;
    double lanes_per_s;         /* a GPU's other instructions, by lane; 0: not counted */
    double read_bytes_per_s;
    double layer_s, column_layer_s; /* time that is neither, by layer; by column and layer */
    bool overlaps_in_part;      /* arithmetic and reads hold each other up where they take alike */
};

enum bound { BOUND_ARITHMETIC, BOUND_WEIGHTS, BOUND_KV, BOUND_LAUNCHES };

struct estimate {
    double products_s, attend_s;
    double arithmetic_s;        /* both */
    double weights_s, kv_s, launches_s;
    double step_s;              /* arithmetic beside reads, and launches */
    enum bound bound;
    double tok_s;               /* of all streams together */
};

const char *bound_name(enum bound bound);

/* Bytes of one token's keys and values in all layers that keep them. */
double kv_bytes_of(const struct shape *shape, enum kv_type k_type, enum kv_type v_type);

/* Positions that a layer with the shape's window keeps for all streams together: whole pages and
 * chunks of them, and what a step's prompt columns add; or whole contexts, if these are not more.
 * As scheduler_window_pages of engine/scheduler.h has it. */
double kv_window_tokens(const struct shape *shape, enum estimate_backend backend,
                        uint32_t n_streams, uint32_t ctx_tokens, uint32_t step_tokens);

/* States that there is room for: as scheduler_n_states has it. */
double kv_states(uint32_t n_streams);

/* Weights as `backend` packs them. */
struct work work_of_shape(const struct shape *shape, const struct weights *weights,
                          enum estimate_backend backend, enum kv_type k_type, enum kv_type v_type);

/* A preset's rates: a GPU's, or the share of a CPU's limits that is known to be reached. */
struct rates rates_of_machine(const struct machine *machine);

/* A CPU's, from what its cores can multiply and its memory deliver at most: the shares of it that
 * this engine reaches, as measured (docs/performance.md). */
struct rates rates_of_cpu(double macs_per_s, double read_bytes_per_s);

/* The same of one whose products run on a matrix unit; macs_per_s: of its vectors. */
struct rates rates_of_cpu_matrix(double macs_per_s, double read_bytes_per_s);

/* Of an Apple GPU of which only the matrix unit's rate and the reads were measured. */
struct rates rates_of_metal(double macs_per_s, double read_bytes_per_s);

/* Weights that a step of n columns reads: of experts, those that columns choose at random. */
double estimate_weight_bytes(double step_bytes, double expert_bytes, uint32_t n_experts,
                             uint32_t n_experts_used, double n_columns);

/* Tokens of context that a column looks at, on the average of the layers. */
double estimate_seen_tokens(const struct work *work, double ctx_tokens);

/* A step in which `n_streams` streams, each with `ctx_tokens` in its KV, get a token each. */
struct estimate estimate_decode(const struct work *work, const struct rates *rates,
                                uint32_t n_streams, double ctx_tokens);

/* The same with every product's rows split between the GPU and a CPU that multiplies
 * cpu_macs_per_s, each in its share, SPLIT_CROSSINGS hand-overs of crossing_s a layer. Nothing here
 * does that yet. */
enum { SPLIT_CROSSINGS = 4 };
struct estimate estimate_split_decode(const struct work *work, const struct rates *rates,
                                      double cpu_macs_per_s, double crossing_s, uint32_t n_streams,
                                      double ctx_tokens);

/* The CPU's share of the rows there. */
double estimate_split_share(const struct work *work, const struct rates *rates,
                            double cpu_macs_per_s, uint32_t n_streams);

/* Multiply-adds of use that matrix units of SME make of a step's products a second, of their
 * sme_macs_per_s: they take columns in 16s, and K-quants in two planes
 * (backend/cpu/kernels/arm/passes_sme.h). */
double estimate_sme_macs_per_s(const struct work *work, double sme_macs_per_s, uint32_t n_streams);

/* Until a prompt is read beside n_streams that decode (0: alone), chunk_tokens of it in a step. */
double estimate_prefill_s(const struct work *work, const struct rates *rates, uint32_t n_tokens,
                          uint32_t n_streams, double ctx_tokens, uint32_t chunk_tokens);

/* The number of streams from which arithmetic takes longer than reading weights; 0: at any number;
 * UINT32_MAX: at none that is known. Short contexts, dense models or all experts read. */
uint32_t estimate_ridge(const struct work *work, const struct rates *rates);

#endif

/* Inside the CPU backend: its state, and one recorded operation.
 *
 * Operations are recorded as phases: work cut into parts, with a barrier after each. In steps of few
 * columns, and where a phase is small, each thread has one part. Else there are more, and threads
 * take the next that is free, so that one that is slow or was held up leaves its work to the others
 * (docs/decisions/002-parts-taken-by-threads.md). No result depends on how a phase is cut or by whom
 * a part is computed. submit wakes the team once for the whole step. */
#ifndef BACKEND_CPU_CPU_INTERNAL_H
#define BACKEND_CPU_CPU_INTERNAL_H

#include <stdatomic.h>

#include "backend/cpu/attend.h"
#include "backend/cpu/backend_cpu.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/memory.h"
#include "backend/cpu/prefix_groups.h"
#include "backend/op_timing.h"
#include "backend/pack/pack_cache.h"
#include "base/thread_pool.h"

struct vector {
    const float *values;
    uint32_t n;
};

struct rope {
    const float *cos_sin;           /* (n_positions, d_head / 2, 2) */
    uint32_t n_positions;
    bool interleaved;
    float turn[MAX_D_HEAD * PAGE_TOKENS];   /* (d_head / 2, 2, 16), see key_bias */
};

enum {
    ACT_FORM_X256 = 1 << ACT_X256,
    ACT_FORM_X256U = 1 << ACT_X256U,
    ACT_FORM_X32 = 1 << ACT_X32,
};

struct cpu_backend;
struct phase;

/* Part `index` of the n that a phase is cut into, computed by this thread. */
struct part {
    uint32_t index, n, thread;
};

typedef void phase_fn(struct cpu_backend *b, const struct phase *p, struct part part);

struct phase {
    phase_fn *run;
    const char *name;               /* of the operation, for timing */
    uint32_t n_parts;
    const struct matrix *matrix, *matrix2;
    const struct vector *vector;
    const struct qkv_weights *qkv;
    const struct expert_weights *experts;
    const struct rope *rope;
    const struct act *act;          /* what a product reads */
    float *out;                     /* what it writes, (n_cols, ld_out) */
    size_t ld_out;
    float scale, eps;
    uint32_t layer, window, forms, first_out, n_outs;
    bool has_residuals;             /* see cpu_qkv */
    enum activation activation;
    sample_fn *sample;
    void *sample_arg;
};

/* Of a mixture of experts: see ops_experts.c. n_slots: max_cols * n_experts_used. */
struct moe {
    float *score;                   /* (max_cols, n_experts) the router's */
    uint32_t *chosen, *slot;        /* (max_cols, n_experts_used) by rank */
    float *weight, *shared_weight;  /* likewise; (max_cols) */
    uint32_t *first_slot;           /* (n_experts + 1) */
    uint32_t *col;                  /* (n_slots) */
    float *gate, *up, *out;         /* (n_slots, ld_expert), out (n_slots, ld_model) */
    struct act h, ff;               /* of slots */
};

struct cpu_backend {
    struct backend base;
    struct backend_params params;
    struct cpu_kernels k;
    struct thread_pool *pool;
    struct memory memory;
    struct memory panels;           /* apart: given back when panels are mapped. Counted in memory */
    struct pack_cache *pack;        /* NULL: none */

    struct kv_layout layout;
    uint8_t *kv;                    /* (n_pages, n_layers, n_kv_heads) of layout.n_bytes */
    size_t page_bytes;

    /* f32 buffers; ld_* are rows rounded up to whole panels */
    size_t ld_model, ld_q, ld_kv, ld_ff, ld_expert, ld_vocab;
    float *x;                       /* (max_cols, ld_model) */
    float *y;                       /* (max_cols, ld_model) before a post norm */
    float *q, *k_rows, *v_rows;     /* (max_cols, ld_q), (max_cols, ld_kv) */
    float *attended;                /* (max_cols, ld_q) */
    float *gate, *up;               /* (max_cols, ld_ff) */
    float *logit_rows;              /* (max_outs, ld_vocab) */
    float *logit_largest;           /* (max_outs, n_logit_blocks) */
    uint32_t n_logit_blocks;
    float *norm_row;                /* (n_threads, ld_model) */
    struct act h, att, ff, head;    /* quantised */
    struct attend_state *attend_state;  /* (n_threads, MAX_JOB_ROWS) */
    struct prefix_groups groups;    /* of the step */
    struct moe moe;

    struct batch batch;
    struct phase *phase;            /* (max_phases) */
    atomic_uint *n_taken;           /* (max_phases) parts of each that threads have begun */
    uint32_t n_phases, max_phases;
    uint32_t last_norm;             /* phase whose forms its readers still add to */
    const struct vector *head_norm; /* logits, as recorded; sample runs it in turns */
    const struct matrix *head_weight;
    float head_eps;

    struct op_timings timings;
};

/* Items [first, last). */
struct share {
    uint32_t first, last;
};

static inline struct share even_share(uint32_t n, uint32_t index, uint32_t n_shares)
{
    return (struct share){ (uint32_t)((uint64_t)n * index / n_shares),
                           (uint32_t)((uint64_t)n * (index + 1) / n_shares) };
}

/* A part's share of n items. */
static inline struct share share_of(uint32_t n, struct part part)
{
    return even_share(n, part.index, part.n);
}

static inline uint32_t act_form(const struct matrix *m)
{
    return 1u << panel_act(m->format);
}

static inline uint8_t *kv_of(const struct cpu_backend *b, uint32_t page, uint32_t layer,
                             uint32_t head)
{
    const struct dims *d = &b->params.dims;
    return b->kv + page * b->page_bytes +
           (size_t)(layer * d->n_kv_heads + head) * b->layout.n_bytes;
}

/* Quantises n values of column `col` into the forms asked for, from value `first` on. */
void act_quantise(const struct cpu_backend *b, const struct act *act, uint32_t forms, uint32_t col,
                  uint32_t ld, const float *x, uint32_t first, uint32_t n);

/* Panels [first, last) of the matrix times columns [0, n_cols) of act, whose ld is n_cols. */
void product_panels(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                    uint32_t n_cols, struct share panels, float *out, size_t ld_out);

/* The same for columns `cols` of act, whose ld is given; out points at where the first panel's rows
 * of column 0 go. */
void product_columns(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                     struct share cols, uint32_t ld, struct share panels, float *out,
                     size_t ld_out);

/* x += the same product. */
void product_panels_add(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                        uint32_t n_cols, struct share panels, float *x, size_t ld_x);

/* What work takes of one core, roughly: only how finely a phase is cut depends on it. */
#define PRODUCT_NS (1 / 300.0)      /* a multiply-add */
#define READ_NS (1 / 20.0)          /* a byte of weights */
#define ATTEND_NS (2 / 60.0)        /* a value of a head and position: K and V */
#define NORM_NS 0.3                 /* a float, quantising included */
#define ACTIVATION_NS 0.5
#define ROPE_NS 0.5
#define QUANTISE_NS 0.2
#define SAMPLE_NS 20000.0           /* a row of logits */

/* A part takes a core about so long at least: a shorter one loses more by its ends (panels that were
 * fetched for nothing, activations that another core has) than it can even out. */
#define PART_NS 60000.0
enum { MAX_PARTS_A_THREAD = 8, MANY_COLS = 64 };

/* The operations of the seam; each file of ops_*.c records some. A phase has one part a thread unless
 * its cost, in nanoseconds of one core, is told, is large, and the step has MANY_COLS or more. */
struct phase *add_phase(struct cpu_backend *b, phase_fn *run, const char *name);
void set_cost(struct cpu_backend *b, struct phase *p, double ns);
double product_cost(const struct matrix *m, uint32_t n_cols);
void cpu_embed(struct backend *b, const struct matrix *embedding, float scale);
void cpu_norm(struct backend *b, const struct vector *weight, float eps);
void cpu_qkv(struct backend *b, uint32_t layer, const struct qkv_weights *w,
             const struct rope *rope, float q_scale, float eps);
void cpu_attend(struct backend *b, uint32_t layer, uint32_t window);
void cpu_attention_add(struct backend *b, const struct matrix *weight,
                       const struct vector *post_norm, float eps);
void cpu_gate_up(struct backend *b, const struct matrix *gate, const struct matrix *up,
                 enum activation activation);
void cpu_down_add(struct backend *b, const struct matrix *weight, const struct vector *post_norm,
                  float eps);
struct phase *record_product(struct cpu_backend *b, const char *name, const struct matrix *weight,
                             const struct act *act, float *out, size_t ld_out);
void cpu_experts_add(struct backend *b, const struct vector *norm, float eps,
                     const struct expert_weights *w, enum activation activation);
void cpu_logits(struct backend *b, const struct vector *norm, float eps,
                const struct matrix *weight);
void cpu_sample(struct backend *b, sample_fn *fn, void *arg);
void cpu_begin(struct backend *b, const struct batch *batch);
pl_status cpu_submit(struct backend *b, pl_err *err);
void cpu_copy_page(struct backend *b, uint32_t to, uint32_t from);
void cpu_timing(struct backend *b, bool on);
uint32_t cpu_timings(struct backend *b, const char **name, uint64_t *ns, uint32_t max);

uint64_t cpu_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k);
pl_status cpu_load_matrix(struct backend *b, const struct weight_view *view, struct matrix **out,
                          pl_err *err);
pl_status cpu_load_vector(struct backend *b, const float *values, uint32_t n, struct vector **out,
                          pl_err *err);
pl_status cpu_load_rope(struct backend *b, const float *cos_sin, uint32_t n_positions,
                        bool interleaved, struct rope **out, pl_err *err);
pl_status cpu_load_done(struct backend *b, pl_err *err);
uint64_t cpu_shared_bytes(const struct backend *b);

#endif

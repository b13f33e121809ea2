/* The table of CPU kernels. Plain C fills all of it; each instruction set present, in
 * ascending order, then overwrites what it does better. One file per instruction set and concept;
 * flags are given by file, so there is no #if on instruction sets inside functions.
 *
 * Numbers: integer sums are exact and every float chain is written out (fma where the comment says
 * so), in an order that depends on the shapes alone. Products and activation quantising are the
 * same bytes on every instruction set. Norms and attention may differ between instruction sets in
 * the last bits, never between two calls on one of them.
 *
 * All kernels are pure: any thread, no allocation. */
#ifndef BACKEND_CPU_KERNELS_H
#define BACKEND_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "backend/cpu/act.h"
#include "backend/cpu/kv_layout.h"
#include "backend/cpu/panels/panel.h"
#include "backend/cpu/rates.h"

enum { MAX_PRODUCT_COLS = 12 };

#define LOG2_E 1.44269504089f       /* softmax runs in base 2 */

/* out[c * ld_out + row] = panel row . column c, for 16 rows and n_cols (1 .. 12) columns.
 * x points at block 0 of the first column, in the format's act_format; ld is the distance between
 * blocks, in columns. ahead_bytes: fetch the line this many bytes further on (the next panel)
 * towards the cache; 0: do not. */
typedef void product_fn(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,
                        size_t ld_out, uint32_t n_cols, size_t ahead_bytes);

/* A product of neighbouring panels with many columns at once: what product_fn gives for each of
 * them, to the byte. */
struct wide_product {
    const uint8_t *panel;       /* (n_panels), one after the other */
    uint32_t n_panels, n_k;
    const void *x;              /* as for product_fn */
    uint32_t ld, n_cols;        /* any number of columns, one or more */
    float *out;                 /* [c * ld_out + 16 * panel + row] */
    size_t ld_out;
    bool adds;                  /* out += the product */
};

typedef void wide_product_fn(const struct wide_product *w);

struct wide_kernel {
    wide_product_fn *run;       /* NULL: there is none */
    uint32_t from_cols;         /* fewer columns product_fn does faster */
};

/* The bias of keys that are stored without it. The key at position p lacks the bias turned by p,
 * which is turned to the first position of p's page and then on by p % 16. */
struct key_bias {
    const float *bias;          /* (d_head) of this KV head; NULL: keys are whole */
    const float *cos_sin;       /* (n_positions, n_rot / 2, 2) */
    const float *turn;          /* (n_rot / 2, 2, 16): cosines, then sines of 0 .. 15 positions */
    uint32_t n_rot;             /* dimensions that turn: the first; 0: none, and no tables */
    bool is_interleaved;
};

/* What a row of attention has summed up so far. */
struct attend_state {
    float max;
    float total[16] __attribute__((aligned(64)));
    float out[MAX_D_HEAD] __attribute__((aligned(64)));
};

/* A row of attention: one query head of one column. */
struct attend_row {
    const float *q;             /* (d_head), scaled so that a score is q . k in units of log 2 */
    float *out;                 /* (d_head), written by the last walk */
    struct attend_state *state; /* carried from one walk to the next */
    uint32_t pos;               /* sees positions up to this one, and `window` of them */
    float sink;                 /* a score, in units of log 2, that stands for no value; -INFINITY:
                                 * none */
};

enum { MAX_WALK_ROWS = 8 };

/* Rows of one KV head walk over neighbouring pages together, sharing all loads. Each row has
 * arithmetic of its own: who walks with it, and how its way is cut into walks, changes no bit. */
struct attend_walk {
    const struct kv_layout *layout;
    struct key_bias key_bias;
    uint32_t window;            /* 0: all earlier positions */
    float score_cap;            /* in units of log 2, as scores are: they become cap *
                                 * tanh(score / cap); 0: they stay */
    const uint8_t *kv;          /* KV of page 0, this layer and KV head */
    size_t page_stride;         /* bytes from one page's to the next */
    const uint32_t *page;       /* page table */
    uint32_t first_page, end_page;  /* first_page is even: chunks of 32 positions are whole */
    bool is_first, is_last;     /* of the rows' walks */
    uint32_t n_rows;            /* 1 .. the kernels' max_walk_rows */
    struct attend_row row[MAX_WALK_ROWS];
    const struct attend_walk *next;     /* what this thread walks afterwards: its pages are fetched
                                         * while the last ones are computed; may be NULL */
};

enum { STATE_BLOCK = 32 };      /* values of a mixer's matrix that lie together */

/* A column of a head, but for its values. */
struct state_column {
    const float *query, *key;   /* (n_key) */
    uint32_t n_key;
    float shrink, rate;         /* of what is known; of values, or, where it corrects, of what they
                                 * differ from what is known by */
    bool corrects;
};

struct cpu_kernels {
    const char *isa;                                /* the most capable set in use: "avx512vnni" */

    product_fn *product[N_PANEL_FORMATS];
    struct wide_kernel wide[N_PANEL_FORMATS];       /* of matrix units */

    /* Quantises n values (multiple of 256 or 32) of one column into block b of `to`, b = 0 .. with
     * distance ld; to_u may be NULL, to may be NULL. */
    void (*quantise_x256)(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                          uint32_t ld);
    void (*quantise_x32)(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld);

    /* Lengths n of the following are multiples of 16. */

    /* out = x / sqrt(mean(x^2) + eps) * weight; out may be x */
    void (*rms_norm)(const float *x, const float *weight, uint32_t n, float eps, float *out);

    /* out = activation(gate) * up, as enum activation has it; out may be gate */
    void (*gate)(const float *gate, const float *up, uint32_t n, enum activation activation,
                 float *out);

    /* x *= 1 / (1 + e^-gate) */
    void (*times_sigmoid)(float *x, const float *gate, uint32_t n);

    /* out = the sum over taps t of in[t] times the t-th n of `taps`, and bias; in[t], bias NULL:
     * nothing */
    void (*convolve)(const float *const *in, const float *taps, const float *bias, uint32_t n_taps,
                     uint32_t n, float *out);

    /* A block (n_key, STATE_BLOCK) of a mixer's matrix goes on by one column, whose values value
     * (STATE_BLOCK) are; out (STATE_BLOCK): what the query finds in it then. */
    void (*state_step)(float *block, const struct state_column *c, const float *value, float *out);

    /* x *= y */
    void (*multiply)(float *x, const float *y, uint32_t n);

    /* a . b: 64 partial sums, of places i % 64, added up in a tree */
    float (*dot)(const float *a, const float *b, uint32_t n);

    /* row -= what its column of 32-blocks stands for: what is left are the rounding errors. */
    void (*take_off)(const struct act_x32 *x, uint32_t ld, float *row, uint32_t n);

    /* The largest of n values, NaN counting as minus infinity; any n. */
    float (*largest)(const float *x, uint32_t n);

    /* x += y */
    void (*add)(float *x, const float *y, uint32_t n);

    /* x = cap * tanh(scale * x / cap); cap 0: scale * x */
    void (*cap)(float *x, uint32_t n, float scale, float cap);

    /* Turns d values, a multiple of 32, by the cos_sin row (d / 2, 2) of their position and
     * multiplies them by scale. */
    void (*rope)(float *x, const float *cos_sin, uint32_t d, bool interleaved, float scale);

    /* Writes one token's K and V of one KV head to place `at` (0 .. 15) of its page. v is not
     * looked at where the layout is of latents. */
    void (*kv_write)(uint8_t *kv, const struct kv_layout *layout, uint32_t at, const float *k,
                     const float *v);

    void (*walk)(const struct attend_walk *walk);
    uint32_t max_walk_rows;

    rate_dot_fn *rate_dot;      /* what the machine can do at most: serves no model */
    rate_dot_fn *rate_matrix;   /* of the matrix unit that `wide` uses; NULL: there is none */
    rate_read_fn *rate_read;
};

/* Fills the table for this machine, not going beyond `isa` (NULL: the best). False: no such name on
 * this architecture. Names, ascending: "scalar"; x86: "avx2" "avxvnni" "avx512vnni" "amx"; Arm:
 * "neon" "i8mm" "sme". */
bool cpu_kernels_get(struct cpu_kernels *out, const char *isa);

/* Names of the sets this machine can run, ascending; for tests. Returns how many. */
uint32_t cpu_kernels_list(const char **names, uint32_t max);

/* One entry per file of kernels; each overwrites what it does better. */
void cpu_product_scalar(struct cpu_kernels *k);
void cpu_vector_scalar(struct cpu_kernels *k);
void cpu_attention_scalar(struct cpu_kernels *k);
void cpu_product_floats_scalar(struct cpu_kernels *k);
void cpu_product_avx2(struct cpu_kernels *k);
void cpu_product_avxvnni(struct cpu_kernels *k);
void cpu_vector_avx2(struct cpu_kernels *k);
void cpu_attention_avx2(struct cpu_kernels *k);
void cpu_product_kquant_avx512(struct cpu_kernels *k);
void cpu_product_32_avx512(struct cpu_kernels *k);
void cpu_product_floats_avx512(struct cpu_kernels *k);
void cpu_vector_avx512(struct cpu_kernels *k);
void cpu_attention_avx512(struct cpu_kernels *k);
void cpu_product_kquant_amx(struct cpu_kernels *k);
void cpu_product_neon(struct cpu_kernels *k);
void cpu_product_i8mm(struct cpu_kernels *k);
void cpu_product_kquant_sme(struct cpu_kernels *k);
void cpu_product_32_sme(struct cpu_kernels *k);
void cpu_vector_neon(struct cpu_kernels *k);
void cpu_attention_neon(struct cpu_kernels *k);

#endif

/* The table of CPU kernels. kernels_scalar fills all of it; each instruction set present, in
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
#include "backend/cpu/panel.h"

enum { MAX_PRODUCT_COLS = 12 };

/* out[c * ld_out + row] = panel row . column c, for 16 rows and n_cols (1 .. 12) columns.
 * x points at block 0 of the first column, in the format's act_format; ld is the distance between
 * blocks, in columns. ahead_bytes: fetch the line this many bytes further on (the next panel)
 * towards the cache; 0: do not. */
typedef void product_fn(const uint8_t *panel, uint32_t n_k, const void *x, uint32_t ld, float *out,
                        size_t ld_out, uint32_t n_cols, size_t ahead_bytes);

/* KV of one page, one layer and one KV head: K as [d_head][16 tokens] f16, then V in parts of 64
 * dimensions, [d_head / 64][16 tokens][64] f16. A d_head that is no multiple of 64 (multiples of 32
 * are run) has parts of 32. Both are written saturated to +-65504 with NaN as 0, so a page never
 * holds what could spoil a sum. */
enum { MAX_D_HEAD = 256 };

static inline uint32_t v_part(uint32_t d_head)
{
    return d_head % 64 ? 32 : 64;
}

static inline size_t kv_head_bytes(uint32_t d_head)
{
    return (size_t)2 * d_head * PAGE_TOKENS * sizeof(uint16_t);
}

/* Attention of neighbouring columns of one stream for one KV head. */
struct attend_job {
    uint32_t d_head;
    uint32_t n_group;           /* query heads of this KV head */
    uint32_t n_cols;            /* columns, at positions first_pos .. first_pos + n_cols - 1 */
    uint32_t first_pos;
    uint32_t window;            /* 0: all earlier positions */
    const uint8_t *kv;          /* KV of page 0, this layer and KV head */
    size_t page_stride;         /* bytes from one page's to the next */
    const uint32_t *page;       /* page table of the stream */
    const float *q;             /* q[col * ld_q + head * d_head + i], scaled by the caller so that
                                 * a score is q . k in units of log 2 (times log2 e) */
    float *out;                 /* likewise, with ld_out */
    size_t ld_q, ld_out;
    const struct attend_job *next;  /* what this thread attends to afterwards: its pages are fetched
                                     * while the last ones of this job are computed; may be NULL */
};

struct cpu_kernels {
    const char *isa;                                /* the most capable set in use: "avx512vnni" */

    product_fn *product[N_PANEL_FORMATS];

    /* Quantises n values (multiple of 256 or 32) of one column into block b of `to`, b = 0 .. with
     * distance ld; to_u may be NULL, to may be NULL. */
    void (*quantise_x256)(const float *x, uint32_t n, struct act_x256 *to, struct act_x256u *to_u,
                          uint32_t ld);
    void (*quantise_x32)(const float *x, uint32_t n, struct act_x32 *to, uint32_t ld);

    /* Lengths n of the following are multiples of 16. */

    /* out = x / sqrt(mean(x^2) + eps) * weight; out may be x */
    void (*rms_norm)(const float *x, const float *weight, uint32_t n, float eps, float *out);

    /* out = activation(gate) * up; out may be gate */
    void (*gate)(const float *gate, const float *up, uint32_t n, enum activation activation,
                 float *out);

    /* x += y */
    void (*add)(float *x, const float *y, uint32_t n);

    /* Turns one head (d values) by the cos_sin row (d / 2, 2) of its position and multiplies by
     * scale. */
    void (*rope)(float *x, const float *cos_sin, uint32_t d, bool interleaved, float scale);

    /* Writes one token's K and V of one KV head to place `at` (0 .. 15) of its page. */
    void (*kv_write)(uint8_t *kv, uint32_t d_head, uint32_t at, const float *k, const float *v);

    void (*attend)(const struct attend_job *job);
};

/* Fills the table for this machine, not going beyond `isa` (NULL: the best). False: no such name on
 * this architecture. Names, ascending: "scalar"; x86: "avx2" "avxvnni" "avx512vnni"; Arm: "neon". */
bool cpu_kernels_get(struct cpu_kernels *out, const char *isa);

/* Names of the sets this machine can run, ascending; for tests. Returns how many. */
uint32_t cpu_kernels_list(const char **names, uint32_t max);

/* One entry per file of kernels; each overwrites what it does better. */
void cpu_product_scalar(struct cpu_kernels *k);
void cpu_vector_scalar(struct cpu_kernels *k);
void cpu_attention_scalar(struct cpu_kernels *k);
void cpu_product_avx2(struct cpu_kernels *k);
void cpu_product_avxvnni(struct cpu_kernels *k);
void cpu_vector_avx2(struct cpu_kernels *k);
void cpu_attention_avx2(struct cpu_kernels *k);
void cpu_product_kquant_avx512(struct cpu_kernels *k);
void cpu_product_32_avx512(struct cpu_kernels *k);
void cpu_vector_avx512(struct cpu_kernels *k);
void cpu_attention_avx512(struct cpu_kernels *k);
void cpu_product_neon(struct cpu_kernels *k);
void cpu_vector_neon(struct cpu_kernels *k);
void cpu_attention_neon(struct cpu_kernels *k);

#endif

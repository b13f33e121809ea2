/* What the tests of panels and products share: random blocks of every file type, packed panels,
 * quantised columns. All follow from a seed that failures print. */
#ifndef TESTS_KERNELS_PRODUCT_FIXTURE_H
#define TESTS_KERNELS_PRODUCT_FIXTURE_H

#include "file_types.h"

#include "backend/cpu/kernels.h"
#include "backend/cpu/panels/panel_layout.h"

/* ---- panels --------------------------------------------------------------------------------- */

/* The packed panel of up to 16 rows, and nothing behind it: release with free. */
static inline uint8_t *packed(const struct file_type *t, const uint8_t *rows, uint32_t n_rows,
                              uint32_t n_k)
{
    const enum panel_format format = (enum panel_format)panel_format_of(t->type, n_k);
    uint8_t *panel = aligned_alloc(64, panel_bytes(format, n_k));

    assert_non_null(panel);
    memset(panel, 0xa5, panel_bytes(format, n_k));
    panel_pack(format, panel, t->type, rows, n_rows, n_k);
    return panel;
}

/* ---- activations ---------------------------------------------------------------------------- */

static inline size_t act_block_bytes(enum act_format format)
{
    return format == ACT_X256    ? sizeof(struct act_x256)
           : format == ACT_X256U ? sizeof(struct act_x256u)
           : format == ACT_X32   ? sizeof(struct act_x32)
                                 : sizeof(struct act_f32);
}

static inline uint32_t act_block_values(enum act_format format)
{
    return format == ACT_X32 || format == ACT_F32 ? 32 : 256;
}

/* Quantises column c of an act buffer with distance ld. */
static inline void quantise_column(const struct cpu_kernels *k, enum act_format format,
                                   const float *x, uint32_t n_k, void *act, uint32_t c, uint32_t ld)
{
    for (uint32_t i = 0; i < n_k && format == ACT_F32; i += 32)
        memcpy(((struct act_f32 *)act + i / 32 * ld + c)->v, x + i, 32 * sizeof *x);
    if (format == ACT_F32) return;
    if (format == ACT_X32) k->quantise_x32(x, n_k, (struct act_x32 *)act + c, ld);
    else if (format == ACT_X256) k->quantise_x256(x, n_k, (struct act_x256 *)act + c, NULL, ld);
    else k->quantise_x256(x, n_k, NULL, (struct act_x256u *)act + c, ld);
}

/* Value k of a column, as the product sees it. */
static inline double act_value(enum act_format format, const void *act, uint32_t k, uint32_t c,
                               uint32_t ld)
{
    if (format == ACT_X32) {
        const struct act_x32 *x = (const struct act_x32 *)act + (size_t)(k / 32) * ld + c;
        return (double)x->d * x->q[k % 32];
    }
    if (format == ACT_F32)
        return (double)((const struct act_f32 *)act + (size_t)(k / 32) * ld + c)->v[k % 32];
    if (format == ACT_X256) {
        const struct act_x256 *x = (const struct act_x256 *)act + (size_t)(k / 256) * ld + c;
        return (double)x->d * x->q[k % 256];
    }
    const struct act_x256u *x = (const struct act_x256u *)act + (size_t)(k / 256) * ld + c;
    return (double)x->d * (x->u[k % 256] - 128);
}

static inline struct cpu_kernels scalar_kernels(void)
{
    struct cpu_kernels k = { .isa = "scalar" };

    cpu_product_scalar(&k);
    cpu_product_floats_scalar(&k);
    return k;
}

/* The table of an instruction set this machine was said to have. */
static inline struct cpu_kernels kernels_of(const char *isa)
{
    struct cpu_kernels k;

    assert_true(cpu_kernels_get(&k, isa));
    assert_string_equal(k.isa, isa);
    return k;
}

#endif

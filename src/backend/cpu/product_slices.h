/* Products of panels of floats, slice by slice of k. */
#ifndef BACKEND_CPU_PRODUCT_SLICES_H
#define BACKEND_CPU_PRODUCT_SLICES_H

#include "backend/cpu/cpu_internal.h"

/* What product_columns (product.h) computes, and += where `adds`, of a matrix of floats. x: block 0
 * of column 0. */
void product_slices(const struct cpu_backend *b, const struct matrix *m, const struct act_f32 *x,
                    struct range cols, uint32_t ld, struct range panels, float *out, size_t ld_out,
                    bool adds);

#endif

/* Panels times quantised columns: what the operations of the CPU backend make products of. */
#ifndef BACKEND_CPU_PRODUCT_H
#define BACKEND_CPU_PRODUCT_H

#include "backend/cpu/cpu_internal.h"

/* Quantises n values of column `col` into the forms asked for, from value `first` on. */
void act_quantise(const struct cpu_backend *b, const struct act *act, uint32_t forms, uint32_t col,
                  uint32_t ld, const float *x, uint32_t first, uint32_t n);

/* Panels [first, last) of the matrix times columns [0, n_cols) of act, whose ld is n_cols. */
void product_panels(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                    uint32_t n_cols, struct range panels, float *out, size_t ld_out);

/* The same for columns `cols` of act, whose ld is given; out points at where the first panel's rows
 * of column 0 go. */
void product_columns(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                     struct range cols, uint32_t ld, struct range panels, float *out,
                     size_t ld_out);

/* x += the same product. */
void product_panels_add(const struct cpu_backend *b, const struct matrix *m, const struct act *act,
                        uint32_t n_cols, struct range panels, float *x, size_t ld_x);

/* Adds a bias, where there is one, to rows [first, first + n) of columns; out points at row `first`
 * of column 0. */
void product_add_bias(const struct cpu_backend *b, const struct vector *bias, uint32_t first,
                      uint32_t n, struct range cols, float *out, size_t ld_out);

/* The same to the rows of panels, all columns; out points at row 0 of column 0. */
void product_add_bias_of_panels(const struct cpu_backend *b, const struct vector *bias,
                                struct range panels, float *out, size_t ld_out);

/* What a product takes of one core, in ns. */
double product_cost(const struct matrix *m, uint32_t n_cols);

/* The column's Y joins X as the residual says (ops_product.c). */
void product_join(const struct cpu_backend *b, const struct residual *r, uint32_t col);

/* The phase that makes it: out = act * w + bias, (n_cols, ld_out). */
struct phase *product_record(struct cpu_backend *b, const char *name, const struct linear *w,
                             const struct act *act, float *out, size_t ld_out);

#endif

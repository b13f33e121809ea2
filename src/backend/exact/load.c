/* Weights as the file holds them, norms, biases and RoPE tables into the backend's memory. */
#include <string.h>

#include "backend/exact/exact_internal.h"
#include "quant/quant.h"

/* NULL: no memory, or none that can be locked. */
static void *copy(struct exact_backend *b, const void *from, uint64_t n_bytes, const char *what,
                  pl_err *err)
{
    void *to = memory_take(&b->memory, n_bytes, what, err);
    if (!to) return NULL;
    memcpy(to, from, n_bytes);
    if (b->params.lock_memory && n_bytes && memory_lock(to, n_bytes, err)) return NULL;
    return to;
}

uint64_t exact_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k)
{
    const struct quant_traits *t = quant_traits(type);
    if (!t->name || n_k % t->block_weights) return 0;
    return memory_rounded((uint64_t)n_rows * quant_row_bytes(type, n_k));
}

pl_status exact_load_matrix(struct backend *base, const struct weight_view *view,
                            struct matrix **out, pl_err *err)
{
    struct exact_backend *b = (struct exact_backend *)base;
    if (!exact_matrix_bytes(view->type, view->n_rows, view->n_k))
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: rows of %u weights of type %u cannot be read",
                       view->name, view->n_k, view->type);
    struct matrix *m = memory_take(&b->records, sizeof *m, "a weight's record", err);
    if (!m) return PL_E_MEMORY;
    const size_t row_bytes = quant_row_bytes(view->type, view->n_k);
    *m = (struct matrix){
        .rows = copy(b, view->data, (uint64_t)view->n_rows * row_bytes, view->name, err),
        .row_bytes = row_bytes, .type = view->type, .n_rows = view->n_rows, .n_k = view->n_k,
    };
    *out = m;
    return m->rows ? PL_OK : PL_E_MEMORY;
}

pl_status exact_load_vector(struct backend *base, const float *values, uint32_t n,
                            struct vector **out, pl_err *err)
{
    struct exact_backend *b = (struct exact_backend *)base;
    struct vector *v = memory_take(&b->records, sizeof *v, "a vector's record", err);
    if (!v) return PL_E_MEMORY;
    *v = (struct vector){ copy(b, values, n * sizeof *values, "a norm or bias", err), n };
    *out = v;
    return v->values ? PL_OK : PL_E_MEMORY;
}

pl_status exact_load_rope(struct backend *base, const struct rope_view *view, struct rope **out,
                          pl_err *err)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const uint64_t n_bytes = (uint64_t)view->n_positions * view->n_rot * sizeof *view->cos_sin;
    struct rope *r = memory_take(&b->records, sizeof *r, "a RoPE table's record", err);
    if (!r) return PL_E_MEMORY;
    *r = (struct rope){ copy(b, view->cos_sin, n_bytes, "RoPE tables", err), view->n_rot,
                        view->is_interleaved };
    *out = r;
    return r->cos_sin ? PL_OK : PL_E_MEMORY;
}

pl_status exact_load_done(struct backend *base, pl_err *err)
{
    struct exact_backend *b = (struct exact_backend *)base;
    (void)err;
    memory_trim(&b->memory);
    memory_trim(&b->records);
    return PL_OK;
}

uint64_t exact_shared_bytes(const struct backend *b)
{
    (void)b;
    return 0;
}

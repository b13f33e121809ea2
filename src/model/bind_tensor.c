/* One tensor of the file finds its place: looked up, held to its shape, counted, and packed where a
 * backend is there. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/bind.h"
#include "quant/quant.h"

void bind_at(struct binder *k, const struct home *home)
{
    k->b = home->backend;
    k->ops = home->ops;
}

const struct gguf_tensor *find_tensor(struct binder *k, const char *name)
{
    const struct gguf_tensor *t = gguf_find(k->g, name);
    if (t) k->is_bound[t - k->g->tensor] = true;
    return t;
}

bool has_shape(const struct gguf_tensor *t, uint64_t first, uint64_t second, uint64_t third)
{
    return t->dim[0] == first && t->dim[1] == second && t->dim[2] == third && t->dim[3] == 1;
}

pl_status missing_tensor(const struct binder *k, const char *name, pl_err *err)
{
    return pl_fail(err, PL_E_FORMAT, "%s: tensor %s is missing; architecture %s needs it",
                   k->g->part[0].path, name, k->h->arch->name);
}

pl_status bind_tell(const struct binder *k, pl_err *err)
{
    const struct model_watch *w = k->watch;
    if (!w || !w->fn || !w->weights_bytes) return PL_OK;
    const double done = (double)k->plan.weights_bytes / (double)w->weights_bytes;
    if (w->fn(w->arg, (float)(done < 1 ? done : 1))) return PL_OK;
    return pl_fail(err, PL_E_CANCELLED, "%s: loading was stopped", k->g->part[0].path);
}

pl_status load_rows(struct binder *k, const struct gguf_tensor *t, const char *name,
                    uint32_t first_row, uint32_t n_rows, uint32_t n_k, uint64_t *n_bytes,
                    const struct matrix **out, pl_err *err)
{
    *n_bytes = k->ops->matrix_bytes(t->type, n_rows, n_k);
    if (!*n_bytes)
        return pl_fail(err, PL_E_UNSUPPORTED,
                       "%s: tensor %s: rows of %" PRIu32 " weights of type %s cannot be packed",
                       k->g->part[0].path, name, n_k, quant_traits(t->type)->name);
    k->plan.weights_bytes += *n_bytes;
    k->plan.has_float_weights |= quant_traits(t->type)->block_weights == 1;
    if (!k->b) return PL_OK;

    const struct weight_view view = {
        .name = name, .type = t->type, .n_rows = n_rows, .n_k = n_k,
        .data = (const uint8_t *)t->data + first_row * quant_row_bytes(t->type, n_k),
    };
    const pl_status st = k->ops->load_matrix(k->b, &view, (struct matrix **)out, err);
    return st ? st : bind_tell(k, err);
}

/* Rows of a matrix that every step reads. */
static pl_status bind_part(struct binder *k, const struct gguf_tensor *t, const char *name,
                           uint32_t first_row, uint32_t n_rows, uint32_t n_k,
                           const struct matrix **out, pl_err *err)
{
    uint64_t n_bytes;
    const pl_status st = load_rows(k, t, name, first_row, n_rows, n_k, &n_bytes, out, err);
    if (st) return st;
    k->plan.step_weight_bytes += n_bytes;
    k->plan.macs_per_token += (uint64_t)n_rows * n_k;
    return PL_OK;
}

pl_status find_matrix(struct binder *k, const char *name, uint32_t n_rows, uint32_t n_k,
                      const struct gguf_tensor **out, pl_err *err)
{
    const struct gguf_tensor *t = *out = find_tensor(k, name);
    if (!t) return missing_tensor(k, name, err);
    if (!has_shape(t, n_k, n_rows, 1))
        return pl_fail(
            err, PL_E_FORMAT,
            "%s: tensor %s is %" PRIu64 " x %" PRIu64 "; %" PRIu32 " x %" PRIu32 " is wanted",
            k->g->part[0].path, name, t->dim[0], t->dim[1] * t->dim[2] * t->dim[3], n_k, n_rows);
    return PL_OK;
}

pl_status bind_matrix(struct binder *k, const char *name, uint32_t n_rows, uint32_t n_k,
                      const struct matrix **out, pl_err *err)
{
    const struct gguf_tensor *t;
    const pl_status st = find_matrix(k, name, n_rows, n_k, &t, err);
    return st ? st : bind_part(k, t, name, 0, n_rows, n_k, out, err);
}

pl_status bind_parts(struct binder *k, const struct gguf_tensor *t, const char *name,
                     const struct fused_part *part, uint32_t n_parts, uint32_t n_k, pl_err *err)
{
    char of_part[96];
    pl_status st = PL_OK;
    for (uint32_t i = 0, first = 0; i < n_parts && !st; first += part[i++].n_rows) {
        snprintf(of_part, sizeof of_part, "%s.%s", name, part[i].name);
        st = bind_part(k, t, of_part, first, part[i].n_rows, n_k, part[i].out, err);
    }
    return st;
}

pl_status bind_fused(struct binder *k, const char *name, const struct fused_part *part,
                     uint32_t n_parts, uint32_t n_k, pl_err *err)
{
    const struct gguf_tensor *t;
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < n_parts; i++) n_rows += part[i].n_rows;
    const pl_status st = find_matrix(k, name, n_rows, n_k, &t, err);
    return st ? st : bind_parts(k, t, name, part, n_parts, n_k, err);
}

/* The rows of one part, gathered. */
static pl_status bind_turn(struct binder *k, const struct gguf_tensor *t, const char *name,
                           uint32_t first_row, uint32_t n_each, uint32_t n_turns, uint32_t n_k,
                           const struct matrix **out, pl_err *err)
{
    const size_t row_bytes = quant_row_bytes(t->type, n_k);
    const uint64_t n_all = t->dim[1] / n_turns;
    struct gguf_tensor gathered = *t;
    uint8_t *rows = k->b ? malloc((size_t)n_turns * n_each * row_bytes) : NULL;
    if (k->b && !rows)
        return pl_fail(err, PL_E_MEMORY, "%s: no memory to take tensor %s apart",
                       k->g->part[0].path, name);
    for (uint32_t i = 0; i < n_turns && k->b; i++)
        memcpy(rows + i * n_each * row_bytes,
               (const uint8_t *)t->data + (i * n_all + first_row) * row_bytes, n_each * row_bytes);
    gathered.data = rows;
    const pl_status st = bind_part(k, &gathered, name, 0, n_turns * n_each, n_k, out, err);
    free(rows);
    return st;
}

pl_status bind_turns(struct binder *k, const char *name, const struct fused_part *part,
                     uint32_t n_parts, uint32_t n_turns, uint32_t n_k, pl_err *err)
{
    const struct gguf_tensor *t;
    char of_part[96];
    uint32_t n_rows = 0, first = 0;
    for (uint32_t i = 0; i < n_parts; i++) n_rows += part[i].n_rows;
    pl_status st = find_matrix(k, name, n_turns * n_rows, n_k, &t, err);
    for (uint32_t i = 0; i < n_parts && !st; first += part[i++].n_rows) {
        snprintf(of_part, sizeof of_part, "%s.%s", name, part[i].name);
        st = bind_turn(k, t, of_part, first, part[i].n_rows, n_turns, n_k, part[i].out, err);
    }
    return st;
}

pl_status load_scaled(struct binder *k, const struct gguf_tensor *t, uint32_t n, float scale,
                      const struct vector **out, pl_err *err)
{
    k->plan.weights_bytes += memory_rounded((uint64_t)n * sizeof(float));
    if (!k->b) return PL_OK;
    quant_dequantise(t->type, t->data, k->scratch, n);
    for (uint32_t i = 0; i < n && scale != 1; i++) k->scratch[i] *= scale;
    return k->ops->load_vector(k->b, k->scratch, n, (struct vector **)out, err);
}

/* Values of a tensor as f32. */
pl_status load_floats(struct binder *k, const struct gguf_tensor *t, uint32_t n,
                      const struct vector **out, pl_err *err)
{
    return load_scaled(k, t, n, 1, out, err);
}

pl_status bind_ones(struct binder *k, uint32_t n, const struct vector **out, pl_err *err)
{
    k->plan.weights_bytes += memory_rounded((uint64_t)n * sizeof(float));
    if (!k->b) return PL_OK;
    for (uint32_t i = 0; i < n; i++) k->scratch[i] = 1;
    return k->ops->load_vector(k->b, k->scratch, n, (struct vector **)out, err);
}

pl_status bind_vector(struct binder *k, const char *name, uint32_t n, enum presence presence,
                      const struct vector **out, pl_err *err)
{
    if (out) *out = NULL;
    if (presence == ABSENT) return PL_OK;
    const struct gguf_tensor *t = find_tensor(k, name);
    if (!t) return presence == OPTIONAL ? PL_OK : missing_tensor(k, name, err);
    if (!has_shape(t, n, 1, 1))
        return pl_fail(err, PL_E_FORMAT,
                       "%s: tensor %s has %" PRIu64 " values; %" PRIu32 " are wanted",
                       k->g->part[0].path, name, t->dim[0], n);
    return load_floats(k, t, n, out, err);
}

struct layer_name name_of(uint32_t layer, const char *name)
{
    struct layer_name n;
    snprintf(n.text, sizeof n.text, "blk.%" PRIu32 ".%s", layer, name);
    return n;
}

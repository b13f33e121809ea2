/* Weights into fragments, norms and RoPE tables into buffers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/metal/experts.h"
#include "backend/metal/metal_internal.h"
#include "base/log.h"
#include "quant/quant.h"

/* Records of what was loaded live until close. */
struct loaded {
    struct loaded *next;
    union {
        struct matrix matrix;
        struct vector vector;
        struct rope rope;
    };
};

static struct loaded *new_record(struct metal_backend *b, pl_err *err)
{
    struct loaded *l = calloc(1, sizeof *l);
    if (!l) {
        pl_fail(err, PL_E_MEMORY, "no memory for a weight's record");
        return NULL;
    }
    l->next = b->loaded;
    b->loaded = l;
    return l;
}

void metal_forget_loaded(struct metal_backend *b)
{
    for (struct loaded *l = b->loaded, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    b->loaded = NULL;
}

uint64_t metal_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k)
{
    const int format = fragment_format_of(type, n_k);
    const uint64_t n_tiles = ((uint64_t)n_rows + TILE_ROWS - 1) / TILE_ROWS;
    return format < 0 ? 0 : n_tiles * fragment_tile_bytes((enum fragment_format)format, n_k);
}

struct packing {
    const struct weight_view *view;
    const struct matrix *matrix;
    const struct fragment_layout *layout;
};

static void pack_share(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct packing *p = arg;
    const struct matrix *m = p->matrix;
    const size_t row_bytes = quant_row_bytes(p->view->type, m->n_k);
    const uint32_t last = (uint32_t)((uint64_t)m->n_tiles * (id + 1) / n_threads);

    for (uint32_t i = (uint32_t)((uint64_t)m->n_tiles * id / n_threads); i < last; i++) {
        const uint32_t first_row = i * TILE_ROWS, n_left = m->n_rows - first_row;
        fragment_pack(m->format, p->layout, m->packed + (size_t)i * m->tile_bytes,
                      p->view->type, (const uint8_t *)p->view->data + first_row * row_bytes,
                      n_left < TILE_ROWS ? n_left : TILE_ROWS, m->n_k);
    }
}

/* All of a format, beside each other: the compiler takes its time over each. */
static void make_kernels(struct metal_backend *b, const char *format)
{
    char name[METAL_MAX_MADE][METAL_MAX_NAME];
    uint32_t n = 0;
    for (int i = 1; i <= MAX_FRAGMENTS; i++)
        snprintf(name[n++], sizeof *name, "product_%s_%d", format, i);
    for (int i = 1; i <= FEW_COLUMNS; i++)
        snprintf(name[n++], sizeof *name, "product_few_%s_%d", format, i);
    snprintf(name[n++], sizeof *name, "embed_%s", format);
    if (b->has_tensors) snprintf(name[n++], sizeof *name, "product_tensor_%s", format);
    metal_pipelines_make(b->device, b->pool, name, n);
}

/* The kernels of a format, when the first matrix of it comes. */
static pl_status get_kernels(struct metal_backend *b, enum fragment_format format, pl_err *err)
{
    const char *name = fragment_format_name(format);
    char text[32];
    if (b->kernel.embed[format]) return PL_OK;
    make_kernels(b, name);
    if (b->has_tensors) {
        snprintf(text, sizeof text, "product_tensor_%s", name);
        const pl_status st =
            metal_pipeline_get(b->device, text, NULL, 0, &b->kernel.tensor[format], err);
        if (st) return st;
    }
    for (int n = 0; n < MAX_FRAGMENTS + FEW_COLUMNS; n++) {
        const bool is_few = n >= MAX_FRAGMENTS;
        const int i = is_few ? n - MAX_FRAGMENTS : n;
        struct metal_pipeline **p =
            is_few ? &b->kernel.few[format][i] : &b->kernel.product[format][i];
        snprintf(text, sizeof text, "product_%s%s_%d", is_few ? "few_" : "", name, i + 1);
        const pl_status st = metal_pipeline_get(b->device, text, NULL, 0, p, err);
        if (st) return st;
        if (metal_pipeline_max_threads(*p) < PRODUCT_SIMDGROUPS * METAL_SIMDGROUP)
            return pl_fail(err, PL_E_UNSUPPORTED,
                           "%s runs in %u threads on this GPU; %d are wanted", text,
                           metal_pipeline_max_threads(*p), PRODUCT_SIMDGROUPS * METAL_SIMDGROUP);
    }
    const pl_status st = metal_experts_get_kernels(b, format, err);
    if (st) return st;
    snprintf(text, sizeof text, "embed_%s", name);
    return metal_pipeline_get(b->device, text, NULL, 0, &b->kernel.embed[format], err);
}

/* Tiles where the pack cache has them, or packed into memory of the device. */
static pl_status load_tiles(struct metal_backend *b, const struct weight_view *view,
                            struct matrix *m, pl_err *err)
{
    const struct pack_weight w = {
        view->name, view->type, view->n_rows, view->n_k, m->format,
        (uint64_t)m->n_tiles * m->tile_bytes };
    pl_err why;
    if (b->pack && pack_cache_take(b->pack, &w, &m->packed)) {
        if (!metal_buffer_wrap(b->device, m->packed, w.n_bytes, view->name, &m->tiles, &why))
            return PL_OK;
        PL_LOG(WARN, "metal", "%s; it is copied", why.text);
    }
    const uint8_t *kept = m->packed;
    const pl_status st = metal_buffer_take(b->device, w.n_bytes, view->name, &m->tiles, err);
    if (st) return st;
    m->packed = m->tiles.bytes;
    if (kept) {
        memcpy(m->packed, kept, w.n_bytes);
        return PL_OK;
    }
    struct packing p = { view, m, &b->layout };
    thread_pool_run(b->pool, pack_share, &p);
    return PL_OK;
}

pl_status metal_load_matrix(struct backend *base, const struct weight_view *view,
                            struct matrix **out, pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    const int format = fragment_format_of(view->type, view->n_k);
    if (format < 0)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: rows of %u weights of type %u cannot be packed",
                       view->name, view->n_k, view->type);
    pl_status st = get_kernels(b, (enum fragment_format)format, err);
    struct loaded *l = st ? NULL : new_record(b, err);
    if (!l) return st ? st : PL_E_MEMORY;
    struct matrix *m = &l->matrix;
    *m = (struct matrix){
        .format = (enum fragment_format)format, .n_rows = view->n_rows, .n_k = view->n_k,
        .n_tiles = (view->n_rows + TILE_ROWS - 1) / TILE_ROWS, .n_chunks = view->n_k / CHUNK,
        .tile_bytes = (uint32_t)fragment_tile_bytes((enum fragment_format)format, view->n_k),
    };
    *out = m;
    return load_tiles(b, view, m, err);
}

static pl_status copy_floats(struct metal_backend *b, const float *values, size_t n,
                             const char *what, struct metal_buffer *out, pl_err *err)
{
    const pl_status st = metal_buffer_take(b->device, n * sizeof *values, what, out, err);
    if (!st) memcpy(out->bytes, values, n * sizeof *values);
    return st;
}

pl_status metal_load_vector(struct backend *base, const float *values, uint32_t n,
                            struct vector **out, pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct loaded *l = new_record(b, err);
    if (!l) return PL_E_MEMORY;
    l->vector.n = n;
    *out = &l->vector;
    return copy_floats(b, values, n, "a norm or bias", &l->vector.values, err);
}

pl_status metal_load_rope(struct backend *base, const struct rope_view *view, struct rope **out,
                          pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct loaded *l = new_record(b, err);
    if (!l) return PL_E_MEMORY;
    l->rope.n_rot = view->n_rot;
    l->rope.is_interleaved = view->is_interleaved;
    *out = &l->rope;
    return copy_floats(b, view->cos_sin, (size_t)view->n_positions * view->n_rot, "RoPE tables",
                       &l->rope.cos_sin, err);
}

pl_status metal_load_done(struct backend *base, pl_err *err)
{
    struct metal_backend *b = (struct metal_backend *)base;
    /* what was packed here stays in the device's memory: the file is for later starts */
    if (b->pack) pack_cache_finish(b->pack, b->pool, false);
    const pl_status st = metal_device_settle(b->device, err);
    return st ? st : metal_device_keep(b->device, b->params.keep_resident_s, err);
}

uint64_t metal_shared_bytes(const struct backend *b)
{
    uint64_t n_bytes;
    pack_cache_mapped(((const struct metal_backend *)b)->pack, &n_bytes);
    return n_bytes;
}

/* Weights into panels, norms and RoPE tables into the backend's memory. */
#include <string.h>

#include "backend/cpu/cpu_internal.h"
#include "quant/quant.h"

uint64_t cpu_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k)
{
    const int format = panel_format_of(type, n_k);
    const uint64_t n_panels = ((uint64_t)n_rows + PANEL_ROWS - 1) / PANEL_ROWS;
    return format < 0 ? 0 : n_panels * panel_bytes((enum panel_format)format, n_k);
}

struct packing {
    const struct weight_view *view;
    const struct matrix *matrix;
    size_t row_bytes;
};

static void pack_share(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct packing *p = arg;
    const struct matrix *m = p->matrix;
    const struct range panels = even_range(m->n_panels, id, n_threads);

    for (uint32_t i = panels.first; i < panels.last; i++) {
        const uint32_t first_row = i * PANEL_ROWS, n_left = m->n_rows - first_row;
        panel_pack(m->format, m->panel + i * m->panel_bytes, p->view->type,
                   (const uint8_t *)p->view->data + first_row * p->row_bytes,
                   n_left < PANEL_ROWS ? n_left : PANEL_ROWS, m->n_k);
    }
}

/* Records of loaded things are a few bytes each and live in the same memory; they are not part of
 * the plan, which counts what they point to. */
static void *take_record(struct cpu_backend *b, size_t n_bytes, pl_err *err)
{
    void *record = memory_take(&b->memory, n_bytes, "a weight's record", err);
    if (record) b->memory.given_bytes -= memory_rounded(n_bytes);
    return record;
}

/* Panels from the pack cache, or an arena and a packing of their own. NULL: no memory. */
static uint8_t *load_panels(struct cpu_backend *b, const struct weight_view *view, struct matrix *m,
                            pl_err *err)
{
    const uint64_t n_bytes = cpu_matrix_bytes(view->type, view->n_rows, view->n_k);
    b->memory.given_bytes += memory_rounded(n_bytes);
    const struct pack_weight w = { view->name, view->type, view->n_rows, view->n_k, m->format,
                                   n_bytes };
    if (b->pack && pack_cache_take(b->pack, &w, &m->panel)) return m->panel;
    m->panel = memory_take(&b->panels, n_bytes, view->name, err);
    if (!m->panel) return NULL;
    struct packing p = { view, m, quant_row_bytes(view->type, view->n_k) };
    thread_pool_run(b->pool, pack_share, &p);
    return m->panel;
}

pl_status cpu_load_matrix(struct backend *base, const struct weight_view *view, struct matrix **out,
                          pl_err *err)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const int format = panel_format_of(view->type, view->n_k);
    if (format < 0)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: rows of %u weights of type %u cannot be packed",
                       view->name, view->n_k, view->type);
    assert(panel_act((enum panel_format)format) != ACT_F32 || b->params.has_float_weights);
    struct matrix *m = take_record(b, sizeof *m, err);
    if (!m) return PL_E_MEMORY;
    *m = (struct matrix){
        .format = (enum panel_format)format, .n_rows = view->n_rows, .n_k = view->n_k,
        .n_panels = (view->n_rows + PANEL_ROWS - 1) / PANEL_ROWS,
        .panel_bytes = panel_bytes((enum panel_format)format, view->n_k),
    };
    *out = m;
    return load_panels(b, view, m, err) ? PL_OK : PL_E_MEMORY;
}

/* NULL: no memory, or none that can be locked. */
static float *copy_floats(struct cpu_backend *b, const float *values, size_t n, const char *what,
                          pl_err *err)
{
    float *copy = memory_take(&b->memory, n * sizeof *copy, what, err);
    if (!copy) return NULL;
    memcpy(copy, values, n * sizeof *copy);
    if (b->params.lock_memory && memory_lock(copy, n * sizeof *copy, err)) return NULL;
    return copy;
}

pl_status cpu_load_vector(struct backend *base, const float *values, uint32_t n,
                          struct vector **out, pl_err *err)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    struct vector *v = take_record(b, sizeof *v, err);
    if (!v) return PL_E_MEMORY;
    *v = (struct vector){ copy_floats(b, values, n, "a norm or bias", err), n };
    *out = v;
    return v->values ? PL_OK : PL_E_MEMORY;
}

/* cos 0 is what the whole table is scaled by: a turn is a turn alone. */
static void fill_turns(struct rope *r)
{
    const uint32_t n = r->n_positions < PAGE_TOKENS ? r->n_positions : PAGE_TOKENS;
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t i = 0; i < r->n_rot; i++) /* cosines at even places, sines at odd ones */
            r->turn[i * PAGE_TOKENS + t] = r->cos_sin[(size_t)t * r->n_rot + i] / r->cos_sin[0];
}

pl_status cpu_load_rope(struct backend *base, const struct rope_view *view, struct rope **out,
                        pl_err *err)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    struct rope *r = take_record(b, sizeof *r, err);
    if (!r) return PL_E_MEMORY;
    const size_t n = (size_t)view->n_positions * view->n_rot;
    r->cos_sin = copy_floats(b, view->cos_sin, n, "RoPE tables", err);
    if (!r->cos_sin) return PL_E_MEMORY;
    r->n_positions = view->n_positions;
    r->n_rot = view->n_rot;
    r->is_interleaved = view->is_interleaved;
    fill_turns(r);
    *out = r;
    return PL_OK;
}

/* Panels are locked once they lie where they stay. */
pl_status cpu_load_done(struct backend *base, pl_err *err)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    if (b->pack && pack_cache_finish(b->pack, b->pool, true)) memory_free(&b->panels);
    memory_trim(&b->memory);
    memory_trim(&b->panels);
    if (!b->params.lock_memory) return PL_OK;
    uint64_t n_mapped;
    const void *mapped = pack_cache_mapped(b->pack, &n_mapped);
    const pl_status st = mapped ? memory_lock(mapped, n_mapped, err) : PL_OK;
    return st ? st : memory_lock_all(&b->panels, err);
}

uint64_t cpu_shared_bytes(const struct backend *b)
{
    uint64_t n_bytes;
    pack_cache_mapped(((const struct cpu_backend *)b)->pack, &n_bytes);
    return n_bytes;
}

/* Weights into tiles, norms and RoPE tables into the GPU's memory. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda_internal.h"
#include "backend/cuda/pack.h"
#include "quant/quant.h"

enum {
    GROUP_ROWS = TILE_ROWS * TILE_GROUP,
    SLAB_BYTES = 64 << 20, ALIGNMENT = 256,
};

/* From so many weights on products have enough blocks of 256 rows for all workers. */
static const uint64_t many_weights = 64u << 20;

/* Records of what was loaded live until close. */
struct cuda_loaded {
    struct cuda_loaded *next;
    union {
        struct matrix matrix;
        struct vector vector;
        struct rope rope;
    };
    float *host;                        /* NULL, or to be freed */
};

static struct cuda_loaded *new_record(struct cuda_backend *b, pl_err *err)
{
    struct cuda_loaded *l = calloc(1, sizeof *l);
    if (!l) {
        pl_fail(err, PL_E_MEMORY, "no memory for a weight's record");
        return NULL;
    }
    l->next = b->loaded;
    b->loaded = l;
    return l;
}

void cuda_forget_loaded(struct cuda_backend *b)
{
    for (struct cuda_loaded *l = b->loaded, *next; l; l = next) {
        next = l->next;
        free(l->host);
        free(l);
    }
    b->loaded = NULL;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Of the slab, or a slab of its own. */
static pl_status take(struct cuda_backend *b, uint64_t n_bytes, const char *what, void **out,
                      pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    *out = NULL;
    n_bytes = (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (n_bytes > b->slab_left) {
        const bool is_large = n_bytes >= SLAB_BYTES / 2;
        void *slab;
        if (b->api->take(b->device, is_large ? n_bytes : SLAB_BYTES, &slab, text))
            return pl_fail(err, PL_E_MEMORY, "%s: %s", what, text);
        if (is_large) {
            *out = slab;
            return PL_OK;
        }
        b->slab = slab;
        b->slab_left = SLAB_BYTES;
    }
    *out = b->slab;
    b->slab += n_bytes;
    b->slab_left -= n_bytes;
    return PL_OK;
}

/* ---- matrices ------------------------------------------------------------------------------- */

static uint32_t block_rows_of(enum tile_format format, uint32_t n_rows, uint32_t n_k)
{
    return format != TILE_F16 && (uint64_t)n_rows * n_k >= many_weights ? 256 : 128;
}

uint64_t cuda_matrix_bytes(uint32_t type, uint32_t n_rows, uint32_t n_k)
{
    const int format = tile_format_of(type, n_k);
    if (format < 0) return 0;
    return tile_matrix_bytes((enum tile_format)format, n_rows, n_k,
                             block_rows_of((enum tile_format)format, n_rows, n_k));
}

/* Groups of rows that the team packs into the staging. */
struct packing {
    const struct weight_view *view;
    const struct matrix *matrix;
    uint8_t *to;
    uint64_t group_bytes;
    uint32_t first, n;
};

static void pack_share(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct packing *p = arg;
    const size_t row_bytes = quant_row_bytes(p->view->type, p->view->n_k);
    for (uint32_t i = id; i < p->n; i += n_threads) {
        const uint32_t row = (p->first + i) * GROUP_ROWS, n_left = p->view->n_rows - row;
        tile_pack_group(p->matrix->format, p->to + i * p->group_bytes, p->view->type,
                        (const uint8_t *)p->view->data + row * row_bytes, row_bytes,
                        n_left < GROUP_ROWS ? n_left : GROUP_ROWS, p->view->n_k);
    }
}

/* While one half of the staging is on its way, the other is packed into. Rows that fill up the last
 * blocks are zeros already. */
static pl_status load_tiles(struct cuda_backend *b, const struct weight_view *view,
                            const struct matrix *m, pl_err *err)
{
    const uint64_t group_bytes = (uint64_t)m->n_blocks * TILE_GROUP * tile_bytes(m->format);
    const uint32_t n_groups = (view->n_rows + GROUP_ROWS - 1) / GROUP_ROWS;
    const uint32_t most = (uint32_t)(STAGING_BYTES / group_bytes);
    char text[CUDA_TEXT_BYTES];
    if (!most)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: rows of %u weights are too long for this "
                       "backend: use --backend cpu", view->name, view->n_k);
    for (uint32_t first = 0, half = 0; first < n_groups; first += most, half = !half) {
        struct packing p = { view, m, b->staging + (size_t)half * STAGING_BYTES, group_bytes, first,
                             n_groups - first < most ? n_groups - first : most };
        if (b->api->wait_mark(b->device, STAGING_MARK + half, text))
            return pl_fail(err, PL_E_INTERNAL, "%s: %s", view->name, text);
        thread_pool_run(b->pool, pack_share, &p);
        b->api->upload(b->device, m->tiles + first * group_bytes, p.to, p.n * group_bytes);
        b->api->mark(b->device, STAGING_MARK + half);
    }
    return PL_OK;
}

pl_status cuda_load_matrix(struct backend *base, const struct weight_view *view,
                           struct matrix **out, pl_err *err)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    const int format = tile_format_of(view->type, view->n_k);
    if (format < 0)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: rows of %u weights of type %s cannot be packed",
                       view->name, view->n_k, quant_type_name(view->type));
    struct cuda_loaded *l = new_record(b, err);
    if (!l) return PL_E_MEMORY;
    struct matrix *m = &l->matrix;
    *m = (struct matrix){
        .format = (enum tile_format)format, .n_rows = view->n_rows, .n_k = view->n_k,
        .n_blocks = whole(view->n_k, TILE_K) / TILE_K,
        .block_rows = block_rows_of((enum tile_format)format, view->n_rows, view->n_k),
    };
    *out = m;
    void *tiles;
    const pl_status st = take(b, cuda_matrix_bytes(view->type, view->n_rows, view->n_k),
                              view->name, &tiles, err);
    m->tiles = tiles;
    return st ? st : load_tiles(b, view, m, err);
}

/* ---- vectors and tables --------------------------------------------------------------------- */

static pl_status load_floats(struct cuda_backend *b, const float *values, size_t n,
                             const char *what, float **out, pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    void *at;
    const pl_status st = take(b, n * sizeof *values, what, &at, err);
    *out = at;
    if (st) return st;
    if (b->api->upload_now(b->device, at, values, n * sizeof *values, text))
        return pl_fail(err, PL_E_INTERNAL, "%s: %s", what, text);
    return PL_OK;
}

pl_status cuda_load_vector(struct backend *base, const float *values, uint32_t n,
                           struct vector **out, pl_err *err)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    struct cuda_loaded *l = new_record(b, err);
    if (!l) return PL_E_MEMORY;
    l->host = malloc(n * sizeof *values);
    if (!l->host) return pl_fail(err, PL_E_MEMORY, "no memory for a norm or bias");
    memcpy(l->host, values, n * sizeof *values);
    l->vector.n = n;
    l->vector.host = l->host;
    *out = &l->vector;
    return load_floats(b, values, n, "a norm or bias", &l->vector.values, err);
}

pl_status cuda_load_rope(struct backend *base, const struct rope_view *view, struct rope **out,
                         pl_err *err)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    struct cuda_loaded *l = new_record(b, err);
    if (!l) return PL_E_MEMORY;
    l->rope.n_rot = view->n_rot;
    l->rope.is_interleaved = view->is_interleaved;
    *out = &l->rope;
    return load_floats(b, view->cos_sin, (size_t)view->n_positions * view->n_rot, "RoPE tables",
                       &l->rope.cos_sin, err);
}

pl_status cuda_load_done(struct backend *base, pl_err *err)
{
    return cuda_wait((struct cuda_backend *)base, err);
}

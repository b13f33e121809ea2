#include "backend/metal/attention.h"

#include <stdlib.h>

#include "backend/metal/attention_list.h"
#include "backend/metal/recorder.h"

enum {
    N_LISTS = 2,        /* distinct windows of a model's layers that are kept at once */
    NARROW_HEAD = 256,
};

/* A list and where the GPU reads it. */
struct list {
    struct attention_list work;
    struct metal_buffer item[MAX_ROW_TILES], row, combine, place;
};

/* What the host writes for a step: twice, because the GPU may still read that of the step before.
 */
struct step_lists {
    struct list list[N_LISTS];
    struct metal_buffer page[MAX_KV_GROUPS];    /* page tables of the step's spans, in a row */
};

struct metal_attention {
    struct metal_pipeline *attend[2][MAX_ROW_TILES], *combine;  /* [1]: of other heads */
    struct step_lists step[METAL_STEPS];
    struct metal_buffer partial;    /* (MAX_PARTIALS, n_kv_heads, 2 + d_head) f32: max, sum, O */
    struct attention_spans spans;
};

/* ---- memory --------------------------------------------------------------------------------- */

static uint32_t group_of(struct heads heads)
{
    return heads.n_kv_heads ? heads.n_heads / heads.n_kv_heads : 0;
}

static uint32_t largest_group(const struct dims *d)
{
    const uint32_t group = group_of(dims_heads(d, false)), other = group_of(d->other);
    return group > other ? group : other;
}

/* Values of a row's partial results, over all KV heads. */
static uint64_t partial_values(struct heads heads)
{
    return (uint64_t)heads.n_kv_heads * (2 + heads.d_head);
}

static struct workspace workspace_of(struct metal_attention *a, const struct backend_params *p)
{
    const struct dims *d = &p->dims;
    const uint32_t group = largest_group(d);
    const uint64_t max_rows = attention_list_max_rows(p->max_cols, group);
    const uint64_t own = partial_values(dims_heads(d, false)), other = partial_values(d->other);
    const char *what = "attention";
    struct workspace w = { 0 };
    workspace_want(&w, what, MAX_PARTIALS * (own > other ? own : other) * 4, &a->partial);
    for (struct step_lists *step = a->step; step < a->step + METAL_STEPS; step++) {
        for (uint32_t g = 0; g < p->kv.n; g++)
            workspace_want(&w, what, (uint64_t)p->max_cols * p->kv.group[0].n_pages * 4,
                           &step->page[g]);
        for (struct list *l = step->list; l < step->list + N_LISTS; l++) {
            for (int t = 0; t < MAX_ROW_TILES; t++)
                workspace_want(&w, what, max_rows * sizeof(struct attend_item), &l->item[t]);
            workspace_want(&w, what, max_rows * sizeof(struct attend_row), &l->row);
            workspace_want(&w, what, (uint64_t)p->max_cols * group *
                           sizeof(struct combine_row), &l->combine);
            workspace_want(&w, what, MAX_PARTIALS * 4, &l->place);
        }
    }
    return w;
}

uint64_t metal_attention_bytes(const struct backend_params *params)
{
    struct metal_attention a;
    const struct workspace w = workspace_of(&a, params);
    return metal_workspace_bytes(&w);
}

/* The lists' arrays lie in what the GPU reads. */
static void point_lists(struct metal_attention *a)
{
    for (struct step_lists *step = a->step; step < a->step + METAL_STEPS; step++)
        for (struct list *l = step->list; l < step->list + N_LISTS; l++) {
            for (int t = 0; t < MAX_ROW_TILES; t++) l->work.item[t] = l->item[t].bytes;
            l->work.row = l->row.bytes;
            l->work.combine = l->combine.bytes;
            l->work.place = l->place.bytes;
        }
}

/* Heads that are wide leave threadgroup memory for one tile of rows. */
static uint32_t max_tiles(uint32_t d_head)
{
    return d_head > NARROW_HEAD ? 1 : MAX_ROW_TILES;
}

/* Kernels for heads of d_head; 0: none. */
static pl_status get_kernels(struct metal_backend *b, uint32_t d_head,
                             struct metal_pipeline *attend[MAX_ROW_TILES], pl_err *err)
{
    const int32_t constants[] = { 0, (int32_t)d_head,   /* 0 is another kernel's */
                                  (int32_t)b->kv_layout[0].k_type,
                                  (int32_t)b->kv_layout[0].v_type };
    const char *one = max_tiles(d_head) == 1 ? "attend_wide" : "attend_1";
    if (!d_head) return PL_OK;
    const pl_status st = metal_pipeline_get(b->device, one, constants, 4, &attend[0], err);
    if (st || max_tiles(d_head) == 1) return st;
    return metal_pipeline_get(b->device, "attend_2", constants, 4, &attend[1], err);
}

pl_status metal_attention_open(struct metal_backend *b, pl_err *err)
{
    const uint32_t n_cols = b->params.max_cols;
    struct metal_attention *a = b->attention = calloc(1, sizeof *a);
    if (a) {
        a->spans = (struct attention_spans){
            .batch = &b->batch,
            .work = calloc(n_cols, sizeof *a->spans.work),
            .member = calloc(n_cols, sizeof *a->spans.member),
        };
    }
    if (!a || !a->spans.work || !a->spans.member)
        return pl_fail(err, PL_E_MEMORY, "no memory for attention's lists");
    const struct workspace w = workspace_of(a, &b->params);
    pl_status st = metal_workspace_take(b, &w, err);
    if (!st) point_lists(a);
    if (!st) st = get_kernels(b, b->params.dims.d_head, a->attend[0], err);
    if (!st) st = get_kernels(b, b->params.dims.other.d_head, a->attend[1], err);
    if (!st) st = metal_pipeline_get(b->device, "combine", NULL, 0, &a->combine, err);
    return st;
}

void metal_attention_close(struct metal_backend *b)
{
    struct metal_attention *a = b->attention;
    if (!a) return;
    free(a->spans.work);
    free(a->spans.member);
    free(a);
    b->attention = NULL;
}

/* ---- the step's work ------------------------------------------------------------------------ */

void metal_attention_begin(struct metal_backend *b)
{
    struct step_lists *step = &b->attention->step[b->at];
    uint32_t *page[MAX_KV_GROUPS] = { 0 };
    for (uint32_t g = 0; g < b->params.kv.n; g++) page[g] = step->page[g].bytes;
    attention_spans_begin(&b->attention->spans, page, b->params.kv.n);
    for (int i = 0; i < N_LISTS; i++) step->list[i].work.is_built = false;
}

/* The list for a layer; made when the step's first layer of its kind comes. Where all are taken by
 * other kinds, what was recorded with them is run first. */
static struct list *list_for(struct metal_backend *b, const struct attention_params *p)
{
    struct attention_spans *spans = &b->attention->spans;
    struct list *list = b->attention->step[b->at].list;
    const struct heads heads = metal_heads(b, p);
    const uint32_t group = group_of(heads), n_tiles = max_tiles(heads.d_head);
    for (struct list *l = list; l < list + N_LISTS; l++) {
        const struct attention_list *w = &l->work;
        if (w->is_built && w->window == attention_window(p) && w->kv_group == p->kv_group &&
            w->group == group && w->max_tiles == n_tiles)
            return l;
        if (w->is_built) continue;
        attention_list_build(&l->work, spans, attention_window(p), p->kv_group, group, n_tiles);
        return l;
    }
    metal_run_so_far(b);
    for (int i = 1; i < N_LISTS; i++) list[i].work.is_built = false;
    attention_list_build(&list->work, spans, attention_window(p), p->kv_group, group, n_tiles);
    return list;
}

/* ---- recording ------------------------------------------------------------------------------ */

/* Threadgroup memory of attend: see attention.metal. */
static uint32_t shared_bytes(uint32_t d_head, uint32_t n_tiles)
{
    const uint32_t n_rows = ATTEND_ROWS * n_tiles, n_staged = d_head > NARROW_HEAD ? 128 : 64;
    return n_rows * SPLIT * (4 + 2) + n_rows * d_head * 2 + 4 * PAGE_TOKENS * n_staged * 2 +
           4 * n_rows * 4;
}

void metal_attend(struct backend *base, const struct qkv_weights *w,
                  const struct attention_params *params)
{
    struct metal_backend *b = (struct metal_backend *)base;
    struct metal_attention *a = b->attention;
    struct list *l = list_for(b, params);
    const struct vector *bias = metal_keeps_bias_out(b, w) ? w->k.bias : NULL;
    const struct rope *rope = params->rope;
    const struct metal_buffer *sinks = w->sinks ? &w->sinks->values : &b->q_half;
    const struct metal_buffer *page = &a->step[b->at].page[params->kv_group];
    const struct heads d = metal_heads(b, params);
    const struct metal_kv *kv = &b->kv_layout[params->has_other_heads];
    const struct attend_args args = {
        .d_head = d.d_head, .group = group_of(d), .n_kv_heads = d.n_kv_heads,
        .ld_q = b->ld_q, .page_units = metal_page_units(b, params),
        .first_unit = metal_first_unit(b, params), .head_bytes = kv->head_bytes, .v_at = kv->v_at,
        .has_bias = bias != NULL,
        .is_interleaved = rope && rope->is_interleaved, .n_rot = rope ? rope->n_rot : 0,
        .has_sinks = w->sinks != NULL, .score_cap = params->score_cap * LOG2_E,
    };
    for (uint32_t t = 0; t < MAX_ROW_TILES; t++) {
        if (!l->work.n_items[t]) continue;
        const uint64_t n_positions = l->work.n_splits[t] * SPLIT * d.n_kv_heads;
        const struct metal_dispatch what = {
            .pipeline = a->attend[params->has_other_heads][t],
            .buffer = { { &l->item[t], 0 }, { &l->row, 0 }, { page, 0 }, { &b->q_half, 0 },
                        { &b->kv, 0 }, { bias ? &bias->values : &b->q_half, 0 },
                        { rope ? &rope->cos_sin : &b->q_half, 0 }, { &b->att, 0 },
                        { &a->partial, 0 }, { &b->lanes, 0 }, { sinks, 0 } },
            .n_buffers = 11, .args = &args, .args_bytes = sizeof args,
            .n_groups = { l->work.n_items[t], d.n_kv_heads, 1 }, .n_threads = 4 * METAL_SIMDGROUP,
            .shared_bytes = shared_bytes(d.d_head, t + 1),
            .n_macs = n_positions * ATTEND_ROWS * (t + 1) * 2 * d.d_head,
            .n_read_bytes = n_positions * kv->head_bytes / PAGE_TOKENS,
        };
        metal_dispatch(b->device, &what);
    }
    if (l->work.n_combined) {
        const struct metal_buffer *buffers[] = { &l->combine, &l->place, &a->partial, &b->att,
                                                 sinks };
        metal_barrier(b->device);
        metal_record(b, a->combine, buffers, 5, &args, sizeof args, l->work.n_combined,
                     d.n_kv_heads, METAL_SIMDGROUP);
    }
    metal_end_operation(b, "attend");
}

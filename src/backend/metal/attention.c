#include "backend/metal/attention.h"

#include <stdlib.h>
#include <string.h>

#include "backend/metal/recorder.h"

enum {
    N_LISTS = 2,            /* distinct windows of a model's layers that are kept at once */
    MAX_PARTIALS = 16384,   /* rows times splits that may be items of their own */
    WALKED_COLUMNS = 8,     /* a span of so many has items enough without splitting */
    SPLIT_PAGES = SPLIT / PAGE_TOKENS,
};

/* The work of a step for the layers of one window and KV group. */
struct list {
    bool is_built;
    uint32_t window, kv_group;
    struct metal_buffer item[MAX_ROW_TILES];    /* (max_rows) of that many row tiles */
    struct metal_buffer row, combine, place;    /* (max_rows), (max_cols * group), (MAX_PARTIALS) */
    uint32_t n_items[MAX_ROW_TILES], n_rows, n_combined, n_places, n_partials;
    uint64_t n_splits[MAX_ROW_TILES];           /* of the items */
};

struct span_work {
    uint32_t page_at;               /* of its page table's copy, among those of its KV group */
    /* of the list being built: */
    uint32_t first_split, end_split;
    uint32_t place_at;
    bool is_split, is_taken, is_alone;  /* is_alone: shares no later split's pages with others */
};

/* What the host writes for a step: twice, because the GPU may still read that of the step before.
 */
struct step_lists {
    struct list list[N_LISTS];
    struct metal_buffer page[MAX_KV_GROUPS];    /* page tables of the step's spans, in a row */
};

struct metal_attention {
    struct metal_pipeline *attend[MAX_ROW_TILES], *combine;
    struct step_lists step[METAL_STEPS];
    struct metal_buffer partial;    /* (MAX_PARTIALS, n_kv_heads, 2 + d_head) f32: max, sum, O */
    struct span_work *span;         /* (max_cols) of the step's spans */
    uint32_t *member;               /* (max_cols) */
};

/* ---- memory --------------------------------------------------------------------------------- */

static uint32_t group_of(const struct backend_params *p)
{
    return p->dims.n_heads / p->dims.n_kv_heads;
}

static uint64_t max_rows(const struct backend_params *p)
{
    return MAX_PARTIALS + (uint64_t)p->max_cols * group_of(p);
}

static struct workspace workspace_of(struct metal_attention *a, const struct backend_params *p)
{
    const struct dims *d = &p->dims;
    const char *what = "attention";
    struct workspace w = { 0 };
    workspace_want(&w, what, (uint64_t)MAX_PARTIALS * d->n_kv_heads * (2 + d->d_head) * 4,
                   &a->partial);
    for (struct step_lists *step = a->step; step < a->step + METAL_STEPS; step++) {
        for (uint32_t g = 0; g < p->kv.n; g++)
            workspace_want(&w, what, (uint64_t)p->max_cols * p->kv.group[0].n_pages * 4,
                           &step->page[g]);
        for (struct list *l = step->list; l < step->list + N_LISTS; l++) {
            for (int t = 0; t < MAX_ROW_TILES; t++)
                workspace_want(&w, what, max_rows(p) * sizeof(struct attend_item), &l->item[t]);
            workspace_want(&w, what, max_rows(p) * sizeof(struct attend_row), &l->row);
            workspace_want(&w, what, (uint64_t)p->max_cols * group_of(p) *
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

pl_status metal_attention_open(struct metal_backend *b, pl_err *err)
{
    const uint32_t n_cols = b->params.max_cols;
    struct metal_attention *a = b->attention = calloc(1, sizeof *a);
    if (a) {
        a->span = calloc(n_cols, sizeof *a->span);
        a->member = calloc(n_cols, sizeof *a->member);
    }
    if (!a || !a->span || !a->member)
        return pl_fail(err, PL_E_MEMORY, "no memory for attention's lists");
    const struct workspace w = workspace_of(a, &b->params);
    const int32_t constants[] = { 0, (int32_t)b->params.dims.d_head,    /* 0 is another kernel's */
                                  (int32_t)b->kv_layout.k_type, (int32_t)b->kv_layout.v_type };
    pl_status st = metal_workspace_take(b, &w, err);
    if (!st) st = metal_pipeline_get(b->device, "attend_1", constants, 4, &a->attend[0], err);
    if (!st) st = metal_pipeline_get(b->device, "attend_2", constants, 4, &a->attend[1], err);
    if (!st) st = metal_pipeline_get(b->device, "combine", NULL, 0, &a->combine, err);
    return st;
}

void metal_attention_close(struct metal_backend *b)
{
    struct metal_attention *a = b->attention;
    if (!a) return;
    free(a->span);
    free(a->member);
    free(a);
    b->attention = NULL;
}

/* ---- the step's work ------------------------------------------------------------------------ */

static uint32_t end_of(const struct span *s)
{
    return s->first_pos + s->n_cols;
}

void metal_attention_begin(struct metal_backend *b)
{
    struct metal_attention *a = b->attention;
    struct step_lists *step = &a->step[b->at];
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->batch.n_spans; i++) {
        const struct span *s = &b->batch.span[i];
        const uint32_t n_pages = (end_of(s) + PAGE_TOKENS - 1) / PAGE_TOKENS;
        for (uint32_t g = 0; g < b->params.kv.n; g++)
            memcpy((uint32_t *)step->page[g].bytes + n, s->page[g], n_pages * sizeof *s->page[g]);
        a->span[i].page_at = n;
        n += n_pages;
    }
    for (int i = 0; i < N_LISTS; i++) step->list[i].is_built = false;
}

/* Splits that the span's columns see some position of. */
static void find_splits(struct span_work *w, const struct span *s, uint32_t window)
{
    w->first_split = window_start(s->first_pos, window) / SPLIT;
    w->end_split = (end_of(s) - 1) / SPLIT + 1;
}

static struct attend_row row_of(const struct span *s, uint32_t window, uint32_t index,
                                uint32_t group)
{
    const uint32_t c = index / group, pos = s->first_pos + c;
    return (struct attend_row){ s->first_col + c, index % group, window_start(pos, window), pos };
}

/* An item that gets rows one by one. */
struct open_item {
    struct list *list;
    struct attend_item item;
    uint32_t n_tiles;
};

static void close_item(struct open_item *o)
{
    struct list *l = o->list;
    if (!o->item.n_rows) return;
    const uint32_t t = o->n_tiles - 1;
    ((struct attend_item *)l->item[t].bytes)[l->n_items[t]++] = o->item;
    l->n_splits[t] += o->item.n_splits;
    o->item.first_row += o->item.n_rows;
    if (o->item.partial != NO_PARTIAL) o->item.partial += o->item.n_rows;
    o->item.n_rows = 0;
}

static void add_row(struct open_item *o, struct attend_row row)
{
    struct list *l = o->list;
    if (o->item.n_rows == ATTEND_ROWS * o->n_tiles) close_item(o);
    ((struct attend_row *)l->row.bytes)[l->n_rows++] = row;
    o->item.n_rows++;
}

static uint32_t tiles_for(uint32_t n_rows)
{
    return n_rows > ATTEND_ROWS ? MAX_ROW_TILES : 1;
}

/* One span's rows, each item through all its splits. */
static void walk_span(struct metal_backend *b, struct list *l, uint32_t index)
{
    const struct span *s = &b->batch.span[index];
    const struct span_work *w = &b->attention->span[index];
    const uint32_t group = group_of(&b->params), n_rows = s->n_cols * group;
    struct open_item o = {
        .list = l, .n_tiles = tiles_for(n_rows),
        .item = { .first_row = l->n_rows, .first_split = w->first_split,
                  .n_splits = w->end_split - w->first_split, .page_at = w->page_at,
                  .n_positions = end_of(s), .partial = NO_PARTIAL },
    };
    for (uint32_t i = 0; i < n_rows; i++) add_row(&o, row_of(s, l->window, i, group));
    close_item(&o);
}

/* Reserves the places of a span's partial results. False: it is better walked, or there are not
 * enough left. */
static bool begin_split(struct metal_backend *b, struct list *l, uint32_t index)
{
    const struct span *s = &b->batch.span[index];
    struct span_work *w = &b->attention->span[index];
    const uint32_t group = group_of(&b->params), n_splits = w->end_split - w->first_split;
    const uint64_t n = (uint64_t)s->n_cols * group * n_splits;
    if (s->n_cols >= WALKED_COLUMNS || n_splits == 1) return false;
    if (l->n_places + n > MAX_PARTIALS) return false;
    w->place_at = l->n_places;
    for (uint32_t i = 0; i < s->n_cols * group; i++)
        ((struct combine_row *)l->combine.bytes)[l->n_combined++] = (struct combine_row){
            s->first_col + i / group, i % group, l->n_places + i * n_splits, n_splits };
    l->n_places += (uint32_t)n;
    return true;
}

/* Whether both spans have the same pages at a split, complete before their first columns. */
static bool have_same_pages(const struct span *a, const struct span *b, uint32_t kv_group,
                            uint32_t split)
{
    const uint32_t end = (split + 1) * SPLIT;
    const uint32_t *page_a = a->page[kv_group] + (size_t)split * SPLIT_PAGES;
    const uint32_t *page_b = b->page[kv_group] + (size_t)split * SPLIT_PAGES;
    return a->first_pos >= end && b->first_pos >= end && *page_a == *page_b &&
           !memcmp(page_a, page_b, SPLIT_PAGES * sizeof *page_a);
}

/* One split for all spans in `member`: items whose rows may be of several streams. */
static void add_split(struct metal_backend *b, struct list *l, uint32_t split, uint32_t n_members)
{
    struct metal_attention *a = b->attention;
    const uint32_t group = group_of(&b->params);
    uint32_t n_rows = 0, n_positions = 0;
    for (uint32_t m = 0; m < n_members; m++) {
        const struct span *s = &b->batch.span[a->member[m]];
        n_rows += s->n_cols * group;
        n_positions = end_of(s) > n_positions ? end_of(s) : n_positions;
    }
    struct open_item o = {
        .list = l, .n_tiles = tiles_for(n_rows),
        .item = { .first_row = l->n_rows, .first_split = split, .n_splits = 1,
                  .page_at = a->span[a->member[0]].page_at, .n_positions = n_positions,
                  .partial = l->n_partials },
    };
    for (uint32_t m = 0; m < n_members; m++) {
        const struct span *s = &b->batch.span[a->member[m]];
        const struct span_work *w = &a->span[a->member[m]];
        for (uint32_t i = 0; i < s->n_cols * group; i++) {
            const uint32_t at =
                w->place_at + i * (w->end_split - w->first_split) + split - w->first_split;
            ((uint32_t *)l->place.bytes)[at] = l->n_partials++;
            add_row(&o, row_of(s, l->window, i, group));
        }
    }
    close_item(&o);
}

static bool has_split(const struct span_work *w, uint32_t split)
{
    return w->is_split && split >= w->first_split && split < w->end_split;
}

/* Fills `member` with span i and the later ones that share its pages at the split. */
static uint32_t gather(struct metal_backend *b, const struct list *l, uint32_t i, uint32_t split)
{
    struct metal_attention *a = b->attention;
    uint32_t n = 0;
    a->member[n++] = i;
    for (uint32_t k = i + 1; k < b->batch.n_spans && !a->span[i].is_alone; k++) {
        struct span_work *w = &a->span[k];
        if (w->is_alone || w->is_taken || !has_split(w, split)) continue;
        if (!have_same_pages(&b->batch.span[i], &b->batch.span[k], l->kv_group, split)) continue;
        w->is_taken = true;
        a->member[n++] = k;
    }
    a->span[i].is_alone = n == 1;   /* who shares nothing here shares nothing behind */
    return n;
}

/* The spans that are split, split by split; those that share its pages together. */
static void add_splits(struct metal_backend *b, struct list *l)
{
    struct span_work *w = b->attention->span;
    const uint32_t n_spans = b->batch.n_spans;
    uint32_t last = 0;
    for (uint32_t i = 0; i < n_spans; i++)
        if (w[i].is_split && w[i].end_split > last) last = w[i].end_split;
    for (uint32_t split = 0; split < last; split++) {
        for (uint32_t i = 0; i < n_spans; i++) w[i].is_taken = false;
        for (uint32_t i = 0; i < n_spans; i++)
            if (has_split(&w[i], split) && !w[i].is_taken)
                add_split(b, l, split, gather(b, l, i, split));
    }
}

static void build(struct metal_backend *b, struct list *l, const struct attention_params *p)
{
    struct metal_attention *a = b->attention;
    l->is_built = true;
    l->window = p->window;
    l->kv_group = p->kv_group;
    memset(l->n_items, 0, sizeof l->n_items);
    memset(l->n_splits, 0, sizeof l->n_splits);
    l->n_rows = l->n_combined = l->n_places = l->n_partials = 0;
    for (uint32_t i = 0; i < b->batch.n_spans; i++) {
        struct span_work *w = &a->span[i];
        find_splits(w, &b->batch.span[i], p->window);
        w->is_alone = false;
        w->is_split = begin_split(b, l, i);
        if (!w->is_split) walk_span(b, l, i);
    }
    add_splits(b, l);
}

/* The list for a layer; made when the step's first layer of its kind comes. Where all are taken by
 * other kinds, what was recorded with them is run first. */
static struct list *list_for(struct metal_backend *b, const struct attention_params *p)
{
    struct list *list = b->attention->step[b->at].list;
    for (struct list *l = list; l < list + N_LISTS; l++) {
        if (l->is_built && l->window == p->window && l->kv_group == p->kv_group) return l;
        if (l->is_built) continue;
        build(b, l, p);
        return l;
    }
    metal_run_so_far(b);
    for (int i = 1; i < N_LISTS; i++) list[i].is_built = false;
    build(b, list, p);
    return list;
}

/* ---- recording ------------------------------------------------------------------------------ */

/* Threadgroup memory of attend: see attention.metal. */
static uint32_t shared_bytes(uint32_t d_head, uint32_t n_tiles)
{
    const uint32_t n_rows = ATTEND_ROWS * n_tiles;
    return n_rows * SPLIT * (4 + 2) + n_rows * d_head * 2 + 4 * PAGE_TOKENS * 64 * 2 +
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
    const struct dims *d = &b->params.dims;
    const struct metal_kv *kv = &b->kv_layout;
    const struct attend_args args = {
        .d_head = d->d_head, .group = group_of(&b->params), .n_kv_heads = d->n_kv_heads,
        .ld_q = b->ld_q, .n_page_heads = metal_page_heads(b, params),
        .first_head = metal_first_head(b, params), .head_bytes = kv->head_bytes, .v_at = kv->v_at,
        .has_bias = bias != NULL,
        .is_interleaved = rope && rope->is_interleaved, .n_rot = rope ? rope->n_rot : 0,
        .has_sinks = w->sinks != NULL, .score_cap = params->score_cap * LOG2_E,
    };
    for (uint32_t t = 0; t < MAX_ROW_TILES; t++) {
        if (!l->n_items[t]) continue;
        const uint64_t n_positions = l->n_splits[t] * SPLIT * d->n_kv_heads;
        const struct metal_dispatch what = {
            .pipeline = a->attend[t],
            .buffer = { { &l->item[t], 0 }, { &l->row, 0 }, { page, 0 }, { &b->q_half, 0 },
                        { &b->kv, 0 }, { bias ? &bias->values : &b->q_half, 0 },
                        { rope ? &rope->cos_sin : &b->q_half, 0 }, { &b->att, 0 },
                        { &a->partial, 0 }, { &b->lanes, 0 }, { sinks, 0 } },
            .n_buffers = 11, .args = &args, .args_bytes = sizeof args,
            .n_groups = { l->n_items[t], d->n_kv_heads, 1 }, .n_threads = 4 * METAL_SIMDGROUP,
            .shared_bytes = shared_bytes(d->d_head, t + 1),
            .n_macs = n_positions * ATTEND_ROWS * (t + 1) * 2 * d->d_head,
            .n_read_bytes = n_positions * kv->head_bytes / PAGE_TOKENS,
        };
        metal_dispatch(b->device, &what);
    }
    if (l->n_combined) {
        const struct metal_buffer *buffers[] = { &l->combine, &l->place, &a->partial, &b->att,
                                                 sinks };
        metal_barrier(b->device);
        metal_record(b, a->combine, buffers, 5, &args, sizeof args, l->n_combined, d->n_kv_heads,
                     METAL_SIMDGROUP);
    }
    metal_end_operation(b, "attend");
}

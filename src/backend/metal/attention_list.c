#include "backend/metal/attention_list.h"

#include <string.h>

enum {
    WALKED_COLUMNS = 8,     /* a span of so many has items enough without splitting */
    SPLIT_PAGES = SPLIT / PAGE_TOKENS,
};

uint64_t attention_list_max_rows(uint32_t max_cols, uint32_t group)
{
    return MAX_PARTIALS + (uint64_t)max_cols * group;
}

static uint32_t end_of(const struct span *s)
{
    return s->first_pos + s->n_cols;
}

void attention_spans_begin(struct attention_spans *all, uint32_t *const *page, uint32_t n_kv_groups)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < all->batch->n_spans; i++) {
        const struct span *s = &all->batch->span[i];
        const uint32_t n_pages = (end_of(s) + PAGE_TOKENS - 1) / PAGE_TOKENS;
        for (uint32_t g = 0; g < n_kv_groups; g++)
            memcpy(page[g] + n, s->page[g], n_pages * sizeof *s->page[g]);
        all->work[i].page_at = n;
        n += n_pages;
    }
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
    struct attention_list *list;
    struct attend_item item;
    uint32_t n_tiles;
};

static void close_item(struct open_item *o)
{
    struct attention_list *l = o->list;
    if (!o->item.n_rows) return;
    const uint32_t t = o->n_tiles - 1;
    l->item[t][l->n_items[t]++] = o->item;
    l->n_splits[t] += o->item.n_splits;
    o->item.first_row += o->item.n_rows;
    if (o->item.partial != NO_PARTIAL) o->item.partial += o->item.n_rows;
    o->item.n_rows = 0;
}

static void add_row(struct open_item *o, struct attend_row row)
{
    struct attention_list *l = o->list;
    if (o->item.n_rows == ATTEND_ROWS * o->n_tiles) close_item(o);
    l->row[l->n_rows++] = row;
    o->item.n_rows++;
}

static uint32_t tiles_for(uint32_t n_rows, uint32_t max_tiles)
{
    return n_rows > ATTEND_ROWS ? max_tiles : 1;
}

/* One span's rows, each item through all its splits. */
static void walk_span(struct attention_spans *all, struct attention_list *l, uint32_t index)
{
    const struct span *s = &all->batch->span[index];
    const struct span_work *w = &all->work[index];
    const uint32_t group = all->group, n_rows = s->n_cols * group;
    struct open_item o = {
        .list = l, .n_tiles = tiles_for(n_rows, all->max_tiles),
        .item = { .first_row = l->n_rows, .first_split = w->first_split,
                  .n_splits = w->end_split - w->first_split, .page_at = w->page_at,
                  .n_positions = end_of(s), .partial = NO_PARTIAL },
    };
    for (uint32_t i = 0; i < n_rows; i++) add_row(&o, row_of(s, l->window, i, group));
    close_item(&o);
}

/* Reserves the places of a span's partial results. False: it is better walked, or there are not
 * enough left. */
static bool begin_split(struct attention_spans *all, struct attention_list *l, uint32_t index)
{
    const struct span *s = &all->batch->span[index];
    struct span_work *w = &all->work[index];
    const uint32_t group = all->group, n_splits = w->end_split - w->first_split;
    const uint64_t n = (uint64_t)s->n_cols * group * n_splits;
    if (s->n_cols >= WALKED_COLUMNS || n_splits == 1) return false;
    if (l->n_places + n > MAX_PARTIALS) return false;
    w->place_at = l->n_places;
    for (uint32_t i = 0; i < s->n_cols * group; i++)
        l->combine[l->n_combined++] = (struct combine_row){
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
static void add_split(struct attention_spans *all, struct attention_list *l, uint32_t split,
                      uint32_t n_members)
{
    const uint32_t group = all->group;
    uint32_t n_rows = 0, n_positions = 0;
    for (uint32_t m = 0; m < n_members; m++) {
        const struct span *s = &all->batch->span[all->member[m]];
        n_rows += s->n_cols * group;
        n_positions = end_of(s) > n_positions ? end_of(s) : n_positions;
    }
    struct open_item o = {
        .list = l, .n_tiles = tiles_for(n_rows, all->max_tiles),
        .item = { .first_row = l->n_rows, .first_split = split, .n_splits = 1,
                  .page_at = all->work[all->member[0]].page_at, .n_positions = n_positions,
                  .partial = l->n_partials },
    };
    for (uint32_t m = 0; m < n_members; m++) {
        const struct span *s = &all->batch->span[all->member[m]];
        const struct span_work *w = &all->work[all->member[m]];
        for (uint32_t i = 0; i < s->n_cols * group; i++) {
            const uint32_t at =
                w->place_at + i * (w->end_split - w->first_split) + split - w->first_split;
            l->place[at] = l->n_partials++;
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
static uint32_t gather(struct attention_spans *all, const struct attention_list *l, uint32_t i,
                       uint32_t split)
{
    uint32_t n = 0;
    all->member[n++] = i;
    for (uint32_t k = i + 1; k < all->batch->n_spans && !all->work[i].is_alone; k++) {
        struct span_work *w = &all->work[k];
        if (w->is_alone || w->is_taken || !has_split(w, split)) continue;
        if (!have_same_pages(&all->batch->span[i], &all->batch->span[k], l->kv_group, split))
            continue;
        w->is_taken = true;
        all->member[n++] = k;
    }
    all->work[i].is_alone = n == 1;   /* who shares nothing here shares nothing behind */
    return n;
}

/* The spans that are split, split by split; those that share its pages together. */
static void add_splits(struct attention_spans *all, struct attention_list *l)
{
    struct span_work *w = all->work;
    const uint32_t n_spans = all->batch->n_spans;
    uint32_t last = 0;
    for (uint32_t i = 0; i < n_spans; i++)
        if (w[i].is_split && w[i].end_split > last) last = w[i].end_split;
    for (uint32_t split = 0; split < last; split++) {
        for (uint32_t i = 0; i < n_spans; i++) w[i].is_taken = false;
        for (uint32_t i = 0; i < n_spans; i++)
            if (has_split(&w[i], split) && !w[i].is_taken)
                add_split(all, l, split, gather(all, l, i, split));
    }
}

void attention_list_build(struct attention_list *l, struct attention_spans *all, uint32_t window,
                          uint32_t kv_group, uint32_t group, uint32_t max_tiles)
{
    l->is_built = true;
    l->window = window;
    l->kv_group = kv_group;
    l->group = all->group = group;
    l->max_tiles = all->max_tiles = max_tiles;
    memset(l->n_items, 0, sizeof l->n_items);
    memset(l->n_splits, 0, sizeof l->n_splits);
    l->n_rows = l->n_combined = l->n_places = l->n_partials = 0;
    for (uint32_t i = 0; i < all->batch->n_spans; i++) {
        struct span_work *w = &all->work[i];
        find_splits(w, &all->batch->span[i], window);
        w->is_alone = false;
        w->is_split = begin_split(all, l, i);
        if (!w->is_split) walk_span(all, l, i);
    }
    add_splits(all, l);
}

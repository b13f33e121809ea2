/* How the Metal backend cuts a step's attention into items and records them, without a GPU: a
 * device that keeps what is recorded until it is run, as a GPU does, and then follows each row
 * through its items' splits and pages and its partial results. Page tables end where memory
 * does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/metal/attention.h"
#include "backend/metal/attention_list.h"
#include "backend/metal/recorder.h"
#include "base/rng.h"

enum { MAX_SPANS = 64, MAX_GROUP = 12, PLAN_COLS = 512, PLAN_PAGES = 64, MAX_RECORDED = 64,
       SPLIT_PAGES = SPLIT / PAGE_TOKENS, MAX_TAKEN = 64 };

/* ---- a device that only remembers ----------------------------------------------------------- */

struct metal_pipeline {
    uint32_t n_tiles;           /* of attend; 0: combine */
};

struct recorded {
    enum { DISPATCH, BARRIER, END } kind;
    struct metal_dispatch what;
    uint32_t window;            /* END: of the layer that ends */
};

static struct metal_pipeline pipelines[3] = { { 1 }, { 2 }, { 0 } };
static struct recorded recorded[MAX_RECORDED];
static uint32_t n_recorded, n_runs, window_now;
static void *taken[MAX_TAKEN];
static uint32_t n_taken;
static uint64_t n_taken_bytes;
static uint64_t n_row_splits, n_item_splits, n_written;     /* of what was run; partial results */

pl_status metal_buffer_take(struct metal_device *d, uint64_t n_bytes, const char *what,
                            struct metal_buffer *out, pl_err *err)
{
    (void)d, (void)what, (void)err;
    out->n_bytes = n_bytes;
    out->bytes = calloc(1, n_bytes);
    assert_true(out->bytes && n_taken < MAX_TAKEN);
    taken[n_taken++] = out->bytes;
    n_taken_bytes += n_bytes;
    return PL_OK;
}

pl_status metal_pipeline_get(struct metal_device *d, const char *name, const int32_t *constant,
                             uint32_t n_constants, struct metal_pipeline **out, pl_err *err)
{
    (void)d, (void)constant, (void)n_constants, (void)err;
    *out = &pipelines[!strcmp(name, "attend_1") ? 0 : !strcmp(name, "attend_2") ? 1 : 2];
    return PL_OK;
}

static struct recorded *record(int kind)
{
    assert_true(n_recorded < MAX_RECORDED);
    recorded[n_recorded] = (struct recorded){ .kind = kind, .window = window_now };
    return &recorded[n_recorded++];
}

void metal_dispatch(struct metal_device *d, const struct metal_dispatch *what)
{
    (void)d;
    assert_true(what->n_groups[0] && what->n_groups[1] && what->shared_bytes <= 32 * 1024);
    assert_int_equal(what->shared_bytes % 16, 0);
    record(DISPATCH)->what = *what;
}

void metal_barrier(struct metal_device *d)
{
    (void)d;
    record(BARRIER);
}

void metal_record(struct metal_backend *b, const struct metal_pipeline *pipeline,
                  const struct metal_buffer *const *buffer, uint32_t n_buffers, const void *args,
                  uint32_t args_bytes, uint32_t n_x, uint32_t n_y, uint32_t n_threads)
{
    struct metal_dispatch d = { .pipeline = pipeline, .n_buffers = n_buffers, .args = args,
                                .args_bytes = args_bytes, .n_groups = { n_x, n_y, 1 },
                                .n_threads = n_threads };
    for (uint32_t i = 0; i < n_buffers; i++) d.buffer[i].buffer = buffer[i];
    metal_dispatch(b->device, &d);
}

void metal_end_operation(struct metal_backend *b, const char *name)
{
    (void)b, (void)name;
    record(END);
}

/* ---- following rows ------------------------------------------------------------------------- */

struct partial {
    bool is_written, is_visible;        /* visible: written before the last barrier */
    uint32_t col, head, split;
};

static struct partial partials[MAX_PARTIALS];
static uint8_t n_results[PLAN_COLS][MAX_GROUP];

static uint32_t group_of(const struct backend_params *p)
{
    return p->dims.n_heads / p->dims.n_kv_heads;
}

static uint32_t end_of(const struct span *s)
{
    return s->first_pos + s->n_cols;
}

static const struct span *span_of(const struct metal_backend *b, uint32_t col)
{
    for (uint32_t i = 0; i < b->batch.n_spans; i++)
        if (col - b->batch.span[i].first_col < b->batch.span[i].n_cols) return &b->batch.span[i];
    fail_msg("column %u is in no span", col);
    return NULL;
}

/* The splits that a column at `pos` sees something of. */
static uint32_t first_split_of(uint32_t pos, uint32_t window)
{
    return (window && pos + 1 > window ? pos + 1 - window : 0) / SPLIT;
}

/* The span whose page table an item reads: they lie in a row. */
static const struct span *owner_of(const struct metal_backend *b, uint32_t page_at)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < b->batch.n_spans; i++) {
        if (at == page_at) return &b->batch.span[i];
        at += (end_of(&b->batch.span[i]) + PAGE_TOKENS - 1) / PAGE_TOKENS;
    }
    fail_msg("no page table begins at %u", page_at);
    return NULL;
}

/* An item must read what is written, and for each row the very pages that the row's stream has. */
static void follow_row(const struct metal_backend *b, const struct attend_item *item,
                       const struct attend_row *row, const uint32_t *pages, uint32_t window)
{
    const struct span *s = span_of(b, row->col);
    const uint32_t pos = s->first_pos + row->col - s->first_col;
    const uint32_t first = window && pos + 1 > window ? pos + 1 - window : 0;
    assert_int_equal(row->pos, pos);
    assert_int_equal(row->first_pos, first);
    assert_true(row->head < group_of(&b->params));
    for (uint32_t split = item->first_split; split < item->first_split + item->n_splits; split++)
        for (uint32_t page = split * SPLIT_PAGES; page < (split + 1) * SPLIT_PAGES; page++) {
            if (page * PAGE_TOKENS > pos || (page + 1) * PAGE_TOKENS <= first) continue;
            assert_true(page * PAGE_TOKENS < item->n_positions);
            assert_int_equal(pages[item->page_at + page], s->page[window != 0][page]);
        }
    assert_true(pos < item->n_positions || pos >= (item->first_split + item->n_splits) * SPLIT);
}

static void follow_item(const struct metal_backend *b, const struct metal_dispatch *d,
                        const struct attend_item *item, uint32_t window)
{
    const struct attend_row *rows = d->buffer[1].buffer->bytes;
    const uint32_t end_split = item->first_split + item->n_splits;
    const uint32_t read = item->n_positions < end_split * SPLIT ? item->n_positions
                                                                : end_split * SPLIT;
    assert_true(item->n_rows && item->n_rows <= ATTEND_ROWS * d->pipeline->n_tiles);
    const struct span *owner = owner_of(b, item->page_at);
    assert_true(item->n_splits && read <= end_of(owner));
    /* pages before that may be given back */
    assert_true(item->first_split >= first_split_of(owner->first_pos, window));
    n_item_splits += item->n_splits;
    assert_true((item->first_row + item->n_rows) * sizeof *rows <= d->buffer[1].buffer->n_bytes);
    for (uint32_t i = 0; i < item->n_rows; i++) {
        const struct attend_row *row = &rows[item->first_row + i];
        follow_row(b, item, row, d->buffer[2].buffer->bytes, window);
        n_row_splits += item->n_splits;
        if (item->partial == NO_PARTIAL) {      /* must see all splits of the row */
            assert_true(item->first_split <= first_split_of(row->pos, window));
            assert_true(end_split > row->pos / SPLIT);
            n_results[row->col][row->head]++;
            continue;
        }
        assert_true(item->partial + i < MAX_PARTIALS && item->n_splits == 1);
        struct partial *p = &partials[item->partial + i];
        assert_false(p->is_written);
        n_written++;
        *p = (struct partial){ true, false, row->col, row->head, item->first_split };
    }
}

/* Partial results of a row: of all its splits, in their order. Splits around them add nothing. */
static void follow_combined(const struct metal_backend *b, const struct combine_row *row,
                            const uint32_t *places, uint32_t window)
{
    const struct span *s = span_of(b, row->col);
    const uint32_t pos = s->first_pos + row->col - s->first_col;
    const struct partial *first = &partials[places[row->first_place]];
    for (uint32_t i = 0; i < row->n_places; i++) {
        const struct partial *p = &partials[places[row->first_place + i]];
        assert_true(p->is_visible && p->col == row->col && p->head == row->head);
        assert_int_equal(p->split, first->split + i);
    }
    assert_true(first->split <= first_split_of(pos, window));
    assert_true(first->split + row->n_places > pos / SPLIT);
    n_results[row->col][row->head]++;
}

static void follow_dispatch(const struct metal_backend *b, const struct metal_dispatch *d,
                            uint32_t window)
{
    const struct attend_item *items = d->buffer[0].buffer->bytes;
    const struct combine_row *rows = d->buffer[0].buffer->bytes;
    assert_int_equal(d->n_groups[1], b->params.dims.n_kv_heads);
    assert_true(d->n_groups[0] * (d->pipeline->n_tiles ? sizeof *items : sizeof *rows) <=
                d->buffer[0].buffer->n_bytes);
    for (uint32_t i = 0; i < d->n_groups[0]; i++)
        if (d->pipeline->n_tiles) follow_item(b, d, &items[i], window);
        else follow_combined(b, &rows[i], d->buffer[1].buffer->bytes, window);
}

/* After a layer each row has its result, once. */
static void end_layer(const struct metal_backend *b)
{
    for (uint32_t col = 0; col < b->batch.n_cols; col++)
        for (uint32_t head = 0; head < group_of(&b->params); head++)
            if (n_results[col][head] != 1)
                fail_msg("column %u head %u has %u results", col, head, n_results[col][head]);
    memset(n_results, 0, sizeof n_results);
    memset(partials, 0, sizeof partials);
}

uint64_t metal_run_so_far(struct metal_backend *b)
{
    n_runs++;
    for (uint32_t i = 0; i < n_recorded; i++) {
        if (recorded[i].kind == DISPATCH) follow_dispatch(b, &recorded[i].what, recorded[i].window);
        for (uint32_t k = 0; k < MAX_PARTIALS && recorded[i].kind == BARRIER; k++)
            partials[k].is_visible = partials[k].is_written;
        if (recorded[i].kind == END) end_layer(b);
    }
    n_recorded = 0;
    return 0;
}

/* ---- batches -------------------------------------------------------------------------------- */

struct bench {
    struct metal_backend b;
    struct vector bias;
    struct rope rope;
    struct span span[MAX_SPANS];
    void *table[2][MAX_SPANS];
    uint32_t n_next_page;
};

static struct bench *open_bench(uint32_t n_group)
{
    struct bench *t = calloc(1, sizeof *t);
    pl_err err;
    assert_non_null(t);
    t->b.params = (struct backend_params){
        .dims = { .d_head = 64, .n_heads = 2 * n_group, .n_kv_heads = 2, .n_layers = 1 },
        .max_cols = PLAN_COLS,
        .kv = { .n = 2, .group = { { .n_layers = 1, .n_pages = PLAN_PAGES },
                                   { .window = 700, .n_layers = 1, .n_pages = PLAN_PAGES } } },
    };
    t->b.kv_layout[0].head_bytes = 1024;
    t->b.places = kv_places_of(&t->b.params.kv, 2 * 1024, 0, &t->b.params.dims.mixer);
    n_taken = 0;
    n_taken_bytes = 0;
    assert_int_equal(metal_attention_open(&t->b, &err), PL_OK);
    assert_true(n_taken_bytes == metal_attention_bytes(&t->b.params));
    return t;
}

static size_t memory_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void free_tables(struct bench *t)
{
    for (uint32_t i = 0; i < 2 * t->b.batch.n_spans; i++)
        munmap(t->table[i % 2][i / 2], 2 * memory_page());
    t->b.batch = (struct batch){ 0 };
    t->n_next_page = 0;
}

static void close_bench(struct bench *t)
{
    free_tables(t);
    metal_attention_close(&t->b);
    while (n_taken) free(taken[--n_taken]);
    free(t);
}

/* A page table of span i of a KV group, whose first n_shared entries are span 0's. Behind it is no
 * memory. */
static const uint32_t *make_table(struct bench *t, uint32_t i, uint32_t g, uint32_t n_pages,
                                  uint32_t n_shared)
{
    uint8_t *memory = mmap(NULL, 2 * memory_page(), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANON, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_int_equal(mprotect(memory + memory_page(), memory_page(), PROT_NONE), 0);
    uint32_t *page = (uint32_t *)(memory + memory_page()) - n_pages;
    for (uint32_t k = 0; k < n_pages; k++)
        page[k] = i && k < n_shared ? t->span[0].page[g][k] : t->n_next_page++;
    t->table[g][i] = memory;
    return page;
}

/* One more span, whose first n_shared pages are span 0's. */
static void add_span(struct bench *t, uint32_t first_pos, uint32_t n_cols, uint32_t n_shared)
{
    const uint32_t i = t->b.batch.n_spans++;
    const uint32_t n_pages = (first_pos + n_cols + PAGE_TOKENS - 1) / PAGE_TOKENS;
    assert_true(i < MAX_SPANS);
    t->span[i] = (struct span){ .first_col = t->b.batch.n_cols, .n_cols = n_cols,
                                .first_pos = first_pos,
                                .page = { make_table(t, i, 0, n_pages, n_shared),
                                          make_table(t, i, 1, n_pages, n_shared) } };
    t->b.batch.span = t->span;
    t->b.batch.n_cols += n_cols;
}

static void run(struct bench *t, const uint32_t *window, uint32_t n_windows)
{
    n_row_splits = n_item_splits = n_written = n_runs = 0;
    metal_attention_begin(&t->b);
    for (uint32_t i = 0; i < n_windows; i++) {
        window_now = window[i];
        const struct qkv_weights w = { .k.bias = i % 2 ? &t->bias : NULL };
        metal_attend(&t->b.base, &w,
                     &(struct attention_params){ .rope = &t->rope, .window = window[i],
                                                 .kv_group = window[i] != 0 });
    }
    metal_run_so_far(&t->b);
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* A step of random spans, of layers with more windows than lists are kept of, in any order. */
static void random_step(struct bench *t, struct rng *r, const uint32_t windows[3])
{
    const uint32_t n_spans = 1 + (uint32_t)rng_below(r, 12);
    uint32_t order[6];
    for (int i = 0; i < 6; i++) order[i] = windows[rng_below(r, 3)];
    for (uint32_t i = 0; i < n_spans; i++) {
        const uint32_t n_cols = rng_below(r, 2) ? 1 : 1 + (uint32_t)rng_below(r, 20);
        const uint32_t first_pos = (uint32_t)rng_below(r, 700), of_first = t->span[0].first_pos;
        const uint32_t most = i && of_first < first_pos ? of_first : first_pos;
        add_span(t, first_pos, n_cols,
                 rng_below(r, 3) ? (uint32_t)rng_below(r, most / PAGE_TOKENS + 1) : 0);
    }
    run(t, order, 6);
    free_tables(t);
}

static void each_row_gets_what_it_sees_once(void **state)
{
    (void)state;
    static const uint32_t groups[] = { 1, 2, 3, 5, 7, 8, 12 };
    struct rng r;
    rng_seed(&r, 17);
    for (int n = 0; n < 100; n++) {
        struct bench *t = open_bench(groups[n % 7]);
        const uint32_t windows[] = { 0, 1 + (uint32_t)rng_below(&r, 700),
                                     1 + (uint32_t)rng_below(&r, 200) };
        for (int step = 0; step < 4; step++) random_step(t, &r, windows);
        close_bench(t);
    }
}

/* Streams that share all pages but the last few: those are read by one item in sixteen rows. */
static void shared_splits_are_read_together(void **state)
{
    (void)state;
    enum { N = 10, GROUP = 4, SHARED_SPLITS = 4 };
    const uint32_t window = 0;
    struct bench *t = open_bench(GROUP);
    for (uint32_t i = 0; i < N; i++)
        add_span(t, SHARED_SPLITS * SPLIT + 3 + i, 1, SHARED_SPLITS * SPLIT_PAGES);
    run(t, &window, 1);
    assert_true(n_row_splits == N * GROUP * (SHARED_SPLITS + 1));
    assert_true(n_item_splits == SHARED_SPLITS * ((N * GROUP + 15) / 16) + N);
    close_bench(t);
}

/* More rows times splits than there is room for: none is lost, and the room is used. */
static void rows_walk_when_room_runs_out(void **state)
{
    (void)state;
    const uint32_t window = 0;
    struct bench *t = open_bench(MAX_GROUP);
    for (uint32_t i = 0; i < MAX_SPANS; i++) add_span(t, 600 + i, 7, 0);
    run(t, &window, 1);
    assert_true(n_written > MAX_PARTIALS - 7 * MAX_GROUP * 6);
    close_bench(t);
}

/* Lists that the GPU may still read are not written: what was recorded with them runs first, and
 * only where there are more windows than lists. */
static void lists_are_kept_until_run(void **state)
{
    (void)state;
    static const uint32_t two[] = { 0, 100, 0, 100, 0 }, three[] = { 0, 100, 200, 0, 100 };
    struct bench *t = open_bench(3);
    add_span(t, 500, 2, 0);
    add_span(t, 300, 9, 0);
    run(t, two, 5);
    assert_int_equal(n_runs, 1);
    run(t, three, 5);
    assert_true(n_runs > 1);
    close_bench(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_gets_what_it_sees_once),
        cmocka_unit_test(shared_splits_are_read_together),
        cmocka_unit_test(rows_walk_when_room_runs_out),
        cmocka_unit_test(lists_are_kept_until_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

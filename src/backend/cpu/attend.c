#include "backend/cpu/attend.h"

#include <math.h>

#include "backend/cpu/kernels/attention_walk.h"

enum { TILE_PAGES = 16 };   /* 128 KiB of f16 for heads of 128 dimensions */

/* Holds `walk` back and runs the one held back before. */
static void push(struct attend_runner *a, const struct attend_walk *walk)
{
    struct attend_walk *held = &a->walk[(a->n_walks + 1) % 2];
    struct attend_walk *now = &a->walk[a->n_walks % 2];
    *now = *walk;
    if (a->n_walks++) {
        held->next = now;
        a->k->walk(held);
    }
}

void attend_end(struct attend_runner *a)
{
    if (a->n_walks) a->k->walk(&a->walk[(a->n_walks - 1) % 2]);
    a->n_walks = 0;
}

static struct attend_walk walk_of(const struct attend_job *j, uint32_t first_page,
                                  uint32_t end_page)
{
    return (struct attend_walk){
        .layout = j->layout, .key_bias = j->key_bias, .window = j->window,
        .score_cap = j->score_cap, .kv = j->kv, .page_stride = j->page_stride,
        .first_page = first_page, .end_page = end_page,
    };
}

static uint32_t n_rows_of(const struct attend_job *j)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < j->n_parts; i++) n += j->part[i].n_cols * j->n_heads;
    return n;
}

/* Row `row` of a part; *state is the room of the part's first row. */
static struct attend_row row_of(const struct attend_job *j, const struct attend_part *part,
                                uint32_t row, struct attend_state *state)
{
    const uint32_t col = row / j->n_heads, head = row % j->n_heads;
    const size_t at = col * j->ld + (size_t)head * j->layout->d_head;
    return (struct attend_row){ part->q + at, part->out + at, state + row, part->first_pos + col,
                                j->sinks ? j->sinks[head] * LOG2_E : -INFINITY };
}

/* One walk of rows [first, end) of the job, over pages that all parts have. */
static void push_shared(struct attend_runner *a, const struct attend_job *j, uint32_t first,
                        uint32_t end, struct attend_walk walk)
{
    uint32_t before = 0;        /* rows of earlier parts */
    walk.page = j->part[0].page;
    for (uint32_t i = 0; i < j->n_parts && before < end; i++) {
        const struct attend_part *part = &j->part[i];
        const uint32_t n = part->n_cols * j->n_heads;
        for (uint32_t row = first > before ? first - before : 0; row < n && before + row < end;
             row++)
            walk.row[walk.n_rows++] = row_of(j, part, row, a->state + before);
        before += n;
    }
    push(a, &walk);
}

/* Pages from `start` to the end of the shared ones, tile by tile. */
static void run_shared(struct attend_runner *a, const struct attend_job *j, uint32_t start,
                       uint32_t n_rows)
{
    const uint32_t most = a->k->max_walk_rows, n_blocks = (n_rows + most - 1) / most;
    for (uint32_t page = start; page < j->n_shared; page += TILE_PAGES) {
        const uint32_t left = j->n_shared - page;
        struct attend_walk walk = walk_of(j, page, page + (left < TILE_PAGES ? left : TILE_PAGES));
        walk.is_first = page == start;
        for (uint32_t i = 0; i < n_blocks; i++)
            push_shared(a, j, n_rows * i / n_blocks, n_rows * (i + 1) / n_blocks, walk);
    }
}

/* A part's pages from `start` on, or from where its rows begin to see. Rows are split evenly: 8 as
 * 4 + 4, not 7 + 1. */
static void run_part(struct attend_runner *a, const struct attend_job *j,
                     const struct attend_part *part, struct attend_state *state, uint32_t start,
                     bool is_first)
{
    const uint32_t n_rows = part->n_cols * j->n_heads, most = a->k->max_walk_rows;
    const uint32_t n_blocks = (n_rows + most - 1) / most;
    for (uint32_t i = 0; i < n_blocks; i++) {
        const uint32_t first = n_rows * i / n_blocks, end = n_rows * (i + 1) / n_blocks;
        const uint32_t first_pos = part->first_pos + first / j->n_heads;
        const uint32_t last_pos = part->first_pos + (end - 1) / j->n_heads;
        const uint32_t seen = walk_start(window_start(first_pos, j->window));
        struct attend_walk walk = walk_of(j, seen > start ? seen : start,
                                          last_pos / PAGE_TOKENS + 1);
        walk.page = part->page;
        walk.is_first = is_first;
        walk.is_last = true;
        for (uint32_t row = first; row < end; row++)
            walk.row[walk.n_rows++] = row_of(j, part, row, state);
        push(a, &walk);
    }
}

void attend_run(struct attend_runner *a, const struct attend_job *j)
{
    const uint32_t n_rows = n_rows_of(j);
    uint32_t start = j->n_shared;       /* of the shared pages: where the first row begins to see */
    for (uint32_t i = 0; i < j->n_parts; i++) {
        const uint32_t seen = walk_start(window_start(j->part[i].first_pos, j->window));
        start = seen < start ? seen : start;
    }
    /* rows that walk together anyway gain nothing */
    const bool is_shared = start < j->n_shared && n_rows > a->k->max_walk_rows;
    if (is_shared) run_shared(a, j, start, n_rows);

    struct attend_state *state = a->state;
    for (uint32_t i = 0; i < j->n_parts; i++) {
        run_part(a, j, &j->part[i], state, is_shared ? j->n_shared : 0, !is_shared);
        state += j->part[i].n_cols * j->n_heads;
    }
}

/* What attention does with the rows of a walk where up to MAX_ROWS of them share every load, for
 * registers of LANES floats. The including file has defined LANES, vf, set1_f load_f store_f fma_f,
 * sum_lanes (of a register, in its order), MAX_ROWS, struct rows, and
 *     walk_chunk(w, rows, page, last, n_rows)     the chunk that begins with the page */
#ifndef BACKEND_CPU_KERNELS_ATTENTION_ROWS_H
#define BACKEND_CPU_KERNELS_ATTENTION_ROWS_H

INLINE void begin_row(const struct attend_row *row, uint32_t d_head)
{
    struct attend_state *s = row->state;
    s->max = row->sink;
    store_f(s->total, set1_f(0));
    s->total[0] = row->sink > -INFINITY;
    for (uint32_t d = 0; d < d_head; d += LANES) store_f(s->out + d, set1_f(0));
}

/* Adding 0 makes -0 a 0: which of them a sum of nothing is may depend on other rows. */
INLINE void end_row(const struct attend_row *row, uint32_t d_head)
{
    const vf inverse = set1_f(1.0f / sum_lanes(load_f(row->state->total)));
    for (uint32_t d = 0; d < d_head; d += LANES)
        store_f(row->out + d, fma_f(load_f(row->state->out + d), inverse, set1_f(0)));
}

INLINE void walk_rows(const struct attend_walk *w, const int n_rows)
{
    const uint32_t d_head = w->layout->d_head, last = last_seen(w);
    struct rows r;

    for (int i = 0; i < n_rows; i++) {
        const struct attend_row *row = &w->row[i];
        r.q[i] = row->q;
        r.state[i] = row->state;
        r.last[i] = row->pos;
        r.first[i] = window_start(row->pos, w->window);
        if (w->is_first) begin_row(row, d_head);
    }
    for (uint32_t page = w->first_page; page < w->end_page; page += CHUNK_PAGES)
        walk_chunk(w, &r, page, last, n_rows);
    for (int i = 0; i < n_rows && w->is_last; i++) end_row(&w->row[i], d_head);
}

#define DEFINE_ROWS(n)                                                                             \
    static __attribute__((noinline)) void walk_##n(const struct attend_walk *w)                    \
    {                                                                                              \
        walk_rows(w, n);                                                                           \
    }

#endif

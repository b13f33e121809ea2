/* What the attention of every instruction set shares: the pages of a walk, those AHEAD_PAGES
 * further on being fetched beside the arithmetic. */
#ifndef BACKEND_CPU_KERNELS_ATTENTION_WALK_H
#define BACKEND_CPU_KERNELS_ATTENTION_WALK_H

#include "backend/cpu/kernels/inlining.h"
#include "backend/cpu/kernels.h"

enum { CHUNK_PAGES = 2, CHUNK_TOKENS = CHUNK_PAGES * PAGE_TOKENS, AHEAD_PAGES = 3 };

/* Where the walk of a row begins that sees from position `first` on: a chunk's first page. */
INLINE uint32_t walk_start(uint32_t first)
{
    return first / CHUNK_TOKENS * CHUNK_PAGES;
}

INLINE const uint8_t *page_of(const struct attend_walk *w, uint32_t page)
{
    return w->kv + w->page[page] * w->page_stride;
}

/* The page AHEAD_PAGES after `page`: where this walk ends, those of the next one follow. Stopping
 * the fetches at the end of a stream costs a third of the speed at short contexts. */
INLINE const uint8_t *page_ahead(const struct attend_walk *w, uint32_t page)
{
    const uint32_t later = page + AHEAD_PAGES;
    if (later < w->end_page) return page_of(w, later);
    const struct attend_walk *next = w->next;
    if (!next) return page_of(w, w->end_page - 1);
    const uint32_t place = next->first_page + later - w->end_page;
    return page_of(next, place < next->end_page ? place : next->end_page - 1);
}

/* The latest position that any row sees. */
INLINE uint32_t last_seen(const struct attend_walk *w)
{
    uint32_t last = w->row[0].pos;
    for (uint32_t i = 1; i < w->n_rows; i++) last = w->row[i].pos > last ? w->row[i].pos : last;
    return last;
}

#endif

/* What the attention of every instruction set wider than scalar shares: the rows of a job and the
 * pages it walks, those AHEAD_PAGES further on being fetched beside the arithmetic. */
#ifndef BACKEND_CPU_ATTENTION_WALK_H
#define BACKEND_CPU_ATTENTION_WALK_H

#include "backend/cpu/inlining.h"
#include "backend/cpu/kernels.h"

enum { CHUNK_PAGES = 2, CHUNK_TOKENS = CHUNK_PAGES * PAGE_TOKENS, AHEAD_PAGES = 3 };

/* The first position that one at `pos` sees. */
INLINE uint32_t first_seen(uint32_t pos, uint32_t window)
{
    return window && pos + 1 > window ? pos + 1 - window : 0;
}

/* Where the walk of a row begins that sees from position `first` on: a chunk's first page. */
INLINE uint32_t walk_start(uint32_t first)
{
    return first / CHUNK_TOKENS * CHUNK_PAGES;
}

INLINE const uint8_t *page_of(const struct attend_job *j, uint32_t page)
{
    return j->kv + j->page[page] * j->page_stride;
}

/* The page AHEAD_PAGES after `page`: where this job ends, those of the next one follow. Stopping
 * the fetches at the end of a stream costs a third of the speed at short contexts. */
INLINE const uint8_t *page_ahead(const struct attend_job *j, uint32_t page, uint32_t last_page)
{
    const uint32_t later = page + AHEAD_PAGES;
    if (later <= last_page) return page_of(j, later);
    const struct attend_job *next = j->next;
    if (!next) return page_of(j, last_page);
    const uint32_t n_over = later - last_page - 1;
    const uint32_t first = walk_start(first_seen(next->first_pos, next->window)) + n_over;
    const uint32_t last = (next->first_pos + next->n_cols - 1) / PAGE_TOKENS;
    return page_of(next, first < last ? first : last);
}

#endif

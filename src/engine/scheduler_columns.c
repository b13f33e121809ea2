/* A sequence's next columns enter a step. */
#include <assert.h>

#include "engine/scheduler_internal.h"

/* Of the last n of the columns that were just added for a sequence. */
static void add_output(struct batch *b, struct output *to, struct seq *q, uint32_t n)
{
    *to = (struct output){ .kind = q->hidden ? OUTPUT_HIDDEN : OUTPUT_LOGITS,
                           .span = b->n_spans - 1, .first_col = b->n_cols - n, .n_cols = n,
                           .first_row = b->n_rows };
    b->n_outputs++;
    b->n_rows += output_n_rows(to);
    q->row = b->n_rows - 1;     /* nobody asks for it who wants hidden rows: no token follows */
}

/* Of positions [first, end), the last ones. */
static uint32_t n_outputs_wanted(const struct seq *q, uint32_t first, uint32_t end)
{
    if (!seq_wants_every_column(q)) return end >= q->n_tokens;
    if (first < q->n_reached) first = q->n_reached;
    return first < end ? end - first : 0;
}

static void count_columns(struct step *p, const struct seq *q, uint32_t first, uint32_t end)
{
    const uint32_t again = end < q->n_reached ? end : q->n_reached;
    const uint32_t prompt_end = end < q->n_prompt ? end : q->n_prompt;
    if (first < again) {
        p->n_recomputed_cols += again - first;
        first = again;
    }
    if (first < prompt_end) p->n_prompt_cols += prompt_end - first;
}

void scheduler_add_span(struct scheduler *s, struct step *p, struct seq *q, uint32_t n)
{
    struct batch *b = &p->batch;
    const uint32_t first_pos = q->n_issued, end = first_pos + n;

    while (q->n_pages * PAGE_TOKENS < end) scheduler_take_page(s, q);

    p->span_seq[b->n_spans] = q;
    struct span *span = &p->span[b->n_spans++];
    *span = (struct span){
        .first_col = b->n_cols, .n_cols = n, .first_pos = first_pos,
        .slot = q->slot, .n_pages = q->n_pages, .n_new_pages = q->n_pages - q->n_told_pages
    };
    for (uint32_t g = 0; g < s->params.kv.n; g++) {
        assert(kv_pool_is_writable(s->pool[g], q->page[g][first_pos / PAGE_TOKENS])); /* I4 */
        span->page[g] = q->page[g];
    }
    q->n_told_pages = q->n_pages;
    scheduler_add_state(s, q, span);
    for (uint32_t pos = first_pos; pos < end; pos++) {
        const bool is_known = pos < q->n_tokens;    /* else the step in flight picks it */
        p->token[b->n_cols] = is_known ? q->token[pos] : -1 - (int32_t)q->row;
        p->pos[b->n_cols++] = pos;
    }
    const uint32_t n_wanted = n_outputs_wanted(q, first_pos, end);
    if (n_wanted) add_output(b, &p->output[b->n_outputs], q, n_wanted);
    count_columns(p, q, first_pos, end);
    q->n_issued = end;
}

/* From rows of logits to tokens: on the backend's threads, or by the backend itself. */
#include <string.h>

#include "engine/engine.h"
#include "engine/row.h"

void engine_fill_picks(struct pl_engine *e, struct flight *f)
{
    const bool can_pick = e->backend->ops->start != NULL;
    f->is_all_picked = can_pick;
    for (uint32_t i = 0; i < f->step.batch.n_outs; i++) {
        struct pl_stream *s = stream_of(f->step.out_seq[i]);
        f->pick[i] = (struct pick){ 0 };
        if (can_pick && !s->score && !s->logprobs && !s->n_top)
            f->pick[i] = sampler_delegate(&s->sampler);
        f->is_all_picked = f->is_all_picked && f->pick[i].is_by_backend;
    }
    f->step.batch.pick = f->pick;
}

static uint32_t claim_room(struct sample_room *rooms)
{
    for (uint32_t i = 0;; i = (i + 1) % rooms->n_rooms) {
        bool is_free = false;
        if (atomic_compare_exchange_strong_explicit(&rooms->is_taken[i], &is_free, true,
                                                    memory_order_acquire, memory_order_relaxed))
            return i;
    }
}

_Static_assert((int)ROW_BLOCK == LOGIT_BLOCK, "the backend measures the blocks of a row");

static void score_row(struct pl_stream *s, uint32_t pos, const struct row *row)
{
    const struct score_job *job = s->score;
    const bool has_next = pos + 1 < s->seq.n_prompt;
    const float nll = sampler_score(row, has_next ? s->seq.token[pos + 1] : -1,
                                    job->n_top, job->top + (size_t)pos * job->n_top);
    if (has_next) job->nll[pos] = nll;
}

/* On any of the backend's threads. Never more of them than rooms, so a room is free soon. */
void engine_sample_row(void *arg, uint32_t out, float *logits, float *largest)
{
    struct pl_engine *e = arg;
    struct pl_stream *s = stream_of(e->step->out_seq[out]);
    const uint32_t n_vocab = e->plan.public.n_vocab;
    const struct row row = { logits, largest, n_vocab };
    if (s->score) {
        score_row(s, e->step->out_pos[out], &row);
        return;
    }
    const uint32_t room = claim_room(&e->rooms);
    sampler_pick(&s->sampler, &row, s->seq.token, s->seq.n_tokens, s->logprobs, s->n_top,
                 e->rooms.scratch + room * sampler_scratch_n(n_vocab), &e->sampled[out]);
    atomic_store_explicit(&e->rooms.is_taken[room], false, memory_order_release);
}

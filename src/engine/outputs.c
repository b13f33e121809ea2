#include "engine/outputs.h"

#include <string.h>

#include "engine/chain.h"
#include "engine/ending.h"
#include "engine/pick.h"
#include "engine/reply.h"
#include "engine/row.h"
#include "engine/sampler.h"
#include "engine/thought.h"

/* ---- room ----------------------------------------------------------------------------------- */

static uint32_t claim_room(struct sample_rooms *rooms)
{
    for (uint32_t i = 0;; i = (i + 1) % rooms->n_rooms) {
        bool is_free = false;
        if (atomic_compare_exchange_strong_explicit(&rooms->is_taken[i], &is_free, true,
                                                    memory_order_acquire, memory_order_relaxed))
            return i;
    }
}

static void leave_room(struct sample_rooms *rooms, uint32_t room)
{
    atomic_store_explicit(&rooms->is_taken[room], false, memory_order_release);
}

static struct pick_room pick_room(const struct sample_rooms *rooms, uint32_t room)
{
    return (struct pick_room){ .seat = rooms->seat + (size_t)room * rooms->n_vocab,
                               .touch = rooms->touch + (size_t)room * rooms->max_touched,
                               .max_touched = rooms->max_touched };
}

/* ---- picks ---------------------------------------------------------------------------------- */

static struct pick pick_of(const struct pl_stream *s, uint32_t n_vocab, uint32_t pos, int32_t last,
                           const struct pick_room *room)
{
    struct pick pick = pick_make(&s->sampling, n_vocab, s->seq.token, pos + 1, last, room);
    ending_forbid(&s->ending, &s->engine->text, pos + 1 - s->seq.n_prompt, &pick, room);
    pick.wants_logprob = s->logprobs;
    pick.n_top = s->n_top;
    return pick;
}

/* Not of a score, nor where too much is touched, nor of a filter that the sampler alone has, nor by
 * a chain, nor under a grammar, nor where thoughts have a measure: the stream decides, not who is
 * beside it. */
static struct pick pick_for_backend(struct pl_engine *e, const struct pl_stream *s,
                                    const struct batch *batch, const struct output *o,
                                    uint32_t *seat)
{
    const struct pick_room room = { seat, e->touch + (size_t)o->first_row * e->max_touched,
                                    e->max_touched };
    struct pick pick = pick_of(s, e->plan.public.n_vocab, batch->pos[o->first_col],
                               batch->token[o->first_col], &room);
    pick.is_by_backend =
        pick.n_touched <= room.max_touched && !(pick.typical_p < 1) && !s->sampling.n_order &&
        !s->constraint && !s->thought.n_end;
    return pick;
}

void outputs_fill_picks(struct pl_engine *e, struct step *step)
{
    struct batch *batch = &step->batch;
    step->is_all_picked = plan_runs_ahead(&e->plan);
    if (!step->is_all_picked) return;
    const uint32_t room = claim_room(&e->rooms);
    uint32_t *seat = pick_room(&e->rooms, room).seat;
    memset(step->pick, 0, batch->n_rows * sizeof *step->pick);
    for (uint32_t i = 0; i < batch->n_outputs; i++) {
        const struct output *o = &batch->output[i];
        const struct pl_stream *s = step_seq(step, i) ? stream_of(step_seq(step, i)) : NULL;
        if (o->kind == OUTPUT_HIDDEN) {     /* it has no row, and nothing follows on it */
            step->is_all_picked = false;
            continue;
        }
        struct pick *pick = &step->pick[o->first_row];
        if (s && !s->score) *pick = pick_for_backend(e, s, batch, o, seat);
        step->is_all_picked = step->is_all_picked && pick->is_by_backend;
    }
    leave_room(&e->rooms, room);
    batch->pick = step->pick;
}

/* ---- from rows of logits -------------------------------------------------------------------- */

_Static_assert((int)ROW_BLOCK == LOGIT_BLOCK, "the backend measures the blocks of a row");

static void score_row(struct pl_stream *s, uint32_t pos, const struct row *row)
{
    const struct score_job *job = s->score;
    const bool has_next = pos + 1 < s->seq.n_prompt;
    if (job->logits && !has_next) memcpy(job->logits, row->x, row->n * sizeof *job->logits);
    if (!job->nll) return;
    const float nll = sampler_score(row, has_next ? s->seq.token[pos + 1] : -1,
                                    job->n_top, job->top + (size_t)pos * job->n_top);
    if (has_next) job->nll[pos] = nll;
}

/* False: no token may come, and out says so. */
static bool get_mask(struct constraint *c, const uint32_t **mask, struct picked *out)
{
    *mask = NULL;
    const enum matcher_next next = c ? constraint_wait(c, mask) : MATCHER_GOES_ON;
    if (next == MATCHER_GOES_ON || next == MATCHER_MAY_END) return true;
    *out = (struct picked){ .token = next == MATCHER_COMPLETE ? PICKED_COMPLETE : -1 };
    return false;
}

static const char *token_bytes(const void *tokenizer, int32_t token, size_t *n_bytes)
{
    return tokenizer_bytes(tokenizer, token, n_bytes);
}

/* What mirostat would have next stays beside what it has: the step may be computed again. */
static void pick_by_chain(struct pl_stream *s, uint32_t pos, const struct row *row,
                          struct pick *pick, const struct pick_room *room,
                          struct candidate *scratch, struct picked *out)
{
    const struct dry_text text = { s->seq.token, pos + 1, token_bytes, s->engine->text.tokenizer };
    struct chain chain;
    chain_open(&chain, &s->sampling, s->mu, &text, scratch, row->n, pick, room);
    sampler_pick(pick, row, scratch, out);
    s->next_mu = chain.next_mu;
    chain_close(pick, room);
}

static void pick_row(struct pl_engine *e, struct pl_stream *s, uint32_t pos, const struct row *row,
                     struct picked *out)
{
    const uint32_t *mask;
    if (!get_mask(s->constraint, &mask, out)) return;
    const uint32_t i = claim_room(&e->rooms);
    const struct pick_room room = pick_room(&e->rooms, i);
    struct candidate *scratch = e->rooms.scratch + (size_t)i * row->n;
    struct pick pick = pick_of(s, row->n, pos, s->seq.token[pos], &room);
    thought_force(&s->thought, s->seq.token + s->seq.n_prompt, pos + 1 - s->seq.n_prompt, &pick,
                  &room);
    pick.mask = mask;
    if (s->sampling.n_order) pick_by_chain(s, pos, row, &pick, &room, scratch, out);
    else sampler_pick(&pick, row, scratch, out);
    leave_room(&e->rooms, i);
}

/* On any of the backend's threads. Never more of them than rooms, so a room is free soon. */
void outputs_sample(void *arg, uint32_t output, const struct logit_rows *rows)
{
    const struct step *step = arg;
    const struct output *o = &step->batch.output[output];
    if (!step_seq(step, output)) return;    /* it left while the step was computed */
    struct pl_stream *s = stream_of(step_seq(step, output));
    struct pl_engine *e = s->engine;
    if (s->embed) {
        embed_job_take(s->embed, step->batch.pos[o->first_col], rows, o->n_cols);
        return;
    }
    for (uint32_t i = 0; i < o->n_cols; i++) {
        const struct row row = { rows->logits + i * rows->ld_logits,
                                 rows->largest + i * rows->ld_largest, e->plan.public.n_vocab };
        const uint32_t pos = step->batch.pos[o->first_col + i];
        if (s->score && pos < s->seq.n_prompt) score_row(s, pos, &row);
        if (s->has_reply && pos + 1 >= s->seq.n_prompt)
            pick_row(e, s, pos, &row, &e->picked[o->first_row + i]);
    }
}

#include "engine/engine_arrays.h"

#include <stdlib.h>

#include "base/workspace.h"
#include "engine/pick.h"

/* What a pick may touch to be the backend's. */
static size_t max_for_backend(const struct plan *p)
{
    const uint32_t most = pick_max_touched(p->public.n_vocab, p->streams.max_tokens);
    return most < p->ops->max_touched ? most : p->ops->max_touched;
}

static struct workspace workspace_of(struct pl_engine *e, const struct plan *p)
{
    const size_t n_rooms = p->public.n_threads, n_vocab = p->public.n_vocab;
    const size_t max_touched = pick_max_touched(p->public.n_vocab, p->streams.max_tokens);
    const size_t max_outs = p->backend[p->homes.n - 1].max_outs;
    const size_t n_touch = plan_runs_ahead(p) ? max_outs * max_for_backend(p) : 1;
    const size_t n_x = p->homes.n > 1 ? (size_t)p->public.step_tokens * p->public.d_model : 1;
    const char *what = "the engine";
    struct workspace w = { 0 };
    workspace_want(&w, what, p->streams.n_objects * sizeof *e->live, &e->live);
    workspace_want(&w, what, turns_entries(p->streams.n_objects) * sizeof *e->flow, &e->flow);
    workspace_want(&w, what, max_outs * sizeof *e->picked, &e->picked);
    workspace_want(&w, what, n_touch * sizeof *e->touch, &e->touch);
    workspace_want(&w, what, p->public.n_streams * sizeof *e->half_span, &e->half_span);
    workspace_want(&w, what, p->public.n_streams * sizeof *e->half_output, &e->half_output);
    workspace_want(&w, what, n_x * sizeof *e->x, &e->x);
    workspace_want(&w, what, n_rooms * n_vocab * sizeof *e->rooms.scratch, &e->rooms.scratch);
    workspace_want(&w, what, n_rooms * n_vocab * sizeof *e->rooms.seat, &e->rooms.seat);
    workspace_want(&w, what, n_rooms * max_touched * sizeof *e->rooms.touch, &e->rooms.touch);
    workspace_want(&w, what, n_rooms * sizeof *e->rooms.is_taken, &e->rooms.is_taken);
    workspace_want(&w, what, STOP_MAX_BYTES + p->streams.max_text_bytes, &e->reply_text);
    workspace_want(&w, what, p->public.n_streams * sizeof *e->slot, &e->slot);
    return w;
}

uint64_t engine_own_bytes(const struct plan *p)
{
    struct pl_engine nowhere;
    const struct workspace w = workspace_of(&nowhere, p);
    return sizeof(struct pl_engine) + workspace_bytes(&w);
}

pl_status engine_take_arrays(struct pl_engine *e, pl_err *err)
{
    const struct plan *p = &e->plan;
    e->rooms.n_rooms = p->public.n_threads;
    e->max_touched = (uint32_t)max_for_backend(p);
    e->rooms.n_vocab = p->public.n_vocab;
    e->rooms.max_touched = pick_max_touched(p->public.n_vocab, p->streams.max_tokens);
    const struct workspace w = workspace_of(e, p);
    e->arrays = workspace_take(&w);
    if (e->arrays) {
        turns_open(&e->turns, e->flow, turns_entries(p->streams.n_objects));
        return PL_OK;
    }
    return pl_fail(err, PL_E_MEMORY, "no memory for %llu bytes of sampling and stream tables",
                   (unsigned long long)engine_own_bytes(p));
}

void engine_free_arrays(struct pl_engine *e)
{
    free(e->arrays);
}

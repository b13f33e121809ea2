#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/self_test.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/cpu_isa.h"
#include "base/log.h"
#include "engine/engine_arrays.h"
#include "engine/engine_wake.h"
#include "engine/model_hash.h"
#include "engine/overrides.h"

/* ---- memory --------------------------------------------------------------------------------- */

static void copy_page(void *arg, uint32_t kv_group, uint32_t to, uint32_t from)
{
    struct pl_engine *e = arg;
    const struct homes *homes = &e->plan.homes;
    for (const struct home *h = homes->home; h < homes->home + homes->n; h++)
        h->ops->copy_page(h->backend, kv_group, to, from);
}

static pl_status take_memory(struct pl_engine *e, pl_err *err)
{
    const struct plan *p = &e->plan;
    const struct kv_groups *kv = &p->scheduler.kv;
    pl_status st = PL_OK;
    for (uint32_t g = 0; g < kv->n && !st; g++)
        st = kv_pool_open(&e->kv[g], kv->group[g].n_pages, err);
    if (!st && kv->n_states) st = kv_pool_open(&e->states, kv->n_states, err);
    if (!st) st = scheduler_open(&e->scheduler, &p->scheduler, e->kv, e->states, copy_page, e, err);
    if (!st) st = stream_pool_open(&e->streams, &p->streams, e, err);
    if (st) return st;
    return engine_take_arrays(e, err);
}

/* ---- open and close ------------------------------------------------------------------------- */

/* What the backend needs for its pack cache. Trouble here means to do without. */
static void set_pack_cache(struct plan *plan, const pl_params *params, const struct gguf *g)
{
    struct backend_params *b = &plan->backend[0];
    struct cache_dir dir = { 0 };
    bool was_known = false;
    pl_err why;
    if (!params->pack_cache) return;
    if (plan->homes.n > 1) {
        PL_LOG(WARN, "pack", "layers live in two places; weights are packed in memory");
        return;
    }
    pl_status st = cache_dir_open(&dir, params->pack_cache, &why);
    if (!st) st = model_hash(g, &dir, plan->public.n_threads, &b->model_hash, &was_known, &why);
    cache_dir_close(&dir);
    if (!st) b->pack_dir = params->pack_cache;
    if (st) PL_LOG(WARN, "pack", "%s; weights are packed in memory", why.text);
    else PL_LOG(INFO, "pack", "model hash %s", was_known ? "known" : "computed");
}

static void close_homes(struct pl_engine *e)
{
    struct homes *homes = &e->plan.homes;
    for (struct home *h = homes->home; h < homes->home + homes->n; h++) {
        if (h->backend) h->ops->close(h->backend);
        h->backend = NULL;
    }
}

static pl_status open_backend(struct pl_engine *e, const pl_params *params, const struct gguf *g,
                              const struct hparams *h, pl_err *err)
{
    pl_status st = plan_compute(&e->plan, params, g, h, e->text.tokenizer, err);
    if (!st) st = plan_check_memory(&e->plan, err);
    if (!st) set_pack_cache(&e->plan, params, g);
    if (st) return st;
    struct home *home = e->plan.homes.home;
    for (uint32_t i = 0; i < e->plan.homes.n && !st; i++)
        st = home[i].ops->open(&home[i].backend, &e->plan.backend[i], err);
    if (st) close_homes(e);
    return st;
}

/* Where nobody asked for a backend by name, one that does not work here gives way to the CPU's. */
static pl_status open_some_backend(struct pl_engine *e, const pl_params *params,
                                   const struct gguf *g, const struct hparams *h, pl_err *err)
{
    const bool is_asked = params->backend && strcmp(params->backend, "auto");
    const pl_status st = open_backend(e, params, g, h, err);
    if (!st || is_asked || !e->plan.ops || e->plan.ops == backend_find("cpu")) return st;
    PL_LOG(WARN, "engine", "%s does not work here, the CPU computes: %s", e->plan.ops->name,
           err->text);
    char refusal[sizeof e->plan.public.gpu_refusal];
    snprintf(refusal, sizeof refusal, "%s: %.*s", e->plan.ops->name, (int)sizeof refusal - 32,
             err->text);
    pl_params on_cpu = *params;
    on_cpu.backend = "cpu";
    const pl_status on_cpu_st = open_backend(e, &on_cpu, g, h, err);
    memcpy(e->plan.public.gpu_refusal, refusal, sizeof refusal);
    return on_cpu_st;
}

static void tell_of_rows_without_token(const pl_plan *u)
{
    if (u->n_head_rows > u->n_vocab)
        PL_LOG(WARN, "engine",
               "%u rows of the output head have no token of the file's %u: they are never picked",
               u->n_head_rows - u->n_vocab, u->n_vocab);
}

static pl_status open_model(struct pl_engine *e, const pl_params *params, const struct gguf *g,
                            const struct hparams *h, pl_err *err)
{
    pl_status st = open_some_backend(e, params, g, h, err);
    if (st) return st;
    pl_plan *u = &e->plan.public;
    tell_of_rows_without_token(u);
    const struct homes *homes = &e->plan.homes;
    const struct home *last = homes_last(homes);
    snprintf(u->isa, sizeof u->isa, "%s", last->ops->isa(last->backend));
    u->n_threads = last->ops->n_threads(last->backend);
    for (const struct home *a = homes->home; a <= last && e->is_timing; a++)
        a->ops->timing(a->backend, true);
    const struct model_watch watch = { params->on_progress, params->progress_arg,
                                       u->weights_bytes };
    st = model_open(&e->model, g, h, homes, &e->plan.scheduler.kv, u->ctx_tokens, &watch, err);
    for (const struct home *a = homes->home; a <= last && !st; a++)
        u->shared_bytes += a->ops->shared_bytes(a->backend);
    gguf_drop_pages(g);
    return st;
}

static pl_status start(struct pl_engine *e, pl_err *err)
{
    pl_status st = stats_open(&e->stats, err);
    if (st) return st;
    e->has_stats = true;
    e->has_lock = !pthread_mutex_init(&e->lock, NULL);
    e->has_changed = e->has_lock && !cond_init(&e->changed);
    if (!e->has_changed) return pl_fail(err, PL_E_MEMORY, "cannot make a lock");
    st = constraint_room_open(&e->constraints, e->text.tokenizer, err);
    if (!st) st = take_memory(e, err);
    if (st) return st;
    e->has_thread = !pthread_create(&e->thread, NULL, engine_run, e);
    return e->has_thread ? PL_OK : pl_fail(err, PL_E_MEMORY, "cannot start the engine thread");
}

static pl_status open_file(struct pl_engine *e, const pl_params *params, struct gguf *g,
                           pl_err *err)
{
    if (!params->model_path) return pl_fail(err, PL_E_PARAM, "no model_path is given");
    pl_status st = gguf_open(g, params->model_path, err);
    if (!st) st = overrides_apply(g, params, err);
    if (!st) st = text_open(&e->text, g, params->chat_template, err);
    return st;
}

PL_API pl_status pl_open(pl_engine **out, const pl_params *params, pl_err *err)
{
    *out = NULL;
    struct gguf g = { 0 };
    struct hparams h = { 0 };
    struct pl_engine *e = calloc(1, sizeof *e);
    if (!e) return pl_fail(err, PL_E_MEMORY, "no memory for an engine");
    e->is_text_only = params->text_only;
    e->is_timing = params->time_operations;

    pl_status st = open_file(e, params, &g, err);
    if (!st && !e->is_text_only) {
        st = hparams_read(&h, &g, err);
        h.rope_ctx_tokens = params->rope_ctx_tokens;
        if (!st) st = open_model(e, params, &g, &h, err);
        if (!st) st = start(e, err);
    }
    hparams_free(&h);
    gguf_close(&g);
    if (st) {
        pl_close(e);
        return st;
    }
    if (!e->is_text_only)
        PL_LOG(INFO, "engine", "open model=\"%s\" streams=%u ctx_tokens=%u pages=%u bytes=%llu",
               e->plan.public.model_name, e->plan.public.n_streams, e->plan.public.ctx_tokens,
               e->plan.public.n_pages, (unsigned long long)e->plan.public.total_bytes);
    *out = e;
    return PL_OK;
}

PL_API pl_status pl_plan_compute(pl_plan *out, const pl_params *params, pl_err *err)
{
    struct pl_engine e = { 0 };
    struct gguf g = { 0 };
    struct hparams h = { 0 };
    *out = (pl_plan){ 0 };
    pl_status st = open_file(&e, params, &g, err);
    if (!st) st = hparams_read(&h, &g, err);
    h.rope_ctx_tokens = params->rope_ctx_tokens;
    if (!st) st = plan_compute(&e.plan, params, &g, &h, e.text.tokenizer, err);
    if (!st) *out = e.plan.public;
    hparams_free(&h);
    text_close(&e.text);
    gguf_close(&g);
    return st;
}

static void stop_thread(struct pl_engine *e)
{
    if (!e->has_thread) return;
    pthread_mutex_lock(&e->lock);
    e->is_stopping = true;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
}

PL_API void pl_close(pl_engine *e)
{
    if (!e) return;
    stop_thread(e);
    constraint_room_close(&e->constraints);
    stream_pool_close(&e->streams);
    scheduler_close(e->scheduler);
    for (uint32_t g = 0; g < MAX_KV_GROUPS; g++) kv_pool_close(e->kv[g]);
    kv_pool_close(e->states);
    model_close(e->model);
    close_homes(e);
    if (e->has_stats) stats_close(&e->stats);
    if (e->has_changed) pthread_cond_destroy(&e->changed);
    if (e->has_lock) pthread_mutex_destroy(&e->lock);
    engine_free_arrays(e);
    text_close(&e->text);
    free(e);
}

PL_API void pl_drain(pl_engine *e)
{
    if (e->is_text_only) return;
    pthread_mutex_lock(&e->lock);
    e->is_draining = true;
    pthread_mutex_unlock(&e->lock);
}

/* ---- from other threads --------------------------------------------------------------------- */

PL_API const pl_plan *pl_engine_plan(const pl_engine *e)
{
    return &e->plan.public;
}

PL_API void pl_stats_read(pl_engine *e, pl_stats *out)
{
    *out = (pl_stats){ 0 };
    if (e->is_text_only) return;
    stats_lock(&e->stats);
    stats_copy(&e->stats, clock_ns(), out);
    stats_unlock(&e->stats);
    pthread_mutex_lock(&e->lock);
    out->n_queued = e->n_queued;
    out->n_queued_tokens = e->n_queued_tokens;
    pthread_mutex_unlock(&e->lock);
}

PL_API uint32_t pl_slots_read(pl_engine *e, pl_slot *out, uint32_t max_slots)
{
    if (e->is_text_only) return 0;
    const uint32_t n_slots = e->plan.public.n_streams;
    stats_lock(&e->stats);
    memcpy(out, e->slot, (n_slots < max_slots ? n_slots : max_slots) * sizeof *out);
    stats_unlock(&e->stats);
    return n_slots;
}

static pl_status no_such_backend(const char *name, pl_err *err)
{
    return pl_fail(err, PL_E_PARAM, "backend: found \"%.20s\"; auto or one of %s is wanted", name,
                   backend_names());
}

PL_API bool pl_is_healthy(pl_engine *e)
{
    return step_watch_is_well(&e->watch, clock_ns());
}

PL_API pl_status pl_self_test(const char *backend, pl_self_test_fn *fn, void *arg, pl_err *err)
{
    const struct backend_ops *ops = backend_find(backend);
    return ops ? backend_self_test(ops, fn, arg, err) : no_such_backend(backend, err);
}

PL_API pl_status pl_backend_reach(const char *backend, char name[64], pl_err *err)
{
    const struct backend_ops *ops = backend_find(backend);
    *name = 0;
    if (!ops) return no_such_backend(backend, err);
    return ops->reach ? ops->reach(name, 64, err) : PL_OK;
}

PL_API pl_status pl_machine_measure(pl_machine *out, const char *backend, uint32_t n_threads,
                                    pl_err *err)
{
    struct backend_rates rates;
    *out = (pl_machine){ 0 };
    const struct backend_ops *ops = backend_find(backend);
    if (!ops) return no_such_backend(backend, err);
    const pl_status st = ops->measure(n_threads, &rates, err);
    if (st) return st;
    cpu_name_read(out->cpu_name, sizeof out->cpu_name);
    snprintf(out->isa, sizeof out->isa, "%s", rates.isa);
    out->n_threads = rates.n_threads;
    out->macs_per_s = rates.macs_per_s;
    out->matrix_macs_per_s = rates.matrix_macs_per_s;
    out->read_bytes_per_s = rates.read_bytes_per_s;
    out->hand_over_s = rates.hand_over_s;
    out->barrier_s = rates.barrier_s;
    return PL_OK;
}

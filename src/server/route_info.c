#include "server/route_info.h"

#include <stdlib.h>
#include <string.h>

#include "server/active.h"
#include "server/answer.h"
#include "server/json_text.h"
#include "server/model_names.h"
#include "server/sampler_list.h"

enum MHD_Result route_root(struct exchange *x)
{
    return answer_json(x, 200, json_pack("{s:s s:s s:s s:s}", "name", "paceline",
                                         "version", PL_VERSION, "api", "/v1", "docs",
                                         "docs/api.md"));
}

enum MHD_Result route_health(struct exchange *x)
{
    pl_engine *engine = server_engine(x);
    if (!engine) return answer_fail_loading(x);
    if (atomic_load(&x->server->is_draining))
        return answer_fail(x, 503, NULL, "shutting_down", "the server is shutting down");
    if (!pl_is_healthy(engine))
        return answer_fail(x, 503, NULL, "engine_stuck", "the engine makes no progress");
    const pl_plan *p = pl_engine_plan(engine);
    json_t *health = json_pack("{s:s}", "status", "ok");
    if (*p->gpu_refusal) {
        json_object_set_new(health, "backend", json_string(p->backend));
        json_object_set_new(health, "gpu_refusal", json_text_string(p->gpu_refusal));
    }
    return answer_json(x, 200, health);
}

static json_t *model_json(const struct server *s, const pl_plan *p)
{
    json_t *meta = json_pack(
        "{s:I s:I s:I s:I s:I s:I s:o s:s}", "n_vocab", (json_int_t)p->n_vocab, "n_ctx",
        (json_int_t)p->ctx_tokens, "n_ctx_train", (json_int_t)p->model_ctx_tokens, "n_embd",
        (json_int_t)p->d_model, "n_params", (json_int_t)p->n_parameters, "size",
        (json_int_t)p->file_bytes, "architecture", json_text_string(p->architecture),
        "quantisation", p->quantisation);
    return json_pack("{s:s s:s s:I s:s s:I s:o}", "id", model_names_first(s), "object", "model",
                     "created", (json_int_t)s->started_s, "owned_by", "paceline", "max_model_len",
                     (json_int_t)p->ctx_tokens, "meta", meta);
}

enum MHD_Result route_models(struct exchange *x)
{
    json_t *model = model_json(x->server, pl_engine_plan(server_engine(x)));
    return answer_json(x, 200, json_pack("{s:s s:[o]}", "object", "list", "data", model));
}

/* .../models/NAME, whatever NAME a request may use */
enum MHD_Result route_model(struct exchange *x)
{
    const char *name = x->path + strlen(x->route->path);
    if (!model_names_have(x->server, name))
        return active_fail_model(x, name);
    return answer_json(x, 200, model_json(x->server, pl_engine_plan(server_engine(x))));
}

enum MHD_Result route_props(struct exchange *x)
{
    const struct server *s = x->server;
    const pl_engine *engine = server_engine(x);
    const pl_plan *p = pl_engine_plan(engine);
    json_t *defaults = json_pack("{s:I s:o}", "n_ctx", (json_int_t)p->ctx_tokens, "params",
                                 sampler_list(&s->sampling));
    json_t *memory = json_pack("{s:I s:I s:I s:I s:I}", "weights_bytes",
                               (json_int_t)p->weights_bytes, "kv_bytes", (json_int_t)p->kv_bytes,
                               "scratch_bytes", (json_int_t)p->scratch_bytes, "stream_bytes",
                               (json_int_t)p->stream_bytes, "total_bytes",
                               (json_int_t)p->total_bytes);
    return answer_json(
        x, 200,
        json_pack("{s:o s:I s:I s:I s:I s:I s:s s:s s:o s:o s:s s:s s:o s:o s:I s:s s:s s:o}",
                  "default_generation_settings", defaults, "total_slots",
                  (json_int_t)p->n_streams, "ctx_tokens_per_stream", (json_int_t)p->ctx_tokens,
                  "kv_pool_tokens", (json_int_t)p->kv_tokens, "queue_requests",
                  (json_int_t)p->queue_requests, "queue_tokens", (json_int_t)p->queue_tokens,
                  "model_alias", model_names_first(s),
                  "model_path", s->model_path ? s->model_path : "",
                  "model_name", json_text_string(p->model_name), "chat_template",
                  json_text_string(pl_chat_template(engine)), "build_info", "paceline " PL_VERSION,
                  "backend", p->backend, "gpu_refusal", json_text_string(p->gpu_refusal), "isa",
                  json_text_string(p->isa), "threads", (json_int_t)p->n_threads, "cache_type_k",
                  p->cache_type_k, "cache_type_v", p->cache_type_v, "memory", memory));
}

static json_t *slot_json(const pl_slot *slot, const pl_plan *p)
{
    static const char *const states[] = { "idle", "prefill", "decode", "paused" };
    return json_pack("{s:I s:I s:b s:s s:I s:I s:I s:I s:I s:I s:I}", "id", (json_int_t)slot->id,
                     "n_ctx", (json_int_t)p->ctx_tokens, "is_processing",
                     slot->state != PL_SLOT_IDLE, "state", states[slot->state], "id_task",
                     (json_int_t)slot->stream_id, "n_prompt_tokens", (json_int_t)slot->n_prompt,
                     "n_prompt_tokens_processed", (json_int_t)slot->n_prompt_done,
                     "n_prompt_tokens_cache", (json_int_t)slot->n_cached, "n_decoded",
                     (json_int_t)slot->n_reply, "max_tokens", (json_int_t)slot->max_tokens,
                     "age_ms", (json_int_t)(slot->age_ns / 1000000));
}

enum MHD_Result route_slots(struct exchange *x)
{
    pl_engine *engine = server_engine(x);
    const pl_plan *p = pl_engine_plan(engine);
    if (x->server->no_slots)
        return answer_fail(x, 501, NULL, "not_found", "/slots was switched off with --no-slots");
    pl_slot *slots = calloc(p->n_streams, sizeof *slots);
    if (!slots) return answer_fail(x, 500, NULL, NULL, "out of memory");
    const uint32_t n = pl_slots_read(engine, slots, p->n_streams);
    json_t *list = json_array();
    for (uint32_t i = 0; i < n && i < p->n_streams; i++)
        json_array_append_new(list, slot_json(&slots[i], p));
    free(slots);
    return answer_json(x, 200, list);
}

/* What is counted. Weights, KV, the backend's scratch and tokenizer tables as their owners say;
 * scratch adds the books of pool and scheduler, the sampling threads' room and the engine's own
 * struct; streams: see stream_layout_bytes. Not counted, because it passes: prompts of waiting
 * requests, the file's pages (dropped once the weights are packed), what a call of the text
 * functions allocates and returns, what grammars take (constraint_room.h, matcher.h), and what
 * embeddings do: their tokens and vectors. */
#include "engine/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu_isa.h"
#include "base/memory_available.h"
#include "engine/engine_arrays.h"
#include "engine/plan_homes.h"
#include "quant/quant.h"

enum { MAX_STREAMS = 4096, MAX_STEP_TOKENS = 65536, MAX_QUEUE_REQUESTS = 1 << 20,
       MAX_TOKEN_BYTES = 16384 };

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

static pl_status check_params(const pl_params *p, const struct hparams *h, pl_err *err)
{
    const struct {
        const char *name;
        uint32_t value, max;
    } limits[] = {
        { "n_streams", p->n_streams, MAX_STREAMS },
        { "step_tokens", p->step_tokens, MAX_STEP_TOKENS },
        { "n_threads", p->n_threads, 1024 },
        { "queue_requests", p->queue_requests, MAX_QUEUE_REQUESTS },
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].value > limits[i].max)
            return pl_fail(err, PL_E_PARAM, "%s is %" PRIu32 "; at most %" PRIu32 " is allowed",
                           limits[i].name, limits[i].value, limits[i].max);
    if (p->pooling >= PL_POOLING_RANK)
        return pl_fail(err, PL_E_PARAM, "pooling is %d; one of none, mean, cls and last is wanted",
                       (int)p->pooling);
    if (p->ctx_tokens > h->ctx_tokens)
        return pl_fail(err, PL_E_PARAM, "a context of %" PRIu32 " tokens; the model was made for %"
                       PRIu32 ": lower ctx_tokens (--ctx-size), or stretch it (--rope-scaling yarn "
                       "--rope-scale N)", p->ctx_tokens, h->ctx_tokens);
    if (p->kv_tokens > (uint64_t)UINT32_MAX * PAGE_TOKENS / 2)
        return pl_fail(err, PL_E_PARAM, "kv_tokens is %" PRIu64 "; at most %" PRIu64 " is allowed",
                       p->kv_tokens, (uint64_t)UINT32_MAX * PAGE_TOKENS / 2);
    return PL_OK;
}

/* Pages as their books count them. */
static pl_status set_pages(pl_plan *out, uint64_t n_pages, pl_err *err)
{
    if (n_pages > INT32_MAX)
        return pl_fail(err, PL_E_MEMORY, "%" PRIu64 " KV pages of %d tokens; at most %d are "
                       "counted: lower n_streams (--parallel, now %" PRIu32 "), ctx_tokens "
                       "(--ctx-size, now %" PRIu32 ") or kv_tokens (--kv-tokens)", n_pages,
                       PAGE_TOKENS, INT32_MAX, out->n_streams, out->ctx_tokens);
    out->page_tokens = PAGE_TOKENS;
    out->n_pages = (uint32_t)n_pages;
    out->kv_tokens = n_pages * PAGE_TOKENS;
    return PL_OK;
}

/* The limits, defaults filled in. */
static pl_status set_limits(pl_plan *out, const pl_params *p, const struct hparams *h, pl_err *err)
{
    out->n_streams = or_default(p->n_streams, 1);
    out->ctx_tokens = or_default(p->ctx_tokens, or_default(p->default_ctx_tokens, h->ctx_tokens));
    if (out->ctx_tokens > h->ctx_tokens)
        out->ctx_tokens = h->ctx_tokens;    /* a default, not a wish */
    out->model_ctx_tokens = h->ctx_tokens;
    out->n_threads = or_default(p->n_threads, cpu_performance_cores());
    out->step_tokens = or_default(p->step_tokens, 256);
    if (out->step_tokens < out->n_streams) out->step_tokens = out->n_streams; /* one column each */
    out->prefill_tokens = or_default(p->prefill_tokens, 64);
    if (out->prefill_tokens > out->step_tokens) out->prefill_tokens = out->step_tokens;
    out->queue_requests = or_default(p->queue_requests, 1024);
    out->queue_tokens = p->queue_tokens ? p->queue_tokens : 8 * 1024 * 1024;

    const uint64_t pages_of_ctx = ((uint64_t)out->ctx_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS;
    const pl_status st =
        set_pages(out, p->kv_tokens ? (p->kv_tokens + PAGE_TOKENS - 1) / PAGE_TOKENS
                                    : out->n_streams * pages_of_ctx, err);
    if (!st && out->ctx_tokens > out->kv_tokens)
        out->ctx_tokens = (uint32_t)out->kv_tokens;     /* no stream has more than there is */
    return st;
}

static void describe(pl_plan *out, const pl_params *p, const struct gguf *g,
                     const struct hparams *h, uint32_t n_tokens, const struct backend_ops *ops)
{
    struct gguf_string arch = { "", 0 };
    gguf_string(g, "general.architecture", &arch, NULL);
    snprintf(out->model_name, sizeof out->model_name, "%s", h->name);
    snprintf(out->architecture, sizeof out->architecture, "%.*s",
             arch.n > 31 ? 31 : (int)arch.n, arch.bytes);
    snprintf(out->quantisation, sizeof out->quantisation, "%s", quant_traits(h->main_type)->name);
    snprintf(out->backend, sizeof out->backend, "%s", ops->name);
    snprintf(out->isa, sizeof out->isa, "%s",
             ops->planned_isa ? ops->planned_isa(p->isa) : ops->name);
    cpu_name_read(out->cpu_name, sizeof out->cpu_name);
    out->file_bytes = g->file_bytes;
    out->n_parameters = h->n_parameters;
    out->n_vocab = n_tokens;
    out->n_head_rows = h->dims.n_vocab;
    out->d_model = h->dims.d_model;
    out->n_layers = h->dims.n_layers;
    out->n_heads = h->dims.n_heads;
    out->n_kv_heads = h->dims.n_kv_heads;
    out->d_head = h->dims.d_head;
    out->pooling = p->pooling ? p->pooling : h->pooling ? h->pooling : PL_POOLING_LAST;
    for (uint32_t i = 0; i < h->dims.n_layers; i++) {
        const uint32_t window = h->layer[i].attention.window;
        if (window) out->window_tokens = window;
        out->n_window_layers += window != 0;
        out->n_state_layers += h->layer[i].mixer.kind != MIXER_NONE;
        out->n_kv_layers += h->layer[i].attends && h->layer[i].kv_of == i;
    }
}

static pl_status longest_token(const struct tokenizer *t, size_t *out, pl_err *err)
{
    *out = 0;
    const uint32_t n_vocab = tokenizer_n_vocab(t);
    for (uint32_t i = 0; i < n_vocab; i++) {
        size_t n;
        tokenizer_bytes(t, (int32_t)i, &n);
        if (n > MAX_TOKEN_BYTES)
            return pl_fail(err, PL_E_UNSUPPORTED, "token %" PRIu32 " of the vocabulary has %zu "
                           "bytes; at most %d are allowed", i, n, MAX_TOKEN_BYTES);
        if (n > *out) *out = n;
    }
    return PL_OK;
}

/* A backend that stores them one way alone says so; asking for another is a mistake. */
static pl_status find_kv_type(const struct backend_ops *ops, const char *option, const char *name,
                              enum kv_type *type, char out[12], pl_err *err)
{
    if (ops->kv_type) {
        *type = KV_F16;
        snprintf(out, 12, "%s", ops->kv_type);
        if (!name || !strcmp(name, ops->kv_type)) return PL_OK;
        return pl_fail(err, PL_E_PARAM, "%s: found \"%.32s\"; the %s backend stores %s alone: "
                       "leave the option out", option, name, ops->name, ops->kv_type);
    }
    if (!kv_type_find(name, type))
        return pl_fail(err, PL_E_PARAM, "%s: found \"%.32s\"; f16, bf16, q8_0 or f8_e4m3 is wanted",
                       option, name);
    snprintf(out, 12, "%s", kv_type_name(*type));
    return PL_OK;
}

static pl_status set_kv_types(struct plan *out, const pl_params *p, pl_err *err)
{
    pl_plan *u = &out->public;
    enum kv_type k_type, v_type;
    pl_status st = find_kv_type(out->ops, "cache_type_k (--cache-type-k)", p->cache_type_k,
                                &k_type, u->cache_type_k, err);
    if (!st)
        st = find_kv_type(out->ops, "cache_type_v (--cache-type-v)", p->cache_type_v, &v_type,
                          u->cache_type_v, err);
    for (uint32_t i = 0; i < out->homes.n && !st; i++) {
        out->backend[i].k_type = k_type;
        out->backend[i].v_type = v_type;
    }
    return st;
}

static void set_parts(struct plan *out, const pl_params *p, const struct hparams *h,
                      bool has_float_weights)
{
    const pl_plan *u = &out->public;
    out->scheduler = (struct scheduler_params){
        .n_slots = u->n_streams, .step_tokens = u->step_tokens,
        .prefill_tokens = u->prefill_tokens, .column_unit = out->ops->column_unit,
        .score_tokens = SCORE_TOKENS, .prefill_first = p->prefill_first,
        .no_prefix_cache = p->no_prefix_cache,
    };
    plan_homes_fill(out, p, h, has_float_weights);
}

static uint64_t books_bytes(const struct kv_groups *kv)
{
    uint64_t n = 0;
    for (uint32_t g = 0; g < kv->n; g++) n += kv_pool_bytes(kv->group[g].n_pages);
    return n + (kv->n_states ? kv_pool_bytes(kv->n_states) : 0);
}

pl_status plan_compute(struct plan *out, const pl_params *params, const struct gguf *g,
                       const struct hparams *h, const struct tokenizer *t, pl_err *err)
{
    *out = (struct plan){ .ops = backend_find(params->backend) };
    pl_plan *u = &out->public;
    struct model_plan model;
    size_t longest;

    if (!out->ops)
        return pl_fail(err, PL_E_PARAM, "backend (--backend): found \"%.20s\"; auto or one of %s "
                       "is wanted", params->backend, backend_names());
    if (tokenizer_n_vocab(t) > h->dims.n_vocab)
        return pl_fail(err, PL_E_FORMAT, "%s: %" PRIu32 " tokens but embeddings of %" PRIu32,
                       g->part[0].path, tokenizer_n_vocab(t), h->dims.n_vocab);
    pl_status st = check_params(params, h, err);
    if (!st) st = longest_token(t, &longest, err);
    if (st) return st;
    st = set_limits(u, params, h, err);
    if (!st) st = plan_homes_choose(out, params, h, err);
    if (!st) st = plan_homes_check(out, h, err);
    if (!st) st = model_plan(&model, g, h, &out->homes, u->ctx_tokens, err);
    if (st) return st;

    describe(u, params, g, h, tokenizer_n_vocab(t), out->ops);
    set_parts(out, params, h, model.has_float_weights);
    st = set_kv_types(out, params, err);
    if (st) return st;
    stream_layout(&out->streams, u->n_streams, u->queue_requests, u->ctx_tokens,
                  out->scheduler.kv.n, longest);

    struct backend_bytes backend;
    st = plan_homes_bytes(out, &backend, err);
    if (st) return st;
    u->weights_bytes = model.weights_bytes;
    u->step_weight_bytes = model.step_weight_bytes;
    u->expert_weight_bytes = model.expert_weight_bytes;
    u->n_experts = h->dims.n_experts;
    u->n_experts_used = h->dims.n_experts_used;
    u->step_macs_per_token = model.macs_per_token;
    u->kv_bytes = backend.kv;
    u->scratch_bytes = backend.scratch + books_bytes(&out->scheduler.kv) +
                       scheduler_bytes(&out->scheduler) + engine_own_bytes(out);
    u->stream_bytes = stream_layout_bytes(&out->streams);
    u->vocab_bytes = tokenizer_n_bytes(t);
    u->total_bytes =
        u->weights_bytes + u->kv_bytes + u->scratch_bytes + u->stream_bytes + u->vocab_bytes;
    return PL_OK;
}

pl_status plan_check_memory(const struct plan *p, pl_err *err)
{
    const uint64_t available = memory_available();
    const pl_plan *u = &p->public;
    if (u->total_bytes <= available) return PL_OK;
    return pl_fail(err, PL_E_MEMORY,
                   "the plan takes %" PRIu64 " MiB (weights %" PRIu64 ", KV %" PRIu64 "), %" PRIu64
                   " MiB are available: lower n_streams (--parallel, now %" PRIu32
                   "), ctx_tokens (--ctx-size, now %" PRIu32 ") or kv_tokens (--kv-tokens)",
                   u->total_bytes >> 20, u->weights_bytes >> 20, u->kv_bytes >> 20,
                   available >> 20, u->n_streams, u->ctx_tokens);
}

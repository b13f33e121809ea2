/* The CPU backend's life: plan, open, close, and the table that is its face. */
#include "backend/cpu/backend_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu_internal.h"
#include "backend/cpu/rates.h"
#include "backend/params_check.h"
#include "base/cpu_isa.h"

/* One list of buffers serves planning and opening: what is planned is what is taken. */
struct buffer {
    const char *what;
    uint64_t n_bytes;
    void **to;
};

enum { MAX_BUFFERS = 48, PHASES_PER_LAYER = 24, OTHER_PHASES = 8 };

static size_t whole_panels(size_t n)
{
    return (n + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS;
}

static void set_shape(struct cpu_backend *b)
{
    const struct dims *d = &b->params.dims;
    b->ld_model = whole_panels(d->d_model);
    b->ld_q = whole_panels((size_t)d->n_heads * d->d_head);
    b->ld_kv = whole_panels((size_t)d->n_kv_heads * d->d_head);
    b->ld_ff = whole_panels(d->d_ff);
    b->ld_expert = whole_panels(d->d_expert);
    b->ld_vocab = whole_panels(d->n_vocab);
    b->n_logit_blocks = (d->n_vocab + LOGIT_BLOCK - 1) / LOGIT_BLOCK;
    b->layout = kv_layout_of(d->d_head, b->params.k_type, b->params.v_type);
    b->page_bytes = (size_t)d->n_layers * d->n_kv_heads * b->layout.n_bytes;
    /* a step has at most max_cols outputs, served max_outs at a time */
    const uint32_t max_outs = b->params.max_outs ? b->params.max_outs : 1;
    const uint32_t n_turns = (b->params.max_cols + max_outs - 1) / max_outs;
    b->max_phases = PHASES_PER_LAYER * d->n_layers + 3 * n_turns + OTHER_PHASES;
}

static uint32_t add_act(struct buffer *list, uint32_t n, struct act *act, const char *what,
                        uint64_t n_k, uint64_t n_cols)
{
    /* x256 forms are possible only where rows are whole blocks of 256 */
    const uint64_t n_256 = n_k % 256 ? 0 : n_k / 256 * n_cols;
    list[n++] = (struct buffer){ what, n_256 * sizeof *act->x256, (void **)&act->x256 };
    list[n++] = (struct buffer){ what, n_256 * sizeof *act->x256u, (void **)&act->x256u };
    list[n++] = (struct buffer){ what, n_k / 32 * n_cols * sizeof *act->x32, (void **)&act->x32 };
    return n;
}

static uint32_t list_expert_buffers(struct cpu_backend *b, struct buffer *list, uint32_t n)
{
    const struct dims *d = &b->params.dims;
    const uint64_t n_cols = b->params.max_cols, n_slots = n_cols * d->n_experts_used;
    const struct {
        uint64_t n;
        void *to;
    } words[] = {       /* of 4 bytes each */
        { n_cols * d->n_experts, &b->moe.score }, { n_slots, &b->moe.chosen },
        { n_slots, &b->moe.slot },                { n_slots, &b->moe.weight },
        { n_cols, &b->moe.shared_weight },        { d->n_experts + 1, &b->moe.first_slot },
        { n_slots, &b->moe.col },                 { n_slots * b->ld_expert, &b->moe.gate },
        { n_slots * b->ld_expert, &b->moe.up },   { n_slots * b->ld_model, &b->moe.out },
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        list[n++] = (struct buffer){ "experts", words[i].n * 4, words[i].to };
    n = add_act(list, n, &b->moe.h, "experts", d->d_model, n_slots);
    return add_act(list, n, &b->moe.ff, "experts", d->d_expert, n_slots);
}

static uint32_t list_buffers(struct cpu_backend *b, struct buffer list[MAX_BUFFERS])
{
    const struct dims *d = &b->params.dims;
    const uint64_t n_cols = b->params.max_cols, row = sizeof(float);
    const char *what = "activations";
    uint32_t n = 0;
    list[n++] = (struct buffer){ what, n_cols * b->ld_model * row, (void **)&b->x };
    list[n++] = (struct buffer){ what, n_cols * b->ld_model * row, (void **)&b->y };
    list[n++] = (struct buffer){ what, 2 * n_cols * b->ld_q * row, (void **)&b->q };
    list[n++] = (struct buffer){ what, 2 * n_cols * b->ld_kv * row, (void **)&b->k_rows };
    list[n++] = (struct buffer){ what, 2 * n_cols * b->ld_kv * row, (void **)&b->v_rows };
    list[n++] = (struct buffer){ what, n_cols * b->ld_q * row, (void **)&b->attended };
    list[n++] = (struct buffer){ what, n_cols * b->ld_ff * row, (void **)&b->gate };
    list[n++] = (struct buffer){ what, n_cols * b->ld_ff * row, (void **)&b->up };
    list[n++] = (struct buffer){ "logits", b->params.max_outs * b->ld_vocab * row,
                                 (void **)&b->logit_rows };
    list[n++] = (struct buffer){ "logits", b->params.max_outs * b->n_logit_blocks * row,
                                 (void **)&b->logit_largest };
    list[n++] = (struct buffer){ what, b->params.n_threads * b->ld_model * row,
                                 (void **)&b->norm_row };
    n = add_act(list, n, &b->h, what, d->d_model, 2 * n_cols);
    n = add_act(list, n, &b->att, what, (uint64_t)d->n_heads * d->d_head, n_cols);
    n = add_act(list, n, &b->ff, what, d->d_ff, n_cols);
    n = add_act(list, n, &b->head, what, d->d_model, b->params.max_outs);
    list[n++] = (struct buffer){ "attention", (uint64_t)b->params.n_threads * MAX_JOB_ROWS *
                                              sizeof *b->attend_state, (void **)&b->attend_state };
    list[n++] = (struct buffer){ "attention", n_cols * sizeof *b->groups.order,
                                 (void **)&b->groups.order };
    list[n++] = (struct buffer){ "attention", n_cols * sizeof *b->groups.group,
                                 (void **)&b->groups.group };
    list[n++] = (struct buffer){ "the step's phases", b->max_phases * sizeof *b->phase,
                                 (void **)&b->phase };
    list[n++] = (struct buffer){ "the step's phases", b->max_phases * sizeof *b->n_taken,
                                 (void **)&b->n_taken };
    return d->n_experts ? list_expert_buffers(b, list, n) : n;
}

static void set_params(struct cpu_backend *b, const struct backend_params *params)
{
    b->params = *params;
    if (!b->params.n_threads) b->params.n_threads = cpu_performance_cores();
    set_shape(b);
}

static struct backend_bytes plan(const struct backend_params *params)
{
    struct cpu_backend b = { 0 };
    struct buffer list[MAX_BUFFERS];
    struct backend_bytes bytes = { 0 };

    set_params(&b, params);
    const uint32_t n = list_buffers(&b, list);
    for (uint32_t i = 0; i < n; i++) bytes.scratch += memory_rounded(list[i].n_bytes);
    bytes.kv = memory_rounded((uint64_t)params->n_pages * b.page_bytes);
    return bytes;
}

/* Touches a share of every page of memory, so that what was planned is resident from the start. */
static void touch(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct buffer *m = arg;
    const uint64_t first = m->n_bytes / n_threads * id;
    const uint64_t last = id + 1 == n_threads ? m->n_bytes : m->n_bytes / n_threads * (id + 1);
    memset((uint8_t *)*m->to + first, 0, last - first);
}

static pl_status take(struct cpu_backend *b, struct buffer *m, pl_err *err)
{
    *m->to = memory_take(&b->memory, m->n_bytes, m->what, err);
    if (!*m->to) return PL_E_MEMORY;
    thread_pool_run(b->pool, touch, m);
    return b->params.lock_memory && m->n_bytes ? memory_lock(*m->to, m->n_bytes, err) : PL_OK;
}

static void close_backend(struct backend *base)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    if (!b) return;
    thread_pool_close(b->pool);
    pack_cache_close(b->pack);
    memory_free(&b->panels);
    memory_free(&b->memory);
    free(b);
}

static pl_status open_backend(struct backend **out, const struct backend_params *params,
                              pl_err *err)
{
    *out = NULL;
    pl_status st = backend_params_check(params, err);
    if (st) return st;
    struct cpu_backend *b = calloc(1, sizeof *b);
    if (!b) return pl_fail(err, PL_E_MEMORY, "no memory for the CPU backend");
    b->base.ops = &backend_cpu;
    set_params(b, params);

    struct buffer list[MAX_BUFFERS];
    const uint32_t n = list_buffers(b, list);
    struct buffer kv = { "KV pages", (uint64_t)params->n_pages * b->page_bytes, (void **)&b->kv };
    if (!cpu_kernels_get(&b->k, params->isa))
        st = pl_fail(err, PL_E_PARAM, "unknown instruction set \"%.20s\"", params->isa);
    if (!st) st = thread_pool_open(&b->pool, b->params.n_threads, err);
    for (uint32_t i = 0; i < n && !st; i++) st = take(b, &list[i], err);
    if (!st) st = take(b, &kv, err);
    if (!st && params->pack_dir) {
        char target[PACK_TARGET_BYTES];
        snprintf(target, sizeof target, "cpu-%s", b->k.isa);
        const struct pack_key key =
            pack_key_of(params->model_hash, target, PANEL_LAYOUT_VERSION);
        b->pack = pack_cache_open(params->pack_dir, &key, b->pool);
    }
    if (st) {
        close_backend(&b->base);
        return st;
    }
    *out = &b->base;
    return PL_OK;
}

static const char *isa(const struct backend *b)
{
    return ((const struct cpu_backend *)b)->k.isa;
}

static uint32_t n_threads(const struct backend *b)
{
    return ((const struct cpu_backend *)b)->params.n_threads;
}

static void pin_caller(const struct backend *b)
{
    thread_pool_pin_caller(((const struct cpu_backend *)b)->pool);
}

const struct backend_ops backend_cpu = {
    .name = "cpu",
    .column_unit = 1,
    .measure = cpu_measure,
    .matrix_bytes = cpu_matrix_bytes,
    .plan = plan,
    .open = open_backend,
    .close = close_backend,
    .isa = isa,
    .n_threads = n_threads,
    .pin_caller = pin_caller,
    .load_matrix = cpu_load_matrix,
    .load_vector = cpu_load_vector,
    .load_rope = cpu_load_rope,
    .load_done = cpu_load_done,
    .shared_bytes = cpu_shared_bytes,
    .begin = cpu_begin,
    .embed = cpu_embed,
    .norm = cpu_norm,
    .qkv = cpu_qkv,
    .attend = cpu_attend,
    .attention_add = cpu_attention_add,
    .gate_up = cpu_gate_up,
    .down_add = cpu_down_add,
    .experts_add = cpu_experts_add,
    .logits = cpu_logits,
    .sample = cpu_sample,
    .submit = cpu_submit,
    .copy_page = cpu_copy_page,
    .timing = cpu_timing,
    .timings = cpu_timings,
};

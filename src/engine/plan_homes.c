#include "engine/plan_homes.h"

#include <inttypes.h>

#include "model/arch.h"
#include "model/kv_groups.h"

/* The last layers on the backend that was asked for; what is left of them on the CPU. */
pl_status plan_homes_choose(struct plan *out, const pl_params *p, const struct hparams *h,
                            pl_err *err)
{
    const uint32_t n_layers = h->dims.n_layers;
    const uint32_t n_cpu = p->n_gpu_layers && p->n_gpu_layers < n_layers &&
                           out->ops != backend_find("cpu") ? n_layers - p->n_gpu_layers : 0;
    out->homes = (struct homes){ 0 };
    if (n_cpu)
        out->homes.home[out->homes.n++] = (struct home){ backend_find("cpu"), NULL, n_cpu };
    out->homes.home[out->homes.n++] = (struct home){ out->ops, NULL, n_layers - n_cpu };
    out->public.n_cpu_layers = n_cpu;
    if (n_cpu && h->dims.n_tracks)
        return pl_fail(err, PL_E_PARAM, "n_gpu_layers (--n-gpu-layers): found %" PRIu32 "; "
                       "layers with residuals side by side lie on one backend: 0 (all) is wanted",
                       p->n_gpu_layers);
    for (uint32_t i = n_cpu; i < n_layers; i++)
        if (h->layer[i].kv_of < n_cpu)
            return pl_fail(err, PL_E_PARAM, "n_gpu_layers (--n-gpu-layers): found %" PRIu32 "; "
                           "layer %" PRIu32 " reads the keys of layer %" PRIu32 ": 0 (all) or %"
                           PRIu32 " and more are wanted", p->n_gpu_layers, i, h->layer[i].kv_of,
                           n_layers - h->layer[i].kv_of);
    return PL_OK;
}

/* A window has pages of its own where so many suffice for all streams that they are fewer, and no
 * states are there to be taken up with them. */
static struct kv_groups kv_groups(const struct plan *p, const struct hparams *h)
{
    const uint32_t n_pages = p->public.n_pages;
    uint32_t most = 0;
    for (uint32_t i = 0; i < h->dims.n_layers && !h->dims.mixer.n_taps; i++) {
        const uint32_t window = h->layer[i].attention.window;
        if (window > most && scheduler_window_pages(&p->scheduler, window) < n_pages) most = window;
    }
    struct kv_groups kv;
    kv_groups_of(&kv, h, most);
    kv.group[0].n_pages = n_pages;
    for (uint32_t g = 1; g < kv.n; g++)
        kv.group[g].n_pages = scheduler_window_pages(&p->scheduler, kv.group[g].window);
    if (kv.n_state_layers) kv.n_states = scheduler_n_states(&p->scheduler);
    return kv;
}

/* Three minutes bridge the pauses of a conversation; a machine that nobody asks anything gets its
 * memory back. */
static uint32_t keep_resident_s(const pl_params *p)
{
    enum { USUAL_S = 180 };
    if (p->keep_resident_s == UINT32_MAX) return 0;
    return p->keep_resident_s ? p->keep_resident_s : USUAL_S;
}

static void set_params(struct plan *out, const pl_params *p, const struct hparams *h,
                       bool has_float_weights)
{
    const pl_plan *u = &out->public;
    for (uint32_t i = 0, first = 0; i < out->homes.n; i++) {
        const struct home *home = &out->homes.home[i];
        const bool is_last = i + 1 == out->homes.n, is_cpu = home->ops == backend_find("cpu");
        out->backend[i] = (struct backend_params){
            .dims = h->dims, .n_tokens = u->n_vocab, .max_cols = u->step_tokens,
            .max_outs = is_last ? u->n_streams + SCORE_TOKENS : 1,
            .kv = kv_groups_part(&out->scheduler.kv, h, first, first + home->n_layers),
            .has_float_weights = has_float_weights,
            .n_threads = u->n_threads, .lock_memory = p->lock_memory,
            .keep_resident_s = keep_resident_s(p),
            .isa = is_cpu || out->homes.n == 1 ? p->isa : NULL
        };
        first += home->n_layers;
    }
}

static bool weighs_inputs(const struct hparams *h)
{
    bool any = false;
    for (uint32_t i = 0; i < h->dims.n_layers; i++) any |= h->layer[i].ffn.router.weighs_inputs;
    return any;
}

pl_status plan_homes_check(const struct plan *p, const struct hparams *h, pl_err *err)
{
    for (uint32_t i = 0; i < p->homes.n && h->dims.mixer.n_taps; i++)
        if (!p->homes.home[i].ops->mix)
            return pl_fail(err, PL_E_UNSUPPORTED, "layers of architecture %s have a mixer in "
                           "attention's place, which the %s backend has no kernels for yet: "
                           "--backend cpu has", h->arch->name, p->homes.home[i].ops->name);
    for (uint32_t i = 0; i < p->homes.n; i++)
        if (!p->homes.home[i].ops->weighs_expert_inputs && weighs_inputs(h))
            return pl_fail(err, PL_E_UNSUPPORTED, "architecture %s weighs what experts read, which "
                           "the %s backend does not do yet: --backend cpu does", h->arch->name,
                           p->homes.home[i].ops->name);
    return PL_OK;
}

void plan_homes_fill(struct plan *out, const pl_params *p, const struct hparams *h,
                     bool has_float_weights)
{
    for (uint32_t i = 0; i < out->homes.n; i++) {       /* powers of 2 */
        const uint32_t pages = out->homes.home[i].ops->chunk_pages;
        if (pages > out->scheduler.chunk_pages) out->scheduler.chunk_pages = pages;
    }
    out->scheduler.kv = kv_groups(out, h);
    set_params(out, p, h, has_float_weights);
}

/* All layers' KV in one group that keeps every position. */
static struct kv_groups one_group(const struct kv_groups *groups, uint32_t n_pages)
{
    struct kv_groups all = { .n = 1, .group = { { .n_pages = n_pages } } };
    for (uint32_t g = 0; g < groups->n; g++) {
        all.group[0].n_layers += groups->group[g].n_layers;
        all.group[0].n_other_layers += groups->group[g].n_other_layers;
    }
    return all;
}

/* KV of so many pages, if all layers kept every position. */
static uint64_t bytes_of_all_layers(const struct plan *p, uint32_t n_pages)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->homes.n; i++) {
        struct backend_params all = p->backend[i];
        all.kv = one_group(&p->backend[i].kv, n_pages);
        n += p->homes.home[i].ops->plan(&all).kv;
    }
    return n;
}

/* What the backends of all homes take for so many of the KV groups, and states. */
static struct backend_bytes bytes_of_homes(const struct plan *p, uint32_t n_kv_groups,
                                           bool has_states)
{
    struct backend_bytes sum = { 0 };
    for (uint32_t i = 0; i < p->homes.n; i++) {
        struct backend_params params = p->backend[i];
        params.kv.n = n_kv_groups;
        if (!has_states) params.kv.n_state_layers = 0;
        const struct backend_bytes b = p->homes.home[i].ops->plan(&params);
        sum.kv += b.kv;
        sum.scratch += b.scratch;
    }
    return sum;
}

/* Before anything is multiplied: a page of the largest model that is run, times the most pages, is
 * more bytes than 64 bits count. */
static pl_status check_kv(const struct plan *p, pl_err *err)
{
    const uint32_t n_pages = p->public.n_pages;         /* no group has more */
    const uint64_t page_bytes = bytes_of_all_layers(p, 1), most = (uint64_t)1 << 60;
    if (!page_bytes || n_pages <= most / page_bytes) return PL_OK;
    return pl_fail(err, PL_E_MEMORY, "%" PRIu32 " KV pages of %" PRIu64 " bytes are more than "
                   "any machine has: lower n_streams (--parallel), ctx_tokens (--ctx-size) or "
                   "kv_tokens (--kv-tokens)", n_pages, page_bytes);
}

pl_status plan_homes_bytes(struct plan *p, struct backend_bytes *out, pl_err *err)
{
    pl_plan *u = &p->public;
    const pl_status st = check_kv(p, err);
    if (st) return st;
    *out = bytes_of_homes(p, p->scheduler.kv.n, true);
    u->window_kv_bytes = out->kv - bytes_of_homes(p, 1, true).kv;
    u->state_bytes = out->kv - bytes_of_homes(p, p->scheduler.kv.n, false).kv;
    u->stream_state_bytes = p->scheduler.kv.n_state_layers * sizeof(float) *
                            mixer_state_floats(&p->backend[0].dims.mixer);
    u->kv_bytes_per_token = bytes_of_all_layers(p, u->n_pages) / u->kv_tokens;
    return PL_OK;
}

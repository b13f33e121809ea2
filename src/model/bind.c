/* Names in the file -> weights. One walk serves planning and loading: what is planned is what is
 * loaded. Every tensor of the file must find its place: one that nobody reads would mean a model
 * computed wrongly. */
#include "model/bind.h"
#include "model/kv_groups.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pl_status bind_gate_up(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const uint32_t d_model = k->h->dims.d_model, d_ff = k->h->layer[i].d_ff;
    const struct fused_part parts[] = { { "gate", d_ff, &l->gate.weight },
                                        { "up", d_ff, &l->up.weight } };
    if (k->h->arch->has_fused_up)
        return bind_fused(k, name_of(i, "ffn_up.weight").text, parts, 2, d_model, err);
    const bool has_gate = !k->h->arch->has_no_ffn_gate;
    pl_status st = has_gate ? bind_matrix(k, name_of(i, "ffn_gate.weight").text, d_ff, d_model,
                                          &l->gate.weight, err) : PL_OK;
    if (!st)
        st = bind_matrix(k, name_of(i, "ffn_up.weight").text, d_ff, d_model, &l->up.weight, err);
    if (!has_gate) l->gate.weight = l->up.weight;
    return st;
}

static pl_status bind_feed_forward(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const uint32_t d_model = k->h->dims.d_model, d_ff = k->h->layer[i].d_ff;
    pl_status st = bind_gate_up(k, i, l, err);
    if (!st)
        st = bind_matrix(k, name_of(i, "ffn_down.weight").text, d_model, d_ff, &l->down.weight,
                         err);
    if (!st) st = bind_vector(k, name_of(i, GATE_BIAS).text, d_ff, OPTIONAL, &l->gate.bias, err);
    if (!st) st = bind_vector(k, name_of(i, UP_BIAS).text, d_ff, OPTIONAL, &l->up.bias, err);
    if (!st)
        st = bind_vector(k, name_of(i, "ffn_down.bias").text, d_model, OPTIONAL, &l->down.bias,
                         err);
    return st;
}

static struct heads heads_of(const struct hparams *h, uint32_t i)
{
    return dims_heads(&h->dims, h->layer[i].attention.has_other_heads);
}

/* Tensors of keys and values may lie unused in a layer that reads another's. */
static void skip_keys_and_values(struct binder *k, uint32_t i)
{
    find_tensor(k, name_of(i, "attn_k.weight").text);
    find_tensor(k, name_of(i, "attn_v.weight").text);
    find_tensor(k, name_of(i, "attn_k_norm.weight").text);
}

/* Queries, which may have their gates between them. */
static pl_status bind_queries(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct heads heads = heads_of(k->h, i);
    const uint32_t d_model = k->h->dims.d_model;
    const struct layer_name name = name_of(i, "attn_q.weight");
    const struct fused_part of_head[] = { { "query", heads.d_head, &l->qkv.q.weight },
                                          { "gate", heads.d_head, &l->qkv.gate.weight } };
    if (k->h->arch->gates_attention)
        return bind_turns(k, name.text, of_head, 2, heads.n_heads, d_model, err);
    return bind_matrix(k, name.text, heads.n_heads * heads.d_head, d_model, &l->qkv.q.weight, err);
}

static pl_status bind_attention(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct heads heads = heads_of(k->h, i);
    const uint32_t q_rows = heads.n_heads * heads.d_head;
    const uint32_t kv_rows = heads.n_kv_heads * heads.d_head;
    if (k->h->arch->has_latents) {
        const pl_status st = bind_latents(k, i, &l->latent, err);
        return st ? st : bind_matrix(k, name_of(i, "attn_output.weight").text, d->d_model,
                                     d->n_heads * d->latent.d_value, &l->attention_output.weight,
                                     err);
    }
    const bool has_kv = k->h->layer[i].kv_of == i;
    const bool has_v = !k->h->arch->may_lack_values ||
                       gguf_find(k->g, name_of(i, "attn_v.weight").text);
    const int n_parts = !has_kv ? 1 : has_v ? 3 : 2;
    const struct fused_part parts[] = { { "q", q_rows, &l->qkv.q.weight },
                                        { "k", kv_rows, &l->qkv.k.weight },
                                        { "v", kv_rows, &l->qkv.v.weight } };
    const bool is_fused = k->h->arch->has_fused_qkv;
    pl_status st = is_fused ? bind_fused(k, name_of(i, "attn_qkv.weight").text, parts, 3,
                                         d->d_model, err)
                            : bind_queries(k, i, l, err);
    for (int p = 1; p < n_parts && !st && !is_fused; p++) {
        char name[32];
        snprintf(name, sizeof name, "attn_%s.weight", parts[p].name);
        st = bind_matrix(k, name_of(i, name).text, parts[p].n_rows, d->d_model, parts[p].out, err);
    }
    if (!has_kv) skip_keys_and_values(k, i);
    if (has_kv && !has_v) l->qkv.v.weight = l->qkv.k.weight;
    return st ? st : bind_matrix(k, name_of(i, "attn_output.weight").text, d->d_model, q_rows,
                                 &l->attention_output.weight, err);
}

/* What of a layer is not a weight. RoPE comes after all layers. */
static void plan_layer(const struct hparams *h, uint32_t i, struct layer *l)
{
    const struct norm no_weight = { NULL, h->norm_eps, h->arch->has_layer_norms };
    const struct residual residual = { .norm = no_weight, .scale = h->residual_scale,
                                       .norm_held = no_weight };
    *l = (struct layer){
        .attention_norm = no_weight, .qkv.norm_q = no_weight, .qkv.norm_k = no_weight,
        .qkv.norm_v = no_weight, .qkv.norms_turned = h->arch->norms_turned_heads,
        .expert_norm = no_weight, .router_norm = no_weight,
        .attention = h->layer[i].attention, .attention_residual = residual,
        .attends = h->layer[i].attends, .feeds_forward = h->layer[i].feeds_forward,
        .mixer = h->layer[i].mixer,
        .is_parallel = h->arch->is_parallel, .feed_forward_norm = no_weight,
        .ffn = h->layer[i].ffn, .feed_forward_residual = residual, .expert_residual = residual,
        .input_residual = residual,
    };
}

struct wanted_vector {
    const char *name;
    uint32_t n;
    enum presence presence;
    const struct vector **out;
};

static pl_status bind_vectors(struct binder *k, uint32_t i, const struct wanted_vector *v,
                              uint32_t n, pl_err *err)
{
    pl_status st = PL_OK;
    for (; n-- && !st; v++)
        st = bind_vector(k, name_of(i, v->name).text, v->n, v->presence, v->out, err);
    return st;
}

static pl_status bind_attention_vectors(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct arch *a = k->h->arch;
    const struct heads heads = heads_of(k->h, i);
    const uint32_t q_rows = heads.n_heads * heads.d_head;
    const uint32_t kv_rows = heads.n_kv_heads * heads.d_head;
    const bool has_kv = k->h->layer[i].kv_of == i;
    const struct wanted_vector vectors[] = {
        { "attn_output.bias", d->d_model, OPTIONAL, &l->attention_output.bias },
        { "attn_q.bias", q_rows, a->qkv_bias, &l->qkv.q.bias },
        { "attn_k.bias", kv_rows, a->qkv_bias, &l->qkv.k.bias },
        { "attn_v.bias", kv_rows, a->qkv_bias, &l->qkv.v.bias },
        { "attn_q_norm.weight", a->norms_all_heads ? q_rows : heads.d_head, a->head_norms,
          &l->qkv.norm_q.weight },
        { "attn_k_norm.weight", a->norms_all_heads ? kv_rows : heads.d_head,
          has_kv ? a->head_norms : ABSENT, &l->qkv.norm_k.weight },
        { "attn_sinks.weight", heads.n_heads, a->sinks, &l->qkv.sinks },
    };
    pl_status st = bind_vectors(k, i, vectors, sizeof vectors / sizeof *vectors, err);
    if (!st && k->h->layer[i].norms_heads)
        st = bind_ones(k, heads.d_head, &l->qkv.norm_q.weight, err);
    if (!st && k->h->layer[i].norms_heads)
        st = bind_ones(k, heads.d_head, &l->qkv.norm_k.weight, err);
    if (st || !a->norms_values || !has_kv) return st;
    return bind_ones(k, heads.d_head, &l->qkv.norm_v.weight, err);
}

static pl_status bind_layer(struct binder *k, uint32_t i, struct layer *l, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const struct arch *a = k->h->arch;
    const enum presence pre_norms = a->has_no_pre_norms ? ABSENT : REQUIRED;
    const struct layer_plan *plan = &k->h->layer[i];
    const bool looks_back = plan->attends || plan->mixer.kind != MIXER_NONE;
    const enum presence ffn_norm = a->is_parallel || !plan->feeds_forward ? ABSENT : pre_norms;
    const struct wanted_vector vectors[] = {
        { "attn_norm.weight", d->d_model, looks_back ? pre_norms : ABSENT,
          &l->attention_norm.weight },
        { "post_attention_norm.weight", d->d_model, a->post_norms,
          &l->attention_residual.norm.weight },
        { a->ffn_norm ? a->ffn_norm : "ffn_norm.weight", d->d_model, ffn_norm,
          &l->feed_forward_norm.weight },
        { "post_ffw_norm.weight", d->d_model, a->post_norms,
          &l->feed_forward_residual.norm.weight },
    };
    plan_layer(k->h, i, l);
    pl_status st = bind_vectors(k, i, vectors, sizeof vectors / sizeof *vectors, err);
    if (!st && l->attends) st = bind_attention(k, i, l, err);
    if (!st && l->attends) st = bind_attention_vectors(k, i, l, err);
    if (!st && l->mixer.kind != MIXER_NONE) st = bind_mixer(k, i, l, err);
    if (st) return st;
    if (a->is_parallel) l->feed_forward_norm = l->attention_norm;
    l->expert_norm = l->router_norm = l->feed_forward_norm;
    const bool is_mixture = plan->is_mixture && plan->feeds_forward;
    if (is_mixture) st = bind_mixture(k, i, &l->experts, err);
    if (!st && plan->feeds_forward && (!is_mixture || d->has_both_ffs))
        st = bind_feed_forward(k, i, l, err);
    if (!st && is_mixture && d->has_both_ffs) st = bind_sides(k, i, l, err);
    if (!st) st = bind_layer_end(k, i, l, err);
    return st ? st : bind_track_layer(k, i, l, err);
}

/* An embedding that is the output head too is loaded once, or once in each of two homes. */
static pl_status bind_ends(struct binder *k, struct model *m, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const bool is_tied = !gguf_find(k->g, "output.weight");
    const char *embedding = "token_embd.weight";
    bind_at(k, &k->homes->home[0]);
    pl_status st = bind_matrix(k, embedding, d->n_vocab, d->d_model, &m->embedding, err);
    if (st) return st;
    bind_at(k, homes_last(k->homes));
    if (is_tied && k->homes->n == 1) {
        m->output = m->embedding;
    } else {
        /* a step reads single rows of an embedding that is not the output head too */
        k->plan.step_weight_bytes = k->plan.macs_per_token = 0;
        st = bind_matrix(k, is_tied ? embedding : "output.weight", d->n_vocab, d->d_model,
                         &m->output, err);
    }
    const char *usual = "output_norm.weight", *norm = k->h->arch->output_norm;
    if (!norm || !gguf_find(k->g, norm)) norm = usual;
    if (!st) st = bind_vector(k, norm, d->d_model, REQUIRED, &m->head.norm.weight, err);
    return st;
}

/* Layers [first, end) with all that they share. */
static pl_status bind_layers(struct binder *k, struct model *m, uint32_t first, uint32_t end,
                             pl_err *err)
{
    pl_status st = PL_OK;
    for (uint32_t i = first; !st && i < end; i++) {
        struct layer nowhere;
        st = bind_layer(k, i, k->b ? &m->layer[i] : &nowhere, err);
    }
    if (!st) st = bind_ropes(k, k->b ? m->layer : NULL, first, end, err);
    if (!st) st = bind_temperature(k, m->layer, first, end, err);
    return st;
}

/* Tensors of blocks behind the last layer are nobody's. */
static bool is_beyond(const struct binder *k, struct gguf_string name)
{
    bool is = false;
    for (uint32_t i = k->h->dims.n_layers; i < k->h->n_blocks && !is; i++) {
        const struct layer_name block = name_of(i, "");
        const size_t n = strlen(block.text);
        is = name.n > n && !memcmp(name.bytes, block.text, n);
    }
    return is;
}

static pl_status check_all_bound(const struct binder *k, pl_err *err)
{
    for (uint64_t i = 0; i < k->g->n_tensors; i++)
        if (!k->is_bound[i] && !is_beyond(k, k->g->tensor[i].name)) {
            const struct gguf_string name = k->g->tensor[i].name;
            return pl_fail(
                err, PL_E_UNSUPPORTED,
                "%s: tensor %.*s has no place in architecture %s as this version runs it",
                k->g->part[0].path, name.n > 60 ? 60 : (int)name.n, name.bytes, k->h->arch->name);
        }
    return PL_OK;
}

/* Binds into *m; where homes have no backend nothing is loaded, and m only serves as a place to
 * write to. */
static pl_status bind_all(struct binder *k, struct model *m, pl_err *err)
{
    const struct dims *d = &k->h->dims;
    const size_t n_rope = (size_t)k->ctx_tokens *
                          (d->d_head > d->other.d_head ? d->d_head : d->other.d_head);
    const size_t n_attended = dims_widest_q(d);
    const size_t n_experts = d->n_experts ? d->n_experts : 1;
    const size_t others[] = { n_experts * d->d_model, n_experts * d->d_expert, d->d_ff, n_rope,
                              2 * (size_t)d->mixer.n_taps * d->mixer.n_channels,
                              (size_t)d->mixer.n_heads * d->d_model,
                              (size_t)d->n_tracks * d->d_model,
                              (size_t)d->n_tracks * d->n_tracks * d->n_tracks };
    const bool is_loading = k->homes->home[0].backend;
    size_t longest = n_attended;
    pl_status st = PL_OK;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] > longest) longest = others[i];
    k->is_bound = calloc(k->g->n_tensors, sizeof *k->is_bound);
    if (is_loading) k->scratch = malloc(longest * sizeof *k->scratch);
    if (!k->is_bound || (is_loading && !k->scratch))
        st = pl_fail(err, PL_E_MEMORY, "%s: no memory for the tables of %" PRIu64 " tensors",
                     k->g->part[0].path, k->g->n_tensors);
    if (!st) st = bind_tell(k, err);
    if (!st) st = bind_ends(k, m, err);
    for (uint32_t i = 0, first = 0; !st && i < k->homes->n; first += k->homes->home[i++].n_layers) {
        bind_at(k, &k->homes->home[i]);
        st = bind_inputs(k, &m->inputs[i], err);
        if (!st && i == 0) st = bind_track_ends(k, &m->tracks, err);
        if (!st) st = bind_layers(k, m, first, first + k->homes->home[i].n_layers, err);
    }
    if (!st) st = check_all_bound(k, err);
    for (uint32_t i = 0; !st && is_loading && i < k->homes->n; i++) {
        bind_at(k, &k->homes->home[i]);
        st = k->ops->load_done(k->b, err);
    }
    free(k->is_bound);
    free(k->scratch);
    return st;
}

pl_status model_plan(struct model_plan *out, const struct gguf *g, const struct hparams *h,
                     const struct homes *homes, uint32_t ctx_tokens, pl_err *err)
{
    struct binder k = { .g = g, .h = h, .homes = homes, .ctx_tokens = ctx_tokens };
    struct model nowhere = { 0 };
    const pl_status st = bind_all(&k, &nowhere, err);
    *out = k.plan;
    return st;
}

/* Where each layer's K and V are kept. */
static void place_layers(struct model *m, const struct hparams *h, const struct kv_groups *kv)
{
    for (uint32_t i = 0, home = 0, end = 0; home < m->homes.n; home++) {
        uint32_t n_placed[MAX_KV_GROUPS][2] = { { 0 } }, n_states = 0;
        end += m->homes.home[home].n_layers;
        for (; i < end; i++) {
            struct layer *l = &m->layer[i];
            struct attention_params *a = &l->attention;
            const struct attention_params *of = &m->layer[h->layer[i].kv_of].attention;
            if (l->mixer.kind != MIXER_NONE) l->mixer.state_layer = n_states++;
            if (!l->attends) continue;
            a->kv_group = kv_group_of(kv, a->window);
            a->kv_layer = of == a ? n_placed[a->kv_group][a->has_other_heads]++ : of->kv_layer;
        }
    }
}

pl_status model_open(struct model **out, const struct gguf *g, const struct hparams *h,
                     const struct homes *homes, const struct kv_groups *kv, uint32_t ctx_tokens,
                     const struct model_watch *watch, pl_err *err)
{
    *out = NULL;
    struct binder k = { .g = g, .h = h, .homes = homes, .ctx_tokens = ctx_tokens, .watch = watch };
    struct model *m = calloc(1, sizeof *m);
    if (m) m->layer = calloc(h->dims.n_layers, sizeof *m->layer);
    if (!m || !m->layer) {
        model_close(m);
        return pl_fail(err, PL_E_MEMORY, "no memory for %" PRIu32 " layers", h->dims.n_layers);
    }
    m->homes = *homes;
    m->embed_scale = h->embed_scale;
    m->head = (struct head_params){ { NULL, h->norm_eps, h->arch->has_layer_norms },
                                    h->logit_scale, h->logit_cap };
    const pl_status st = bind_all(&k, m, err);
    if (st) {
        model_close(m);
        return st;
    }
    place_layers(m, h, kv);
    *out = m;
    return PL_OK;
}

void model_close(struct model *m)
{
    if (!m) return;
    free(m->layer); /* weights belong to the backend */
    free(m);
}

/* The forward pass of every architecture: one order of operations over the plan of the layers. */
#include "model/weights.h"

static void attention(struct backend *b, const struct layer *l)
{
    const bool has_latents = l->latent.q.weight != NULL;
    if (has_latents) b->ops->latent_qkv(b, &l->latent, &l->attention);
    else b->ops->qkv(b, &l->qkv, &l->attention);
    b->ops->attend(b, &l->qkv, &l->attention);
    if (has_latents) b->ops->latent_values(b, &l->latent);
}

/* A dense part, a mixture of experts, or both side by side. */
static void feed_forward(struct backend *b, const struct layer *l)
{
    if (l->gate.weight) {
        b->ops->norm(b, &l->feed_forward_norm);
        b->ops->gate_up(b, &l->gate, &l->up, &l->ffn);
        b->ops->down_add(b, &l->down, &l->feed_forward_residual);
    }
    if (!l->experts.router) return;
    b->ops->norm(b, &l->expert_norm);
    b->ops->experts_add(b, &l->router_norm, &l->experts, &l->ffn, &l->expert_residual);
}

/* What the layer makes of the token itself, by way of X. */
static void add_input(struct backend *b, const struct layer *l, uint32_t layer)
{
    static const struct norm none = { 0 };
    b->ops->norm(b, &none);
    b->ops->gate_input(b, &l->input_gate, layer, &l->ffn);
    b->ops->down_add(b, &l->input_down, &l->input_residual);
}

/* A mixer and attention that stand side by side both read H. In a parallel layer both branches read
 * the X that the layer began with, so attention's result, which waits in ATT, is added last. */
static void record_layer(struct backend *b, const struct layer *l, uint32_t layer)
{
    const bool has_mixer = l->mixer.kind != MIXER_NONE;
    if (l->tracks.router) b->ops->tracks_predict(b, &l->tracks);
    if (l->attends || has_mixer) b->ops->norm(b, &l->attention_norm);
    if (has_mixer) {
        b->ops->mix(b, &l->attention_norm, &l->mixer_weights, &l->mixer);
        b->ops->attention_add(b, &l->mixer_output, &l->attention_residual);
    }
    if (l->attends) attention(b, l);
    if (l->is_parallel) feed_forward(b, l);
    if (l->low_down.weight) {
        b->ops->norm(b, &l->attention_norm);    /* H may have been another's in between */
        b->ops->low_rank(b, &l->attention_norm, &l->low_down, &l->low_up, &l->low_norm);
    }
    if (l->attends) b->ops->attention_add(b, &l->attention_output, &l->attention_residual);
    if (!l->is_parallel) feed_forward(b, l);
    if (l->tracks.router) b->ops->tracks_correct(b, &l->tracks);
    if (l->input_gate.weight) add_input(b, l, layer);
}

/* The step's first X: the tokens' embedding, or what the home before left. Layer inputs are made of
 * the former in every home. */
static pl_status record_beginning(struct model *m, uint32_t home, const struct batch *batch,
                                  const float *x, pl_err *err)
{
    struct backend *b = m->homes.home[home].backend;
    const struct layer_inputs *inputs = &m->inputs[home];
    b->ops->begin(b, batch);
    if (!home || inputs->embedding) {
        b->ops->embed(b, home ? m->output : m->embedding, m->embed_scale);
        if (inputs->embedding) b->ops->layer_inputs(b, inputs);
    }
    if (m->tracks.in[1].weight) b->ops->tracks_begin(b, &m->tracks);
    if (!home) return PL_OK;
    if (inputs->embedding) {
        const pl_status st = b->ops->submit(b, err);
        if (st) return st;
        b->ops->begin(b, batch);
    }
    b->ops->put_x(b, x);
    return PL_OK;
}

pl_status model_record(struct model *m, const struct batch *batch, float *x, sample_fn *fn,
                       void *arg, pl_err *err)
{
    const struct layer *l = m->layer;
    struct backend *b = NULL;
    for (uint32_t i = 0; i < m->homes.n; i++) {
        if (b) {
            const pl_status st = b->ops->submit(b, err);
            if (st) return st;
            b->ops->take_x(b, x);
        }
        const pl_status st = record_beginning(m, i, batch, x, err);
        if (st) return st;
        b = m->homes.home[i].backend;
        for (const struct layer *end = l + m->homes.home[i].n_layers; l < end; l++)
            record_layer(b, l, (uint32_t)(l - m->layer));
    }
    if (batch->n_outputs) {
        if (m->tracks.in[1].weight) b->ops->tracks_end(b, &m->tracks);
        b->ops->logits(b, &m->head, m->output);
        b->ops->sample(b, fn, arg);
    }
    return PL_OK;
}

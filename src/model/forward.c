/* The forward pass of every architecture: one order of operations, absent weights skipped. */
#include "model/arch.h"
#include "model/weights.h"

static void attention(const struct model *m, uint32_t i)
{
    const struct backend_ops *ops = m->backend->ops;
    const struct layer *l = &m->layer[i];
    const struct hparams *h = &m->hparams;

    ops->norm(m->backend, l->attention_norm, h->norm_eps);
    ops->qkv(m->backend, i, &l->qkv, l->rope, h->q_scale, h->norm_eps);
    ops->attend(m->backend, i, l->window);
    ops->attention_add(m->backend, l->attention_output, l->post_attention_norm, h->norm_eps);
}

static void feed_forward(const struct model *m, uint32_t i)
{
    const struct backend_ops *ops = m->backend->ops;
    const struct layer *l = &m->layer[i];
    const struct hparams *h = &m->hparams;

    ops->norm(m->backend, l->feed_forward_norm, h->norm_eps);
    if (l->experts.router) {
        ops->experts_add(m->backend, l->feed_forward_norm, h->norm_eps, &l->experts,
                         h->arch->activation);
        return;
    }
    ops->gate_up(m->backend, l->gate, l->up, h->arch->activation);
    ops->down_add(m->backend, l->down, l->post_feed_forward_norm, h->norm_eps);
}

void model_record(struct model *m, const struct batch *batch, sample_fn *fn, void *arg)
{
    const struct backend_ops *ops = m->backend->ops;

    ops->begin(m->backend, batch);
    ops->embed(m->backend, m->embedding, m->hparams.embed_scale);
    for (uint32_t i = 0; i < m->hparams.dims.n_layers; i++) {
        attention(m, i);
        feed_forward(m, i);
    }
    if (batch->n_outs) {
        ops->logits(m->backend, m->output_norm, m->hparams.norm_eps, m->output);
        ops->sample(m->backend, fn, arg);
    }
}

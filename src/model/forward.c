/* The forward pass of every architecture: one order of operations over the plan of the layers. */
#include "model/weights.h"

static void attention(struct backend *b, const struct layer *l)
{
    b->ops->qkv(b, &l->qkv, &l->attention);
    b->ops->attend(b, &l->qkv, &l->attention);
}

static void feed_forward(struct backend *b, const struct layer *l)
{
    b->ops->norm(b, &l->feed_forward_norm);
    if (l->experts.router) {
        b->ops->experts_add(b, &l->feed_forward_norm, &l->experts, &l->ffn,
                            &l->feed_forward_residual);
        return;
    }
    b->ops->gate_up(b, &l->gate, &l->up, &l->ffn);
    b->ops->down_add(b, &l->down, &l->feed_forward_residual);
}

/* In a parallel layer both branches read the X that the layer began with, so attention's result,
 * which waits in ATT, is added last. */
static void record_layer(struct backend *b, const struct layer *l)
{
    b->ops->norm(b, &l->attention_norm);
    if (l->mixer.kind != MIXER_NONE) {
        b->ops->mix(b, &l->attention_norm, &l->mixer_weights, &l->mixer);
        b->ops->attention_add(b, &l->mixer_output, &l->attention_residual);
    }
    if (l->attends) attention(b, l);
    if (l->is_parallel) feed_forward(b, l);
    if (l->attends) b->ops->attention_add(b, &l->attention_output, &l->attention_residual);
    if (!l->is_parallel) feed_forward(b, l);
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
        struct backend *next = m->homes.home[i].backend;
        next->ops->begin(next, batch);
        if (b) next->ops->put_x(next, x);
        else next->ops->embed(next, m->embedding, m->embed_scale);
        b = next;
        for (const struct layer *end = l + m->homes.home[i].n_layers; l < end; l++)
            record_layer(b, l);
    }
    if (batch->n_outputs) {
        b->ops->logits(b, &m->head, m->output);
        b->ops->sample(b, fn, arg);
    }
    return PL_OK;
}

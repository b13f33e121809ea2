#include "engine/engine_wake.h"

#include <stdlib.h>

void engine_wake(struct pl_engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->is_wake_pending = true;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

void engine_cancel_wake(struct pl_engine *e)
{
    atomic_store_explicit(&e->has_cancels, true, memory_order_release);
    engine_wake(e);
}

void engine_leave_queue(struct pl_engine *e, struct pl_stream *s)
{
    e->n_extra -= s->is_extra;
    s->is_extra = false;
    if (!s->is_queued) return;
    s->is_queued = false;
    e->n_queued--;
    e->n_queued_tokens -= s->seq.n_prompt;
}

void engine_give_place(struct pl_engine *e, struct pl_stream *s)
{
    pthread_mutex_lock(&e->lock);
    engine_leave_queue(e, s);
    pthread_mutex_unlock(&e->lock);
}

void engine_free_stream(struct pl_engine *e, struct pl_stream *s)
{
    if (s->embed_memory) embed_memory_let_go(s->embed_memory);
    s->embed_memory = NULL;
    s->embed = NULL;
    if (s->owns_score) free(s->score);
    s->owns_score = false;
    s->score = NULL;
    stream_forget_storage(&e->streams, s);
    pthread_mutex_lock(&e->lock);
    stream_pool_give(&e->streams, s);
    pthread_mutex_unlock(&e->lock);
}

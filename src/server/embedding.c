#include "server/embedding.h"

#include <stdlib.h>

#include "server/state.h"

uint64_t embedding_bytes(pl_pooling pooling, uint32_t d_model, size_t n_texts, uint64_t n_tokens)
{
    const uint64_t n_rows = pooling == PL_POOLING_NONE ? n_tokens : n_texts;
    return n_rows * d_model * sizeof(float) + n_tokens * sizeof(int32_t);
}

void embedding_cancel(struct embedding *e)
{
    atomic_store(&e->is_cancelled, true);
}

void embedding_free(struct embedding *e)
{
    if (!e) return;
    pl_embedding_close(e->job);
    atomic_fetch_sub(&e->server->n_body_bytes, e->n_bytes);
    strbuf_free(&e->out);
    free(e);
}

/* One request for embeddings being answered: texts on their way to vectors, and how these are told.
 * It is made by route_embedding.c and told by embed_answer.c. */
#ifndef SERVER_EMBEDDING_H
#define SERVER_EMBEDDING_H

#include <stdatomic.h>

#include "base/strbuf.h"
#include "server/embed_request.h"

struct server;

/* How a route tells vectors. */
enum embed_shape {
    EMBED_OPENAI,                   /* {"data": [{"index", "embedding": [...]}, ...]} */
    EMBED_LLAMA,                    /* [{"index", "embedding": [[...], ...]}, ...] */
    EMBED_OLLAMA,                   /* {"embeddings": [[...], ...]} */
    EMBED_OLLAMA_ONE,               /* {"embedding": [...]} */
};

struct embedding {
    struct server *server;
    uint64_t started_ns;            /* when its request came */
    pl_embedding *job;
    struct embed_form form;
    enum embed_shape shape;
    pl_pooling pooling;
    uint32_t d_model;
    size_t n_texts;
    uint64_t n_tokens;
    size_t n_bytes;                 /* of tokens and vectors, counted among bodies */
    atomic_bool is_cancelled;

    /* the answer, of which a vector at a time is written */
    size_t text, row;               /* the next one */
    struct strbuf out;              /* what is to be sent, from out_at on */
    size_t out_at;
    bool has_begun, is_finished;
};

/* Bytes that tokens and vectors take. */
uint64_t embedding_bytes(pl_pooling pooling, uint32_t d_model, size_t n_texts, uint64_t n_tokens);

void embedding_cancel(struct embedding *e);     /* any thread, while watched; who waits is to be
                                                 * woken */
void embedding_free(struct embedding *e);

#endif

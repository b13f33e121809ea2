/* Embeddings of the fake engine: each text is a stream of its own, whose orders it obeys, and its
 * vector is FAKE_DIMS numbers: how many tokens there are, their sum, and so on. All are submitted
 * at once. Included by fake_engine.h. */
#ifndef FAKE_EMBEDDING_H
#define FAKE_EMBEDDING_H

enum { FAKE_DIMS = 4 };

struct pl_embedding {
    size_t n_texts;
    pl_stream **stream;             /* (n_texts) NULL: it has ended */
    float *vector;                  /* (n_texts, FAKE_DIMS) */
};

static inline void fake_vector(const pl_embed_text *text, float *to)
{
    to[0] = (float)text->n_tokens;
    for (size_t i = 0; i < text->n_tokens; i++) to[1] += (float)text->tokens[i];
    to[2] = -to[0];
    to[3] = 0.5f;
}

void pl_embedding_close(pl_embedding *b)
{
    for (size_t i = 0; b && i < b->n_texts; i++) pl_stream_close(b->stream[i]);
    if (!b) return;
    free(b->stream);
    free(b->vector);
    free(b);
}

pl_status pl_embedding_open(pl_engine *e, const pl_embed_request *r, pl_embedding **out,
                            pl_err *err)
{
    pl_embedding *b = calloc(1, sizeof *b);
    if (!b) abort();
    b->stream = calloc(r->n_texts, sizeof(pl_stream *));
    b->vector = calloc(r->n_texts * FAKE_DIMS, sizeof *b->vector);
    if (!b->stream || !b->vector) abort();
    pl_status st = PL_OK;
    for (; b->n_texts < r->n_texts && !st; b->n_texts++) {
        const pl_embed_text *t = &r->text[b->n_texts];
        const pl_request request = { .tokens = t->tokens, .n_tokens = t->n_tokens,
                                     .max_tokens = 3, .on_event = r->on_event, .arg = r->arg };
        st = pl_submit(e, &request, &b->stream[b->n_texts], err);
        fake_vector(t, b->vector + b->n_texts * FAKE_DIMS);
    }
    *out = st ? NULL : b;
    if (st) pl_embedding_close(b);
    return st;
}

pl_status pl_embedding_poll(pl_embedding *b, bool *is_done, pl_err *err)
{
    *is_done = true;
    for (size_t i = 0; i < b->n_texts; i++) {
        pl_event event = { .kind = PL_EVENT_ADMITTED };
        while (b->stream[i] && event.kind != PL_EVENT_END && pl_stream_next(b->stream[i], &event))
            continue;
        if (event.kind != PL_EVENT_END) {
            *is_done &= !b->stream[i];
            continue;
        }
        pl_stream_close(b->stream[i]);
        b->stream[i] = NULL;
        if (event.finish == PL_FINISH_ERROR) return pl_fail(err, PL_E_INTERNAL, "a step failed");
    }
    return PL_OK;
}

const float *pl_embedding_rows(const pl_embedding *b, size_t text, size_t *n_rows)
{
    *n_rows = 1;
    return b->vector + text * FAKE_DIMS;
}

#endif

/* pl_embedding and pl_embed: streams whose hidden rows are pooled, a window of them at a time. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cond.h"
#include "engine/submit.h"

struct text_place {
    const int32_t *tokens;      /* in `tokens` */
    size_t n_tokens;
    size_t first_row, n_rows;
};

struct pl_embedding {
    struct pl_engine *engine;
    struct embed_memory *memory;
    pl_pooling pooling;
    uint32_t d_model, n_jobs;
    int32_t *tokens;            /* of all texts */
    struct text_place *text;    /* (n_texts) */
    pl_stream **stream;         /* (n_jobs) whose job is memory->job[i]; NULL: it is free */
    size_t n_texts, n_begun, n_done;
    pl_wake_fn *on_event;
    void *arg;
    pl_err failure;             /* status 0: none yet */
};

/* ---- checks --------------------------------------------------------------------------------- */

static pl_status check_text(const struct pl_engine *e, const pl_embed_text *t, size_t i,
                            pl_err *err)
{
    const pl_plan *p = &e->plan.public;
    if (!t->n_tokens || !t->tokens)
        return pl_fail(err, PL_E_PARAM, "text %zu is empty; at least one token is wanted", i);
    if (t->n_tokens > p->ctx_tokens)
        return pl_fail(err, PL_E_CONTEXT, "text %zu has %zu tokens; a context has %" PRIu32
                       ": shorten it or raise ctx_tokens (--ctx-size)", i, t->n_tokens,
                       p->ctx_tokens);
    for (size_t k = 0; k < t->n_tokens; k++)
        if (t->tokens[k] < 0 || (uint32_t)t->tokens[k] >= p->n_vocab)
            return pl_fail(err, PL_E_PARAM, "token %zu of text %zu is %" PRId32 "; 0 to %" PRIu32
                           " are wanted", k, i, t->tokens[k], p->n_vocab - 1);
    return PL_OK;
}

static pl_status check(const struct pl_engine *e, const pl_embed_request *r, pl_pooling pooling,
                       pl_err *err)
{
    if (e->is_text_only)
        return pl_fail(err, PL_E_PARAM, "the engine was opened for text alone (text_only)");
    if (!r->n_texts) return pl_fail(err, PL_E_PARAM, "no text; at least one is wanted");
    if (pooling <= PL_POOLING_DEFAULT || pooling >= PL_POOLING_RANK)
        return pl_fail(err, PL_E_PARAM, "the model's rows are for a classifier (pooling rank), "
                       "which is not run here: name another pooling (--pooling)");
    pl_status st = PL_OK;
    for (size_t i = 0; i < r->n_texts && !st; i++) st = check_text(e, &r->text[i], i, err);
    return st;
}

/* ---- opening -------------------------------------------------------------------------------- */

static size_t rows_of(pl_pooling pooling, size_t n_tokens)
{
    return pooling == PL_POOLING_NONE ? n_tokens : 1;
}

/* Before the first position a causal model sees nothing else: of the first one, what comes after it
 * need not be computed. */
static size_t computed_of(pl_pooling pooling, size_t n_tokens)
{
    return pooling == PL_POOLING_CLS ? 1 : n_tokens;
}

/* Copies the texts. False: no memory. */
static bool place_texts(struct pl_embedding *b, const pl_embed_request *r, size_t *n_rows)
{
    size_t n_tokens = 0;
    for (size_t i = 0; i < r->n_texts; i++)
        n_tokens += computed_of(b->pooling, r->text[i].n_tokens);
    b->tokens = malloc(n_tokens * sizeof *b->tokens);
    b->text = calloc(r->n_texts, sizeof *b->text);
    b->stream = calloc(b->n_jobs, sizeof(pl_stream *));
    if (!b->tokens || !b->text || !b->stream) return false;
    int32_t *to = b->tokens;
    *n_rows = 0;
    for (size_t i = 0; i < r->n_texts; i++) {
        const size_t n = computed_of(b->pooling, r->text[i].n_tokens);
        memcpy(to, r->text[i].tokens, n * sizeof *to);
        b->text[i] = (struct text_place){ to, n, *n_rows, rows_of(b->pooling, n) };
        to += n;
        *n_rows += b->text[i].n_rows;
    }
    return true;
}

static pl_status take_memory(struct pl_embedding *b, const pl_embed_request *r, pl_err *err)
{
    const uint32_t n_window = 2 * b->engine->plan.public.n_streams;
    size_t n_rows = 0;
    b->n_jobs = r->n_texts < n_window ? (uint32_t)r->n_texts : n_window;
    const bool is_mean = b->pooling == PL_POOLING_MEAN;
    if (place_texts(b, r, &n_rows))
        b->memory = embed_memory_take(n_rows * b->d_model, b->n_jobs,
                                      is_mean ? (size_t)b->n_jobs * b->d_model : 0);
    if (b->memory) return PL_OK;
    return pl_fail(err, PL_E_MEMORY, "no memory for the vectors of %zu texts", r->n_texts);
}

/* ---- a window of texts ---------------------------------------------------------------------- */

static struct embed_job job_of(struct pl_embedding *b, uint32_t job, const struct text_place *t)
{
    double *sum = b->memory->sum ? b->memory->sum + (size_t)job * b->d_model : NULL;
    if (sum) memset(sum, 0, b->d_model * sizeof *sum);
    return (struct embed_job){ .memory = b->memory,
                               .pooling = b->pooling == PL_POOLING_CLS ? PL_POOLING_LAST
                                                                       : b->pooling,
                               .d_model = b->d_model, .n_prompt = (uint32_t)t->n_tokens,
                               .out = b->memory->row + t->first_row * b->d_model, .sum = sum };
}

static pl_status begin_text(struct pl_embedding *b, uint32_t job, pl_err *err)
{
    const struct text_place *t = &b->text[b->n_begun];
    const pl_request request = { .tokens = t->tokens, .n_tokens = t->n_tokens,
                                 .sampling = pl_sampling_default(), .on_event = b->on_event,
                                 .arg = b->arg };
    b->memory->job[job] = job_of(b, job, t);
    const struct prompt_job of = { .embed = &b->memory->job[job],
                                   .place = !b->n_begun              ? PLACE_NEW
                                            : b->n_begun == b->n_done ? PLACE_HELD
                                                                      : PLACE_EXTRA };
    const pl_status st = engine_submit(b->engine, &request, &of, &b->stream[job], err);
    b->n_begun += !st;
    return st;
}

/* Of an embedding one text is in the queue, or has been; those beside it come as far as there is
 * room, and take nobody's place. */
static pl_status begin_texts(struct pl_embedding *b, pl_err *err)
{
    for (uint32_t i = 0; i < b->n_jobs && b->n_begun < b->n_texts; i++) {
        if (b->stream[i]) continue;
        const pl_status st = begin_text(b, i, err);
        if (st == PL_E_BUSY && b->n_begun > b->n_done) return PL_OK;
        if (st) return st;
    }
    return PL_OK;
}

static pl_status take_end(struct pl_embedding *b, uint32_t job, pl_err *err)
{
    pl_event event = { .kind = PL_EVENT_ADMITTED };
    while (event.kind != PL_EVENT_END)
        if (!pl_stream_next(b->stream[job], &event)) return PL_OK;
    const pl_finish finish = event.finish;
    pl_stream_close(b->stream[job]);
    b->stream[job] = NULL;
    b->n_done++;
    if (finish == PL_FINISH_LENGTH) return PL_OK;
    return finish == PL_FINISH_ERROR
               ? pl_fail(err, PL_E_INTERNAL, "a step of the embedding failed: see the log")
               : pl_fail(err, PL_E_CLOSING, "the engine was closed before all vectors were there");
}

PL_API pl_status pl_embedding_poll(pl_embedding *b, bool *is_done, pl_err *err)
{
    pl_err why = b->failure;
    pl_status st = why.status;
    for (uint32_t i = 0; i < b->n_jobs && !st; i++)
        if (b->stream[i]) st = take_end(b, i, &why);
    if (!st) st = begin_texts(b, &why);
    *is_done = !st && b->n_done == b->n_texts;
    if (!st) return PL_OK;
    b->failure = why;
    if (err) *err = why;
    return st;
}

/* ---- open and close ------------------------------------------------------------------------- */

PL_API pl_status pl_embedding_open(pl_engine *e, const pl_embed_request *r, pl_embedding **out,
                                   pl_err *err)
{
    const pl_pooling pooling = r->pooling ? r->pooling : e->plan.public.pooling;
    *out = NULL;
    pl_status st = check(e, r, pooling, err);
    if (st) return st;
    struct pl_embedding *b = calloc(1, sizeof *b);
    if (!b) return pl_fail(err, PL_E_MEMORY, "no memory for an embedding");
    *b = (struct pl_embedding){ .engine = e, .pooling = pooling,
                                .d_model = e->plan.public.d_model, .n_texts = r->n_texts,
                                .on_event = r->on_event, .arg = r->arg };
    st = take_memory(b, r, err);
    if (!st) st = begin_texts(b, err);
    if (st) {
        pl_embedding_close(b);
        return st;
    }
    *out = b;
    return PL_OK;
}

PL_API const float *pl_embedding_rows(const pl_embedding *b, size_t text, size_t *n_rows)
{
    *n_rows = b->text[text].n_rows;
    return b->memory->row + b->text[text].first_row * b->d_model;
}

PL_API void pl_embedding_close(pl_embedding *b)
{
    if (!b) return;
    for (uint32_t i = 0; b->stream && i < b->n_jobs; i++) pl_stream_close(b->stream[i]);
    if (b->memory) embed_memory_let_go(b->memory);
    free(b->tokens);
    free(b->text);
    free(b->stream);
    free(b);
}

/* ---- waiting -------------------------------------------------------------------------------- */

struct waker {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool has_news;              /* under lock */
};

static void wake(void *arg)
{
    struct waker *w = arg;
    pthread_mutex_lock(&w->lock);
    w->has_news = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void wait_for_news(struct waker *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->has_news) pthread_cond_wait(&w->changed, &w->lock);
    w->has_news = false;
    pthread_mutex_unlock(&w->lock);
}

/* The rows of all texts lie one behind the other. */
static pl_status copy_rows(const struct pl_embedding *b, pl_embed_result *out, pl_err *err)
{
    const struct text_place *last = &b->text[b->n_texts - 1];
    const size_t n_rows = last->first_row + last->n_rows;
    *out = (pl_embed_result){ malloc(n_rows * b->d_model * sizeof(float)), n_rows, b->d_model };
    if (!out->vector) return pl_fail(err, PL_E_MEMORY, "no memory for %zu vectors", n_rows);
    memcpy(out->vector, b->memory->row, n_rows * b->d_model * sizeof(float));
    return PL_OK;
}

PL_API void pl_embed_free(pl_embed_result *r)
{
    free(r->vector);
    *r = (pl_embed_result){ 0 };
}

PL_API pl_status pl_embed(pl_engine *e, const pl_embed_text *text, size_t n_texts,
                          pl_pooling pooling, pl_embed_result *out, pl_err *err)
{
    struct waker w = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    const pl_embed_request request = { .text = text, .n_texts = n_texts, .pooling = pooling,
                                       .on_event = wake, .arg = &w };
    pl_embedding *b = NULL;
    bool is_done = false;
    *out = (pl_embed_result){ 0 };
    pl_status st = pl_embedding_open(e, &request, &b, err);
    while (!st && !(st = pl_embedding_poll(b, &is_done, err)) && !is_done) wait_for_news(&w);
    if (!st) st = copy_rows(b, out, err);
    pl_embedding_close(b);
    pthread_cond_destroy(&w.changed);
    pthread_mutex_destroy(&w.lock);
    if (st) pl_embed_free(out);
    return st;
}

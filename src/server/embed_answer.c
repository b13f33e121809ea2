/* The document is written a vector at a time, as the client takes it: a thousand vectors have
 * megabytes of digits, and whoever else is served must not wait for them. */
#include "server/embed_answer.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "server/active.h"
#include "server/answer.h"
#include "server/dialects/ollama_names.h"
#include "server/embed_vector.h"
#include "server/embedding.h"
#include "server/json_text.h"
#include "server/model_names.h"

enum { BLOCK_BYTES = 16 << 10 };    /* what libmicrohttpd asks a reader for at once */

/* ---- the document --------------------------------------------------------------------------- */

/* What stands between vectors: before and after each text's, and at the end. */
static const struct {
    const char *before, *after, *end;
} shapes[] = {
    [EMBED_OPENAI] = { "", "}", "]}" },
    [EMBED_LLAMA] = { "[", "]}", "]" },
    [EMBED_OLLAMA] = { "", "", "]}" },
    [EMBED_OLLAMA_ONE] = { "", "", "}" },
};

static void begin_openai(struct embedding *e)
{
    const char *model = model_names_first(e->server);
    strbuf_add_str(&e->out, "{\"object\":\"list\",\"model\":");
    json_text_add(&e->out, model, strlen(model));
    strbuf_addf(&e->out, ",\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "},"
                "\"data\":[", e->n_tokens, e->n_tokens);
}

static void begin_ollama(struct embedding *e)
{
    struct strbuf name = { 0 };
    ollama_name_add(&name, e->server);
    strbuf_add_str(&e->out, "{\"model\":");
    json_text_add(&e->out, name.bytes, name.n);
    strbuf_addf(&e->out, ",\"total_duration\":%" PRIu64 ",\"load_duration\":0,"
                "\"prompt_eval_count\":%" PRIu64 ",\"embeddings\":[", clock_ns() - e->started_ns,
                e->n_tokens);
    if (name.failed) e->out.failed = true;
    strbuf_free(&name);
}

static void write_begin(struct embedding *e)
{
    e->has_begun = true;
    switch (e->shape) {
    case EMBED_OPENAI: begin_openai(e); break;
    case EMBED_LLAMA: strbuf_add_str(&e->out, "["); break;
    case EMBED_OLLAMA: begin_ollama(e); break;
    case EMBED_OLLAMA_ONE: strbuf_add_str(&e->out, "{\"embedding\":"); break;
    }
}

static void write_end(struct embedding *e)
{
    strbuf_add_str(&e->out, shapes[e->shape].end);
    e->is_finished = true;
}

/* Before a text's first row. */
static void begin_text(struct embedding *e)
{
    if (e->text) strbuf_add_str(&e->out, ",");
    if (e->shape == EMBED_OPENAI || e->shape == EMBED_LLAMA)
        strbuf_addf(&e->out, "{%s\"index\":%zu,\"embedding\":",
                    e->shape == EMBED_OPENAI ? "\"object\":\"embedding\"," : "", e->text);
    strbuf_add_str(&e->out, shapes[e->shape].before);
}

/* The next row, with what stands before a text's first and after its last. */
static void write_row(struct embedding *e)
{
    size_t n_rows;
    const float *row = pl_embedding_rows(e->job, e->text, &n_rows) + e->row * e->d_model;
    if (!e->row) begin_text(e);
    else strbuf_add_str(&e->out, ",");
    embed_vector_write(&e->out, row, &e->form);
    if (++e->row < n_rows) return;
    strbuf_add_str(&e->out, shapes[e->shape].after);
    e->row = 0;
    e->text++;
}

static void write_more(struct embedding *e)
{
    if (!e->has_begun) write_begin(e);
    else if (e->text < e->n_texts) write_row(e);
    else write_end(e);
}

/* libmicrohttpd asks for the next bytes of the answer. */
static ssize_t read_answer(void *arg, uint64_t pos, char *to, size_t max)
{
    struct exchange *x = arg;
    struct embedding *e = x->embedding;
    (void)pos;
    if (!e->out.n && e->is_finished) return MHD_CONTENT_READER_END_OF_STREAM;
    if (!e->out.n) write_more(e);
    if (e->out.failed) return MHD_CONTENT_READER_END_WITH_ERROR;
    return (ssize_t)strbuf_take(&e->out, &e->out_at, to, max);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static enum MHD_Result send_vectors(struct exchange *x)
{
    return answer_set(x, 200, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
                                                                read_answer, x, NULL),
                      "application/json");
}

static enum MHD_Result send_end(struct exchange *x)
{
    const struct active_end why = active_end(x);
    return answer_fail(x, why.status, NULL, why.code, "%s", why.text);
}

enum MHD_Result embed_answer(struct exchange *x)
{
    struct embedding *e = x->embedding;
    for (;;) {
        bool is_ping_due, is_done;
        pl_err err = { 0 };
        if (wake_take_news(&x->wake, &is_ping_due)) return MHD_NO;
        if (atomic_load(&e->is_cancelled)) return send_end(x);
        if (pl_embedding_poll(e->job, &is_done, &err)) return answer_fail_engine(x, &err, NULL);
        if (is_done) return send_vectors(x);
        if (wake_suspend(&x->wake)) return MHD_YES;
    }
}

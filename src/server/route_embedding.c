#include "server/route_embedding.h"

#include <inttypes.h>
#include <stdlib.h>

#include "server/active.h"
#include "server/answer.h"
#include "server/body.h"
#include "server/embedding.h"
#include "server/request_fields.h"

static void on_event(void *arg)
{
    wake_up(arg);
}

/* ---- what is refused ------------------------------------------------------------------------ */

/* False: refused, *result is the answer's. */
static bool check_model(struct exchange *x, const struct embed_request *r, enum embed_shape shape,
                        enum MHD_Result *result)
{
    const pl_pooling pooling = pl_engine_plan(server_engine(x))->pooling;
    if (!active_has_model(x, r->model, result)) return false;
    if (pooling == PL_POOLING_RANK)
        *result = answer_fail(x, 501, NULL, "not_supported", "the model ranks documents (pooling "
                              "rank), which is not done here; its vectors are served with "
                              "--pooling last");
    else if (pooling == PL_POOLING_NONE && shape != EMBED_LLAMA)
        *result = answer_fail(x, 400, NULL, "invalid_parameter", "with pooling none every token "
                              "has a vector, which POST /embedding tells; here --pooling last, "
                              "mean or cls is wanted");
    else
        return true;
    return false;
}

/* Tokens and vectors share the room of bodies. False: refused. */
static bool take_room(struct exchange *x, struct embedding *e, enum MHD_Result *result)
{
    struct server *s = x->server;
    const uint64_t n = embedding_bytes(e->pooling, e->d_model, e->n_texts, e->n_tokens);
    if (n > s->max_bodies_bytes) {
        *result = answer_fail(x, 400, "input", "invalid_parameter", "the vectors would take "
                              "%" PRIu64 " bytes; at most %zu are allowed: send fewer texts", n,
                              s->max_bodies_bytes);
        return false;
    }
    e->n_bytes = (size_t)n;
    if (atomic_fetch_add(&s->n_body_bytes, e->n_bytes) + e->n_bytes <= s->max_bodies_bytes)
        return true;
    *result = answer_fail(x, 429, NULL, "queue_full", "bodies and vectors of requests being served "
                          "fill %zu bytes; try again later", s->max_bodies_bytes);
    return false;
}

static enum MHD_Result fail_begin(struct exchange *x, const struct embed_request *r,
                                  const pl_err *err)
{
    const uint32_t n_ctx = pl_engine_plan(server_engine(x))->ctx_tokens;
    for (size_t i = 0; i < r->n_texts && err->status == PL_E_CONTEXT; i++)
        if (r->tokens[i].n > n_ctx)
            return answer_fail_context(x, err, "input", r->tokens[i].n, n_ctx);
    return answer_fail_engine(x, err, err->status == PL_E_PARAM ? "input" : NULL);
}

/* ---- from the body to texts under way ------------------------------------------------------- */

static pl_status open_job(struct exchange *x, struct embedding *e, const struct embed_request *r,
                          pl_err *err)
{
    pl_embed_text *text = malloc(r->n_texts * sizeof *text);
    if (!text) {
        *err = (pl_err){ PL_E_MEMORY, "out of memory" };
        return PL_E_MEMORY;
    }
    for (size_t i = 0; i < r->n_texts; i++)
        text[i] = (pl_embed_text){ r->tokens[i].ids, r->tokens[i].n };
    const pl_embed_request request = { .text = text, .n_texts = r->n_texts,
                                       .pooling = e->pooling, .on_event = on_event,
                                       .arg = &x->wake };
    const pl_status st = pl_embedding_open(server_engine(x), &request, &e->job, err);
    free(text);
    return st;
}

/* Rows of single tokens stay as they are, whatever norm is asked for: as llama-server has it. */
static struct embedding *new_embedding(struct exchange *x, const struct embed_request *r,
                                       enum embed_shape shape)
{
    const pl_plan *plan = pl_engine_plan(server_engine(x));
    struct embedding *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->server = x->server;
    e->form = r->form;
    e->started_ns = x->started_ns;
    e->shape = shape;
    e->pooling = plan->pooling;
    e->d_model = plan->d_model;
    e->n_texts = r->n_texts;
    e->n_tokens = r->n_tokens;
    if (e->pooling == PL_POOLING_NONE) e->form.norm = -1;
    return e;
}

static enum MHD_Result begin(struct exchange *x, const struct embed_request *r,
                             enum embed_shape shape)
{
    enum MHD_Result result;
    pl_err err = { 0 };
    if (!check_model(x, r, shape, &result)) return result;
    struct embedding *e = new_embedding(x, r, shape);
    if (!e) return answer_fail(x, 500, NULL, NULL, "out of memory");
    if (!take_room(x, e, &result)) {
        embedding_free(e);
        return result;
    }
    if (open_job(x, e, r, &err)) {
        embedding_free(e);
        return fail_begin(x, r, &err);
    }
    x->embedding = e;
    return MHD_YES;
}

/* Ollama's older route has one text, and its vector is as the model gives it. */
static bool take_prompt(struct exchange *x, json_t *body, enum MHD_Result *result)
{
    json_t *prompt = json_object_get(body, "prompt");
    if (!json_is_string(prompt)) {
        *result = answer_fail(x, 400, "prompt", "invalid_parameter",
                              "prompt is %s; a string is wanted", field_kind(prompt));
        return false;
    }
    json_object_set(body, "input", prompt);
    if (!json_object_get(body, "embd_normalize"))
        json_object_set_new(body, "embd_normalize", json_integer(-1));
    return true;
}

static enum MHD_Result read_and_begin(struct exchange *x, json_t *body, enum embed_shape shape)
{
    enum MHD_Result result;
    struct embed_request request;
    struct request_error error;
    if (shape == EMBED_OLLAMA_ONE && !take_prompt(x, body, &result)) return result;
    result = embed_request_read(&request, body, server_engine(x), &error)
                 ? begin(x, &request, shape)
                 : answer_fail(x, 400, error.param, "invalid_parameter", "%s", error.text);
    embed_request_free(&request);
    return result;
}

static enum MHD_Result embed(struct exchange *x, enum embed_shape shape)
{
    enum MHD_Result result;
    if (!active_begin(x, &result)) return result;
    json_t *body = body_object(x, &result);
    if (!body) return result;
    result = read_and_begin(x, body, shape);
    json_decref(body);
    return result;
}

enum MHD_Result route_embeddings(struct exchange *x)
{
    return embed(x, EMBED_OPENAI);
}

enum MHD_Result route_embedding(struct exchange *x)
{
    return embed(x, EMBED_LLAMA);
}

enum MHD_Result route_ollama_embed(struct exchange *x)
{
    return embed(x, EMBED_OLLAMA);
}

enum MHD_Result route_ollama_embeddings(struct exchange *x)
{
    return embed(x, EMBED_OLLAMA_ONE);
}

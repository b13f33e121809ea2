#include "server/embed_request.h"

#include <stdlib.h>
#include <string.h>

#include "server/prompt_tokens.h"
#include "server/request_fields.h"

/* ---- texts ---------------------------------------------------------------------------------- */

static bool is_id_array(const json_t *v)
{
    return json_is_array(v) && json_array_size(v) && json_is_integer(json_array_get(v, 0));
}

static void read_ids(struct fields *f, const char *name, const json_t *ids, size_t text,
                     pl_tokens *to)
{
    to->ids = malloc(json_array_size(ids) * sizeof *to->ids);
    if (!to->ids) field_fail(f, name, "out of memory");
    for (size_t i = 0; i < json_array_size(ids) && !f->failed; i++) {
        if (prompt_token_id(json_array_get(ids, i), &to->ids[i])) to->n++;
        else field_fail(f, name, "token %zu of text %zu is no token id", i, text);
    }
}

/* Begin and end tokens come where the model's file asks for them: a model of embeddings may read
 * its vector at the end token. */
static void read_string(struct fields *f, const char *name, const json_t *string, size_t text,
                        const pl_engine *engine, pl_tokens *to)
{
    pl_err err = { 0 };
    if (!json_string_length(string))
        field_fail(f, name, "text %zu is empty", text);
    else if (pl_tokenize(engine, json_string_value(string), json_string_length(string),
                         PL_TOKENIZE_SPECIAL | PL_TOKENIZE_BOS | PL_TOKENIZE_EOS, to, &err))
        field_fail(f, name, "%s", err.text);
    else if (!to->n)
        field_fail(f, name, "text %zu has no tokens", text);
}

static void read_text(struct fields *f, const char *name, const json_t *v, size_t text,
                      const pl_engine *engine, pl_tokens *to)
{
    if (json_is_string(v)) read_string(f, name, v, text, engine, to);
    else if (is_id_array(v)) read_ids(f, name, v, text, to);
    else if (json_is_array(v) && !json_array_size(v))
        field_fail(f, name, "text %zu is empty", text);
    else
        field_fail(f, name, "text %zu is %s; a string or an array of token ids is wanted", text,
                   field_kind(v));
}

static void read_texts(struct fields *f, const pl_engine *engine, struct embed_request *r)
{
    const char *name = field_get(f, "input") ? "input" : "content";
    const json_t *input = field_get(f, name);
    const bool is_list = json_is_array(input) && !is_id_array(input);
    const size_t n = is_list ? json_array_size(input) : 1;
    if (!input) {
        field_fail(f, "input", "input: a string, an array of strings, of token ids or of arrays of "
                   "them is wanted");
        return;
    }
    if (n < 1 || n > EMBED_MAX_TEXTS) {
        field_fail(f, name, "%s: %zu texts; 1 to %d are wanted", name, n, EMBED_MAX_TEXTS);
        return;
    }
    r->tokens = calloc(n, sizeof *r->tokens);
    if (!r->tokens) field_fail(f, name, "out of memory");
    while (r->n_texts < n && !f->failed) {
        const size_t i = r->n_texts++;
        read_text(f, name, is_list ? json_array_get(input, i) : input, i, engine, &r->tokens[i]);
        r->n_tokens += r->tokens[i].n;
    }
}

/* ---- the form of vectors -------------------------------------------------------------------- */

static void read_form(struct fields *f, uint32_t d_model, struct embed_form *form)
{
    const json_t *format = field_get(f, "encoding_format");
    const char *name = json_string_value(format);
    json_int_t norm = 2;
    *form = (struct embed_form){ .n_dims = d_model };
    form->is_base64 = name && !strcmp(name, "base64");
    if (format && !form->is_base64 && !(name && !strcmp(name, "float")))
        field_fail(f, "encoding_format", "encoding_format: \"float\" or \"base64\" is wanted");
    field_u32(f, "dimensions", 1, d_model, &form->n_dims);
    field_int(f, "embd_normalize", -1, EMBED_MAX_NORM, &norm);
    form->norm = (int)norm;
}

bool embed_request_read(struct embed_request *out, const json_t *body, const pl_engine *engine,
                        struct request_error *error)
{
    struct fields f = { .body = body, .error = error };
    const json_t *model = field_get(&f, "model");
    *out = (struct embed_request){ .model = json_string_value(model) };
    if (model && !out->model)
        field_fail(&f, "model", "model is %s; a string is wanted", field_kind(model));
    read_form(&f, pl_engine_plan(engine)->d_model, &out->form);
    if (!f.failed) read_texts(&f, engine, out);
    return !f.failed;
}

void embed_request_free(struct embed_request *r)
{
    for (size_t i = 0; i < r->n_texts; i++) pl_tokens_free(&r->tokens[i]);
    free(r->tokens);
    *r = (struct embed_request){ 0 };
}

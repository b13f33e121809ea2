#include "server/request_bias.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* ---- reading -------------------------------------------------------------------------------- */

static const char wanted_biases[] =
    "an object of token ids or texts and numbers, or an array of pairs of them";

/* False is "never", as OpenAI's -100 is. */
static float read_value(struct fields *f, const char *of, const json_t *value)
{
    const double bias = json_is_false(value) ? -100 : json_number_value(value);
    if ((!json_is_number(value) && !json_is_false(value)) || !(fabs(bias) <= 100))
        field_fail(f, "logit_bias", "logit_bias of \"%.20s\": a number from -100 to 100, or false, "
                   "is wanted", of);
    return bias <= -100 ? -INFINITY : (float)bias;
}

/* {"5": 1} and [[5, 1]] */
static void add_id(struct fields *f, json_int_t id, const json_t *value)
{
    struct request *r = f->r;
    char name[24];
    snprintf(name, sizeof name, "%" JSON_INTEGER_FORMAT, id);
    if (id < 0 || id > INT32_MAX)
        field_fail(f, "logit_bias", "logit_bias: %s is no token id", name);
    else
        r->bias[r->sampling.n_bias++] = (pl_logit_bias){ (int32_t)id, read_value(f, name, value) };
}

/* {" word": 1} and [[" word", 1]]: all tokens that the text is made of. */
static void add_text(struct fields *f, const char *text, const json_t *value)
{
    struct request *r = f->r;
    if (!*text) field_fail(f, "logit_bias", "logit_bias: \"\" is no token id and no text");
    else
        r->bias_text[r->n_bias_texts++] = (struct bias_text){ text, read_value(f, text, value) };
}

static void read_bias_object(struct fields *f, const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        char *end;
        errno = 0;
        const long id = strtol(key, &end, 10);
        if (end == key || *end) add_text(f, key, value);
        else add_id(f, errno ? -1 : id, value);
    }
}

/* Later pairs of a token stand beside earlier ones: biases of one token are added up. */
static void read_bias_array(struct fields *f, const json_t *array)
{
    size_t i;
    json_t *pair;
    json_array_foreach((json_t *)(uintptr_t)array, i, pair) {
        const json_t *id = json_array_get(pair, 0);
        if (json_array_size(pair) != 2 || !(json_is_integer(id) || json_is_string(id)))
            field_fail(f, "logit_bias", "logit_bias[%zu] is no pair of a token id and a bias; %s "
                       "is wanted", i, wanted_biases);
        else if (json_is_string(id)) add_text(f, json_string_value(id), json_array_get(pair, 1));
        else add_id(f, json_integer_value(id), json_array_get(pair, 1));
    }
}

void request_read_bias(struct fields *f)
{
    const json_t *v = field_get(f, "logit_bias");
    const size_t n = json_is_array(v) ? json_array_size(v) : json_object_size(v);
    if (!v) return;
    if (!json_is_object(v) && !json_is_array(v)) {
        field_fail(f, "logit_bias", "logit_bias is %s; %s is wanted", field_kind(v), wanted_biases);
        return;
    }
    if (n > REQUEST_MAX_BIASES) {
        field_fail(f, "logit_bias", "logit_bias names %zu tokens; at most %d are taken", n,
                   REQUEST_MAX_BIASES);
        return;
    }
    if (!n) return;
    f->r->bias = calloc(n, sizeof *f->r->bias);
    f->r->bias_text = calloc(n, sizeof *f->r->bias_text);
    if (!f->r->bias || !f->r->bias_text) {
        field_fail(f, "logit_bias", "out of memory");
        return;
    }
    if (json_is_array(v)) read_bias_array(f, v);
    else read_bias_object(f, v);
    f->r->sampling.bias = f->r->bias;
}

/* ---- texts become tokens -------------------------------------------------------------------- */

static pl_status add_tokens(struct request *r, const pl_tokens *tokens, float bias, pl_err *err)
{
    const size_t n = r->sampling.n_bias + tokens->n;
    if (n > REQUEST_MAX_BIASES)
        return pl_fail(err, PL_E_PARAM, "logit_bias names more than %d tokens", REQUEST_MAX_BIASES);
    pl_logit_bias *more = realloc(r->bias, (n + 1) * sizeof *more);
    if (!more) return pl_fail(err, PL_E_MEMORY, "out of memory");
    r->sampling.bias = r->bias = more;
    for (size_t i = 0; i < tokens->n; i++)
        more[r->sampling.n_bias++] = (pl_logit_bias){ tokens->ids[i], bias };
    return PL_OK;
}

pl_status request_resolve_bias(struct request *r, const pl_engine *engine, pl_err *err)
{
    pl_status st = PL_OK;
    for (size_t i = 0; i < r->n_bias_texts && !st; i++) {
        const struct bias_text *b = &r->bias_text[i];
        pl_tokens tokens = { 0 };
        st = pl_tokenize(engine, b->text, strlen(b->text), 0, &tokens, err);
        if (!st) st = add_tokens(r, &tokens, b->bias, err);
        pl_tokens_free(&tokens);
    }
    return st;
}

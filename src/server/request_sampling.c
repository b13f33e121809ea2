#include "server/request_sampling.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_read.h"

enum {
    WHOLE_CONTEXT = 1 << 24,            /* of repeat_last_n: longer than any context */
    LEAST_TEMPERATURE = -1000,          /* below 0 is greedy, as with llama-server */
    RANDOM_SEED_32 = 0xffffffffu,       /* llama-server's "another each time", as -1 is */
};

/* ---- logit_bias ----------------------------------------------------------------------------- */

static const char wanted_biases[] =
    "an object of token ids and numbers, or an array of pairs of them";

/* {"5": 1} and [[5, 1]]; a bias of false is "never", as OpenAI's -100 is. */
static void add_bias(struct fields *f, json_int_t id, const json_t *value)
{
    struct request *r = f->r;
    const double bias = json_is_false(value) ? -100 : json_number_value(value);
    if (id < 0 || id > INT32_MAX)
        field_fail(f, "logit_bias", "logit_bias: %" JSON_INTEGER_FORMAT " is no token id", id);
    else if ((!json_is_number(value) && !json_is_false(value)) || !(fabs(bias) <= 100))
        field_fail(f, "logit_bias", "logit_bias of token %" JSON_INTEGER_FORMAT
                   ": a number from -100 to 100, or false, is wanted", id);
    else
        r->bias[r->sampling.n_bias++] =
            (pl_logit_bias){ (int32_t)id, bias <= -100 ? -INFINITY : (float)bias };
}

static void read_bias_object(struct fields *f, const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        char *end;
        errno = 0;
        const long id = strtol(key, &end, 10);
        if (!*key || *end || errno)
            field_fail(f, "logit_bias", "logit_bias: \"%.20s\" is no token id", key);
        else
            add_bias(f, id, value);
    }
}

/* Later pairs of a token stand beside earlier ones: biases of one token are added up. */
static void read_bias_array(struct fields *f, const json_t *array)
{
    size_t i;
    json_t *pair;
    json_array_foreach((json_t *)(uintptr_t)array, i, pair) {
        const json_t *id = json_array_get(pair, 0);
        if (json_array_size(pair) != 2 || !json_is_integer(id))
            field_fail(f, "logit_bias", "logit_bias[%zu] is no pair of a token id and a bias; %s "
                       "is wanted", i, wanted_biases);
        else
            add_bias(f, json_integer_value(id), json_array_get(pair, 1));
    }
}

static void read_bias(struct fields *f)
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
    if (!f->r->bias) {
        field_fail(f, "logit_bias", "out of memory");
        return;
    }
    if (json_is_array(v)) read_bias_array(f, v);
    else read_bias_object(f, v);
    f->r->sampling.bias = f->r->bias;
}

/* ---- logprobs ------------------------------------------------------------------------------- */

static void read_logprobs(struct fields *f)
{
    struct request *r = f->r;
    if (!r->is_chat) {          /* completions: a number of alternatives */
        const json_t *v = field_get(f, "logprobs");
        if (v && json_is_boolean(v)) {
            r->logprobs = json_is_true(v);
        } else if (v) {
            field_u32(f, "logprobs", 0, 20, &r->n_top_logprobs);
            r->logprobs = true;
        }
        return;
    }
    field_bool(f, "logprobs", &r->logprobs);
    field_u32(f, "top_logprobs", 0, 20, &r->n_top_logprobs);
    if (r->n_top_logprobs && !r->logprobs)
        field_fail(f, "top_logprobs", "top_logprobs is given without logprobs: true");
}

/* ---- the samplers --------------------------------------------------------------------------- */

/* From 2^63 to 2^64 - 1; false: it is something else. */
static bool read_large_seed(struct fields *f, const char *digits)
{
    char *end;
    errno = 0;
    const unsigned long long seed = strtoull(digits, &end, 10);
    if (*digits == '-' || *end || errno) return false;
    f->r->sampling.seed = seed;
    f->r->has_seed = true;
    return true;
}

static void read_seed(struct fields *f)
{
    json_int_t seed;
    const char *digits = json_read_digits(field_get(f, "seed"));
    if (digits && read_large_seed(f, digits)) return;
    if (!field_int(f, "seed", INT64_MIN, INT64_MAX, &seed)) return;
    f->r->has_seed = seed != -1 && seed != (json_int_t)RANDOM_SEED_32;
    if (f->r->has_seed) f->r->sampling.seed = (uint64_t)seed;
}

void request_read_sampling(struct fields *f)
{
    pl_sampling *s = &f->r->sampling;
    json_int_t top_k, last_n;
    field_float(f, "temperature", LEAST_TEMPERATURE, 100, &s->temperature);
    if (s->temperature < 0) s->temperature = 0;
    field_float(f, "top_p", 0, 1, &s->top_p);
    field_float(f, "min_p", 0, 1, &s->min_p);
    field_float(f, "typical_p", 0, 1, &s->typical_p);
    field_float(f, "repetition_penalty", 0.01, 100, &s->repetition_penalty);
    field_float(f, "repeat_penalty", 0.01, 100, &s->repetition_penalty);
    field_float(f, "frequency_penalty", -2, 2, &s->frequency_penalty);
    field_float(f, "presence_penalty", -2, 2, &s->presence_penalty);
    if (field_int(f, "repeat_last_n", -1, WHOLE_CONTEXT, &last_n))
        s->penalty_last_n = last_n < 0 ? WHOLE_CONTEXT : (uint32_t)last_n;
    if (field_int(f, "top_k", INT32_MIN, INT32_MAX, &top_k))
        s->top_k = top_k < 0 ? 0 : (uint32_t)top_k;
    read_seed(f);
    read_bias(f);
    read_logprobs(f);
}

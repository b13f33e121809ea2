#include "server/request_sampling.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_read.h"
#include "server/request_bias.h"

enum {
    WHOLE_CONTEXT = 1 << 24,            /* of repeat_last_n: longer than any context */
    LEAST_TEMPERATURE = -1000,          /* below 0 is greedy, as with llama-server */
    RANDOM_SEED_32 = 0xffffffffu,       /* llama-server's "another each time", as -1 is */
};

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
    request_read_bias(f);
    read_logprobs(f);
}

#include "server/request_samplers.h"

#include <stdio.h>
#include <string.h>

/* ---- the order ------------------------------------------------------------------------------ */

static void add_sampler(struct fields *f, const char *name, size_t n)
{
    pl_err err;
    if (!f->failed && pl_sampling_add(&f->r->sampling, name, n, &err))
        field_fail(f, "samplers", "samplers: %s", err.text);
}

/* An array of names or a string of letters; empty, it says nothing. */
static void read_order(struct fields *f)
{
    static const char name[] = "samplers";
    const json_t *v = field_get(f, name);
    const size_t n = json_is_string(v) ? json_string_length(v) : json_array_size(v);
    if (v && !json_is_string(v) && !json_is_array(v))
        field_fail(f, name, "samplers is %s; an array of names or a string of letters is wanted",
                   field_kind(v));
    if (!n) return;
    f->r->sampling.n_order = 0;
    for (size_t i = 0; i < n && !f->failed; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(one))
            field_fail(f, name, "samplers[%zu] is %s; a name is wanted", i, field_kind(one));
        else if (json_is_array(v))
            add_sampler(f, json_string_value(one), json_string_length(one));
        else
            add_sampler(f, json_string_value(v) + i, 1);
    }
    if (!f->failed && !f->r->sampling.n_order)
        field_fail(f, name, "samplers names none that does anything; an empty array means all");
}

/* ---- DRY ------------------------------------------------------------------------------------ */

static const char breakers_name[] = "dry_sequence_breakers";

static void add_breaker(struct fields *f, size_t i, const json_t *v)
{
    struct request *r = f->r;
    const char *text = json_string_value(v);
    if (!text)
        field_fail(f, breakers_name, "%s[%zu] is %s; a string is wanted", breakers_name, i,
                   field_kind(v));
    else if (strlen(text) != json_string_length(v))
        field_fail(f, breakers_name, "%s[%zu] holds a zero byte", breakers_name, i);
    else if (strlen(text) > REQUEST_MAX_BREAKER_BYTES)
        field_fail(f, breakers_name, "%s[%zu] has %zu bytes; at most %d are taken", breakers_name,
                   i, strlen(text), REQUEST_MAX_BREAKER_BYTES);
    else if (*text)
        r->breaker[r->sampling.n_dry_breakers++] = text;
}

/* An empty array: there are none. */
static void read_breakers(struct fields *f)
{
    const json_t *v = field_get(f, breakers_name);
    const size_t n = json_array_size(v);
    if (!v) return;
    if (!json_is_array(v))
        field_fail(f, breakers_name, "%s is %s; an array of strings is wanted", breakers_name,
                   field_kind(v));
    if (n > REQUEST_MAX_BREAKERS)
        field_fail(f, breakers_name, "%s holds %zu strings; at most %d are taken", breakers_name, n,
                   REQUEST_MAX_BREAKERS);
    f->r->sampling.dry_breaker = f->r->breaker;
    f->r->sampling.n_dry_breakers = 0;
    for (size_t i = 0; i < n && !f->failed; i++) add_breaker(f, i, json_array_get(v, i));
}

/* A base that nothing is raised with may be anything: clients send all their settings. */
static void read_dry(struct fields *f)
{
    pl_sampling *s = &f->r->sampling;
    json_int_t last_n;
    field_float(f, "dry_multiplier", 0, 100, &s->dry_multiplier);
    field_float(f, "dry_base", 0, 100, &s->dry_base);
    field_u32(f, "dry_allowed_length", 0, INT32_MAX, &s->dry_allowed_length);
    if (field_int(f, "dry_penalty_last_n", -1, INT32_MAX, &last_n)) s->dry_last_n = (int32_t)last_n;
    if (s->dry_multiplier > 0 && !(s->dry_base >= 1))
        field_fail(f, "dry_base", "dry_base is %g; a number from 1 to 100 is wanted",
                   (double)s->dry_base);
    read_breakers(f);
}

/* ---- the others ----------------------------------------------------------------------------- */

void request_read_samplers(struct fields *f)
{
    pl_sampling *s = &f->r->sampling;
    field_float(f, "nsigma", -1000, 1000, &s->top_n_sigma);
    field_float(f, "top_n_sigma", -1000, 1000, &s->top_n_sigma);
    field_float(f, "xtc_probability", 0, 1, &s->xtc_probability);
    field_float(f, "xtc_threshold", 0, 1, &s->xtc_threshold);
    field_float(f, "dynatemp_range", 0, 100, &s->dynatemp_range);
    field_float(f, "dynatemp_exponent", 0, 100, &s->dynatemp_exponent);
    field_u32(f, "mirostat_mode", 0, 2, &s->mirostat);
    field_u32(f, "mirostat", 0, 2, &s->mirostat);
    field_float(f, "mirostat_tau", 0, 100, &s->mirostat_tau);
    field_float(f, "mirostat_eta", 0, 10, &s->mirostat_eta);
    field_u32(f, "min_keep", 0, INT32_MAX, &s->min_keep);
    read_dry(f);
    read_order(f);
}

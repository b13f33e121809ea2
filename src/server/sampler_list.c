#include "server/sampler_list.h"

#include "server/json_text.h"

static json_t *order_json(const pl_sampling *s)
{
    json_t *order = json_array();
    for (uint32_t i = 0; i < (s->n_order ? s->n_order : PL_N_SAMPLERS); i++)
        json_array_append_new(order, json_string(pl_sampler_name(s->n_order ? s->order[i] : i)));
    return order;
}

static json_t *breakers_json(const pl_sampling *s)
{
    json_t *breakers = json_array();
    for (size_t i = 0; i < s->n_dry_breakers; i++)
        json_array_append_new(breakers, json_text_string(s->dry_breaker[i]));
    return breakers;
}

json_t *sampler_list(const pl_sampling *s)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        { "temperature", (double)s->temperature }, { "top_p", (double)s->top_p },
        { "min_p", (double)s->min_p }, { "typical_p", (double)s->typical_p },
        { "repeat_penalty", (double)s->repetition_penalty },
        { "frequency_penalty", (double)s->frequency_penalty },
        { "presence_penalty", (double)s->presence_penalty },
        { "dry_multiplier", (double)s->dry_multiplier }, { "dry_base", (double)s->dry_base },
        { "top_n_sigma", (double)s->top_n_sigma },
        { "xtc_probability", (double)s->xtc_probability },
        { "xtc_threshold", (double)s->xtc_threshold },
        { "dynatemp_range", (double)s->dynatemp_range },
        { "dynatemp_exponent", (double)s->dynatemp_exponent },
        { "mirostat_tau", (double)s->mirostat_tau }, { "mirostat_eta", (double)s->mirostat_eta },
    };
    json_t *all = json_pack(
        "{s:I s:I s:I s:I s:I s:I s:o s:o}", "top_k", (json_int_t)s->top_k, "repeat_last_n",
        (json_int_t)s->penalty_last_n, "dry_allowed_length", (json_int_t)s->dry_allowed_length,
        "dry_penalty_last_n", (json_int_t)s->dry_last_n, "mirostat", (json_int_t)s->mirostat,
        "min_keep", (json_int_t)s->min_keep, "dry_sequence_breakers", breakers_json(s), "samplers",
        order_json(s));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_object_set_new(all, numbers[i].name, json_real(numbers[i].value));
    return all;
}

#include "server/request_refused.h"

#include <stdio.h>
#include <string.h>

/* Values that change nothing. Null is always one. */
enum neutral {
    FALSE_ = 1,
    TRUE_ = 2,
    ZERO = 4,
    ONE = 8,
    NEGATIVE = 16,
    EMPTY = 32,                 /* "", [], {} */
    NOTHING = 0,
};

enum where { EVERYWHERE, IN_CHAT, IN_COMPLETIONS };

struct refused {
    const char *name;
    unsigned neutral;
    const char *words;          /* strings that change nothing, a space between them; or NULL */
    const char *instead;        /* what to do; NULL: leave it out */
    enum where where;
};

static const struct refused table[] = {
    /* replies that keep to a form */
    { .name = "structural_tag", .neutral = EMPTY },
    { .name = "tool_choice", .neutral = EMPTY, .words = "auto none", .where = IN_COMPLETIONS },
    { .name = "format", .neutral = EMPTY },
    { .name = "verbosity", .neutral = EMPTY, .words = "medium" },

    /* samplers */
    { .name = "dynamic_temperature", .neutral = FALSE_ },
    { .name = "adaptive_target", .neutral = NEGATIVE },
    { .name = "smoothing_factor", .neutral = ZERO },
    { .name = "tfs", .neutral = ONE },
    { .name = "tfs_z", .neutral = ONE },
    { .name = "top_a", .neutral = ZERO },
    { .name = "epsilon_cutoff", .neutral = ZERO },
    { .name = "eta_cutoff", .neutral = ZERO },
    { .name = "penalty_alpha", .neutral = ZERO },
    { .name = "encoder_repetition_penalty", .neutral = ONE },
    { .name = "no_repeat_ngram_size", .neutral = ZERO },
    { .name = "guidance_scale", .neutral = ONE },
    { .name = "sampler_order", .neutral = EMPTY },
    { .name = "sampler_priority", .neutral = EMPTY },
    { .name = "random_seed", .neutral = NEGATIVE, .instead = "seed is its name here" },
    { .name = "do_sample", .neutral = TRUE_, .instead = "temperature: 0 is greedy" },
    { .name = "use_beam_search", .neutral = FALSE_ },
    { .name = "num_beams", .neutral = ZERO | ONE },
    { .name = "length_penalty", .neutral = ONE },
    { .name = "logits_processors", .neutral = EMPTY },
    { .name = "custom_logit_processor", .neutral = EMPTY },
    { .name = "watermark", .neutral = FALSE_ },

    /* where replies end */
    { .name = "max_new_tokens", .neutral = NOTHING, .instead = "max_tokens is its name here" },
    { .name = "num_predict", .neutral = NEGATIVE, .instead = "max_tokens is its name here" },
    { .name = "max_output_tokens", .neutral = NOTHING, .instead = "max_tokens is its name here" },
    { .name = "stop_sequences", .neutral = EMPTY, .instead = "stop is its name here" },
    { .name = "stop_regex", .neutral = EMPTY },
    { .name = "include_stop_str_in_output", .neutral = FALSE_ },
    { .name = "no_stop_trim", .neutral = FALSE_ },
    { .name = "n_indent", .neutral = ZERO },
    { .name = "t_max_predict_ms", .neutral = ZERO | NEGATIVE },

    /* what the prompt is made of */
    { .name = "suffix", .neutral = EMPTY, .where = IN_CHAT },
    { .name = "input_prefix", .neutral = EMPTY },
    { .name = "input_suffix", .neutral = EMPTY, .instead = "/infill takes it" },
    { .name = "input_extra", .neutral = EMPTY, .where = IN_CHAT },
    { .name = "truncate_prompt_tokens", .neutral = NOTHING },
    { .name = "truncate", .neutral = NOTHING },
    { .name = "prompt_embeds", .neutral = EMPTY },
    { .name = "add_special_tokens", .neutral = FALSE_, .where = IN_CHAT },
    { .name = "add_special_tokens", .neutral = TRUE_, .where = IN_COMPLETIONS,
      .instead = "a prompt of token ids begins as it says" },
    { .name = "continue_final_message", .neutral = FALSE_, .where = IN_COMPLETIONS },
    { .name = "chat_template", .neutral = EMPTY,
      .instead = "the server's --chat-template or --chat-template-file" },
    { .name = "template", .neutral = EMPTY,
      .instead = "the server's --chat-template or --chat-template-file" },
    { .name = "documents", .neutral = EMPTY,
      .instead = "chat_template_kwargs gives the template any member" },
    { .name = "system", .neutral = EMPTY,
      .instead = "the first of messages may have the role system" },
    { .name = "instructions", .neutral = EMPTY,
      .instead = "the first of messages may have the role system" },
    { .name = "safe_prompt", .neutral = FALSE_ },
    { .name = "functions", .neutral = EMPTY, .instead = "tools is its name now" },
    { .name = "function_call", .neutral = EMPTY, .words = "auto none",
      .instead = "tools is its name now" },
    { .name = "think", .neutral = FALSE_,
      .instead = "enable_thinking and reasoning_effort reach the template" },
    { .name = "reasoning", .neutral = EMPTY,
      .instead = "enable_thinking and reasoning_effort reach the template" },
    { .name = "thinking", .neutral = EMPTY,
      .instead = "enable_thinking and reasoning_effort reach the template" },
    { .name = "thinking_forced_open", .neutral = FALSE_ },
    { .name = "web_search_options", .neutral = NOTHING },
    { .name = "plugins", .neutral = EMPTY },
    { .name = "images", .neutral = EMPTY },
    { .name = "image_data", .neutral = EMPTY },
    { .name = "audio", .neutral = EMPTY },
    { .name = "options", .neutral = EMPTY,
      .instead = "its members are members of the request here" },

    /* which model and which state of it */
    { .name = "lora_request", .neutral = EMPTY },
    { .name = "lora_path", .neutral = EMPTY },
    { .name = "adapter_id", .neutral = EMPTY },
    { .name = "cache_salt", .neutral = EMPTY,
      .instead = "replies are the same with and without the server's --prefix-cache" },
    { .name = "kv_transfer_params", .neutral = EMPTY },

    /* what is told of the reply */
    { .name = "echo", .neutral = FALSE_, .where = IN_CHAT },
    { .name = "n_probs", .neutral = ZERO, .instead = "logprobs is its name here" },
    { .name = "post_sampling_probs", .neutral = FALSE_ },
    { .name = "prompt_logprobs", .neutral = FALSE_ },
    { .name = "return_tokens", .neutral = FALSE_ },
    { .name = "return_token_ids", .neutral = FALSE_ },
    { .name = "return_tokens_as_token_ids", .neutral = FALSE_ },
    { .name = "return_hidden_states", .neutral = FALSE_ },
    { .name = "response_fields", .neutral = EMPTY },
    { .name = "skip_special_tokens", .neutral = TRUE_ },
    { .name = "include_reasoning", .neutral = TRUE_ },
};

/* ---- values that change nothing ------------------------------------------------------------- */

static bool is_word(const char *words, const json_t *v)
{
    const char *text = json_string_value(v);
    const size_t n = json_string_length(v);
    for (const char *at = words; at && text && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == n && !memcmp(at, text, n)) return true;
    return false;
}

static bool is_neutral(const struct refused *r, const json_t *v)
{
    const double x = json_number_value(v);
    if (json_is_true(v)) return r->neutral & TRUE_;
    if (json_is_false(v)) return r->neutral & FALSE_;
    if (json_is_number(v))
        return (x == 0 && r->neutral & ZERO) || (x == 1 && r->neutral & ONE) ||
               (x < 0 && r->neutral & NEGATIVE);
    return (r->neutral & EMPTY && field_is_empty(v)) || is_word(r->words, v);
}

/* "0 or less" and so on; "" where only null is taken. */
static const char *neutral_text(const struct refused *r)
{
    switch (r->neutral) {
    case TRUE_: return "true is taken";
    case FALSE_: return "false is taken";
    case ZERO: return "0 is taken";
    case ONE: return "1 is taken";
    case ZERO | ONE: return "0 and 1 are taken";
    case ZERO | NEGATIVE: return "0 and less is taken";
    case NEGATIVE: return "-1 is taken";
    case NOTHING: return "null is taken";
    default: return "an empty value is taken";
    }
}

static void refuse_if_wanted(struct fields *f, const struct refused *r)
{
    const json_t *v = field_get(f, r->name);
    const bool is_chat = f->r->is_chat;
    if (!v || (r->where == IN_CHAT && !is_chat) || (r->where == IN_COMPLETIONS && is_chat)) return;
    if (is_neutral(r, v)) return;
    field_fail(f, r->name, "%s is not supported by this version (%s): %s", r->name,
               neutral_text(r), r->instead ? r->instead : "leave it out");
}

/* ---- members that a table does not describe ------------------------------------------------- */

static void check_modalities(struct fields *f)
{
    const json_t *v = field_get(f, "modalities");
    size_t i;
    json_t *one;
    if (v && !json_is_array(v))
        field_fail(f, "modalities", "modalities is %s; an array is wanted", field_kind(v));
    json_array_foreach((json_t *)(uintptr_t)v, i, one)
        if (!is_word("text", one))
            field_fail(f, "modalities", "modalities other than \"text\" are not supported by this "
                       "version");
}

/* 0: as many as are asked for. */
static void check_best_of(struct fields *f)
{
    json_int_t best_of = 0;
    if (field_int(f, "best_of", 0, INT32_MAX, &best_of) && best_of && best_of != f->r->n)
        field_fail(f, "best_of", "best_of is %d and n is %u; choosing among more replies than are "
                   "asked for is not supported by this version", (int)best_of, f->r->n);
}

/* Adapters of scale 0 are none. */
static void check_lora(struct fields *f)
{
    const json_t *v = field_get(f, "lora");
    size_t i;
    json_t *one;
    if (v && !field_is_empty(v) && !json_is_array(v))
        field_fail(f, "lora", "lora is %s; adapters are not supported by this version",
                   field_kind(v));
    json_array_foreach((json_t *)(uintptr_t)v, i, one) {
        const json_t *scale = json_object_get(one, "scale");
        if (!json_is_number(scale) || json_number_value(scale) != 0)
            field_fail(f, "lora", "lora: adapters are not supported by this version; leave it out");
    }
}

void request_refuse_unsupported(struct fields *f)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) refuse_if_wanted(f, &table[i]);
    check_modalities(f);
    check_best_of(f);
    check_lora(f);
}

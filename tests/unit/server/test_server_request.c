/* Bodies of completion requests: what is taken, and what is refused under which name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/json_read.h"
#include "server/json_text.h"
#include "server/request.h"
#include "server/request_grammar.h"

static const struct request_defaults defaults = {
    .sampling = { .temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .typical_p = 1,
                  .repetition_penalty = 1, .penalty_last_n = 64 },
    .max_tokens = 100, .max_priority = 3,
};

/* The members go beside a message (chat) or a prompt. The result is valid until the next call. */
static bool parse(bool is_chat, const char *members, struct request *r, struct request_error *error)
{
    static json_t *body;
    struct strbuf text = { 0 };
    strbuf_addf(&text, "{%s%s%s}", is_chat ? "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
                                           : "\"prompt\":\"x\"", *members ? "," : "", members);
    json_decref(body);
    body = json_read(text.bytes, text.n, NULL);
    if (!body) fail_msg("the test's own body is no JSON: %s", text.bytes);
    strbuf_free(&text);
    return request_parse(r, body, is_chat, &defaults, error);
}

static void take(bool is_chat, const char *members, struct request *r)
{
    struct request_error error = { 0 };
    if (!parse(is_chat, members, r, &error)) fail_msg("%s: %s", members, error.text);
}

static void what_is_left_out_has_the_servers_defaults(void **state)
{
    static const char *const same[] = {
        "", "\"temperature\":null,\"max_tokens\":null,\"n\":null,\"stop\":null,\"stream\":null,"
            "\"logit_bias\":null,\"seed\":null,\"tools\":null,\"response_format\":null,"
            "\"stream_options\":null,\"logprobs\":null", "\"user\":5,\"no such member\":[]",
        "\"response_format\":{\"type\":\"text\"},\"tool_choice\":\"auto\",\"best_of\":1",
    };
    struct request r;
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        take(true, same[i], &r);
        assert_true(r.sampling.temperature == 0.8f && r.sampling.top_k == 40);
        assert_int_equal(r.max_tokens, 100);
        assert_int_equal(r.n, 1);
        assert_int_equal(r.n_stop, 0);
        assert_false(r.stream || r.has_seed || r.logprobs || r.include_usage);
        request_free(&r);
    }
}

static void every_member_arrives(void **state)
{
    struct request r;
    (void)state;
    take(true, "\"temperature\":1.5,\"top_k\":-1,\"top_p\":0.5,\"min_p\":0.25,\"typical_p\":0.75,"
               "\"repeat_penalty\":1.25,\"frequency_penalty\":-0.5,\"presence_penalty\":2,"
               "\"repeat_last_n\":7,\"seed\":-5,\"n\":3,\"stream\":true,\"ignore_eos\":true,"
               "\"stream_options\":{\"include_usage\":true},\"logprobs\":true,\"top_logprobs\":20,"
               "\"stop\":[\"a\",\"\",\"bc\"],\"max_tokens\":9,\"max_completion_tokens\":8.0,"
               "\"logit_bias\":{\"7\":-100,\"8\":1.5},\"model\":\"m\",\"best_of\":3", &r);
    assert_true(r.sampling.temperature == 1.5f && r.sampling.top_k == 0);
    assert_true(r.sampling.top_p == 0.5f && r.sampling.min_p == 0.25f);
    assert_true(r.sampling.typical_p == 0.75f && r.sampling.repetition_penalty == 1.25f);
    assert_true(r.sampling.frequency_penalty == -0.5f && r.sampling.presence_penalty == 2);
    assert_int_equal(r.sampling.penalty_last_n, 7);
    assert_true(r.has_seed && r.sampling.seed == (uint64_t)-5);
    assert_int_equal(r.n, 3);
    assert_true(r.stream && r.include_usage && r.ignore_eos && r.logprobs);
    assert_int_equal(r.n_top_logprobs, 20);
    assert_int_equal(r.n_stop, 2);
    assert_string_equal(r.stop[1], "bc");
    assert_int_equal(r.max_tokens, 8);
    assert_int_equal(r.sampling.n_bias, 2);
    for (size_t i = 0; i < 2; i++) {
        if (r.bias[i].token == 7) assert_true(isinf(r.bias[i].bias) && r.bias[i].bias < 0);
        else assert_true(r.bias[i].token == 8 && r.bias[i].bias == 1.5f);
    }
    assert_string_equal(r.model, "m");
    request_free(&r);
    take(true, "\"stop_token_ids\":[7,0],\"min_tokens\":3,\"min_new_tokens\":2", &r);
    assert_true(r.n_stop_tokens == 2 && r.stop_tokens[0] == 7 && r.stop_tokens[1] == 0);
    assert_int_equal(r.min_tokens, 3);
    request_free(&r);
    take(false, "\"logprobs\":3,\"max_tokens\":-1,\"stop\":\"x\",\"seed\":-1", &r);
    assert_true(r.logprobs && r.n_top_logprobs == 3 && r.max_tokens == 0 && r.n_stop == 1);
    assert_false(r.has_seed);
    request_free(&r);
}

/* Settled, an order is the engine's: here it is what was said. */
static void whose_turn_it_is(void **state)
{
    static const char *const names[] = { "safety_identifier", "session_id", "user" };
    struct request_error error = { 0 };
    struct request r;
    char member[64];
    (void)state;
    take(true, "", &r);
    assert_true(r.priority == 0 && !r.user);
    request_free(&r);
    take(true, "\"priority\":-100,\"user\":5", &r);
    assert_true(r.priority == -100 && !r.user);
    request_free(&r);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(member, sizeof member, "\"priority\":3,\"%s\":\"ann\"", names[i]);
        take(false, member, &r);
        assert_int_equal(r.priority, 3);
        assert_string_equal(r.user, "ann");
        request_free(&r);
    }
    assert_false(parse(true, "\"priority\":4", &r, &error));
    assert_string_equal(error.param, "priority");
    assert_string_equal(error.text, "priority is 4; -100 to 3 is wanted");
}

static void samplers_arrive(void **state)
{
    struct request r;
    (void)state;
    take(true, "\"dry_multiplier\":0.5,\"dry_base\":2,\"dry_allowed_length\":3,"
               "\"dry_penalty_last_n\":-1,\"dry_sequence_breakers\":[\"a\",\"\",\"bc\"],"
               "\"xtc_probability\":0.25,\"xtc_threshold\":0.75,\"mirostat\":2,\"mirostat_tau\":4,"
               "\"mirostat_eta\":0.5,\"dynatemp_range\":1.5,\"dynatemp_exponent\":0.5,"
               "\"top_n_sigma\":1.5,\"min_keep\":3,\"samplers\":[\"temperature\",\"dry\",\"tfs_z\","
               "\"typical_p\",\"typ_p\"]", &r);
    const pl_sampling *s = &r.sampling;
    assert_true(s->dry_multiplier == 0.5f && s->dry_base == 2 && s->dry_allowed_length == 3);
    assert_true(s->dry_last_n == -1 && s->n_dry_breakers == 2);
    assert_string_equal(s->dry_breaker[0], "a");
    assert_string_equal(s->dry_breaker[1], "bc");
    assert_true(s->xtc_probability == 0.25f && s->xtc_threshold == 0.75f);
    assert_true(s->mirostat == 2 && s->mirostat_tau == 4 && s->mirostat_eta == 0.5f);
    assert_true(s->dynatemp_range == 1.5f && s->dynatemp_exponent == 0.5f);
    assert_true(s->top_n_sigma == 1.5f && s->min_keep == 3 && s->n_order == 3);
    assert_true(s->order[0] == PL_SAMPLER_TEMPERATURE && s->order[1] == PL_SAMPLER_DRY &&
                s->order[2] == PL_SAMPLER_TYPICAL);
    request_free(&r);
    take(false, "\"nsigma\":-1,\"mirostat_mode\":1,\"dry_base\":0,\"samplers\":\"kt\","
                "\"dry_sequence_breakers\":[]", &r);
    assert_true(r.sampling.top_n_sigma == -1 && r.sampling.mirostat == 1);
    assert_true(r.sampling.n_order == 2 && r.sampling.order[0] == PL_SAMPLER_TOP_K);
    assert_true(r.sampling.n_dry_breakers == 0);
    request_free(&r);
    take(false, "\"samplers\":[]", &r);
    assert_int_equal(r.sampling.n_order, 0);
    request_free(&r);
}

static void samplers_that_are_refused(void **state)
{
    static const struct { const char *name, *value; } cases[] = {
        { "dry_multiplier", "-0.1" }, { "dry_multiplier", "101" }, { "dry_base", "-1" },
        { "dry_allowed_length", "-1" }, { "dry_penalty_last_n", "-2" },
        { "dry_sequence_breakers", "\"a\"" }, { "dry_sequence_breakers", "[5]" },
        { "dry_sequence_breakers", "[\"a\\u0000b\"]" },
        { "dry_sequence_breakers", "[\"01234567890123456789012345678901234567890\"]" },
        { "xtc_probability", "1.1" }, { "xtc_threshold", "-1" }, { "mirostat", "3" },
        { "mirostat", "1.5" }, { "mirostat_mode", "-1" }, { "mirostat_tau", "-1" },
        { "mirostat_eta", "11" }, { "dynatemp_range", "-1" }, { "dynatemp_exponent", "\"1\"" },
        { "top_n_sigma", "2000" }, { "nsigma", "[]" }, { "min_keep", "-1" },
    };
    struct request_error error = { 0 };
    struct request r;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char members[256];
        snprintf(members, sizeof members, "\"%s\":%s", cases[i].name, cases[i].value);
        error = (struct request_error){ 0 };
        if (parse(false, members, &r, &error)) fail_msg("taken: %s", members);
        assert_string_equal(error.param, cases[i].name);
        assert_non_null(strstr(error.text, cases[i].name));
    }
    assert_false(parse(true, "\"dry_multiplier\":1,\"dry_base\":0.9", &r, &error));
    assert_string_equal(error.text, "dry_base is 0.9; a number from 1 to 100 is wanted");
    assert_false(parse(true, "\"samplers\":[\"top_k\",\"swirl\"]", &r, &error));
    assert_non_null(strstr(error.text, "samplers: \"swirl\" is no sampler; penalties, dry, "));
}

#define LONG_STOP_32 "0123456789abcdef0123456789abcdef"
#define LONG_STOP_256                                                                              \
    LONG_STOP_32 LONG_STOP_32 LONG_STOP_32 LONG_STOP_32 LONG_STOP_32 LONG_STOP_32 LONG_STOP_32     \
        LONG_STOP_32

static void what_is_wrong_is_named(void **state)
{
    static const struct { const char *members, *param; bool is_text; } cases[] = {
        { "\"temperature\":\"1\"", "temperature", false },
        { "\"temperature\":101", "temperature", false }, { "\"top_p\":1.01", "top_p", false },
        { "\"min_p\":[]", "min_p", false }, { "\"typical_p\":-1", "typical_p", false },
        { "\"top_k\":1.5", "top_k", false }, { "\"top_k\":-2147483649", "top_k", false },
        { "\"repeat_penalty\":0", "repeat_penalty", false },
        { "\"frequency_penalty\":2.1", "frequency_penalty", false },
        { "\"presence_penalty\":-2.1", "presence_penalty", false },
        { "\"repeat_last_n\":-2", "repeat_last_n", false },
        { "\"n_predict\":-3", "n_predict", false }, { "\"n_predict\":\"0\"", "n_predict", false },
        { "\"n\":0", "n", false }, { "\"n\":65", "n", false }, { "\"n\":true", "n", false },
        { "\"n\":99999999999", "n", false },
        { "\"max_tokens\":0", "max_tokens", false }, { "\"max_tokens\":-2", "max_tokens", false },
        { "\"max_completion_tokens\":\"5\"", "max_completion_tokens", false },
        { "\"seed\":0.5", "seed", false }, { "\"seed\":1e300", "seed", false },
        { "\"stream\":1", "stream", false }, { "\"stream_options\":true", "stream_options", false },
        { "\"stream_options\":{\"include_usage\":1}", "stream_options.include_usage", false },
        { "\"stop\":{}", "stop", false }, { "\"stop\":[5]", "stop", false },
        { "\"stop\":\"a\\u0000b\"", "stop", false },
        { "\"stop\":\"" LONG_STOP_256 "x\"", "stop", false },
        { "\"stop\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", "stop", false },
        { "\"logit_bias\":[5]", "logit_bias", false }, { "\"logit_bias\":5", "logit_bias", false },
        { "\"logit_bias\":[[5]]", "logit_bias", false },
        { "\"logit_bias\":[[5,1,2]]", "logit_bias", false },
        { "\"logit_bias\":[[\"\",1]]", "logit_bias", false },
        { "\"logit_bias\":[[-5,1]]", "logit_bias", false },
        { "\"logit_bias\":[[5,true]]", "logit_bias", false },
        { "\"logit_bias\":[[5,101]]", "logit_bias", false },
        { "\"logit_bias\":{\"\":1}", "logit_bias", false },
        { "\"logit_bias\":{\"-1\":1}", "logit_bias", false },
        { "\"logit_bias\":{\"4294967296\":1}", "logit_bias", false },
        { "\"logit_bias\":{\"1\":\"2\"}", "logit_bias", false },
        { "\"logit_bias\":{\"1\":100.5}", "logit_bias", false },
        { "\"logprobs\":3", "logprobs", false }, { "\"logprobs\":21", "logprobs", true },
        { "\"top_logprobs\":2", "top_logprobs", false },
        { "\"logprobs\":true,\"top_logprobs\":21", "top_logprobs", false },
        { "\"echo\":1", "echo", true }, { "\"suffix\":5", "suffix", true },
        { "\"best_of\":2", "best_of", true }, { "\"n\":2,\"best_of\":1", "best_of", true },
        { "\"response_format\":{\"type\":\"xml\"}", "response_format", false },
        { "\"response_format\":{\"type\":\"json_schema\"}", "response_format", false },
        { "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":5}}",
          "response_format", false },
        { "\"response_format\":{\"type\":\"json_object\"},\"grammar\":\"root ::= x\"", "grammar",
          false },
        { "\"guided_choice\":[5]", "guided_choice", false },
        { "\"guided_choice\":{\"a\":5}", "guided_choice", true },
        { "\"structured_outputs\":{\"json\":{\"a\":1},\"regex\":\"x\"}", "structured_outputs",
          true },
        { "\"structured_outputs\":{\"backend\":\"x\"}", "structured_outputs", true },
        { "\"json_schema\":[1]", "json_schema", false }, { "\"regex\":5", "regex", true },
        { "\"grammar\":\"a\\u0000b\"", "grammar", false },
        { "\"response_format\":\"text\"", "response_format", false },
        { "\"response_format\":{\"schema\":{}}", "response_format", false },
        { "\"tools\":{}", "tools", false }, { "\"tools\":[5]", "tools", false },
        { "\"add_generation_prompt\":\"no\"", "add_generation_prompt", false },
        { "\"enable_thinking\":\"no\"", "enable_thinking", false },
        { "\"reasoning_effort\":1", "reasoning_effort", false },
        { "\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"tool_calls\":\"y\"}]",
          "messages", false },
        { "\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"tool_calls\":[\"y\"]}]",
          "messages", false },
        { "\"tool_choice\":\"required\"", "tool_choice", false },
        { "\"tool_choice\":{\"type\":\"function\"}", "tool_choice", false },
        { "\"grammar\":5", "grammar", false }, { "\"model\":5", "model", false },
        { "\"messages\":[]", "messages", false }, { "\"messages\":[[]]", "messages", false },
        { "\"messages\":[{\"role\":5}]", "messages", false },
        { "\"messages\":[{\"role\":\"user\",\"content\":{}}]", "messages", false },
        { "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]", "messages",
          false },
        { "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]", "messages",
          false },
        { "\"messages\":[{\"role\":\"user\",\"content\":[5]}]", "messages", false },
        { "\"chat_template_kwargs\":5", "chat_template_kwargs", false },
        { "\"prompt\":null", "prompt", true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct request_error error = { 0 };
        struct request r;
        if (parse(!cases[i].is_text, cases[i].members, &r, &error))
            fail_msg("taken: %s", cases[i].members);
        if (!error.param || strcmp(error.param, cases[i].param) || !error.text[0])
            fail_msg("%s is blamed on %s: %s", cases[i].members, error.param, error.text);
    }
}

/* Each with a value that would change the reply. */
static void what_is_not_supported_is_refused_by_name(void **state)
{
    static const struct { const char *name, *value; } cases[] = {
        { "structural_tag", "\"x\"" },
        { "verbosity", "\"low\"" }, { "dynamic_temperature", "true" },
        { "adaptive_target", "0.5" }, { "tfs_z", "0.9" }, { "sampler_order", "[6,0]" },
        { "use_beam_search", "true" }, { "length_penalty", "2" }, { "bad_words", "[1]" },
        { "allowed_token_ids", "[-1]" }, { "min_tokens", "101" }, { "stop_token_ids", "[-5]" },
        { "include_stop_str_in_output", "true" }, { "n_indent", "2" }, { "random_seed", "7" },
        { "t_max_predict_ms", "100" }, { "reasoning_budget", "-2" }, { "input_prefix", "\"x\"" },
        { "truncate_prompt_tokens", "5" }, { "prompt_logprobs", "1" },
        { "chat_template", "\"chatml\"" }, { "documents", "[{}]" }, { "functions", "[{}]" },
        { "function_call", "{\"name\":\"f\"}" }, { "web_search_options", "{}" },
        { "modalities", "[\"text\",\"audio\"]" }, { "modalities", "\"text\"" },
        { "audio", "{\"voice\":\"x\"}" }, { "lora", "[{\"id\":0,\"scale\":0.5}]" }, { "lora", "5" },
        { "lora", "[{\"id\":0}]" }, { "cache_salt", "\"x\"" }, { "n_probs", "3" },
        { "prompt_logprobs", "0" }, { "return_token_ids", "true" },
            { "response_fields", "[\"x\"]" },
        { "skip_special_tokens", "false" },
        { "reasoning_format", "\"a\"" }, { "reasoning_format", "\"none auto\"" },
        { "samplers", "[\"top_k\",\"infill\"]" }, { "samplers", "\"xq\"" },
        { "samplers", "[\"temperature\",\"top_k\",\"temperature\"]" }, { "samplers", "5" },
        { "samplers", "\"tkt\"" }, { "samplers", "[\"tfs_z\"]" }, { "samplers", "\"k\\u0000\"" },
        { "samplers", "[5]" }, { "best_of", "2" }, { "tool_choice", "\"required\"" },
        /* of the wrong kind, however empty or small */
        { "dry_multiplier", "\"0\"" }, { "mirostat", "false" }, { "stop_token_ids", "0" },
        { "use_beam_search", "0" }, { "grammar", "0" }, { "min_tokens", "-1" },
        { "min_new_tokens", "1000" }, { "stop_token_ids", "[\"a\"]" },
        { "stop_token_ids", "[2147483648]" }, { "stop_token_ids", "{\"5\":1}" },
    };
    (void)state;
    for (int is_chat = 0; is_chat < 2; is_chat++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char members[256];
            struct request_error error = { 0 };
            struct request r;
            snprintf(members, sizeof members, "\"%s\":%s", cases[i].name, cases[i].value);
            if (parse(is_chat, members, &r, &error)) fail_msg("taken: %s", members);
            assert_string_equal(error.param, cases[i].name);
            assert_non_null(strstr(error.text, cases[i].name));
        }
    struct request_error error;
    struct request r;
    assert_false(parse(true, "\"echo\":true", &r, &error));
    assert_false(parse(true, "\"add_special_tokens\":true", &r, &error));
    assert_false(parse(false, "\"add_special_tokens\":false", &r, &error));
}

static void forms_of_replies(void **state)
{
    static const struct {
        const char *members;
        pl_grammar_kind kind;
        const char *source;
    } cases[] = {
        { "\"response_format\":{\"type\":\"json_object\"}", PL_GRAMMAR_JSON_SCHEMA,
          "{\"type\":\"object\"}" },
        { "\"response_format\":{\"type\":\"json_object\",\"schema\":{\"b\":1,\"a\":1.0}}",
          PL_GRAMMAR_JSON_SCHEMA, "{\"b\":1,\"a\":1.0}" },
        { "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\","
          "\"strict\":true,\"schema\":{\"maximum\":99999999999999999999}}}",
          PL_GRAMMAR_JSON_SCHEMA, "{\"maximum\":99999999999999999999}" },
        { "\"json_schema\":{\"x\":5}", PL_GRAMMAR_JSON_SCHEMA, "{\"x\":5}" },
        { "\"grammar\":\"root ::= [a]\"", PL_GRAMMAR_GBNF, "root ::= [a]" },
        { "\"grammar\":\"%llguidance {}\\nstart: x\"", PL_GRAMMAR_LARK,
          "%llguidance {}\nstart: x" },
        { "\"guided_json\":\"{}\"", PL_GRAMMAR_JSON_SCHEMA, "{}" },
        { "\"guided_regex\":\"a+\"", PL_GRAMMAR_REGEX, "a+" },
        { "\"guided_grammar\":\"start: x\"", PL_GRAMMAR_LARK, "start: x" },
        { "\"guided_choice\":[\"a\",\"\\\"b\\n\"]", PL_GRAMMAR_LARK,
          "start: \"a\" | \"\\\"b\\n\"" },
        { "\"structured_outputs\":{\"choice\":[\"a\"]}", PL_GRAMMAR_LARK, "start: \"a\"" },
        { "\"structured_outputs\":{\"json\":{},\"regex\":null}", PL_GRAMMAR_JSON_SCHEMA, "{}" },
        { "\"structured_outputs\":{\"grammar\":\"root ::= x\"}", PL_GRAMMAR_GBNF, "root ::= x" },
        { "\"structured_outputs\":{\"json_object\":true}", PL_GRAMMAR_JSON_SCHEMA,
          "{\"type\":\"object\"}" },
        { "\"regex\":\"a\"", PL_GRAMMAR_REGEX, "a" },
        { "\"ebnf\":\"root ::= x\"", PL_GRAMMAR_GBNF, "root ::= x" },
    };
    (void)state;
    for (int is_chat = 0; is_chat < 2; is_chat++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct request r;
            take(is_chat, cases[i].members, &r);
            assert_int_equal(r.grammar.kind, cases[i].kind);
            assert_string_equal(r.grammar.source, cases[i].source);
            request_free(&r);
        }
    assert_true(request_may_have_grammar("{\"guided_json\":1}", 17));
    assert_false(request_may_have_grammar("{\"prompt\":\"a\"}", 14));
    assert_false(request_may_have_grammar(NULL, 0));
}

/* What clients send with every request and what changes nothing. */
static void neutral_values_are_taken(void **state)
{
    static const char *const members[] = {
        "\"logit_bias\":[]", "\"logit_bias\":{}", "\"grammar\":\"\"", "\"json_schema\":{}",
        "\"json_schema\":null", "\"response_format\":{}", "\"response_format\":{\"type\":null}",
        "\"response_format\":{\"type\":\"text\"}", "\"suffix\":\"\"", "\"best_of\":0",
        "\"n_predict\":-1", "\"n_predict\":-2", "\"repeat_last_n\":0", "\"dry_multiplier\":0.0",
        "\"dry_base\":1.75,\"dry_allowed_length\":2,\"dry_sequence_breakers\":[\"x\"]",
        "\"xtc_probability\":0,\"xtc_threshold\":0.1", "\"mirostat\":0,\"mirostat_tau\":5.0",
        "\"n_probs\":0", "\"min_tokens\":0", "\"stop_token_ids\":[]", "\"tool_choice\":\"auto\"",
        "\"tool_choice\":\"none\"", "\"functions\":[],\"function_call\":\"none\"",
        "\"function_call\":\"auto\"", "\"modalities\":[\"text\"]", "\"modalities\":[]",
        "\"lora\":[]", "\"lora\":[{\"id\":0,\"scale\":0.0}]", "\"prompt_logprobs\":null",
        "\"use_beam_search\":false", "\"top_n_sigma\":-1", "\"adaptive_target\":-1.0",
        "\"reasoning_format\":\"none\"", "\"reasoning_format\":\"auto\"", "\"guided_choice\":[]",
        "\"structured_outputs\":{}", "\"verbosity\":\"medium\"", "\"continue_final_message\":false",
        "\"chat_template\":\"\"", "\"dynatemp_range\":0,\"dynatemp_exponent\":1", "\"min_keep\":0",
        "\"reasoning_budget\":-1", "\"seed\":-1", "\"seed\":4294967295", "\"stop\":[]",
        "\"stop\":\"\"", "\"tools\":[]", "\"skip_special_tokens\":true", "\"id_slot\":-1",
        "\"samplers\":[]", "\"samplers\":\"edskypmxt\"",
        /* in parentheses: no comma is missing */
        ("\"samplers\":[\"penalties\",\"dry\",\"top_n_sigma\",\"top_k\",\"typ_p\",\"top_p\","
         "\"min_p\",\"xtc\",\"temperature\"]"), "\"cache_prompt\":true",
    };
    (void)state;
    for (int is_chat = 0; is_chat < 2; is_chat++)
        for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
            struct request r;
            take(is_chat, members[i], &r);
            assert_false(r.has_seed || r.no_reply);
            assert_int_equal(r.n_stop + r.sampling.n_bias, 0);
            assert_int_equal(r.n, 1);
            request_free(&r);
        }
}

static void llama_servers_values_mean_what_they_mean_there(void **state)
{
    struct request r;
    (void)state;
    take(true, "\"temperature\":-1,\"top_k\":-5,\"repeat_last_n\":-1,\"n_predict\":0", &r);
    assert_true(r.sampling.temperature == 0 && r.sampling.top_k == 0);
    assert_true(r.sampling.penalty_last_n >= 1 << 24);
    assert_true(r.no_reply && r.max_tokens == 1);
    request_free(&r);
    take(true, "\"n_predict\":0,\"max_tokens\":5", &r);
    assert_true(!r.no_reply && r.max_tokens == 5);
    request_free(&r);
    take(true, "\"logit_bias\":[[7,-100],[8,1.5],[9,false]],\"n_cmpl\":2", &r);
    assert_int_equal(r.sampling.n_bias, 3);
    assert_true(r.bias[0].token == 7 && isinf(r.bias[0].bias));
    assert_true(r.bias[1].token == 8 && r.bias[1].bias == 1.5f);
    assert_true(r.bias[2].token == 9 && isinf(r.bias[2].bias) && r.bias[2].bias < 0);
    assert_int_equal(r.n, 2);
    request_free(&r);
}

static void the_template_gets_what_clients_say_beside_its_own_members(void **state)
{
    struct request r;
    (void)state;
    take(true, "\"reasoning_effort\":\"high\",\"enable_thinking\":false,\"chat_template_kwargs\":"
               "{\"reasoning_effort\":\"low\",\"x\":1},\"add_generation_prompt\":false", &r);
    json_t *chat = json_loads(r.chat[0], 0, NULL);
    assert_string_equal(json_string_value(json_object_get(chat, "reasoning_effort")), "high");
    assert_true(json_is_false(json_object_get(chat, "enable_thinking")));
    assert_true(json_is_false(json_object_get(chat, "add_generation_prompt")));
    assert_int_equal(json_integer_value(json_object_get(chat, "x")), 1);
    json_decref(chat);
    request_free(&r);
}

static void limits_themselves_are_taken(void **state)
{
    static const char *const members[] = {
        "\"temperature\":0", "\"temperature\":100", "\"top_p\":0", "\"top_p\":1", "\"n\":64",
        "\"stop\":\"" LONG_STOP_256 "\"", "\"logit_bias\":{\"0\":100,\"2147483647\":-99.5}",
        "\"max_tokens\":2147483647", "\"seed\":9223372036854775807", "\"top_k\":0",
    };
    struct request r;
    (void)state;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        take(true, members[i], &r);
        request_free(&r);
    }
}

static void the_conversation_goes_on_as_it_came(void **state)
{
    struct request r;
    (void)state;
    take(true, "\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
               "\"name\":\"n\",\"content\":[{\"type\":\"text\",\"text\":\"a\\u0000\"},"
               "{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"assistant\","
               "\"content\":[{\"type\":\"refusal\",\"refusal\":\"r\"}],\"tool_calls\":[]}],"
               "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
               "\"chat_template_kwargs\":{\"think\":false}", &r);
    json_t *chat = json_loads(r.chat[0], JSON_ALLOW_NUL, NULL);
    assert_int_equal(json_object_del(chat, "date_string") | json_object_del(chat, "datetime"), 0);
    json_t *want = json_loads(
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"name\":\"n\","
        "\"content\":[{\"type\":\"text\",\"text\":\"a\\u0000\"},{\"type\":\"text\","
        "\"text\":\"b\"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"r\"}],"
        "\"tool_calls\":[]}],"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"think\":false,"
        "\"enable_thinking\":true,\"add_generation_prompt\":true}",
        JSON_ALLOW_NUL, NULL);
    assert_non_null(want);
    if (!json_equal(chat, want)) fail_msg("%s", r.chat[0]);
    json_decref(chat);
    json_decref(want);
    request_free(&r);
}

static void numbers_of_any_size_arrive(void **state)
{
    static const char *const same[] = {
        "9223372036854775807", "9223372036854775808", "18446744073709551615",
        "-9223372036854775809",
        "12345678901234567890123", "1e400", "-1.5E+999", "100000000000000000000000000000000000001",
    };
    struct request r;
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct strbuf members = { 0 };
        strbuf_addf(&members, "\"tools\":[{\"function\":{\"name\":\"f\",\"parameters\":"
                    "{\"n\":%s,\"m\":[1,%s,\"%s\"]}}}],"
                    "\"chat_template_kwargs\":{\"k\":%s}", same[i], same[i], same[i], same[i]);
        take(true, members.bytes, &r);
        strbuf_free(&members);
        char want[256];
        snprintf(want, sizeof want, "{\"n\":%s,\"m\":[1,%s,\"%s\"]}", same[i], same[i], same[i]);
        if (!strstr(r.chat[0], want)) fail_msg("%s has no %s", r.chat[0], want);
        snprintf(want, sizeof want, "\"k\":%s,", same[i]);
        if (!strstr(r.chat[0], want)) fail_msg("%s has no %s", r.chat[0], want);
        request_free(&r);
    }
    static const struct {
        const char *text;
        uint64_t seed;
    } seeds[] = { { "9223372036854775807", INT64_MAX }, { "9223372036854775808", 1ull << 63 },
                  { "18446744073709551615", UINT64_MAX },
                      { "18446744073709551614", UINT64_MAX - 1 } };
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        char members[64];
        snprintf(members, sizeof members, "\"seed\":%s", seeds[i].text);
        take(false, members, &r);
        assert_true(r.has_seed && r.sampling.seed == seeds[i].seed);
        request_free(&r);
    }
    static const char *const refused[] = {
        "\"seed\":18446744073709551616", "\"seed\":-9223372036854775809", "\"max_tokens\":1e400",
        "\"max_tokens\":99999999999999999999", "\"temperature\":1e999",
        "\"stop\":18446744073709551616",
        "\"top_k\":-99999999999999999999", "\"model\":99999999999999999999",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct request_error error = { 0 };
        if (parse(false, refused[i], &r, &error)) fail_msg("%s is taken", refused[i]);
    }
    /* what only looks so stays a text, and what is no number is told of as before */
    assert_null(json_read("[99999999999999999999", 21, NULL));
    assert_null(json_read("[099999999999999999999]", 23, NULL));
    assert_null(json_read("[99999999999999999999.]", 23, NULL));
}

/* ---- writing JSON --------------------------------------------------------------------------- */

static void json_text_is_escaped(void **state)
{
    static const struct { const char *bytes, *json; } cases[] = {
        { "", "\"\"" }, { "plain", "\"plain\"" },
        { "\"\\\b\t\n\f\r", "\"\\\"\\\\\\b\\t\\n\\f\\r\"" },
        { "\x01\x1f\x7f", "\"\\u0001\\u001f\x7f\"" },
        { "\xc3\xa9\xe2\x82\xac", "\"\xc3\xa9\xe2\x82\xac\"" },
        { "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"" },
        { "a\xc3", "\"a\xef\xbf\xbd\"" }, { "\xc3" "a", "\"\xef\xbf\xbd" "a\"" },
        { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },   /* half a pair */
        { "\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },                   /* too long for a zero */
        { "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strbuf b = { 0 };
        const size_t n = strlen(cases[i].bytes);
        json_text_add(&b, cases[i].bytes, n);
        assert_string_equal(b.bytes, cases[i].json);
        assert_int_equal(json_text_is_utf8(cases[i].bytes, n), !strstr(b.bytes, "\xef\xbf\xbd"));
        strbuf_free(&b);
    }
    assert_int_equal(json_text_characters("a\xc3\xa9\xf0\x9f\x98\x80", 7), 3);
    struct strbuf b = { 0 };
    json_text_add(&b, "a\0b", 3);
    json_text_add_bytes(&b, "a\xff", 2);
    json_text_add_bytes(&b, NULL, 0);
    assert_string_equal(b.bytes, "\"a\\u0000b\"[97,255][]");
    strbuf_free(&b);
    char *clean = json_text_clean("a\xff\xc3\xa9\xc3");
    assert_string_equal(clean, "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd");
    free(clean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_the_servers_defaults),
        cmocka_unit_test(every_member_arrives),
        cmocka_unit_test(samplers_arrive),
        cmocka_unit_test(whose_turn_it_is),
        cmocka_unit_test(samplers_that_are_refused),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(what_is_not_supported_is_refused_by_name),
        cmocka_unit_test(forms_of_replies),
        cmocka_unit_test(neutral_values_are_taken),
        cmocka_unit_test(llama_servers_values_mean_what_they_mean_there),
        cmocka_unit_test(the_template_gets_what_clients_say_beside_its_own_members),
        cmocka_unit_test(limits_themselves_are_taken),
        cmocka_unit_test(the_conversation_goes_on_as_it_came),
        cmocka_unit_test(numbers_of_any_size_arrive),
        cmocka_unit_test(json_text_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

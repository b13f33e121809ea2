/* Replies by samplers that only the engine has, and by those whose state is the stream's: the same
 * alone and among others, however steps are cut, and where steps are computed again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/engine/ahead_backend.h"
#include "unit/engine/replies.h"
#include "unit/engine/tiny_model.h"

enum { N_KINDS = 12, MAX_PROMPT = 160 };

static int32_t prompt[N_KINDS][MAX_PROMPT];
static struct reply alone[N_KINDS];

static void add_order(pl_sampling *s, const char *letters)
{
    for (; *letters; letters++)
        assert_int_equal(pl_sampling_add(s, letters, 1, NULL), PL_OK);
}

static pl_request request_of_kind(uint32_t kind)
{
    static const char *const breaker[] = { "a", "never there" };
    static const pl_logit_bias bias[] = { { 'q', 2 }, { 'z', 1.5f } };
    pl_request r = request_of(prompt[kind], 20 + kind * 11, 30 + 7 * kind, 0.9f);
    pl_sampling *s = &r.sampling;
    s->seed = 100 + kind;
    s->penalty_last_n = 200;
    if (kind < 4 || kind > 9) s->dry_multiplier = 1.5f;
    if (kind == 1) s->dry_allowed_length = 1;
    if (kind == 2) s->dry_breaker = breaker;
    if (kind == 2) s->n_dry_breakers = 2;
    if (kind == 3) s->repetition_penalty = 1.2f;
    if (kind == 4 || kind == 5) s->mirostat = kind - 3;
    if (kind == 6) s->mirostat = 2;
    if (kind == 6) s->mirostat_eta = 0.7f;
    if (kind == 7) s->xtc_probability = s->xtc_threshold = 0.4f;
    if (kind == 7 || kind == 10) s->xtc_threshold = 0.01f;
    if (kind == 8) s->top_n_sigma = 1;
    if (kind == 9) s->dynatemp_range = 0.8f;
    if (kind >= 10) s->xtc_probability = 0.5f;
    if (kind >= 10) s->presence_penalty = 0.7f;
    if (kind >= 10) s->top_p = 0.9f;
    if (kind == 11) add_order(s, "xtped");
    if (kind == 11) s->bias = bias;
    if (kind == 11) s->n_bias = 2;
    if (kind % 2) r.n_top_logprobs = 2;
    return r;
}

/* As few tokens come again in random prompts as in real ones: some are doubled. */
static int make_replies(void **state)
{
    if (write_tiny_model(state)) return 1;
    pl_engine *e = open_engine((pl_params){ .n_streams = 1, .no_prefix_cache = true });
    for (uint32_t k = 0; k < N_KINDS; k++) {
        prompt_of(prompt[k], MAX_PROMPT, 70 + k);
        for (uint32_t i = 0; i + 20 < MAX_PROMPT; i += 20)
            memcpy(prompt[k] + i + 10, prompt[k] + i, 10 * sizeof **prompt);
        const pl_request r = request_of_kind(k);
        run(e, &r, &alone[k]);
        assert_int_equal(alone[k].n, r.max_tokens);
    }
    pl_close(e);
    return 0;
}

static void check_all(pl_engine *e, const char *what)
{
    static struct reply r;
    pl_stream *s[2 * N_KINDS];
    for (uint32_t i = 0; i < 2 * N_KINDS; i++) {
        pl_request request = request_of_kind(i % N_KINDS);
        if (i >= N_KINDS) request.fork_of = s[i - N_KINDS];
        s[i] = submit(e, &request);
    }
    for (uint32_t i = 0; i < 2 * N_KINDS; i++) {
        char which[64];
        snprintf(which, sizeof which, "%s: kind %u", what, i % N_KINDS);
        finish(s[i], &r);
        assert_same(&alone[i % N_KINDS], &r, which);
    }
}

static void test_steps_of_every_size(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 25, 64, 256 };
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t n_streams = i == 1 ? 5 : 24;
        pl_engine *e = open_engine((pl_params){ .n_streams = n_streams, .n_threads = 1 + i % 2,
                                                .step_tokens = sizes[i],
                                                .prefill_tokens = sizes[2 - i],
                                                .no_prefix_cache = i == 2 });
        check_all(e, "steps");
        check_all(e, "again");
        pl_close(e);
    }
}

/* Interrupted steps are sampled once more: mu must not have moved. */
static void test_steps_that_are_computed_again(void **state)
{
    (void)state;
    for (uint32_t every = 4; every <= 7; every += 3) {
        pl_engine *e = open_engine((pl_params){ .backend = "ahead", .n_streams = 12,
                                                .n_threads = 2, .step_tokens = 64,
                                                .prefill_tokens = 16 });
        ahead.interrupt_every = every;
        check_all(e, "interrupted");
        ahead.interrupt_every = 0;
        pl_close(e);
    }
}

/* Each of them is at work: without it the reply is another one. */
static void test_every_kind_makes_a_difference(void **state)
{
    (void)state;
    static struct reply r;
    pl_engine *e = open_engine((pl_params){ .n_streams = 2 });
    for (uint32_t k = 0; k < N_KINDS; k++) {
        pl_request request = request_of_kind(k);
        pl_sampling *s = &request.sampling;
        s->dry_multiplier = s->xtc_probability = s->dynatemp_range = s->top_n_sigma = 0;
        s->mirostat = s->n_order = 0;
        run(e, &request, &r);
        if (r.n == alone[k].n && !memcmp(r.token, alone[k].token, r.n * sizeof *r.token))
            fail_msg("kind %u is what it is without", k);
    }
    pl_close(e);
}

/* The order matters where it must. */
static void test_orders_differ(void **state)
{
    (void)state;
    static const char *const orders[] = { "tpk", "tkp", "kpt", "pkt", "t" };
    static struct reply r[5];
    pl_engine *e = open_engine((pl_params){ .n_streams = 2 });
    for (uint32_t i = 0; i < 5; i++) {
        pl_request request = request_of(prompt[0], 60, 60, 0.6f);
        request.sampling.top_k = 40;
        request.sampling.top_p = 0.3f;
        add_order(&request.sampling, orders[i]);
        run(e, &request, &r[i]);
        for (uint32_t j = 0; j < i; j++)
            if (!memcmp(r[i].token, r[j].token, 60 * sizeof *r[i].token))
                fail_msg("%s and %s give the same", orders[i], orders[j]);
    }
    pl_close(e);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    pl_engine *e = open_engine((pl_params){ 0 });
    pl_stream *s;
    pl_err err = { 0 };
    pl_request r = request_of_kind(0);
    r.sampling.xtc_probability = 1.5f;
    assert_int_equal(pl_submit(e, &r, &s, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "xtc_probability is 1.5; 0 to 1 is wanted"));
    pl_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_of_every_size),
        cmocka_unit_test(test_steps_that_are_computed_again),
        cmocka_unit_test(test_every_kind_makes_a_difference),
        cmocka_unit_test(test_orders_differ),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, make_replies, remove_tiny_model);
}

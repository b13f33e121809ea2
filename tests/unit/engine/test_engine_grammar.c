/* Replies that keep to a grammar: on a tiny random model, whose replies are noise otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/trigger.h"
#include "unit/engine/replies.h"
#include "unit/engine/tiny_model.h"

static int32_t prompt[40];

static pl_request grammar_request(pl_grammar_kind kind, const char *source, uint64_t seed)
{
    prompt_of(prompt, 40, 3);
    pl_request r = request_of(prompt, 40, 200, 1);
    r.ignore_eos = false;
    r.sampling.seed = seed;
    r.grammar = (pl_grammar){ .kind = kind, .source = source, .n_bytes = strlen(source) };
    return r;
}

static void test_a_complete_grammar_ends_the_reply(void **state)
{
    (void)state;
    pl_engine *e = open_engine((pl_params){ .n_streams = 4 });
    static struct reply reply;
    for (uint64_t seed = 0; seed < 8; seed++) {
        pl_request r = grammar_request(PL_GRAMMAR_REGEX, "[a-f]{3}-[0-9]{2}", seed);
        r.ignore_eos = seed % 2;
        r.n_top_logprobs = 3;
        run(e, &r, &reply);
        assert_int_equal(reply.finish, PL_FINISH_STOP);
        assert_int_equal(reply.n_text, 6);
        for (int i = 0; i < 3; i++) assert_in_range(reply.text[i], 'a', 'f');
        assert_int_equal(reply.text[3], '-');
        for (int i = 4; i < 6; i++) assert_in_range(reply.text[i], '0', '9');
        for (int i = 0; i < 6; i++) assert_true(reply.logprob[i] < 0);
    }
    pl_request r = grammar_request(PL_GRAMMAR_REGEX, "[ab]{500}", 1);
    run(e, &r, &reply);
    assert_int_equal(reply.finish, PL_FINISH_LENGTH);
    assert_int_equal(reply.n_text, 200);
    pl_close(e);
}

/* An end token may come only where the grammar lets the reply end; never where they are ignored. */
static void test_ends(void **state)
{
    (void)state;
    pl_engine *e = open_engine((pl_params){ .n_streams = 4 });
    static struct reply reply;
    const pl_logit_bias towards_end = { TINY_END, 100 };
    pl_request r = grammar_request(PL_GRAMMAR_REGEX, "x{4}y*", 1);
    r.sampling.bias = &towards_end;
    r.sampling.n_bias = 1;
    run(e, &r, &reply);
    assert_int_equal(reply.finish, PL_FINISH_STOP);
    assert_int_equal(reply.n_text, 4);
    r.ignore_eos = true;
    run(e, &r, &reply);
    assert_int_equal(reply.finish, PL_FINISH_LENGTH);
    assert_int_equal(reply.n_text, 200);
    pl_close(e);
}

static void test_reply_does_not_depend_on_others(void **state)
{
    (void)state;
    enum { N_OTHERS = 12 };
    static struct reply alone, among, other;
    static const char schema[] = "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},"
                                 "\"minItems\":20,\"maxItems\":20}";
    const pl_request r = grammar_request(PL_GRAMMAR_JSON_SCHEMA, schema, 7);
    pl_engine *e = open_engine((pl_params){ .n_threads = 1, .no_prefix_cache = true });
    run(e, &r, &alone);
    pl_close(e);
    assert_true(alone.n_text > 20);

    e = open_engine((pl_params){ .n_streams = 8, .n_threads = 2 });
    pl_stream *others[N_OTHERS], *subject = NULL, *fork = NULL;
    for (uint64_t i = 0; i < N_OTHERS; i++) {
        pl_request o = grammar_request(PL_GRAMMAR_JSON_SCHEMA, i % 3 ? schema : "{}", i);
        if (i % 4 == 0) o.grammar.kind = PL_GRAMMAR_NONE;
        others[i] = submit(e, &o);
        if (i == 3) subject = submit(e, &r);
        if (i == 3) {
            pl_request forked = r;
            forked.fork_of = subject;
            fork = submit(e, &forked);
        }
    }
    finish(subject, &among);
    assert_same(&alone, &among, "among others");
    finish(fork, &among);
    assert_same(&alone, &among, "forked");
    for (int i = 0; i < N_OTHERS; i++) finish(others[i], &other);
    pl_close(e);
}

/* Greedy and pressed towards it by a bias, the reply writes the trigger sooner or later. */
static void test_a_trigger_begins_the_grammar(void **state)
{
    (void)state;
    static const char *const triggers[] = { "!!", "@" };
    pl_engine *e = open_engine((pl_params){ .n_streams = 4 });
    static struct reply reply;
    const pl_logit_bias biases[] = { { '@', 4 }, { TINY_END, 100 } };
    for (uint64_t seed = 0; seed < 6; seed++) {
        pl_request r = grammar_request(PL_GRAMMAR_REGEX, "@[0-9]{5}", seed);
        r.grammar.trigger = triggers;
        r.grammar.n_triggers = 2;
        r.grammar.must_begin = true;
        r.sampling.bias = biases;
        r.sampling.n_bias = 2;
        run(e, &r, &reply);
        const char *at = memchr(reply.text, '@', reply.n_text);
        assert_non_null(at);
        assert_int_equal(reply.finish, PL_FINISH_STOP);
        if (strstr(reply.text, "!!")) continue;
        assert_int_equal(reply.text + reply.n_text - at, 6);
        for (int i = 1; i < 6; i++) assert_in_range(at[i], '0', '9');
    }
    pl_close(e);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    pl_engine *e = open_engine((pl_params){ 0 });
    pl_stream *s;
    pl_err err;
    pl_request r = grammar_request(PL_GRAMMAR_JSON_SCHEMA, "{\"uniqueItems\":true}", 1);
    assert_int_equal(pl_submit(e, &r, &s, &err), PL_E_GRAMMAR);
    assert_non_null(strstr(err.text, "uniqueItems"));
    assert_null(s);
    static const char *const empty[] = { "" };
    r = grammar_request(PL_GRAMMAR_REGEX, "a", 1);
    r.grammar.trigger = empty;
    r.grammar.n_triggers = 1;
    assert_int_equal(pl_submit(e, &r, &s, &err), PL_E_PARAM);
    pl_close(e);
}

/* Streams that are closed in the middle leave nothing behind. */
static void test_cancelled(void **state)
{
    (void)state;
    pl_engine *e = open_engine((pl_params){ .n_streams = 2 });
    for (uint64_t i = 0; i < 40; i++) {
        const pl_request r = grammar_request(PL_GRAMMAR_JSON_SCHEMA, "{}", i);
        pl_stream *s = submit(e, &r);
        if (i % 3) pl_stream_wait(s, 5);
        pl_stream_close(s);
    }
    pl_stream *left[3];
    for (uint64_t i = 0; i < 3; i++) {
        const pl_request r = grammar_request(PL_GRAMMAR_JSON_SCHEMA, "{}", i);
        left[i] = submit(e, &r);
    }
    for (int i = 0; i < 3; i++) pl_stream_close(left[i]);
    pl_close(e);
}

struct trigger_case {
    const char *tokens[6];
    bool is_first_only;
    const char *rest;           /* NULL: none is found */
    uint32_t n_tokens;
};

static void check_trigger(const struct trigger_case *c, bool is_left_out)
{
    static struct trigger t;
    struct trigger_rest rest = { 0 };
    bool is_found = false;
    t = (struct trigger){ .n = 1, .n_bytes = { 6 }, .is_first_only = c->is_first_only,
                          .is_left_out = is_left_out };
    memcpy(t.string[0], "<call>", 6);
    for (int k = 0; k < 3000 && !t.is_first_only; k++)
        assert_false(trigger_push(&t, k, "some text ", 10, &rest));
    for (int k = 0; k < 6 && c->tokens[k]; k++) {
        assert_false(is_found);
        is_found = trigger_push(&t, k, c->tokens[k], strlen(c->tokens[k]), &rest);
    }
    assert_int_equal(is_found, c->rest != NULL);
    if (!is_found) return;
    assert_int_equal(rest.n_bytes, strlen(c->rest));
    assert_memory_equal(rest.bytes, c->rest, rest.n_bytes);
    assert_int_equal(rest.n_tokens, c->n_tokens);
}

/* The same strings, whatever tokens they are cut into. */
static void test_triggers(void **state)
{
    (void)state;
    static const struct trigger_case whole[] = {
        { { "ab", "<ca", "ll>x" }, false, "", 2 },
        { { "ab<c", "all>x" }, false, "<c", 1 },
        { { "<call>" }, true, "", 1 },
        { { " \n", " <call>" }, true, "<call>", 0 },
        { { "a", "<call>" }, true, NULL, 0 },
        { { "<cal", "<call", ">" }, false, "", 2 },
        { { "<cal", "l" }, false, NULL, 0 },
    }, behind[] = {
        { { "ab", "<ca", "ll>x" }, false, "x", 0 },
        { { "<call>\n\n" }, false, "", 0 },
        { { "<call", "> {" }, false, "{", 0 },
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) check_trigger(&whole[i], false);
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) check_trigger(&behind[i], true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_complete_grammar_ends_the_reply),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_reply_does_not_depend_on_others),
        cmocka_unit_test(test_a_trigger_begins_the_grammar),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_triggers),
    };
    return cmocka_run_group_tests(tests, write_tiny_model, remove_tiny_model);
}

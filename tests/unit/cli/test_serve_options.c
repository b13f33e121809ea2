/* What serve is asked to do where its command line says nothing, and by each of its words; likewise
 * pull. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/pull/pull.h"
#include "cli/serve/options.h"
#include "unit/cli/captured.h"

static struct serve_options o;
static struct captured out;

/* Words separated by spaces behind "serve"; what is said is in out.text. */
static int parse(const char *line)
{
    static char text[512];
    char *argv[32] = { "serve" };
    int argc = 1;
    snprintf(text, sizeof text, "%s", line);
    for (char *at = strtok(text, " "); at && argc < 32; at = strtok(NULL, " ")) argv[argc++] = at;
    captured_begin(&out, STDERR_FILENO);
    const int code = serve_options_parse(&o, argc, argv);
    captured_end(&out);
    return code;
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(parse("m.gguf"), -1);
    assert_string_equal(o.params.model_path, "m.gguf");
    assert_string_equal(o.server.host, "127.0.0.1");
    assert_int_equal(o.server.port, 8080);
    assert_int_equal(o.grace_s, 30);
    assert_int_equal(o.server.write_timeout_s, 30);
    assert_int_equal(o.server.ping_interval_s, 15);
    assert_int_equal(o.server.max_connections, 1024);
    assert_int_equal(o.server.idle_timeout_s, 0);
    assert_int_equal(o.server.max_tokens, 0);
    assert_int_equal(o.params.n_streams, 4);
    assert_int_equal(o.params.ctx_tokens, 0);
    assert_true(o.server.sampling.temperature == 0.8f && o.server.sampling.top_p == 0.95f);
    assert_true(o.server.sampling.min_p == 0.05f && o.server.sampling.top_k == 40);
    assert_true(o.server.sampling.typical_p == 1 && o.server.sampling.penalty_last_n == 64);
    assert_true(o.is_context_chosen && !o.divides_context);
    assert_false(o.server.has_seed || o.server.no_metrics || o.server.no_slots ||
                 o.server.no_prefix_cache ||
                 o.params.no_prefix_cache || o.server.has_vllm_metrics ||
                 o.server.has_llama_metrics || o.is_quiet ||
                 o.is_verbose || o.server.is_verbose || o.params.lock_memory);
    assert_true(!o.pull && !o.params.backend && !o.api_keys.n && !o.taken.n);
}

static void words_that_mean_something_else_here(void **state)
{
    (void)state;
    parse("m.gguf -np 1 -c 64");
    assert_true(o.params.n_streams == 1 && !o.divides_context && !o.is_context_chosen);
    parse("m.gguf -np 2 -c 64");
    assert_true(o.params.n_streams == 2 && o.divides_context);
    parse("m.gguf -np 2");
    assert_true(!o.divides_context && o.is_context_chosen);
    parse("m.gguf --seed 0 -n 5 --sse-ping-interval 0");
    assert_true(o.server.has_seed && o.server.sampling.seed == 0 && o.server.max_tokens == 5);
    assert_int_equal(o.server.ping_interval_s, 0);
    parse("m.gguf --seed -1 -n -1 --sse-ping-interval -1");
    assert_true(!o.server.has_seed && o.server.max_tokens == 0 && o.server.ping_interval_s == 0);
    parse("m.gguf -n 0 --sse-ping-interval 1");
    assert_true(o.server.max_tokens == 0 && o.server.ping_interval_s == 1);
    for (int level = 0; level <= 5; level++) {
        char line[32];
        snprintf(line, sizeof line, "m.gguf -lv %d", level);
        parse(line);
        assert_int_equal(o.is_quiet, level <= 1);
        assert_int_equal(o.is_verbose, level >= 4);
        assert_int_equal(o.server.is_verbose, level >= 4);
    }
    parse("m.gguf --no-metrics --no-slots --no-prefix-cache --metrics-compat vllm");
    assert_true(o.server.no_metrics && o.server.no_slots && o.server.no_prefix_cache &&
                o.params.no_prefix_cache && o.server.has_vllm_metrics);
    parse("m.gguf --metrics-compat llama.cpp");
    assert_true(o.server.has_llama_metrics && !o.server.has_vllm_metrics);
    parse("m.gguf --metrics");
    assert_true(o.server.has_llama_metrics && !o.server.no_metrics);
    parse("m.gguf -lm mmap+mlock -ngl 0");
    assert_true(o.params.lock_memory && !strcmp(o.params.backend, "cpu"));
    parse("m.gguf -lm mmap -ngl all");
    assert_true(!o.params.lock_memory && !o.params.backend);
    parse("m.gguf -dev none --backend exact");
    assert_string_equal(o.params.backend, "exact");
    parse("m.gguf -dev none --port 65535 --grace 0");
    assert_true(!strcmp(o.params.backend, "cpu") && o.server.port == 65535 && o.grace_s == 0);
}

static void models_of_a_hub(void **state)
{
    (void)state;
    assert_int_equal(parse("-hf o/r:Q8_0"), -1);
    assert_true(!strcmp(o.pull, "o/r:Q8_0") && !o.params.model_path);
    assert_int_equal(parse("-hf o/r:Q8_0 -hff f.gguf"), -1);
    assert_string_equal(o.pull, "o/r:f.gguf");
    assert_int_equal(parse("-mu https://h/f.gguf"), -1);
    assert_string_equal(o.pull, "https://h/f.gguf");
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *line, *said;
    } cases[] = {
        { "", "paceline: serve needs --model FILE, or the model as a word\n" },
        { "m.gguf -np 0",
          "paceline: --parallel: found \"0\", a number from 1 to 4096 is wanted\n" },
        { "m.gguf -ngl few",
          "paceline: --n-gpu-layers: found \"few\", a number, all or auto is wanted\n" },
        { "m.gguf -ngl=",
          "paceline: --n-gpu-layers: found \"\", a number, all or auto is wanted\n" },
        { "m.gguf -dev GPU0",
          "paceline: --device: found \"GPU0\", none is known here; others are chosen by "
          "--backend\n" },
        { "m.gguf --api-prefix llm",
          "paceline: --api-prefix: found \"llm\", a path that begins with / is wanted\n" },
        { "-hff f", "paceline: --hf-file: found \"f\", --hf-repo is wanted with it\n" },
        { "-hf a/b -mu u", "paceline: --model-url: found \"u\", --hf-repo names another model\n" },
        { "-hf a/b m.gguf",
          "paceline: two models: one of MODEL, --model, --hf-repo and --model-url is wanted\n" },
        { "m.gguf --metrics-compat x",
          "paceline: --metrics-compat: found \"x\", vllm or llama.cpp is wanted\n" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].line), 2);
        assert_string_equal(out.text, cases[i].said);
    }
}

/* ---- pull ----------------------------------------------------------------------------------- */

static void pull_defaults(void **state)
{
    struct pull_options p;
    (void)state;
    unsetenv("HF_ENDPOINT");
    unsetenv("HF_TOKEN");
    setenv("HF_HOME", "/nowhere", 1);
    pull_options_default(&p);
    assert_string_equal(p.endpoint, "https://huggingface.co");
    assert_true(p.max_retries == 5 && p.stall_s == 30 && p.retry_delay_s == 1);
    assert_true(!*p.token && !p.is_token_given && !p.dir && !p.revision && !p.sha256);
    setenv("HF_ENDPOINT", "http://h", 1);
    setenv("HF_TOKEN", " t1\n", 1);
    pull_options_default(&p);
    assert_string_equal(p.endpoint, "http://h");
    assert_string_equal(p.token, "t1");
    setenv("HF_ENDPOINT", "", 1);
    pull_options_default(&p);
    assert_string_equal(p.endpoint, "https://huggingface.co");
}

/* HF_HOME's, or else that of the user's caches, or else of the user's home; and a token that is
 * none. */
static void where_the_hubs_token_is(void **state)
{
    char root[] = "/tmp/paceline_token_XXXXXX", path[128], command[96];
    struct pull_options p;
    (void)state;
    assert_non_null(mkdtemp(root));
    for (int i = 0; i < 3; i++) {
        static const char *const folders[] = { "", "/huggingface", "/.cache/huggingface" };
        static const char *const names[] = { "HF_HOME", "XDG_CACHE_HOME", "HOME" };
        snprintf(command, sizeof command, "mkdir -p %s/%d%s", root, i, folders[i]);
        assert_int_equal(system(command), 0);
        snprintf(path, sizeof path, "%s/%d%s/token", root, i, folders[i]);
        FILE *to = fopen(path, "w");
        fprintf(to, "token-%d\n", i);
        fclose(to);
        snprintf(path, sizeof path, "%s/%d", root, i);
        setenv(names[i], path, 1);
    }
    setenv("HF_TOKEN", "two words", 1);
    for (int i = 0; i < 3; i++) {
        char wanted[16];
        pull_options_default(&p);
        snprintf(wanted, sizeof wanted, "token-%d", i);
        assert_string_equal(p.token, wanted);
        assert_false(p.is_token_given);
        unsetenv(i ? "XDG_CACHE_HOME" : "HF_HOME");
    }
    unsetenv("HOME");
    pull_options_default(&p);
    assert_string_equal(p.token, "");
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

static void tokens(void **state)
{
    struct pull_options p = { .token = "before" };
    char longest[PULL_TOKEN_MAX + 1];
    (void)state;
    assert_true(pull_take_token(&p, " \t!~\r\n"));
    assert_string_equal(p.token, "!~");
    assert_false(pull_take_token(&p, "a b") || pull_take_token(&p, "") ||
                 pull_take_token(&p, " \n") ||
                 pull_take_token(&p, "a\x7f") || pull_take_token(&p, "\xc3\xa4"));
    assert_string_equal(p.token, "!~");
    memset(longest, 'x', PULL_TOKEN_MAX);
    longest[PULL_TOKEN_MAX] = 0;
    assert_false(pull_take_token(&p, longest));
    assert_true(pull_take_token(&p, longest + 1));
    assert_int_equal(strlen(p.token), PULL_TOKEN_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),        cmocka_unit_test(words_that_mean_something_else_here),
        cmocka_unit_test(models_of_a_hub), cmocka_unit_test(what_is_refused),
        cmocka_unit_test(pull_defaults),   cmocka_unit_test(where_the_hubs_token_is),
        cmocka_unit_test(tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

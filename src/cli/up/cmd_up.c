/* paceline up, paceline down: one command from a model to a server that answers, and back. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "cli/cli.h"
#include "cli/context.h"
#include "cli/exposure.h"
#include "cli/models/models.h"
#include "cli/plan/json.h"
#include "cli/program.h"
#include "cli/pull/pull.h"
#include "cli/report.h"
#include "cli/service/service_file.h"
#include "cli/up/background.h"

enum { MAX_WORDS = ARG_MAX_STRINGS + 44, EXIT_DOES_NOT_FIT = 3 };

struct up {
    pl_params params;
    const char *host, *name, *key_file, *dir;
    uint32_t port, timeout_s;
    bool dry_run;
    char program[PATH_MAX], model[MODELS_PATH_MAX], numbers[11][24];
    const char *argv[MAX_WORDS];
    size_t n;
};

static void word(struct up *u, const char *option, const char *value)
{
    if (!value || u->n + 3 > MAX_WORDS) return;
    u->argv[u->n++] = option;
    u->argv[u->n++] = value;
}

static void number(struct up *u, unsigned slot, const char *option, uint32_t value)
{
    snprintf(u->numbers[slot], sizeof u->numbers[slot], "%u", value);
    word(u, option, u->numbers[slot]);
}

static void set_rope_words(struct up *u, const pl_rope *r)
{
    const struct {
        const char *option;
        float value;
    } floats[] = {
        { "--rope-scale", r->scale }, { "--rope-freq-base", r->freq_base },
        { "--rope-freq-scale", r->freq_scale }, { "--yarn-attn-factor", r->yarn_attn_factor },
        { "--yarn-beta-slow", r->yarn_beta_slow }, { "--yarn-beta-fast", r->yarn_beta_fast },
    };
    word(u, "--rope-scaling", r->scaling);
    word(u, "--yarn-ext-factor", r->yarn_ext_factor);
    if (r->yarn_orig_ctx) number(u, 4, "--yarn-orig-ctx", r->yarn_orig_ctx);
    for (unsigned i = 0; i < sizeof floats / sizeof *floats; i++) {
        char *text = u->numbers[5 + i];
        if (floats[i].value == 0) continue;
        snprintf(text, sizeof u->numbers[0], "%.9g", (double)floats[i].value);
        word(u, floats[i].option, text);
    }
}

static void set_server_words(struct up *u, const struct arg_strings *rest)
{
    u->argv[u->n++] = u->program;
    u->argv[u->n++] = "serve";
    word(u, "--model", u->params.model_path);
    number(u, 0, "--parallel", u->params.n_streams);
    number(u, 1, "--ctx-size", u->params.ctx_tokens);
    word(u, "--host", u->host);
    number(u, 2, "--port", u->port);
    if (u->params.n_threads) number(u, 3, "--threads", u->params.n_threads);
    word(u, "--cache-type-k", u->params.cache_type_k);
    word(u, "--cache-type-v", u->params.cache_type_v);
    word(u, "--override-kv", u->params.override_kv);
    set_rope_words(u, &u->params.rope);
    word(u, "--api-key-file", u->key_file);
    for (size_t i = 0; i < rest->n && u->n + 1 < MAX_WORDS; i++) u->argv[u->n++] = rest->text[i];
}

/* The model is a file, or a name: of one that was pulled, or else of one that is pulled now. */
static pl_status find_model(struct up *u, const char *name, pl_err *err)
{
    struct pull_options options;
    u->params.model_path = name;
    if (!access(name, F_OK) || name[0] == '/' || name[0] == '.')
        return models_resolve(&u->params.model_path, u->dir, err);
    u->params.model_path = u->model;
    if (!models_find(name, u->dir, u->model, err)) return PL_OK;
    if (u->dry_run)
        return pl_fail(err, PL_E_PARAM, "%s is not pulled yet: paceline pull %s%s%s, then plan",
                       name, name, u->dir ? " --dir " : "", u->dir ? u->dir : "");
    pull_options_default(&options);
    options.dir = u->dir;
    return pull_model(name, &options, u->model, err);
}

/* The plan; where it does not fit, what would. */
static int check_plan(struct up *u, pl_err *err)
{
    struct plan_subject s = { .load = { .n_streams = u->params.n_streams } };
    const struct plan_extras none = { .n_prices = 0 };
    pl_status st = context_choose(&u->params, 0, err);
    if (st) return cli_fail(err);
    s.load.ctx_tokens = u->params.ctx_tokens;
    st = plan_subject_of_file(&s, &u->params, err);
    if (st) return cli_fail(err);
    u->params.ctx_tokens = s.file.ctx_tokens;
    cli_print_plan(stdout, &s.file);
    if (plan_fits_now(&s)) return 0;
    st = plan_subject_measure(&s, u->params.n_threads, err);
    if (st) return cli_fail(err);
    json_t *plan = plan_json(&s, &none), *report = plan ? plan_report(&s, plan, false) : NULL;
    json_t *sections = json_object_get(report, "sections");
    while (json_array_size(sections) > 2) json_array_remove(sections, 2);   /* memory, what fits */
    if (report) report_print(stderr, report, false);
    json_decref(report);
    json_decref(plan);
    return EXIT_DOES_NOT_FIT;
}

/* Among the words for serve. */
static bool has_key(const struct up *u)
{
    for (size_t i = 0; i < u->n; i++)
        if (!strncmp(u->argv[i], "--api-key", 9)) return true;
    return false;
}

static int start(struct up *u, pl_err *err)
{
    struct background b;
    pl_status st = background_find(&b, u->name, err);
    if (!st && b.pid)
        st = pl_fail(err, PL_E_BUSY, "\"%s\" runs already (process %ld, %s): paceline down, or "
                     "another --name", u->name, (long)b.pid,
                     *b.address ? b.address : "not ready yet");
    if (st) return cli_fail(err);
    if (u->dry_run) {
        fputs("would start:", stdout);
        for (size_t i = 0; i < u->n; i++) printf(" %s", u->argv[i]);
        printf("\nwith its output in %s\n", b.log_file);
        exposure_warn(stdout, u->host, u->key_file || has_key(u));
        return 0;
    }
    st = background_start(&b, u->argv, err);
    if (!st) st = background_wait(&b, u->timeout_s, err);
    if (st) {
        pl_err ignored;
        if (st == PL_E_BUSY && b.pid > 0) background_stop(&b, 10, &ignored);
        return cli_fail(err);
    }
    exposure_warn(stdout, u->host, u->key_file || has_key(u));
    printf("ready      %s/v1   (OpenAI's API; metrics at %s/metrics)\n"
           "log        %s\n"
           "stop       paceline down%s%s\n", b.address, b.address, b.log_file,
           strcmp(u->name, "paceline") ? " --name " : "",
           strcmp(u->name, "paceline") ? u->name : "");
    return 0;
}

static int wrong_name(const char *name)
{
    fprintf(stderr, "paceline: --name: found \"%s\"; letters, digits, \"-\", \"_\" and \".\" are "
            "wanted\n", name);
    return 2;
}

int cmd_up(int argc, char **argv)
{
    struct up u = { .params = { .n_streams = 20 }, .host = "127.0.0.1",
                    .name = "paceline", .port = 8080, .timeout_s = 300 };
    const char *model = NULL;
    const struct arg table[] = {
        { "--model", "-m", ARG_STRING, &model, 0, 0, "MODEL", "in place of the word" },
        MODELS_DIR_ARG(&u.dir),
        { "--parallel", "-np", ARG_U32, &u.params.n_streams, 1, 4096, "N",
          "slots: streams decoded together (20)" },
        { "--ctx-size", "-c", ARG_U32, &u.params.ctx_tokens, 0, 1 << 24, "N",
          "tokens of prompt and reply of each stream; 0: the model's limit, or what of it fits "
          "(0)" },
        { "--cache-type-k", "-ctk", ARG_STRING, &u.params.cache_type_k, 0, 0, "TYPE",
          "how keys are stored: " KV_TYPE_NAMES(", ") " (f16)" },
        { "--cache-type-v", "-ctv", ARG_STRING, &u.params.cache_type_v, 0, 0, "TYPE",
          "and values (f16)" },
        CLI_ROPE_ARGS(&u.params),
        { "--threads", "-t", ARG_U32, &u.params.n_threads, 0, 1024, "N",
          "computing threads (default: one per performance core)" },
        { "--host", NULL, ARG_STRING, &u.host, 0, 0, "ADDRESS", "(127.0.0.1)" },
        { "--port", NULL, ARG_U32, &u.port, 0, 65535, "N", "0: any free one (8080)" },
        { "--api-key-file", NULL, ARG_STRING, &u.key_file, 0, 0, "FILE", "one key a line" },
        { "--name", NULL, ARG_STRING, &u.name, 0, 0, "NAME",
          "of this server, where there are several (paceline)" },
        { "--timeout", NULL, ARG_U32, &u.timeout_s, 1, 86400, "S",
          "for the server to become ready (300)" },
        { "--dry-run", NULL, ARG_FLAG, &u.dry_run, 0, 0, NULL,
          "plan, print the command, and stop" },
    };
    const struct arg_page page = {
        "up", "MODEL [OPTIONS] [-- SERVE OPTIONS]",
        "Pulls a model where it is missing, plans it on this machine, refuses with what would fit "
        "where it does not, starts a server in the background, waits until it answers, and prints "
        "its address. paceline down stops it. Exit code 3: it does not fit.",
        "paceline up model.gguf --parallel 20\n"
        "paceline up Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M\n"
        "paceline up model.gguf --port 9000 --name two -- --api-key secret", table, N_ARGS(table)
    };
    struct arg_strings words = { .n = 0 };
    pl_err err = { 0 };
    const int code = args_parse(&page, argc, argv, &words, NULL);
    if (code >= 0) return code;
    if (!model && !words.n) return args_missing(&page, "a model");
    if (!model) {
        model = words.text[0];
        memmove(words.text, words.text + 1, --words.n * sizeof *words.text);
    }
    if (!service_name_is_valid(u.name)) return wrong_name(u.name);
    if (!program_path(u.program, sizeof u.program)) {
        fputs("paceline: the program's own path is not known\n", stderr);
        return 1;
    }
    cli_log_to_stderr(false);
    if (find_model(&u, model, &err)) return cli_fail(&err);
    const int refused = check_plan(&u, &err);
    if (refused) return refused;
    set_server_words(&u, &words);
    return start(&u, &err);
}

int cmd_down(int argc, char **argv)
{
    const char *name = "paceline";
    uint32_t timeout_s = 60;
    const struct arg table[] = {
        { "--name", NULL, ARG_STRING, &name, 0, 0, "NAME", "of the server (paceline)" },
        { "--timeout", NULL, ARG_U32, &timeout_s, 1, 86400, "S",
          "for running requests to finish (60)" },
    };
    const struct arg_page page = {
        "down", "[OPTIONS]",
        "Stops a server that paceline up started, by its own process id. Running requests finish.",
        "paceline down", table, N_ARGS(table)
    };
    struct background b;
    pl_err err = { 0 };
    const int code = args_parse(&page, argc, argv, NULL, NULL);
    if (code >= 0) return code;
    if (!service_name_is_valid(name)) return wrong_name(name);
    pl_status st = background_find(&b, name, &err);
    if (!st && !b.pid) st = pl_fail(&err, PL_E_IO, "no server \"%s\" runs", name);
    if (!st) st = background_stop(&b, timeout_s, &err);
    if (st) return cli_fail(&err);
    printf("stopped    process %ld\n", (long)b.pid);
    return 0;
}

/* paceline serve: the server's life from the command line. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/models/models.h"
#include "cli/power_assertion.h"
#include "cli/sampling_args.h"
#include "server/server.h"

struct serve {
    pl_params params;
    struct server_params server;
    uint32_t port, grace_s;
    int32_t n_predict;
    struct arg_strings api_keys, always;
    const char *api_key_file, *template_file, *metrics_compat;
    bool is_quiet, is_verbose;
    char *template_text, *key_text;
    const char *keys[2 * ARG_MAX_STRINGS];
};

static volatile sig_atomic_t stop_signals;

static void on_stop(int number)
{
    (void)number;
    stop_signals++;
}

/* Commas inside one --api-key and lines of a file both separate keys. */
static void split_keys(struct serve *s, char *text, const char *separators)
{
    const size_t max = sizeof s->keys / sizeof *s->keys;
    char *rest;
    for (char *key = strtok_r(text, separators, &rest); key && s->server.n_api_keys < max;
         key = strtok_r(NULL, separators, &rest))
        s->keys[s->server.n_api_keys++] = key;
}

static bool read_files(struct serve *s)
{
    size_t n;
    if (s->template_file) {
        s->template_text = cli_read_all(s->template_file, &n);
        if (!s->template_text) return false;
        s->params.chat_template = s->template_text;
    }
    if (s->api_key_file) {
        s->key_text = cli_read_all(s->api_key_file, &n);
        if (!s->key_text) return false;
        split_keys(s, s->key_text, "\r\n");
        if (!s->server.n_api_keys) {
            fprintf(stderr, "paceline: %s: holds no key\n", s->api_key_file);
            return false;
        }
    }
    for (size_t i = 0; i < s->api_keys.n; i++)
        split_keys(s, (char *)(uintptr_t)s->api_keys.text[i], ",");
    s->server.api_keys = s->keys;
    return true;
}

static void tell_start(const struct serve *s, const struct server *server, const pl_plan *plan)
{
    if (s->is_quiet) return;
    cli_print_plan(stderr, plan);
    if (s->params.n_threads > plan->n_threads)
        fprintf(stderr, "threads    %u asked for, %u used: one per core\n", s->params.n_threads,
                plan->n_threads);
    for (size_t i = 0; i < s->always.n; i++)
        fprintf(stderr, "accepted   %s: see --help\n", s->always.text[i]);
    fprintf(stderr, "context    %u tokens for each of %u streams\n", plan->ctx_tokens,
            plan->n_streams);
    fprintf(stderr, "listening  http://%s:%u\n", s->server.host, server_port(server));
}

/* Until a signal asks to stop; then what runs may finish within the grace time, or until a second
 * signal. */
static void wait_for_stop(const struct serve *s, struct server *server)
{
    sigset_t stops, before;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    /* blocked between the look and the wait, so that no signal is lost in between */
    pthread_sigmask(SIG_BLOCK, &stops, &before);
    while (!stop_signals) sigsuspend(&before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    const int seen = stop_signals;
    server_drain(server);
    if (!s->is_quiet && server_n_active(server))
        fprintf(stderr, "stopping: %u requests may finish within %u s\n", server_n_active(server),
                s->grace_s);
    for (uint32_t ms = 0; ms < s->grace_s * 1000 && server_n_active(server) && stop_signals == seen;
         ms += 20)
        clock_sleep_ms(20);
    clock_sleep_ms(50);       /* answers that are finished leave the sockets */
}

static int serve(struct serve *s)
{
    struct server *server = NULL;
    pl_engine *engine = NULL;
    pl_err err = { 0 };
    const struct sigaction stop = { .sa_handler = on_stop };

    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    pl_status st = server_open(&server, &s->server, &err);
    if (!st) st = pl_open(&engine, &s->params, &err);
    if (!st) {
        tell_start(s, server, pl_engine_plan(engine));
        server_ready(server, engine);
        power_assertion_hold();
        wait_for_stop(s, server);
        power_assertion_release();
    }
    server_close(server);
    pl_close(engine);
    return st ? cli_fail(&err) : 0;
}

int cmd_serve(int argc, char **argv)
{
    struct serve s = {
        .params = { .n_streams = 4 },
        .server = { .host = "127.0.0.1", .ping_interval_s = 15,
                    .sampling = cli_sampling_default() },
        .port = 8080, .grace_s = 30, .n_predict = -1,
    };
    bool metrics = true, slots = true, prefix_cache = true;
    const struct arg table[] = {
        CLI_MODEL_ARGS(&s.params),
        { "--parallel", "-np", ARG_U32, &s.params.n_streams, 1, 4096, "N",
          "slots: streams decoded together (4)" },
        { "--ctx-size", "-c", ARG_U32, &s.params.ctx_tokens, 0, 1 << 24, "N",
          "tokens of prompt and reply of EACH stream; 0: the model's limit (0)" },
        { "--kv-tokens", NULL, ARG_U64, &s.params.kv_tokens, 0, 0x1p40, "N",
          "tokens of the KV pool that all streams share; 0: parallel x ctx-size (0)" },
        { "--batch-size", "-b", ARG_ALWAYS, NULL, 0, 0, "N",
          "a step's size is --ubatch-size" },
        { "--ubatch-size", "-ub", ARG_U32, &s.params.step_tokens, 1, 8192, "N",
          "columns of a step at most (256)" },
        { "--prefill-tokens", NULL, ARG_U32, &s.params.prefill_tokens, 1, 8192, "N",
          "prompt tokens of a step in which other streams decode, at most (64)" },
        { "--queue-requests", NULL, ARG_U32, &s.params.queue_requests, 1, 1 << 20, "N",
          "requests that may wait; one more is answered 429 (1024)" },
        { "--queue-tokens", NULL, ARG_U64, &s.params.queue_tokens, 1, 0x1p40, "N",
          "prompt tokens that may wait (8388608)" },
        { "--prefix-cache", "--cache-prompt", ARG_SWITCH, &prefix_cache, 0, 0, NULL,
          "reuse the KV of equal prompt beginnings (on)" },
        { "--host", NULL, ARG_STRING, &s.server.host, 0, 0, "ADDRESS", "(127.0.0.1)" },
        { "--port", NULL, ARG_U32, &s.port, 0, 65535, "N", "0: any free one, printed (8080)" },
        { "--alias", "-a", ARG_STRING, &s.server.alias, 0, 0, "NAME", "of the model" },
        { "--api-key", NULL, ARG_STRINGS, &s.api_keys, 0, 0, "KEY",
          "needed by every request but /health; may be given several times" },
        { "--api-key-file", NULL, ARG_STRING, &s.api_key_file, 0, 0, "FILE", "one key a line" },
        { "--cors-origin", "--cors-origins", ARG_STRING, &s.server.cors_origin, 0, 0, "ORIGIN",
          "browsers of this origin may call; * for all" },
        { "--n-predict", "-n", ARG_I32, &s.n_predict, -1, INT32_MAX, "N",
          "reply tokens where a request does not say; -1: to the end of the context (-1)" },
        { "--sse-ping-interval", NULL, ARG_U32, &s.server.ping_interval_s, 0, 3600, "S",
          "comments that keep waiting streams alive; 0: none (15)" },
        { "--grace", NULL, ARG_U32, &s.grace_s, 0, 86400, "S",
          "time that running requests get after SIGTERM (30)" },
        { "--max-connections", NULL, ARG_U32, &s.server.max_connections, 1, 1 << 16, "N", "(1024)" },
        { "--metrics", NULL, ARG_SWITCH, &metrics, 0, 0, NULL, "GET /metrics (on)" },
        { "--metrics-compat", NULL, ARG_STRING, &s.metrics_compat, 0, 0, "NAME",
          "/metrics also under another server's names: vllm" },
        { "--slots", NULL, ARG_SWITCH, &slots, 0, 0, NULL, "GET /slots (on)" },
        { "--chat-template", NULL, ARG_STRING, &s.params.chat_template, 0, 0, "NAME",
          "a built-in template instead of the file's: chatml, llama2, llama3, gemma, ..." },
        { "--chat-template-file", NULL, ARG_STRING, &s.template_file, 0, 0, "FILE",
          "a template instead of the model file's" },
        CLI_SAMPLING_ARGS(&s.server.sampling),
        { "--log-disable", "--quiet", ARG_FLAG, &s.is_quiet, 0, 0, NULL, "print nothing but errors" },
        { "--verbose", "-v", ARG_FLAG, &s.is_verbose, 0, 0, NULL, "print what happens" },
        { "--cont-batching", "-cb", ARG_ALWAYS, NULL, 0, 0, NULL, "always on" },
        { "--flash-attn", "-fa", ARG_ALWAYS, NULL, 0, 0, NULL, "always on" },
        { "--jinja", NULL, ARG_ALWAYS, NULL, 0, 0, NULL, "always on" },
        { "--kv-unified", "-kvu", ARG_ALWAYS, NULL, 0, 0, NULL, "always on: one pool" },
        { "--mmap", NULL, ARG_ALWAYS, NULL, 0, 0, NULL, "always on" },
        { "--threads-batch", "-tb", ARG_ALWAYS, NULL, 0, 0, "N",
          "one team of --threads does prompts and replies" },
        { "--n-gpu-layers", "-ngl", ARG_ALWAYS, NULL, 0, 0, "N",
          "this build computes on the CPU" },
    };
    const struct arg_page page = {
        "serve", "--model FILE [OPTIONS]",
        "Serves a model over HTTP with OpenAI's API. All memory is taken at start; what it takes is "
        "printed. SIGTERM lets running requests finish.",
        "paceline serve --model model.gguf --parallel 20 --ctx-size 4096\n"
        "paceline serve --model model.gguf --host 0.0.0.0 --api-key-file keys.txt", table,
        N_ARGS(table)
    };
    const int code = args_parse(&page, argc, argv, NULL, &s.always);
    if (code >= 0) return code;
    if (!s.params.model_path) return args_missing(&page, "--model FILE");
    if (s.metrics_compat && strcmp(s.metrics_compat, "vllm")) {
        fprintf(stderr, "paceline: --metrics-compat: found \"%s\", vllm is wanted\n",
                s.metrics_compat);
        return 2;
    }
    cli_log_to_stderr(s.is_verbose);
    pl_err err;
    if (models_resolve(&s.params.model_path, &err)) return cli_fail(&err);
    s.server.port = (uint16_t)s.port;
    s.server.model_path = s.params.model_path;
    s.server.max_tokens = s.n_predict > 0 ? (uint32_t)s.n_predict : 0;
    s.server.no_metrics = !metrics;
    s.server.no_slots = !slots;
    s.server.has_vllm_metrics = s.metrics_compat != NULL;
    s.params.no_prefix_cache = s.server.no_prefix_cache = !prefix_cache;
    const int result = read_files(&s) ? serve(&s) : 1;
    free(s.template_text);
    free(s.key_text);
    return result;
}

/* paceline load: requests to any OpenAI-compatible server, and how it took them. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/load/progress.h"
#include "cli/load/report.h"
#include "cli/load/transfer.h"

enum { DEFAULT_REQUESTS = 100 };

/* The command line, before it is checked and made load_options. */
struct front {
    struct load_options o;
    struct load_prompts_params prompts;
    const char *url, *endpoint, *model, *prompt_words, *extra_json;
    const char *json_path, *html_path, *compare;
    bool no_stream, records;
    float rate, duration_s, timeout_s, connect_timeout_s, shared, temperature;
    uint64_t seed;
    struct arg_strings words;
    struct strbuf base_url;         /* what o points to */
    struct client client;           /* likewise */
    char *found_model;
};

static volatile sig_atomic_t stop_asked;

/* The handler resets itself: a second Ctrl-C ends the program at once. */
static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_flags = SA_RESETHAND };
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);       /* libcurl leaves that to its caller (CURLOPT_NOSIGNAL) */
}

/* ---- checking the command line -------------------------------------------------------------- */

static pl_status set_base_url(struct front *f, pl_err *err)
{
    static const char version[] = "/v1";
    const char *url = f->url;
    size_t n = strlen(url);
    const bool has_scheme = !strncmp(url, "http://", 7) || !strncmp(url, "https://", 8);
    if (!has_scheme && (!f->words.n || strstr(url, "://")))
        return pl_fail(err, PL_E_PARAM, "--url: found \"%s\"; an address that begins with "
                       "http:// or https:// is wanted", url);
    if (!has_scheme) strbuf_add_str(&f->base_url, "http://");       /* of a word, as top reads it */
    while (n && url[n - 1] == '/') n--;
    if (n > sizeof version - 1 && !strncmp(url + n - (sizeof version - 1), version,
                                           sizeof version - 1))
        n -= sizeof version - 1;
    while (n && url[n - 1] == '/') n--;
    strbuf_add(&f->base_url, url, n);
    f->o.base_url = f->base_url.bytes;
    return f->base_url.failed ? pl_fail(err, PL_E_MEMORY, "out of memory") : PL_OK;
}

static pl_status set_key(struct front *f, pl_err *err)
{
    const pl_status st = client_open(&f->client, err);
    f->o.client = &f->client;
    f->o.api_key = *f->client.key ? f->client.key : NULL;
    return st;
}

static pl_status set_loop(struct front *f, pl_err *err)
{
    struct load_options *o = &f->o;
    o->rate = (double)f->rate;
    o->duration_s = (double)f->duration_s;
    o->timeout_s = (double)f->timeout_s;
    o->connect_timeout_s = (double)f->connect_timeout_s;
    o->temperature = (double)f->temperature;
    o->seed = f->prompts.seed = f->seed;
    o->stream = !f->no_stream;
    if (load_is_open(o) && o->concurrency)
        return pl_fail(err, PL_E_PARAM, "--concurrency is of the closed loop; with --rate, "
                       "--max-in-flight N bounds what runs at a time");
    if (!load_is_open(o) && o->max_in_flight)
        return pl_fail(err, PL_E_PARAM, "--max-in-flight is of the open loop (--rate); "
                       "--concurrency N says how many run at a time");
    if (!o->concurrency) o->concurrency = 1;
    if (!o->max_in_flight) o->max_in_flight = 512;
    if (!o->n_requests && !(o->duration_s > 0)) o->n_requests = DEFAULT_REQUESTS;
    return PL_OK;
}

static pl_status set_prompts(struct front *f, struct load_prompts **out, pl_err *err)
{
    struct load_prompts_params *p = &f->prompts;
    if (!!p->text + !!p->file + !!f->prompt_words > 1)
        return pl_fail(err, PL_E_PARAM, "--prompt, --prompt-file and --prompt-tokens: one of them "
                       "is wanted");
    p->shared = (double)f->shared;
    if (p->shared > 0 && (p->text || p->file))
        return pl_fail(err, PL_E_PARAM, "--shared-prefix is of drawn prompts (--prompt-tokens)");
    const char *lengths = f->prompt_words ? f->prompt_words : "128";
    if (!load_prompts_parse_words(lengths, &p->mean_words, &p->stddev_words))
        return pl_fail(err, PL_E_PARAM, "--prompt-tokens: found \"%s\"; N or N:STDDEV is wanted, N "
                       "from 1 to 1048576", lengths);
    f->o.is_chat = p->is_chat = !strcmp(f->endpoint, "chat");
    if (!p->is_chat && strcmp(f->endpoint, "completions"))
        return pl_fail(err, PL_E_PARAM, "--endpoint: found \"%s\"; chat or completions is wanted",
                       f->endpoint);
    const pl_status st = load_prompts_open(out, p, err);
    f->o.prompts = *out;
    return st;
}

static pl_status set_extra(struct front *f, pl_err *err)
{
    json_error_t why;
    if (!f->extra_json) return PL_OK;
    f->o.extra = json_loads(f->extra_json, 0, &why);
    if (!f->o.extra) return pl_fail(err, PL_E_PARAM, "--extra-json: %s", why.text);
    if (json_is_object(f->o.extra)) return PL_OK;
    return pl_fail(err, PL_E_PARAM, "--extra-json: an object of members is wanted: "
                   "'{\"top_p\": 0.9}'");
}

/* Before the load and not after it. */
static pl_status check_writable(const char *path, pl_err *err)
{
    if (!path || !strcmp(path, "-")) return PL_OK;
    FILE *to = fopen(path, "a");
    if (!to) return pl_fail(err, PL_E_IO, "%s: %s", path, strerror(errno));
    fclose(to);
    return PL_OK;
}

static pl_status set_model(struct front *f, pl_err *err)
{
    if (f->model) {
        f->o.model = f->model;
        return PL_OK;
    }
    const pl_status st = load_model_name(&f->found_model, &f->o, err);
    f->o.model = f->found_model;
    return st;
}

/* ---- the run and its reports ---------------------------------------------------------------- */

static pl_status write_json(const struct front *f, const struct load_result *r, pl_err *err)
{
    if (!f->json_path) return PL_OK;
    const bool is_stdout = !strcmp(f->json_path, "-");
    json_t *report = load_report_json(r, f->records);
    if (!report) return pl_fail(err, PL_E_MEMORY, "out of memory for the report");
    FILE *to = is_stdout ? stdout : fopen(f->json_path, "w");
    bool is_good = to && !json_dumpf(report, to, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) &&
                   putc('\n', to) != EOF && !fflush(to);
    if (to && !is_stdout) is_good &= !fclose(to);
    json_decref(report);
    return is_good ? PL_OK : pl_fail(err, PL_E_IO, "%s: %s", f->json_path, strerror(errno));
}

static pl_status report(const struct front *f, const struct load_run *run, bool *is_all_ok,
                        pl_err *err)
{
    struct load_figures *figures = calloc(1, sizeof *figures);
    if (!figures) return pl_fail(err, PL_E_MEMORY, "out of memory");
    struct load_result r = { &f->o, run, figures, "" };
    const time_t now = time(NULL);
    struct tm utc;
    strftime(r.time, sizeof r.time, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));

    pl_status st = load_figures_make(figures, run, &f->o, err);
    if (!st) {
        *is_all_ok = figures->n_ok && !figures->n_failed;
        if (!f->json_path || strcmp(f->json_path, "-")) load_report_print(stdout, &r);
        st = write_json(f, &r, err);
    }
    if (!st && f->html_path) st = load_report_html(f->html_path, &r, err);
    load_figures_free(figures);
    free(figures);
    return st;
}

static pl_status load_and_report(struct front *f, bool *is_all_ok, pl_err *err)
{
    struct progress_line line = { .to = isatty(STDERR_FILENO) ? stderr : NULL };
    struct load_prompts *prompts = NULL;
    struct load_run run = { 0 };

    pl_status st = set_base_url(f, err);
    if (!st) st = set_key(f, err);
    if (!st) st = set_loop(f, err);
    if (!st) st = set_prompts(f, &prompts, err);
    if (!st) st = set_extra(f, err);
    if (!st) st = check_writable(f->json_path, err);
    if (!st) st = check_writable(f->html_path, err);
    if (!st && curl_global_init(CURL_GLOBAL_DEFAULT))
        st = pl_fail(err, PL_E_INTERNAL, "libcurl does not start");
    if (!st) st = set_model(f, err);
    if (!st) {
        catch_signals();
        st = load_run(&run, &f->o, &stop_asked, progress_line_show, &line, err);
    }
    if (!st) st = report(f, &run, is_all_ok, err);
    load_run_free(&run);
    load_prompts_close(prompts);
    json_decref(f->o.extra);
    strbuf_free(&f->base_url);
    free(f->found_model);
    return st;
}

int cmd_load(int argc, char **argv)
{
    struct front f = { .endpoint = "chat", .timeout_s = 600,
                       .connect_timeout_s = 10, .temperature = -1,
                       .o = { .max_tokens = 128, .proxy = "" } };
    const struct arg table[] = {
        { "--url", "-u", ARG_STRING, &f.url, 0, 0, "URL",
          "the server, with or without /v1 (http://127.0.0.1:8080)" },
        { "--endpoint", NULL, ARG_STRING, &f.endpoint, 0, 0, "NAME", "chat or completions (chat)" },
        { "--model", "-m", ARG_STRING, &f.model, 0, 0, "NAME",
          "model to ask for (default: the first of /v1/models)" },
        CLIENT_ARGS(&f.client),
        { "--concurrency", "-c", ARG_U32, &f.o.concurrency, 1, 65536, "N",
          "closed loop: keep N requests running (1)" },
        { "--rate", "-r", ARG_F32, &f.rate, 0.0001, 1e6, "R",
          "open loop: R requests a second on average, arriving at random" },
        { "--max-in-flight", NULL, ARG_U32, &f.o.max_in_flight, 1, 65536, "N",
          "open loop: what arrives while N run waits, and its wait counts (512)" },
        { "--requests", "-n", ARG_U64, &f.o.n_requests, 1, 1e9, "N",
          "requests to count (100, or no bound with --duration)" },
        { "--duration", "-d", ARG_F32, &f.duration_s, 0.001, 1e7, "S",
          "begin no request after S seconds; those that run are waited for" },
        { "--warmup", NULL, ARG_U64, &f.o.n_warmup, 0, 1e6, "N",
          "requests before these that are not counted (0)" },
        { "--seed", "-s", ARG_U64, &f.seed, 0, 0, "N", "of arrivals and drawn prompts (0)" },
        { "--prompt", "-p", ARG_STRING, &f.prompts.text, 0, 0, "TEXT",
          "the same prompt for every request" },
        { "--prompt-file", "-f", ARG_STRING, &f.prompts.file, 0, 0, "FILE",
          "a prompt a line, in turn; a line may be an object: prompt or messages, max_tokens" },
        { "--prompt-tokens", NULL, ARG_STRING, &f.prompt_words, 0, 0, "N[:STDDEV]",
          "draw N words a prompt, about a token each; the server's usage says how many (128)" },
        { "--shared-prefix", NULL, ARG_F32, &f.shared, 0, 1, "X",
          "share of N at the beginning that all drawn prompts have in common (0)" },
        { "--max-tokens", NULL, ARG_U32, &f.o.max_tokens, 0, 1 << 24, "N",
          "of a reply; 0: not sent (128)" },
        { "--ignore-eos", NULL, ARG_FLAG, &f.o.ignore_eos, 0, 0, NULL,
          "ask for replies of full length, where the server knows ignore_eos" },
        { "--temperature", "--temp", ARG_F32, &f.temperature, 0, 100, "X",
          "default: the server's own" },
        { "--extra-json", NULL, ARG_STRING, &f.extra_json, 0, 0, "OBJECT",
          "members added to every request, over all others" },
        { "--no-stream", NULL, ARG_FLAG, &f.no_stream, 0, 0, NULL,
          "ask for whole replies: no time to first token then" },
        { "--timeout", NULL, ARG_F32, &f.timeout_s, 0.001, 1e6, "S",
          "a request that takes longer has failed (600)" },
        { "--connect-timeout", NULL, ARG_F32, &f.connect_timeout_s, 0.001, 1e6, "S",
          "likewise its connection (10)" },
        { "--proxy", NULL, ARG_STRING, &f.o.proxy, 0, 0, "URL",
          "default: none, also where the environment names one" },
        { "--json", NULL, ARG_STRING, &f.json_path, 0, 0, "FILE",
          "write the report as JSON; - is standard output, in place of the text" },
        { "--records", NULL, ARG_FLAG, &f.records, 0, 0, NULL,
          "every request's record in the JSON" },
        { "--html", NULL, ARG_STRING, &f.html_path, 0, 0, "FILE",
          "write the report as a page of plots" },
        { "--compare", NULL, ARG_STRING, &f.compare, 0, 0, "FILE",
          "no load: the report of FILE beside that of a second file (the next word)" },
    };
    const struct arg_page page = {
        "load", "[URL] [OPTIONS] | --compare FILE FILE",
        "Sends requests to an OpenAI-compatible server and reports throughput, latencies and "
        "errors. A closed loop keeps a number of requests running; an open loop lets them arrive "
        "at a rate, whatever the server does. Ctrl-C ends the load and reports what has ended by "
        "then. Exit code 0: all requests went well; 1: some failed, or nothing could be measured.",
        "paceline load --concurrency 20 --requests 100 --warmup 5\n"
        "paceline load --rate 4 --duration 60 --prompt-tokens 512:100 --html load.html\n"
        "paceline load https://mini.local:8443 --cacert ca.pem --api-key-file key.txt\n"
        "paceline load --compare before.json after.json", table, N_ARGS(table)
    };
    pl_err err = { 0 };
    bool is_all_ok = false;
    const int code = args_parse(&page, argc, argv, &f.words, NULL);
    if (code >= 0) return code;
    if (f.compare && (f.words.n != 1 || f.json_path || f.html_path))
        return args_missing(&page, "--compare FILE FILE: two reports and nothing else");
    if (f.compare)
        return load_compare(stdout, f.compare, f.words.text[0], &err) ? cli_fail(&err) : 0;
    if (f.words.n > (f.url ? 0 : 1)) {
        fprintf(stderr, "paceline: unexpected word \"%s\" (see --help)\n",
                f.words.text[f.url ? 0 : 1]);
        return 2;
    }
    if (!f.url) f.url = f.words.n ? f.words.text[0] : "http://127.0.0.1:8080";
    if (load_and_report(&f, &is_all_ok, &err)) return cli_fail(&err);
    return is_all_ok ? 0 : 1;
}

/* paceline plan: what a model takes of a machine and how fast it will be, before anything is
 * bought, downloaded or started. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "cli/cli.h"
#include "cli/models/models.h"
#include "cli/nearest.h"
#include "cli/plan/alerts.h"
#include "cli/plan/json.h"
#include "cli/report.h"
#include "cli/terminal.h"

struct options {
    pl_params params;
    const char *model, *dir, *quant, *machine, *limits, *derate, *html;
    struct arg_strings prices;
    uint32_t depth, prompt_tokens;
    float memory_gib, read_gb_s, tflops;
    bool measure, json, explain, list, alerts, force;
};

static pl_status wrong(pl_err *err, const char *what, const char *found, const char *wanted)
{
    return pl_fail(err, PL_E_PARAM, "%s: found \"%s\"; %s", what, found, wanted);
}

/* strtod takes words for what is no number, and for what is above all. */
static bool is_above_zero(double x)
{
    return x > 0 && isfinite(x);
}

/* ---- model ---------------------------------------------------------------------------------- */

static pl_status no_such_model(const char *word, pl_err *err)
{
    struct nearest best;
    nearest_begin(&best, word, strlen(word));
    for (size_t i = 0; i < n_shapes; i++) nearest_offer_part(&best, shapes[i].name);
    return pl_fail(err, PL_E_PARAM, "model: found \"%s\"; a GGUF file or a preset is wanted "
                   "(paceline plan --list)%s%s%s", word, best.name ? "; did you mean " : "",
                   best.name ? best.name : "", best.name ? "?" : "");
}

enum { DEFAULT_CTX = 4096 };

static pl_status choose_model(struct plan_subject *s, struct options *o, pl_err *err)
{
    const struct shape *shape = shape_find(o->model);
    if (shape && access(o->model, F_OK)) {
        s->shape = *shape;
        if (!recipe_find(o->quant ? o->quant : "Q4_K_M", &s->load.recipe))
            return wrong(err, "--quant", o->quant, "Q4_0, Q4_K_M, Q5_K_M, Q6_K, Q8_0 or F16 is "
                         "wanted");
        if (!s->load.ctx_tokens)
            s->load.ctx_tokens = shape->ctx_tokens < DEFAULT_CTX ? shape->ctx_tokens : DEFAULT_CTX;
        if (s->load.ctx_tokens > shape->ctx_tokens)
            return pl_fail(err, PL_E_PARAM, "--ctx-size is %u; %s was made for %u tokens",
                           s->load.ctx_tokens, shape->name, shape->ctx_tokens);
        return PL_OK;
    }
    if (o->quant) return wrong(err, "--quant", o->quant, "a file is what it is: leave it out, or "
                               "name a preset (paceline plan --list)");
    if (access(o->model, F_OK) && !strchr(o->model, '/') && !strstr(o->model, ".gguf"))
        return no_such_model(o->model, err);
    const pl_status st = models_resolve(&o->model, o->dir, err);
    if (st) return st;
    o->params.model_path = o->model;
    o->params.n_streams = s->load.n_streams;
    o->params.ctx_tokens = s->load.ctx_tokens;
    o->params.default_ctx_tokens = DEFAULT_CTX;
    return plan_subject_of_file(s, &o->params, err);
}

/* ---- machine -------------------------------------------------------------------------------- */

/* "997,67.8": as paceline bench prints them of some minute, here or on another CPU. */
static pl_status set_limits(struct plan_subject *s, const char *text, pl_err *err)
{
    char *end, *end_2 = "";
    const double gmac_s = strtod(text, &end), gb_s = *end == ',' ? strtod(end + 1, &end_2) : 0;
    if (!is_above_zero(gmac_s) || !is_above_zero(gb_s) || *end_2)
        return wrong(err, "--limits", text, "GMAC/S,GB/S is wanted, as paceline bench prints them");
    plan_subject_limits(s, ESTIMATE_CPU, "a CPU", "limits given with --limits", gmac_s * 1e9,
                        gb_s * 1e9);
    return PL_OK;
}

static pl_status no_such_machine(const char *word, const char *option, const char *wanted,
                                 pl_err *err)
{
    struct nearest best;
    nearest_begin(&best, word, strlen(word));
    for (size_t i = 0; i < n_machines; i++) nearest_offer_part(&best, machines[i].name);
    return pl_fail(err, PL_E_PARAM, "%s: found \"%s\"; %s is wanted (paceline plan --list)%s%s%s",
                   option,
                   word, wanted, best.name ? "; did you mean " : "", best.name ? best.name : "",
                   best.name ? "?" : "");
}

static pl_status choose_machine(struct plan_subject *s, const struct options *o, pl_err *err)
{
    const struct machine *machine = o->machine ? machine_find(o->machine) : NULL;
    const struct plan_given given = { (double)o->memory_gib * 1073741824.0,
                                      (double)o->read_gb_s * 1e9, (double)o->tflops * 0.5e12 };
    pl_status st = PL_OK;
    if (o->machine && !machine && strcmp(o->machine, "this"))
        return no_such_machine(o->machine, "--machine", "\"this\" or a preset", err);
    if (machine && o->limits)
        return wrong(err, "--limits", machine->name, "they are a CPU's: leave out --machine or "
                     "--limits");
    if (machine && o->measure)
        return wrong(err, "--measure", machine->name, "only the machine at hand can be measured: "
                     "leave out --machine or --measure");
    if (machine) plan_subject_machine(s, machine);
    else st = o->limits ? set_limits(s, o->limits, err)
                        : plan_subject_measure(s, o->params.n_threads, err);
    if (!st) plan_subject_give(s, &given);
    return st;
}

/* ---- extras --------------------------------------------------------------------------------- */

static pl_status parse_price(struct plan_extras *x, const char *text, pl_err *err)
{
    char name[64], *end;
    const char *equals = strchr(text, '=');
    snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - text) : 0, text);
    const struct machine *machine = machine_find(name);
    const double amount = equals ? strtod(equals + 1, &end) : 0;
    if (equals && !machine)
        return no_such_machine(name, "--price", "MACHINE=AMOUNT of a preset", err);
    if (!machine || !is_above_zero(amount) || *end)
        return wrong(err, "--price", text, "MACHINE=AMOUNT is wanted, as m4-pro-64=2000");
    x->price[x->n_prices].machine = machine;
    x->price[x->n_prices++].amount = amount;
    return PL_OK;
}

static pl_status parse_heat(struct plan_extras *x, const char *list, pl_err *err)
{
    for (const char *at = list; x->n_heat < PLAN_MAX_HEAT;) {
        char *end;
        const double minute = strtod(at, &end);
        if (end == at || *end != ':' || minute < 0 || !isfinite(minute)) break;
        at = end + 1;
        const double share = strtod(at, &end);
        if (!is_above_zero(share) || share > 1 || (*end && *end != ',')) break;
        x->heat[x->n_heat].minute = minute;
        x->heat[x->n_heat++].share = share;
        if (!*end) return PL_OK;
        at = end + 1;
    }
    return wrong(err, "--derate", list, "up to 16 MINUTES:SHARE, separated by commas, are wanted, "
                 "as 0:1,10:0.9,30:0.8");
}

static pl_status choose_extras(struct plan_extras *x, const struct options *o, pl_err *err)
{
    pl_status st = o->derate ? parse_heat(x, o->derate, err) : PL_OK;
    for (size_t i = 0; !st && i < o->prices.n; i++) st = parse_price(x, o->prices.text[i], err);
    return st;
}

/* A line of at most 80 columns after another, broken at spaces. */
static void list_text(const char *text)
{
    enum { INDENT = 6, WIDTH = 80 };
    while (*text) {
        size_t n = strlen(text);
        if (n > WIDTH - INDENT) {
            n = WIDTH - INDENT;
            while (n > 1 && text[n] != ' ') n--;
        }
        printf("%*s%.*s\n", INDENT, "", (int)n, text);
        text += n;
        while (*text == ' ') text++;
    }
}

static void list_machine(const struct machine *m)
{
    const struct estimate_backend_traits *t = estimate_backend_traits(m->backend);
    char text[400];
    printf("  %-20s %s\n", m->name, m->title);
    snprintf(text, sizeof text, "%.0f GB/s stated, %.0f reached; %.1f TFLOPS reached; %.2f GiB "
                                "usable",
             m->spec_bytes_per_s * 1e-9, m->read_bytes_per_s * 1e-9, m->macs_per_s * 2e-12,
             m->usable_bytes / 1073741824.0);
    list_text(text);
    snprintf(text, sizeof text, "backend %s%s%s", t->name, t->caveat ? ": " : "",
             t->caveat ? t->caveat : "");
    list_text(text);
    snprintf(text, sizeof text, "%s; %s; memory: %s", m->spec_source, m->source, m->memory_source);
    list_text(text);
}

static void list_presets(void)
{
    struct weights w;
    puts("models (with Q4_K_M)");
    for (size_t i = 0; i < n_shapes; i++) {
        recipe_weights(&shapes[i], RECIPE_Q4_K_M, &w);
        printf("  %-18s %7.2f B weights %8.2f GB\n", shapes[i].name,
               (double)w.n_parameters * 1e-9, (double)w.bytes * 1e-9);
    }
    puts("machines");
    for (size_t i = 0; i < n_machines; i++) list_machine(&machines[i]);
}

/* ---- the command ---------------------------------------------------------------------------- */

static pl_status choose(struct plan_subject *s, struct plan_extras *x, struct options *o,
                        pl_err *err)
{
    if (!kv_type_find(o->params.cache_type_k, &s->load.k_type))
        return wrong(err, "--cache-type-k", o->params.cache_type_k,
                     "one of " KV_TYPE_NAMES(", ") " is wanted");
    if (!kv_type_find(o->params.cache_type_v, &s->load.v_type))
        return wrong(err, "--cache-type-v", o->params.cache_type_v,
                     "one of " KV_TYPE_NAMES(", ") " is wanted");
    pl_status st = choose_model(s, o, err);
    if (!st) st = choose_machine(s, o, err);
    if (!st) st = choose_extras(x, o, err);
    if (o->depth > s->load.ctx_tokens)
        return pl_fail(err, PL_E_PARAM, "--depth is %u; --ctx-size is only %u", o->depth,
                       s->load.ctx_tokens);
    s->depth = o->depth ? o->depth : s->load.ctx_tokens < 1024 ? s->load.ctx_tokens : 1024;
    s->prompt_tokens = o->prompt_tokens < s->load.ctx_tokens ? o->prompt_tokens
                                                             : s->load.ctx_tokens;
    return st;
}

/* Rules for a server that keeps to the plan: six tenths of its speed, a tenth more than its memory,
 * three times the modelled latencies under full load. */
static void print_alerts(const struct plan_subject *s, const json_t *plan)
{
    const json_t *step = json_object_get(plan, "step"), *memory = json_object_get(plan, "memory");
    struct alert_thresholds t = alert_thresholds_default();
    t.tokens_per_s = 0.6 * json_number_value(json_object_get(step, "tok_s"));
    t.memory_gb = 1.1e-9 * json_number_value(json_object_get(memory, "total_bytes"));
    t.ttft_p95_s = 3 * json_number_value(json_object_get(step, "busy_prefill_s"));
    t.inter_token_p95_s = 3e-3 * json_number_value(json_object_get(step, "step_ms"));
    t.queued = s->load.n_streams;
    alerts_print(stdout, &t);
}

/* Whether thresholds can be made of the plan at all. */
static pl_status check_alerts(const struct plan_subject *s, pl_err *err)
{
    const struct estimate_backend_traits t = plan_backend(s);
    if (!t.is_there)
        return pl_fail(err, PL_E_PARAM, "--alerts: %s has nothing to watch: %s; name another "
                       "--machine, or --force takes these figures", s->machine.name, t.caveat);
    if (!*s->busy) return PL_OK;
    return pl_fail(err, PL_E_BUSY, "--alerts: this machine is busy (%s), and thresholds of what "
                   "was measured now would never be passed; run it while nothing else does, or "
                   "give --limits of a quiet minute (paceline bench prints them); --force takes "
                   "these",
                   s->busy);
}

static int show(const struct plan_subject *s, const struct plan_extras *x, const struct options *o)
{
    pl_err err = { .text = "out of memory" };
    if (o->alerts && !o->force && check_alerts(s, &err)) return cli_fail(&err);
    json_t *plan = plan_json(s, x), *report = NULL;
    pl_status st = plan ? PL_OK : PL_E_MEMORY;
    if (!st && !(report = plan_report(s, plan, o->explain))) st = PL_E_MEMORY;
    if (!st && o->html) st = report_write(o->html, report, &err);
    if (!st && o->json) {
        json_dumpf(plan, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
        putchar('\n');
    } else if (!st && o->alerts) {
        print_alerts(s, plan);
    } else if (!st) {
        report_print(stdout, report, terminal_has_colours(stdout));
    }
    const bool fits =
        !st && json_is_true(json_object_get(json_object_get(plan, "memory"), "fits"));
    json_decref(report);
    json_decref(plan);
    return st ? cli_fail(&err) : fits ? 0 : 3;
}

int cmd_plan(int argc, char **argv)
{
    struct plan_subject s = { .load = { .n_streams = 20 } };
    struct plan_extras x = { .n_prices = 0 };
    struct options o = { .prompt_tokens = 1024 };
    const struct arg table[] = {
        { "--model", "-m", ARG_STRING, &o.model, 0, 0, "FILE",
          "GGUF file, the name of a pulled model or of a preset; also as a word of its own, "
          "instead of which it counts where both are given" },
        MODELS_DIR_ARG(&o.dir),
        { "--quant", NULL, ARG_STRING, &o.quant, 0, 0, "NAME",
          "of a preset: Q4_0, Q4_K_M, Q5_K_M, Q6_K, Q8_0, F16 (Q4_K_M)" },
        { "--machine", NULL, ARG_STRING, &o.machine, 0, 0, "NAME",
          "\"this\", which is measured, or a preset (this)" },
        { "--measure", NULL, ARG_FLAG, &o.measure, 0, 0, NULL,
          "measure the machine at hand; the default where none is named" },
        { "--limits", NULL, ARG_STRING, &o.limits, 0, 0, "GMAC/S,GB/S",
          "of a CPU, as paceline bench printed them, instead of measuring" },
        { "--list", NULL, ARG_FLAG, &o.list, 0, 0, NULL, "the presets of models and machines" },
        { "--parallel", "-np", ARG_U32, &s.load.n_streams, 1, 4096, "N",
          "streams decoded together (20)" },
        { "--ctx-size", "-c", ARG_U32, &s.load.ctx_tokens, 16, 1 << 24, "N",
          "tokens of prompt and reply of each stream (4096, or the model's limit)" },
        { "--depth", NULL, ARG_U32, &o.depth, 1, 1 << 24, "N",
          "tokens of context each stream has when the step is estimated (1024, at most "
          "--ctx-size)" },
        { "--prompt-tokens", NULL, ARG_U32, &o.prompt_tokens, 1, 1 << 24, "N",
          "of the prompt whose time to first token is estimated (1024)" },
        { "--cache-type-k", "-ctk", ARG_STRING, &o.params.cache_type_k, 0, 0, "TYPE",
          "how keys are stored: " KV_TYPE_NAMES(", ") " (f16)" },
        { "--cache-type-v", "-ctv", ARG_STRING, &o.params.cache_type_v, 0, 0, "TYPE",
          "and values (f16)" },
        CLI_ROPE_ARGS(&o.params),
        { "--threads", "-t", ARG_U32, &o.params.n_threads, 0, 1024, "N",
          "of the machine at hand (one per performance core)" },
        { "--memory", NULL, ARG_F32, &o.memory_gib, 0.1, 1e6, "GIB",
          "that a model may take, instead of the machine's" },
        { "--bandwidth", NULL, ARG_F32, &o.read_gb_s, 1, 1e6, "GB/S",
          "that reads reach, instead of the machine's" },
        { "--tflops", NULL, ARG_F32, &o.tflops, 0.001, 1e6, "N",
          "that products reach, instead of the machine's" },
        { "--derate", NULL, ARG_STRING, &o.derate, 0, 0, "MIN:SHARE,...",
          "speed that is left after so many minutes of load" },
        { "--price", NULL, ARG_STRINGS, &o.prices, 0, 0, "MACHINE=AMOUNT",
          "of a preset machine, for its price per tok/s; may be given several times" },
        { "--explain", NULL, ARG_FLAG, &o.explain, 0, 0, NULL,
          "every figure's formula with its numbers" },
        { "--alerts", NULL, ARG_FLAG, &o.alerts, 0, 0, NULL,
          "print alert rules for Prometheus with the plan's figures as thresholds" },
        { "--force", NULL, ARG_FLAG, &o.force, 0, 0, NULL,
          "take --alerts' thresholds although the machine is busy, or has no backend here" },
        { "--json", NULL, ARG_FLAG, &o.json, 0, 0, NULL, "print JSON" },
        { "--html", NULL, ARG_STRING, &o.html, 0, 0, "FILE", "also write a page with plots" },
    };
    const struct arg_page page = {
        "plan", "MODEL [OPTIONS]",
        "Says what a model takes of a machine and how fast it will be: memory to the byte for a "
        "file on this machine, the step's time by arithmetic, weight reads, KV reads and launches, "
        "which of them binds, and what other numbers of streams, contexts, KV types, quantisations "
        "and machines would give. Exit code 3: it does not fit.",
        "paceline plan model.gguf --parallel 20 --ctx-size 4096\n"
        "paceline plan qwen2.5-32b --machine m4-pro-64 --explain\n"
        "paceline plan qwen3-30b-a3b --machine m4-pro-48 --html plan.html", table, N_ARGS(table)
    };
    struct arg_strings words = { .n = 0 };
    pl_err err = { 0 };
    const int code = args_parse(&page, argc, argv, &words, NULL);
    if (code >= 0) return code;
    if (o.list) {
        list_presets();
        return 0;
    }
    if (words.n > 1) return args_missing(&page, "one model, not several");
    if (words.n && !o.model) o.model = words.text[0];
    if (!o.model) return args_missing(&page, "a GGUF file or a preset (paceline plan --list)");
    cli_log_to_stderr(false);
    const pl_status st = choose(&s, &x, &o, &err);
    return st ? cli_fail(&err) : show(&s, &x, &o);
}

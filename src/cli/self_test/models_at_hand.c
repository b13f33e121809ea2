#include "cli/self_test/models_at_hand.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/bench_rows.h"
#include "cli/load_progress.h"
#include "cli/models/models.h"
#include "cli/plan/subject.h"

enum { PROMPT = 64, GENERATED = 32, MAX_STREAMS = 256 };

pl_status report_bench_parse(struct report_bench *b, const char *list, pl_err *err)
{
    for (const char *at = list; b->n_rows < REPORT_MAX_ROWS;) {
        char *end;
        const unsigned long n = strtoul(at, &end, 10);
        if (end == at || n < 1 || n > MAX_STREAMS || (*end && *end != ',')) break;
        b->streams[b->n_rows++] = (uint32_t)n;
        if (!*end) return PL_OK;
        at = end + 1;
    }
    return pl_fail(err, PL_E_PARAM, "--streams: found \"%s\"; up to %d numbers from 1 to %d, "
                   "separated by commas, are wanted", list, REPORT_MAX_ROWS, MAX_STREAMS);
}

static uint32_t most_streams(const struct report_bench *b)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (b->streams[i] > most) most = b->streams[i];
    return most;
}

/* ---- one model ------------------------------------------------------------------------------ */

/* What plan says of a file on the machine as it was measured. false: KV is stored as no estimate
 * knows it, as the exact backend's. */
static bool subject_of(struct plan_subject *s, const struct report_bench *b, const pl_plan *plan)
{
    *s = (struct plan_subject){ .load.n_streams = most_streams(b) };
    if (!kv_type_find(plan->cache_type_k, &s->load.k_type) ||
        !kv_type_find(plan->cache_type_v, &s->load.v_type))
        return false;
    plan_subject_of_plan(s, plan);
    plan_subject_limits(s, estimate_backend_of(plan->backend), plan->backend, "measured now",
                        b->machine.macs_per_s, b->machine.read_bytes_per_s);
    return true;
}

static void add_row(struct strbuf *to, const struct bench_row *row, const struct plan_subject *s)
{
    strbuf_addf(to, "| %u | %.1f | %.1f | %.2f |", row->n_streams, row->prefill_tok_s,
                row->decode_tok_s, row->step_ms);
    if (!s) {
        strbuf_add_str(to, " - | - | - |\n");
        return;
    }
    struct plan_load load = s->load;
    load.n_streams = row->n_streams;
    const struct estimate e = plan_step_of(s, &load, PROMPT + GENERATED / 2);
    strbuf_addf(to, " %.1f | %.0f %% | %s |\n", e.tok_s, 100 * row->decode_tok_s / e.tok_s,
                bound_name(e.bound));
}

static pl_status add_rows(const struct report_bench *b, const struct bench_run *run,
                          struct strbuf *to, pl_err *err)
{
    const pl_plan *plan = pl_engine_plan(run->engine);
    struct plan_subject subject;
    const bool is_modelled = subject_of(&subject, b, plan);
    strbuf_addf(to, "\n%s, %s, %s; K %s, V %s; weights %.3f GB; prompt %d, generated %d\n\n"
                    "| streams | prefill tok/s | decode tok/s | step ms | modelled tok/s | of it | "
                    "modelled bound |\n|---|---|---|---|---|---|---|\n",
                plan->model_name, plan->architecture, plan->quantisation, plan->cache_type_k,
                plan->cache_type_v, (double)plan->weights_bytes * 1e-9, PROMPT, GENERATED);
    pl_status st = bench_warm_up(run, err);
    for (uint32_t i = 0; i < b->n_rows && !st; i++) {
        struct bench_row row;
        st = bench_row_run(run, b->streams[i], &row, err);
        if (!st) add_row(to, &row, is_modelled ? &subject : NULL);
    }
    return st;
}

static void bench_model(const struct report_bench *b, const char *name, const char *path,
                        struct strbuf *to)
{
    pl_err err = { .text = "out of memory" };
    struct bench_run run = { .n_prompt = PROMPT, .n_gen = GENERATED };
    pl_params params = { .model_path = path, .backend = b->backend, .prefill_first = true,
                         .no_prefix_cache = true, .n_streams = most_streams(b),
                         .ctx_tokens = PROMPT + GENERATED, .step_tokens = 512 };
    pl_status st = load_progress_open(&run.engine, &params, &err);
    if (!st) st = add_rows(b, &run, to, &err);
    if (st) strbuf_addf(to, "\n%s: not measured: %s\n", name, err.text);
    pl_close(run.engine);
}

/* ---- all ------------------------------------------------------------------------------------ */

static void bench_named(const struct report_bench *b, struct strbuf *to)
{
    for (size_t i = 0; i < b->models.n; i++) {
        pl_err err;
        const char *path = b->models.text[i];
        if (models_resolve(&path, b->dir, &err))
            strbuf_addf(to, "\n%s: not measured: %s\n", b->models.text[i], err.text);
        else bench_model(b, b->models.text[i], path, to);
    }
}

static void bench_pulled(const struct report_bench *b, struct strbuf *to)
{
    struct models_dir dir = { .is_open = false };
    struct models models = { 0 };
    pl_err err;
    pl_status st = models_dir_open(&dir, b->dir, false, &err);
    if (!st) st = models_list(&dir, &models, &err);
    if (st) strbuf_addf(to, "\nno list of models: %s\n", err.text);
    for (size_t i = 0; i < models.n && !st; i++) {
        const struct model *m = &models.list[i];
        char path[MODELS_PATH_MAX];
        if (m->files.n_there != m->files.n_parts) continue;
        models_path(path, &dir, m, 1);
        bench_model(b, m->name, path, to);
    }
    if (!st && !models.n)
        strbuf_add_str(to, "\nno model was pulled, and none named with --model\n");
    models_free(&models);
    models_dir_close(&dir);
}

void report_bench_run(const struct report_bench *b, struct strbuf *to)
{
    if (b->models.n) bench_named(b, to);
    else bench_pulled(b, to);
}

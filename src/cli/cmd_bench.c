/* paceline bench: prefill and decode rates of a model on this machine, in-process, through the same
 * scheduler and sampler that serve requests, beside the limits measured in the same minute. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_rows.h"
#include "cli/cli.h"
#include "cli/load_progress.h"
#include "cli/models/models.h"
#include "estimate/estimate.h"

enum { MAX_ROWS = 32, MAX_ROUNDS = 16 };
enum { MATRIX_COLUMNS = 10 };   /* from which on a CPU's matrix unit computes products */

struct bench {
    pl_params params;
    uint32_t streams[MAX_ROWS], n_rows;
    uint32_t n_rounds;
    struct bench_run run;
    pl_machine machine;
};

/* What a row did, and its share of what the machine can do. */
struct shares {
    double gmac_s, mac_share;
    bool is_of_matrix;          /* mac_share: of the matrix unit's limit, not of the vectors' */
    double weights_gb_s, kv_gb_s, read_share;   /* of both together */
    double limit_tok_s, share;                  /* the nearer of the two limits */
};

static bool parse_streams(struct bench *b, const char *list)
{
    for (const char *at = list; b->n_rows < MAX_ROWS;) {
        char *end;
        const unsigned long n = strtoul(at, &end, 10);
        if (end == at || n < 1 || n > 4096 || (*end && *end != ',')) break;
        b->streams[b->n_rows++] = (uint32_t)n;
        if (!*end) return true;
        at = end + 1;
    }
    fprintf(stderr, "paceline: --streams: found \"%s\"; up to %d numbers from 1 to 4096, separated "
            "by commas, are wanted\n", list, MAX_ROWS);
    return false;
}

static int by_decode_rate(const void *a, const void *b)
{
    const double x = ((const struct bench_row *)a)->decode_tok_s;
    const double y = ((const struct bench_row *)b)->decode_tok_s;
    return (x > y) - (x < y);
}

/* The round with the median decode rate. */
static pl_status run_rounds(struct bench *b, uint32_t n_streams, struct bench_row *out, pl_err *err)
{
    struct bench_row round[MAX_ROUNDS];
    pl_status st = PL_OK;
    for (uint32_t i = 0; !st && i < b->n_rounds; i++)
        st = bench_row_run(&b->run, n_streams, &round[i], err);
    qsort(round, b->n_rounds, sizeof *round, by_decode_rate);
    *out = round[b->n_rounds / 2];
    return st;
}

static double step_weight_bytes(const pl_plan *p, uint32_t n_columns)
{
    return estimate_weight_bytes((double)p->step_weight_bytes, (double)p->expert_weight_bytes,
                                 p->n_experts, p->n_experts_used, n_columns);
}

/* The unit that so many columns' products run on is a matrix unit beside the vectors. */
static bool uses_matrix(const struct bench *b, uint32_t n_columns)
{
    return b->machine.matrix_macs_per_s > 0 && n_columns >= MATRIX_COLUMNS &&
           !strcmp(pl_engine_plan(b->run.engine)->isa, b->machine.isa);
}

/* Of a decode step. KV as full attention reads it with half of the reply written; an attention
 * window reads less. */
static struct shares shares(const struct bench *b, const struct bench_row *r)
{
    const pl_plan *p = pl_engine_plan(b->run.engine);
    const double steps_s = r->decode_tok_s / r->n_streams, macs = (double)p->step_macs_per_token;
    const double kv_bytes = (b->run.n_prompt + b->run.n_gen / 2.0) * (double)p->kv_bytes_per_token;
    const double weight_bytes = step_weight_bytes(p, r->n_streams);
    const bool is_of_matrix = uses_matrix(b, r->n_streams);
    const double by_macs = (is_of_matrix ? b->machine.matrix_macs_per_s : b->machine.macs_per_s) /
                           macs;
    const double by_reads = b->machine.read_bytes_per_s * r->n_streams /
                            (weight_bytes + r->n_streams * kv_bytes);
    const double limit = by_macs < by_reads ? by_macs : by_reads;
    return (struct shares){
        .gmac_s = r->decode_tok_s * macs * 1e-9,
        .mac_share = r->decode_tok_s / by_macs,
        .is_of_matrix = is_of_matrix,
        .weights_gb_s = steps_s * weight_bytes * 1e-9,
        .kv_gb_s = r->decode_tok_s * kv_bytes * 1e-9,
        .read_share = r->decode_tok_s / by_reads,
        .limit_tok_s = limit,
        .share = r->decode_tok_s / limit,
    };
}

static json_t *operations_json(const struct bench_row *r)
{
    json_t *all = json_object();
    for (uint32_t i = 0; i < r->n_operations; i++)
        json_object_set_new(all, r->operation[i].name, json_real(r->operation[i].ms));
    return all;
}

static json_t *row_json(const struct bench *b, const struct bench_row *r)
{
    const struct shares s = shares(b, r);
    json_t *row = json_pack(
        "{s:I s:I s:I s:f s:f s:f s:f s:f s:f s:f s:s s:f s:f s:f}", "streams",
        (json_int_t)r->n_streams, "prompt_tokens", (json_int_t)b->run.n_prompt, "gen_tokens",
        (json_int_t)b->run.n_gen, "decode_tok_s", r->decode_tok_s, "prefill_tok_s",
        r->prefill_tok_s, "step_ms", r->step_ms, "weights_gb_s", s.weights_gb_s, "kv_gb_s",
        s.kv_gb_s, "gmac_s", s.gmac_s, "mac_share", s.mac_share, "mac_limit",
        s.is_of_matrix ? "matrix" : "vector", "read_share", s.read_share, "limit_tok_s",
        s.limit_tok_s, "share_of_limit", s.share);
    if (r->n_operations) json_object_set_new(row, "operation_ms", operations_json(r));
    return row;
}

static json_t *machine_json(const struct bench *b)
{
    const pl_plan *p = pl_engine_plan(b->run.engine);
    return json_pack("{s:s s:s s:s s:I s:s s:s s:s s:s s:I s:I s:I s:f s:f s:f}", "cpu",
                     p->cpu_name, "backend", p->backend, "isa", p->isa, "threads",
                     (json_int_t)p->n_threads,
                     "model", p->model_name, "quantisation", p->quantisation, "cache_type_k",
                     p->cache_type_k, "cache_type_v", p->cache_type_v, "step_weight_bytes",
                     (json_int_t)p->step_weight_bytes, "kv_bytes_per_token",
                     (json_int_t)p->kv_bytes_per_token, "macs_per_token",
                     (json_int_t)p->step_macs_per_token, "limit_gmac_s",
                     b->machine.macs_per_s * 1e-9, "limit_matrix_gmac_s",
                     b->machine.matrix_macs_per_s * 1e-9, "limit_read_gb_s",
                     b->machine.read_bytes_per_s * 1e-9);
}

static void print_head(const struct bench *b)
{
    const pl_plan *p = pl_engine_plan(b->run.engine);
    char matrix[64] = "";
    if (b->machine.matrix_macs_per_s > 0)
        snprintf(matrix, sizeof matrix, " (%s: %.0f)", b->machine.isa,
                 b->machine.matrix_macs_per_s * 1e-9);
    printf("%s %s on %s, %s, %u threads, K %s, V %s\n"
           "limits measured now: %.0f GMAC/s%s, %.1f GB/s; a token is %.3f GMAC, one stream's "
           "step reads %.3f GB of weights\n"
           "prompt %u, generated %u; one short prompt to warm up\n"
           "streams  prefill t/s   decode t/s    step ms     GMAC/s of limit   GB/s of limit\n",
           p->model_name, p->quantisation, p->cpu_name, p->isa, p->n_threads, p->cache_type_k,
           p->cache_type_v, b->machine.macs_per_s * 1e-9, matrix,
           b->machine.read_bytes_per_s * 1e-9, (double)p->step_macs_per_token * 1e-9,
           step_weight_bytes(p, 1) * 1e-9, b->run.n_prompt, b->run.n_gen);
}

static void print_row(const struct bench *b, const struct bench_row *r)
{
    const struct shares s = shares(b, r);
    double sum_ms = 0;
    printf("%7u %12.1f %12.1f %10.2f %10.1f %6.1f %% %6.1f %6.1f %%%s\n", r->n_streams,
           r->prefill_tok_s, r->decode_tok_s, r->step_ms, s.gmac_s, 100 * s.mac_share,
           s.weights_gb_s + s.kv_gb_s, 100 * s.read_share,
           s.is_of_matrix ? "  (of the matrix unit)" : "");
    for (uint32_t i = 0; i < r->n_operations; i++) {
        sum_ms += r->operation[i].ms;
        printf("        %-24s %8.3f ms %6.1f %%\n", r->operation[i].name, r->operation[i].ms,
               100 * r->operation[i].ms / r->step_ms);
    }
    if (r->n_operations)
        printf("        %-24s %8.3f ms %6.1f %%\n", "between operations", r->step_ms - sum_ms,
               100 * (1 - sum_ms / r->step_ms));
    fflush(stdout);
}

static pl_status run(struct bench *b, bool json, pl_err *err)
{
    json_t *rows = json_array();
    pl_status st = bench_warm_up(&b->run, err);

    if (!st && !json) print_head(b);
    for (uint32_t i = 0; !st && i < b->n_rows; i++) {
        struct bench_row row;
        st = run_rounds(b, b->streams[i], &row, err);
        if (st) break;
        if (json) json_array_append_new(rows, row_json(b, &row));
        else print_row(b, &row);
    }
    if (!st && json) {
        json_t *all = json_pack("{s:o s:O}", "machine", machine_json(b), "rows", rows);
        json_dumpf(all, stdout, JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(all);
    }
    json_decref(rows);
    return st;
}

int cmd_bench(int argc, char **argv)
{
    struct bench b = { .run = { .n_prompt = 128, .n_gen = 64 }, .n_rounds = 1,
                       .params = { .step_tokens = 512, .prefill_first = true,
                                   .no_prefix_cache = true } };
    const char *streams = "1,5,10,20,30", *dir = NULL;
    bool json = false;
    const struct arg table[] = {
        CLI_MODEL_ARGS(&b.params),
        GPU_LAYERS_ARG(&b.params),
        MODELS_DIR_ARG(&dir),
        { "--streams", NULL, ARG_STRING, &streams, 0, 0, "N,N,...",
          "streams decoded together, one row each (default 1,5,10,20,30)" },
        { "--prompt-tokens", NULL, ARG_U32, &b.run.n_prompt, 1, 1 << 20, "N",
          "of each stream (128)" },
        { "--gen-tokens", NULL, ARG_U32, &b.run.n_gen, 2, 1 << 20, "N", "of each stream (64)" },
        { "--ubatch-size", "-ub", ARG_U32, &b.params.step_tokens, 1, 4096, "N",
          "columns of a prefill step (512)" },
        { "--rounds", NULL, ARG_U32, &b.n_rounds, 1, MAX_ROUNDS, "N",
          "take the median of N rounds (1)" },
        { "--timing", NULL, ARG_FLAG, &b.params.time_operations, 0, 0, NULL,
          "time of a decode step by operation" },
        { "--json", NULL, ARG_FLAG, &json, 0, 0, NULL, "print JSON" },
    };
    const struct arg_page page = {
        "bench", "MODEL [OPTIONS]",
        "Measures how fast this machine reads prompts and generates replies of a model, for "
        "several numbers of streams, beside what the machine could do at most in the same minute.",
        "paceline bench model.gguf --streams 1,20 --rounds 3", table, N_ARGS(table)
    };
    struct arg_strings words = { .n = 0 };
    int code = args_parse(&page, argc, argv, &words, NULL);
    if (code < 0) code = args_take_model(&page, &words, &b.params.model_path);
    if (code >= 0) return code;
    if (!parse_streams(&b, streams)) return 2;
    cli_log_to_stderr(false);

    pl_err err = { .text = "out of memory" };
    if (models_resolve(&b.params.model_path, dir, &err)) return cli_fail(&err);
    for (uint32_t i = 0; i < b.n_rows; i++)
        if (b.streams[i] > b.params.n_streams) b.params.n_streams = b.streams[i];
    if (b.params.step_tokens < b.params.n_streams) b.params.step_tokens = b.params.n_streams;
    b.params.ctx_tokens = b.run.n_prompt + b.run.n_gen;
    pl_status st = pl_machine_measure(&b.machine, b.params.backend, b.params.n_threads, &err);
    if (!st) st = load_progress_open(&b.run.engine, &b.params, &err);
    if (!st) st = run(&b, json, &err);
    pl_close(b.run.engine);
    return st ? cli_fail(&err) : 0;
}

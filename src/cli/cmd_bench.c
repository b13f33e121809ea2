/* paceline bench: prefill and decode rates of a model on this machine, in-process, through the same
 * scheduler and sampler that serve requests, beside the limits measured in the same minute. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cli/cli.h"

enum { MAX_ROWS = 32 };

struct bench {
    pl_params params;
    uint32_t streams[MAX_ROWS], n_rows;
    uint32_t n_prompt, n_gen, n_rounds;
    pl_engine *engine;
    pl_machine machine;
};

struct row {
    uint32_t n_streams;
    double prefill_tok_s, decode_tok_s, step_ms;
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

static pl_status submit(struct bench *b, struct rng *rng, pl_stream **out, pl_err *err)
{
    int32_t *tokens = malloc(b->n_prompt * sizeof *tokens);
    if (!tokens) return PL_E_MEMORY;
    const uint32_t n_vocab = pl_engine_plan(b->engine)->n_vocab;
    for (uint32_t i = 0; i < b->n_prompt; i++) tokens[i] = (int32_t)rng_below(rng, n_vocab);
    pl_request request = { .tokens = tokens, .n_tokens = b->n_prompt, .max_tokens = b->n_gen,
                           .sampling = pl_sampling_default(), .ignore_eos = true };
    request.sampling.temperature = 0;
    const pl_status st = pl_submit(b->engine, &request, out, err);
    free(tokens);
    return st;
}

static void wait_for_end(pl_stream *stream)
{
    for (pl_event event = { .kind = PL_EVENT_TOKEN }; event.kind != PL_EVENT_END;)
        if (!pl_stream_next(stream, &event)) {
            event.kind = PL_EVENT_TOKEN;
            pl_stream_wait(stream, 1000);
        }
}

static pl_status run_row(struct bench *b, uint32_t n_streams, struct row *out, pl_err *err)
{
    pl_stream **streams = calloc(n_streams, sizeof *streams);
    pl_stats before, after;
    struct rng rng;
    pl_status st = streams ? PL_OK : PL_E_MEMORY;

    rng_seed(&rng, n_streams);
    pl_stats_read(b->engine, &before);
    for (uint32_t i = 0; !st && i < n_streams; i++) st = submit(b, &rng, &streams[i], err);
    for (uint32_t i = 0; streams && i < n_streams && streams[i]; i++) {
        if (!st) wait_for_end(streams[i]);
        pl_stream_close(streams[i]);
    }
    free(streams);
    pl_stats_read(b->engine, &after);

    const uint64_t decode_ns = after.decode_step_ns - before.decode_step_ns;
    const uint64_t prefill_ns = after.prefill_step_ns - before.prefill_step_ns;
    const uint64_t n_decode = after.n_decode_step_tokens - before.n_decode_step_tokens;
    const uint64_t n_prefill = after.n_prefill_step_tokens - before.n_prefill_step_tokens;
    *out = (struct row){
        .n_streams = n_streams,
        .prefill_tok_s = prefill_ns ? (double)n_prefill * 1e9 / (double)prefill_ns : 0,
        .decode_tok_s = decode_ns ? (double)n_decode * 1e9 / (double)decode_ns : 0,
    };
    out->step_ms = out->decode_tok_s > 0 ? n_streams * 1e3 / out->decode_tok_s : 0;
    return st;
}

static int by_decode_rate(const void *a, const void *b)
{
    const double x = ((const struct row *)a)->decode_tok_s, y = ((const struct row *)b)->decode_tok_s;
    return (x > y) - (x < y);
}

/* The round with the median decode rate. */
static pl_status run_rounds(struct bench *b, uint32_t n_streams, struct row *out, pl_err *err)
{
    struct row round[16];
    pl_status st = PL_OK;
    for (uint32_t i = 0; !st && i < b->n_rounds; i++) st = run_row(b, n_streams, &round[i], err);
    qsort(round, b->n_rounds, sizeof *round, by_decode_rate);
    *out = round[b->n_rounds / 2];
    return st;
}

/* Weights that a step of n columns reads: of experts, what columns that choose at random would. */
static double step_bytes(const pl_plan *p, uint32_t n_columns)
{
    const double unread = p->n_experts ? pow(1 - (double)p->n_experts_used / p->n_experts,
                                             n_columns) : 1;
    return (double)p->step_weight_bytes + (double)p->expert_weight_bytes * (1 - unread);
}

/* What arithmetic and memory would allow at most with this many streams, in tok/s. */
static double limit_tok_s(const struct bench *b, uint32_t n_streams)
{
    const pl_plan *p = pl_engine_plan(b->engine);
    const double arithmetic = b->machine.macs_per_s / (double)p->step_macs_per_token;
    const double memory =
        b->machine.read_bytes_per_s / step_bytes(p, n_streams) * (double)n_streams;
    return arithmetic < memory ? arithmetic : memory;
}

static json_t *row_json(const struct bench *b, const struct row *r)
{
    const pl_plan *p = pl_engine_plan(b->engine);
    const double steps_per_s = r->decode_tok_s / r->n_streams;
    return json_pack("{s:I s:I s:I s:f s:f s:f s:f s:f s:f s:f}", "streams",
                     (json_int_t)r->n_streams, "prompt_tokens", (json_int_t)b->n_prompt,
                     "gen_tokens", (json_int_t)b->n_gen, "decode_tok_s", r->decode_tok_s,
                     "prefill_tok_s", r->prefill_tok_s, "step_ms", r->step_ms, "weights_gb_s",
                     steps_per_s * step_bytes(p, r->n_streams) * 1e-9, "gmac_s",
                     r->decode_tok_s * (double)p->step_macs_per_token * 1e-9, "limit_tok_s",
                     limit_tok_s(b, r->n_streams), "share_of_limit",
                     r->decode_tok_s / limit_tok_s(b, r->n_streams));
}

static json_t *machine_json(const struct bench *b)
{
    const pl_plan *p = pl_engine_plan(b->engine);
    return json_pack("{s:s s:s s:s s:I s:s s:s s:s s:s s:I s:I s:f s:f}", "cpu", p->cpu_name,
                     "backend", p->backend, "isa", p->isa, "threads", (json_int_t)p->n_threads,
                     "model", p->model_name, "quantisation", p->quantisation, "cache_type_k",
                     p->cache_type_k, "cache_type_v", p->cache_type_v, "step_weight_bytes",
                     (json_int_t)p->step_weight_bytes, "macs_per_token",
                     (json_int_t)p->step_macs_per_token, "limit_gmac_s",
                     b->machine.macs_per_s * 1e-9, "limit_read_gb_s",
                     b->machine.read_bytes_per_s * 1e-9);
}

static void print_row(const struct bench *b, const struct row *r)
{
    const pl_plan *p = pl_engine_plan(b->engine);
    printf("%7u %12.1f %12.1f %10.2f %10.1f %10.1f %8.1f %%\n", r->n_streams, r->prefill_tok_s,
           r->decode_tok_s, r->step_ms,
           r->decode_tok_s / r->n_streams * step_bytes(p, r->n_streams) * 1e-9,
           r->decode_tok_s * (double)p->step_macs_per_token * 1e-9,
           100 * r->decode_tok_s / limit_tok_s(b, r->n_streams));
    fflush(stdout);
}

static pl_status run(struct bench *b, bool json, pl_err *err)
{
    json_t *rows = json_array();
    pl_status st = PL_OK;

    if (!json) {
        const pl_plan *p = pl_engine_plan(b->engine);
        printf("%s %s on %s, %s, %u threads; limits measured now: %.0f GMAC/s, %.1f GB/s\n"
               "prompt %u, generated %u\n"
               "streams  prefill t/s   decode t/s    step ms       GB/s     GMAC/s  of limit\n",
               p->model_name, p->quantisation, p->cpu_name, p->isa, p->n_threads,
               b->machine.macs_per_s * 1e-9, b->machine.read_bytes_per_s * 1e-9, b->n_prompt,
               b->n_gen);
    }
    for (uint32_t i = 0; !st && i < b->n_rows; i++) {
        struct row row;
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
    struct bench b = { .n_prompt = 128, .n_gen = 64, .n_rounds = 1,
                       .params = { .step_tokens = 512, .prefill_first = true,
                                   .no_prefix_cache = true } };
    const char *streams = "1,5,10,20,30";
    bool json = false;
    const struct arg table[] = {
        CLI_MODEL_ARGS(&b.params),
        { "--streams", NULL, ARG_STRING, &streams, 0, 0, "N,N,...",
          "streams decoded together, one row each (default 1,5,10,20,30)" },
        { "--prompt-tokens", NULL, ARG_U32, &b.n_prompt, 1, 1 << 20, "N", "of each stream (128)" },
        { "--gen-tokens", NULL, ARG_U32, &b.n_gen, 2, 1 << 20, "N", "of each stream (64)" },
        { "--ubatch-size", "-ub", ARG_U32, &b.params.step_tokens, 1, 4096, "N",
          "columns of a prefill step (512)" },
        { "--rounds", NULL, ARG_U32, &b.n_rounds, 1, 16, "N", "take the median of N rounds (1)" },
        { "--json", NULL, ARG_FLAG, &json, 0, 0, NULL, "print JSON" },
    };
    const int code = args_parse(table, N_ARGS(table), "usage: paceline bench --model FILE [OPTIONS]",
                                argc, argv, NULL, NULL);
    if (code >= 0) return code;
    if (!parse_streams(&b, streams)) return 2;
    cli_log_to_stderr(false);

    pl_err err = { .text = "out of memory" };
    for (uint32_t i = 0; i < b.n_rows; i++)
        if (b.streams[i] > b.params.n_streams) b.params.n_streams = b.streams[i];
    if (b.params.step_tokens < b.params.n_streams) b.params.step_tokens = b.params.n_streams;
    b.params.ctx_tokens = b.n_prompt + b.n_gen;
    pl_status st = pl_machine_measure(&b.machine, b.params.n_threads, &err);
    if (!st) st = pl_open(&b.engine, &b.params, &err);
    if (!st) st = run(&b, json, &err);
    pl_close(b.engine);
    return st ? cli_fail(&err) : 0;
}

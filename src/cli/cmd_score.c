/* paceline score: how likely a model finds a given token sequence. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/models/models.h"

/* "1,2,3" -> ids; NULL and a message where it is not that. */
static int32_t *parse_ids(const char *list, size_t *n)
{
    int32_t *ids = malloc((strlen(list) / 2 + 1) * sizeof *ids);
    *n = 0;
    for (const char *at = list; ids; ) {
        char *end;
        errno = 0;
        const long id = strtol(at, &end, 10);
        if (end == at || errno || id < 0 || id > INT32_MAX || (*end && *end != ',')) {
            fprintf(stderr, "paceline: --tokens: found \"%.20s\", ids separated by commas are "
                    "wanted\n", at);
            free(ids);
            return NULL;
        }
        ids[(*n)++] = (int32_t)id;
        if (!*end) break;
        at = end + 1;
    }
    return ids;
}

static void print_top(const pl_score_result *r, size_t position)
{
    for (uint32_t i = 0; i < r->n_top; i++) {
        const pl_token_prob *t = &r->top[position * r->n_top + i];
        printf("%s[%d, %.6f]", i ? ", " : "", t->token, (double)t->logprob);
    }
}

static double mean_nll(const pl_score_result *r)
{
    double sum = 0;
    for (size_t i = 0; i + 1 < r->n_tokens; i++) sum += (double)r->nll[i];
    return r->n_tokens > 1 ? sum / (double)(r->n_tokens - 1) : 0;
}

static void print_json(const pl_score_result *r, bool every)
{
    printf("{\"top\": [");
    print_top(r, r->n_tokens - 1);
    printf("], \"mean_nll\": ");
    if (r->n_tokens > 1) printf("%.6f", mean_nll(r));
    else printf("null");
    printf(", \"nll\": [");
    for (size_t i = 0; i + 1 < r->n_tokens; i++) printf("%s%.6f", i ? ", " : "", (double)r->nll[i]);
    printf("]");
    for (size_t i = 0; every && i < r->n_tokens; i++) {
        printf(i ? ", [" : ", \"tops\": [[");
        print_top(r, i);
        printf("]");
    }
    printf(every ? "]}\n" : "}\n");
}

static void print_table(const pl_score_result *r)
{
    printf("mean nll %.4f over %zu tokens\n", mean_nll(r), r->n_tokens - 1);
    for (uint32_t i = 0; i < r->n_top; i++) {
        const pl_token_prob *t = &r->top[(r->n_tokens - 1) * r->n_top + i];
        printf("%8d  %9.4f\n", t->token, (double)t->logprob);
    }
}

int cmd_score(int argc, char **argv)
{
    pl_params params = { .n_streams = 1 };
    const char *list = NULL, *dir = NULL;
    uint32_t n_top = 10;
    bool json = false, every = false, exact = false;
    const struct arg table[] = {
        CLI_MODEL_ARGS(&params),
        GPU_LAYERS_ARG(&params),
        MODELS_DIR_ARG(&dir),
        { "--tokens", NULL, ARG_STRING, &list, 0, 0, "IDS", "token ids, separated by commas" },
        { "--top", NULL, ARG_U32, &n_top, 0, 20, "N", "best tokens to print (default 10)" },
        { "--every", NULL, ARG_FLAG, &every, 0, 0, NULL,
          "print the best tokens after every position (with --json: \"tops\")" },
        { "--exact", NULL, ARG_FLAG, &exact, 0, 0, NULL,
          "compute in f32 throughout, slowly: the same as --backend exact" },
        { "--ctx-size", "-c", ARG_U32, &params.rope_ctx_tokens, 1, 1 << 24, "N",
          "the context that is served, of models whose RoPE depends on it (default: the model's "
          "own)" },
        { "--ubatch-size", "-ub", ARG_U32, &params.step_tokens, 1, 4096, "N",
          "columns of a step (default 256); does not change the result" },
        { "--json", NULL, ARG_FLAG, &json, 0, 0, NULL, "print JSON" },
    };
    const struct arg_page page = {
        "score", "MODEL --tokens IDS [OPTIONS]",
        "Prints how likely a model finds a given sequence of tokens: the mean negative "
        "log-likelihood, and the best tokens after it. With --exact nothing is rounded to 8 bits "
        "on the way: the numeric specification that every backend is held against.",
        "paceline score model.gguf --tokens 1,2,3 --json", table, N_ARGS(table)
    };
    struct arg_strings words = { .n = 0 };
    int code = args_parse(&page, argc, argv, &words, NULL);
    if (code < 0) code = args_take_model(&page, &words, &params.model_path);
    if (code >= 0) return code;
    if (!list) return args_missing(&page, "--tokens IDS");
    if (exact && params.backend && strcmp(params.backend, "exact")) {
        fprintf(stderr, "paceline: --exact and --backend %s: one of them is wanted\n",
                params.backend);
        return 2;
    }
    if (exact) params.backend = "exact";
    cli_log_to_stderr(false);

    pl_err err = { 0 };
    pl_engine *engine = NULL;
    pl_score_result result = { 0 };
    size_t n_tokens;
    int32_t *tokens = parse_ids(list, &n_tokens);
    if (!tokens) return 2;
    if (models_resolve(&params.model_path, dir, &err)) {
        free(tokens);
        return cli_fail(&err);
    }
    params.ctx_tokens = (uint32_t)n_tokens + 1;
    if (!params.rope_ctx_tokens) params.rope_ctx_tokens = UINT32_MAX;
    params.prefill_tokens = params.step_tokens;
    pl_status st = pl_open(&engine, &params, &err);
    if (!st) st = pl_score(engine, tokens, n_tokens, n_top, &result, &err);
    if (!st && json) print_json(&result, every);
    if (!st && !json) print_table(&result);
    pl_score_free(&result);
    pl_close(engine);
    free(tokens);
    return st ? cli_fail(&err) : 0;
}

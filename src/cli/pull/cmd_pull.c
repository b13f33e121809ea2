/* paceline pull: models from a hub or a URL into the folder of models. */
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/pull/pull.h"

int cmd_pull(int argc, char **argv)
{
    struct pull_options o;
    struct arg_strings names = { .n = 0 };
    const char *token_file = NULL;
    bool is_quiet = false;
    pull_options_default(&o);
    const struct arg table[] = {
        MODELS_DIR_ARG(&o.dir),
        { "--endpoint", NULL, ARG_STRING, &o.endpoint, 0, 0, "URL",
          "the hub (HF_ENDPOINT, else " PULL_DEFAULT_ENDPOINT ")" },
        { "--revision", NULL, ARG_STRING, &o.revision, 0, 0, "NAME",
          "branch, tag or commit of the repository (main)" },
        { "--token-file", NULL, ARG_STRING, &token_file, 0, 0, "FILE",
          "a token for private models (HF_TOKEN, else ~/.cache/huggingface/token)" },
        { "--sha256", NULL, ARG_STRING, &o.sha256, 0, 0, "HEX",
          "what the file of a URL must have (a hub's listing names it)" },
        { "--retries", NULL, ARG_U32, &o.max_retries, 0, 1000, "N",
          "tries in a row that may fail after the first (5)" },
        { "--retry-delay", NULL, ARG_F32, &o.retry_delay_s, 0.001, 60, "S",
          "wait before the first of them; doubles up to a minute (1)" },
        { "--stall-timeout", NULL, ARG_U32, &o.stall_s, 1, 3600, "S",
          "less than a kilobyte a second for so long is a failure (30)" },
        { "--quiet", "-q", ARG_FLAG, &is_quiet, 0, 0, NULL, "print nothing but paths and errors" },
    };
    const struct arg_page page = {
        "pull", "NAME... [OPTIONS]",
        "Fetches models: OWNER/REPO:TAG of the hub (all parts of a split one), OWNER/REPO for its "
        "Q4_K_M, Q8_0 or only model, OWNER/REPO:FILE.gguf, or the URL of a file. Prints the path "
        "of each. What was cut off goes on where it ended when pulled again; a file gets its name "
        "only when its size and SHA-256 are right. Then --model takes NAME too.",
        "paceline pull Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M\n"
        "paceline serve --model Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M\n"
        "paceline pull https://example.com/model.gguf --dir models", table, N_ARGS(table)
    };
    const int code = args_parse(&page, argc, argv, &names, NULL);
    if (code >= 0) return code;
    if (!names.n) return args_missing(&page, "the NAME of a model: OWNER/REPO:TAG or a URL");
    pl_err err = { 0 };
    if (token_file && pull_read_token(&o, token_file, &err)) return cli_fail(&err);
    o.to = is_quiet ? NULL : stderr;
    for (size_t i = 0; i < names.n; i++) {
        char path[MODELS_PATH_MAX];
        if (pull_model(names.text[i], &o, path, &err)) return cli_fail(&err);
        puts(path);
        fflush(stdout);
    }
    return 0;
}

/* paceline tokenize: standard input as bytes to token ids. */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/models/models.h"

static void print_ids(const pl_tokens *tokens, bool json)
{
    if (json) putchar('[');
    for (size_t i = 0; i < tokens->n; i++)
        printf(json ? "%s%d" : "%s%d\n", json && i ? "," : "", tokens->ids[i]);
    if (json) puts("]");
}

int cmd_tokenize(int argc, char **argv)
{
    pl_params params = { .text_only = true };
    bool special = false, json = false, bos = false;
    const char *file = "-", *dir = NULL;
    const struct arg table[] = {
        { "--model", "-m", ARG_STRING, &params.model_path, 0, 0, "FILE",
          "GGUF file, or the name of a pulled model" },
        MODELS_DIR_ARG(&dir),
        CLI_OVERRIDE_ARG(&params),
        { "--file", "-f", ARG_STRING, &file, 0, 0, "FILE",
          "text to read (default: standard input)" },
        { "--special", NULL, ARG_FLAG, &special, 0, 0, NULL,
          "names of control tokens in the text become those tokens" },
        { "--bos", NULL, ARG_FLAG, &bos, 0, 0, NULL,
          "begin token first, where the model asks for one" },
        { "--json", NULL, ARG_FLAG, &json, 0, 0, NULL, "print one JSON array" },
    };
    const struct arg_page page = {
        "tokenize", "MODEL [OPTIONS] < TEXT",
        "Prints the token ids of a text, one a line.",
        "echo hello | paceline tokenize model.gguf", table, N_ARGS(table)
    };
    struct arg_strings words = { .n = 0 };
    int code = args_parse(&page, argc, argv, &words, NULL);
    if (code < 0) code = args_take_model(&page, &words, &params.model_path);
    if (code >= 0) return code;
    cli_log_to_stderr(false);

    pl_err err = { 0 };
    pl_engine *engine = NULL;
    pl_tokens tokens = { 0 };
    size_t n_bytes;
    if (models_resolve(&params.model_path, dir, &err)) return cli_fail(&err);
    char *text = cli_read_all(file, &n_bytes);
    if (!text) return 1;
    pl_status st = pl_open(&engine, &params, &err);
    if (!st)
        st = pl_tokenize(engine, text, n_bytes,
                         (special ? PL_TOKENIZE_SPECIAL : 0u) | (bos ? PL_TOKENIZE_BOS : 0u),
                         &tokens, &err);
    if (!st) print_ids(&tokens, json);
    pl_tokens_free(&tokens);
    pl_close(engine);
    free(text);
    return st ? cli_fail(&err) : 0;
}

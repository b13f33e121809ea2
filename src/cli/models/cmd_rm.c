/* paceline rm: what was pulled goes. */
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/models/models.h"
#include "cli/progress.h"

static bool has_consent(const struct model *m)
{
    char size[16], answer[16] = "";
    progress_bytes(size, sizeof size, m->files.n_have_bytes);
    fprintf(stderr, "remove %s (%u file%s, %s)? [y/N] ", m->name, m->files.n_parts,
            m->files.n_parts > 1 ? "s" : "", size);
    if (!fgets(answer, sizeof answer, stdin)) return false;
    answer[strcspn(answer, "\n")] = 0;
    return !strcasecmp(answer, "y") || !strcasecmp(answer, "yes");
}

static pl_status remove_one(const struct models_dir *d, const char *name, bool is_agreed,
                            pl_err *err)
{
    struct model m;
    pl_status st = models_pick(d, name, &m, err);
    if (st) return st;
    if (!is_agreed && !has_consent(&m)) {
        fprintf(stderr, "%s stays\n", m.name);
        return PL_OK;
    }
    st = models_remove(d, &m, err);
    if (!st) printf("removed %s\n", m.name);
    return st;
}

int cmd_rm(int argc, char **argv)
{
    const char *dir = NULL;
    bool is_agreed = false;
    struct arg_strings names = { .n = 0 };
    const struct arg table[] = {
        MODELS_DIR_ARG(&dir),
        { "--yes", "-y", ARG_FLAG, &is_agreed, 0, 0, NULL, "do not ask" },
    };
    const struct arg_page page = {
        "rm", "NAME... [OPTIONS]",
        "Removes pulled models, whole or partial: all parts and what is noted of them, nothing "
        "outside the folder of models. Names are those of paceline list.",
        "paceline rm Qwen/Qwen2.5-7B-Instruct-GGUF:Q4_K_M", table, N_ARGS(table)
    };
    const int code = args_parse(&page, argc, argv, &names, NULL);
    if (code >= 0) return code;
    if (!names.n) return args_missing(&page, "the NAME of a model, as paceline list shows it");
    if (!is_agreed && !isatty(STDIN_FILENO))
        return args_missing(&page, "--yes where nobody can be asked");
    pl_err err = { 0 };
    struct models_dir d;
    pl_status st = models_dir_open(&d, dir, false, &err);
    for (size_t i = 0; i < names.n && !st; i++) st = remove_one(&d, names.text[i], is_agreed, &err);
    models_dir_close(&d);
    return st ? cli_fail(&err) : 0;
}

#include "cli/service/words.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"
#include "cli/cli.h"
#include "cli/models/models.h"

static void add(struct service_words *w, const char *word)
{
    w->word[w->n++] = word;
}

/* Which word an option's value came from: a word of its own, or the end of --option=value. */
static size_t word_of(const struct service_words *w, const char *value)
{
    for (size_t i = 1; i < w->n; i++) {
        const size_t n = strlen(w->word[i]), n_value = strlen(value);
        if (n_value <= n && w->word[i] + n - n_value == value) return i;
    }
    return w->n;
}

/* The option of a value goes, with its value. */
static void drop(struct service_words *w, const char *value)
{
    const size_t i = word_of(w, value), first = i - (w->word[i] == value);
    memmove(w->word + first, w->word + i + 1, (w->n - i - 1) * sizeof *w->word);
    w->n -= i + 1 - first;
}

/* A name becomes the path of what was pulled, a path the whole one. */
static pl_status find_model(struct service_words *w, pl_err *err)
{
    const char *given = w->o.params.model_path, *model = given;
    const size_t i = word_of(w, given);
    const pl_status st = models_resolve(&model, w->o.dir, err);
    if (st) return st;
    char *whole = *model == '/' ? NULL : realpath(model, NULL);
    snprintf(w->model, sizeof w->model, "%s", whole ? whole : model);
    free(whole);
    snprintf(w->model_word, sizeof w->model_word, "%.*s%s", (int)(given - w->word[i]),
             w->word[i] == given ? "" : w->word[i], w->model);
    w->word[i] = w->model_word;
    w->o.params.model_path = w->model;
    return PL_OK;
}

/* A relative path would be looked for in another folder. */
static pl_status check_paths(const struct service_words *w, pl_err *err)
{
    const struct {
        const char *option, *path;
    } paths[] = { { "--model", w->o.params.model_path },
                  { "--api-key-file", w->o.api_key_file },
                  { "--pack-cache", w->o.params.pack_cache },
                  { "--chat-template-file", w->o.template_file },
                  { "--log-file", w->o.log_file } };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (paths[i].path && paths[i].path[0] != '/')
            return pl_fail(err, PL_E_PARAM, "%s %s: %sa service starts in another folder; give the "
                           "whole path", paths[i].option, paths[i].path,
                           access(paths[i].path, F_OK) ? "is not there; " : "");
    /* these would end a line of a unit or a word of it, or join two */
    if (w->o.api_key_file && strpbrk(w->o.api_key_file, "\n\\"))
        return pl_fail(err, PL_E_PARAM, "--api-key-file: a path without line ends and backslashes "
                       "is wanted");
    if (w->o.params.pack_cache && strpbrk(w->o.params.pack_cache, "\n\\\""))
        return pl_fail(err, PL_E_PARAM, "--pack-cache: a path without line ends, backslashes and "
                       "quotes is wanted");
    return PL_OK;
}

int service_words_read(struct service_words *w, const char *const *given, size_t n_given,
                       uint32_t grace_s)
{
    char *argv[SERVICE_MAX_WORDS];
    pl_err err = { 0 };
    *w = (struct service_words){ .n = 0 };
    if (n_given > ARG_MAX_STRINGS - 2) {
        fprintf(stderr, "paceline: more than %d words for serve\n", ARG_MAX_STRINGS - 2);
        return 2;
    }
    add(w, "serve");
    if (n_given && given[0][0] != '-') add(w, "--model");
    for (size_t i = 0; i < n_given; i++) add(w, given[i]);
    for (size_t i = 0; i < w->n; i++) argv[i] = (char *)(uintptr_t)w->word[i];
    const int code = serve_options_parse(&w->o, (int)w->n, argv);
    if (code >= 0) return code;
    if (w->o.pull) {
        fprintf(stderr,
                "paceline: a service pulls nothing: paceline pull %s, then give install that "
                "name\n", w->o.pull);
        return 2;
    }
    if (find_model(w, &err) || check_paths(w, &err)) return cli_fail(&err);
    if (w->o.dir) drop(w, w->o.dir);        /* the model's path is known now */
    if (grace_s != SERVICE_AS_SERVE && grace_s != w->o.grace_s) {
        snprintf(w->grace, sizeof w->grace, "%u", grace_s);
        w->o.grace_s = grace_s;
        add(w, "--grace");
        add(w, w->grace);
    }
    return code;
}

/* What is not there yet may be so when the service starts. */
static bool is_readable_to_all(const char *path)
{
    char folder[MODELS_PATH_MAX];
    struct stat info;
    snprintf(folder, sizeof folder, "%s", path);
    if (stat(folder, &info)) return true;
    if (!(info.st_mode & S_IROTH)) return false;
    for (char *end = strrchr(folder, '/'); end && end > folder; end = strrchr(folder, '/')) {
        *end = 0;
        if (stat(folder, &info) == 0 && !(info.st_mode & S_IXOTH)) return false;
    }
    return true;
}

void service_words_warn(const struct service_words *w, const char *program)
{
    if (w->o.api_keys.n)
        fputs("paceline: warning: every user of the machine can read the keys of --api-key; keep "
              "them in a file of root's, with --api-key-file\n", stderr);
    if (!program) return;
    const char *const paths[] = { w->o.params.model_path, w->o.template_file, program };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (paths[i] && !is_readable_to_all(paths[i]))
            fprintf(stderr, "paceline: warning: %s is not readable to all, as the service's user "
                    "needs it; keep it in a folder like /usr/local%s\n", paths[i],
                    paths[i] == program ? "/bin" : "/share/models (paceline pull --dir)");
}

uint64_t service_words_bytes(const struct service_words *w)
{
    pl_plan plan;
    return pl_plan_compute(&plan, &w->o.params, NULL) ? 0 : plan.total_bytes;
}

/* paceline list: what was pulled. */
#include <jansson.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/models/models.h"
#include "cli/progress.h"

static bool is_whole(const struct model *m)
{
    return m->files.n_there == m->files.n_parts;
}

static json_t *json_of(const struct models_dir *d, const struct model *m)
{
    char path[MODELS_PATH_MAX];
    json_t *files = json_array();
    for (uint32_t part = 1; part <= m->files.n_parts; part++) {
        models_path(path, d, m, part);
        json_array_append_new(files, json_string(path));
    }
    models_path(path, d, m, 1);
    return json_pack("{s:s, s:s, s:I, s:I, s:b, s:b, s:s, s:s, s:s, s:s, s:s, s:o}", "name",
                     m->name, "tag", m->files.tag, "size_bytes", (json_int_t)m->files.n_bytes,
                     "have_bytes",
                     (json_int_t)m->files.n_have_bytes, "is_complete", is_whole(m), "is_verified",
                     m->is_verified, "pulled", m->pulled, "source", m->note.source, "endpoint",
                     m->note.endpoint, "revision", m->note.revision, "path", path, "files", files);
}

static int print_json(const struct models_dir *d, const struct models *models)
{
    json_t *list = json_array();
    for (size_t i = 0; i < models->n; i++)
        json_array_append_new(list, json_of(d, &models->list[i]));
    const int failed = json_dumpf(list, stdout, JSON_INDENT(2));
    puts("");
    json_decref(list);
    return failed ? 1 : 0;
}

static void print_row(const struct models_dir *d, const struct model *m, int n_name)
{
    char path[MODELS_PATH_MAX], size[16], have[16], both[48], pulled[24] = "-";
    models_path(path, d, m, 1);
    progress_bytes(size, sizeof size, m->files.n_bytes);
    progress_bytes(have, sizeof have, m->files.n_have_bytes);
    if (is_whole(m)) snprintf(both, sizeof both, "%s", size);
    else if (m->files.n_bytes > m->files.n_have_bytes)
        snprintf(both, sizeof both, "%s of %s", have, size);
    else snprintf(both, sizeof both, "%s, partial", have);
    if (m->pulled[0]) snprintf(pulled, sizeof pulled, "%.10s %.5s", m->pulled, m->pulled + 11);
    printf("%-*s  %-10s  %-20s  %-16s  %s%s\n", n_name, m->name,
           *m->files.tag ? m->files.tag : "-", both, pulled, path,
           is_whole(m) ? "" : " (partial: pull it again)");
}

int cmd_list(int argc, char **argv)
{
    const char *dir = NULL;
    bool json = false;
    const struct arg table[] = {
        MODELS_DIR_ARG(&dir),
        { "--json", NULL, ARG_FLAG, &json, 0, 0, NULL, "print one JSON array" },
    };
    const struct arg_page page = {
        "list", "[OPTIONS]",
        "Lists the models that were pulled: name, quantisation, size, when (UTC) and path; also "
        "what is there only in part.",
        "paceline list\npaceline list --json", table, N_ARGS(table)
    };
    const int code = args_parse(&page, argc, argv, NULL, NULL);
    if (code >= 0) return code;
    pl_err err = { 0 };
    struct models_dir d;
    struct models models = { 0 };
    int result = 0, n_name = 4;
    pl_status st = models_dir_open(&d, dir, false, &err);
    if (!st) st = models_list(&d, &models, &err);
    if (!st && json) {
        result = print_json(&d, &models);
    } else if (!st && models.n) {
        for (size_t i = 0; i < models.n; i++) {
            const int n = (int)strlen(models.list[i].name);
            if (n > n_name) n_name = n;
        }
        printf("%-*s  %-10s  %-20s  %-16s  %s\n", n_name, "NAME", "TAG", "SIZE", "PULLED", "PATH");
        for (size_t i = 0; i < models.n; i++) print_row(&d, &models.list[i], n_name);
    } else if (!st) {
        fprintf(stderr, "no models in %s; get one with: paceline pull OWNER/REPO:TAG\n", d.path);
    }
    models_free(&models);
    models_dir_close(&d);
    return st ? cli_fail(&err) : result;
}

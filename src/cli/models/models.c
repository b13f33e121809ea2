#include "cli/models/models.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- what is known of one ------------------------------------------------------------------- */

void models_path(char to[MODELS_PATH_MAX], const struct models_dir *d, const struct model *m,
                 uint32_t part)
{
    char path[PULL_PATH_MAX];
    listing_part_path(path, sizeof path, m->files.first, part);
    snprintf(to, MODELS_PATH_MAX, "%s/%s/%s", d->path, m->folder, path);
}

/* The note of a file or, where it is not whole, of its part. False: there is neither. */
static bool read_note(const struct models_dir *d, const char *folder, const char *path,
                      struct pull_note *note)
{
    char whole[2 * PULL_PATH_MAX], parent[PULL_PATH_MAX], name[NOTE_NAME_MAX];
    int fd;
    snprintf(whole, sizeof whole, "%s/%s", folder, path);
    const char *file = models_split_path(parent, whole);
    *note = (struct pull_note){ 0 };
    if (models_dir_enter(d, parent, false, &fd, NULL) || fd < 0) return false;
    snprintf(name, sizeof name, "%.240s.json", file);
    bool is_there = note_read(fd, name, note);
    if (!is_there) {
        snprintf(name, sizeof name, "%.240s.part.json", file);
        is_there = note_read(fd, name, note);
    }
    close(fd);
    return is_there;
}

static void time_of_file(const char *path, char pulled[24])
{
    struct stat info;
    struct tm t;
    if (stat(path, &info) == 0)
        strftime(pulled, 24, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&info.st_mtime, &t));
}

static void describe(const struct models_dir *d, const char *folder, const struct listing *l,
                     const struct listing_model *files, struct model *m)
{
    char path[MODELS_PATH_MAX], file[PULL_PATH_MAX];
    *m = (struct model){ .files = *files };
    snprintf(m->folder, sizeof m->folder, "%s", folder);
    m->is_verified = files->n_there == files->n_parts;
    for (uint32_t part = files->n_parts; part >= 1; part--) {       /* the first one's note stays */
        listing_part_path(file, sizeof file, files->first, part);
        const bool is_noted = read_note(d, folder, file, &m->note);
        m->is_verified = m->is_verified && is_noted && m->note.is_verified;
    }
    if (folder[0] == '@' && *m->note.source)
        snprintf(m->name, sizeof m->name, "%s", m->note.source);
    else
        snprintf(m->name, sizeof m->name, "%s:%s", folder, listing_suffix(l, files));
    models_path(path, d, m, 1);
    if (*m->note.pulled) snprintf(m->pulled, sizeof m->pulled, "%s", m->note.pulled);
    else time_of_file(path, m->pulled);
}

/* ---- all of them ---------------------------------------------------------------------------- */

struct collector {
    const struct models_dir *dir;
    struct models *out;
};

static pl_status add_repo(void *arg, const char *folder, pl_err *err)
{
    struct collector *c = arg;
    struct listing l = { 0 };
    pl_status st = models_dir_scan(c->dir, folder, &l, err);
    if (!st && l.n_models) {
        struct model *more = realloc(c->out->list, (c->out->n + l.n_models) * sizeof *more);
        if (!more) st = pl_fail(err, PL_E_MEMORY, "no memory for a list of models");
        else c->out->list = more;
    }
    for (size_t i = 0; !st && i < l.n_models; i++)
        describe(c->dir, folder, &l, &l.models[i], &c->out->list[c->out->n++]);
    listing_free(&l);
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcasecmp(((const struct model *)a)->name, ((const struct model *)b)->name);
}

pl_status models_list(const struct models_dir *d, struct models *out, pl_err *err)
{
    struct collector c = { d, out };
    *out = (struct models){ 0 };
    const pl_status st = models_dir_each_repo(d, add_repo, &c, err);
    if (st) models_free(out);
    else if (out->n) qsort(out->list, out->n, sizeof *out->list, by_name);
    return st;
}

void models_free(struct models *m)
{
    free(m->list);
    *m = (struct models){ 0 };
}

/* ---- one of them ---------------------------------------------------------------------------- */

static void leave_out_partial(struct listing *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n_models; i++)
        if (l->models[i].n_there == l->models[i].n_parts) l->models[n++] = l->models[i];
    l->n_models = n;
}

static pl_status pick(const struct models_dir *d, const char *text, bool is_for_use,
                      struct model *out, pl_err *err)
{
    struct pull_name name;
    struct listing l = { 0 };
    const struct listing_model *files;
    pl_status st = pull_name_parse(&name, text, NULL, err);
    if (!st) st = models_dir_know(d, name.folder, err);
    if (!st) st = models_dir_scan(d, name.folder, &l, err);
    if (!st && is_for_use) leave_out_partial(&l);
    if (!st && !l.n_models)
        st = pl_fail(err, PL_E_PARAM, "%s: %s in %s (see: paceline list)", name.shown,
                     is_for_use ? "not pulled, or not all of it," : "there is nothing of it",
                     d->path);
    if (!st) st = listing_choose(&l, &name, is_for_use, &files, err);
    if (!st) describe(d, name.folder, &l, files, out);
    listing_free(&l);
    return st;
}

pl_status models_pick(const struct models_dir *d, const char *name, struct model *out, pl_err *err)
{
    return pick(d, name, false, out, err);
}

pl_status models_find(const char *name, const char *dir, char path[MODELS_PATH_MAX], pl_err *err)
{
    struct models_dir d;
    struct model m;
    pl_status st = models_dir_open(&d, dir, false, err);
    if (!st) st = pick(&d, name, true, &m, err);
    if (!st) models_path(path, &d, &m, 1);
    models_dir_close(&d);
    return st;
}

pl_status models_resolve(const char **model, const char *dir, pl_err *err)
{
    static char path[MODELS_PATH_MAX];
    struct pull_name name;
    pl_err why;
    if (access(*model, F_OK) == 0 || pull_name_parse(&name, *model, NULL, &why)) return PL_OK;
    if (models_find(*model, dir, path, &why) == PL_OK) {
        *model = path;
        return PL_OK;
    }
    /* folder/model.gguf is a name and a path: the reader of files says what is wrong with it */
    if (!name.is_url && !*name.tag && !*name.file && pull_ends_with(*model, ".gguf")) return PL_OK;
    return pl_fail(err, PL_E_PARAM, "%s is neither a file nor a pulled model; get it with: "
                   "paceline pull %s%s%s", name.shown, name.shown, dir ? " --dir " : "",
                   dir ? dir : "");
}

pl_status models_remove(const struct models_dir *d, const struct model *m, pl_err *err)
{
    pl_status st = PL_OK;
    for (uint32_t part = 1; !st && part <= m->files.n_parts; part++) {
        char path[PULL_PATH_MAX];
        listing_part_path(path, sizeof path, m->files.first, part);
        st = models_dir_remove(d, m->folder, path, err);
    }
    return st;
}

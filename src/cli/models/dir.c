#include "cli/models/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/folders.h"
#include "cli/models/note.h"

enum { MAX_DEPTH = 8, OPEN_FOLDER = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW };

/* ---- the folder ----------------------------------------------------------------------------- */

static pl_status default_path(char *to, size_t capacity, pl_err *err)
{
    static const char below[] = "/models";
    if (!folders_cache(to, capacity - sizeof below))
        return pl_fail(err, PL_E_PARAM,
                       "neither HOME nor XDG_CACHE_HOME is set to a whole path, or it is too long: "
                       "say --dir DIR");
    strcat(to, below);
    return PL_OK;
}

pl_status models_dir_open(struct models_dir *d, const char *path, bool make, pl_err *err)
{
    *d = (struct models_dir){ 0 };
    pl_status st = PL_OK;
    if (!path) st = default_path(d->path, sizeof d->path, err);
    else if (!*path || strlen(path) >= sizeof d->path)
        st = pl_fail(err, PL_E_PARAM, "--dir: the path of the folder is empty or too long");
    else snprintf(d->path, sizeof d->path, "%s", path);
    for (size_t n = strlen(d->path); n > 1 && d->path[n - 1] == '/';) d->path[--n] = 0;
    if (!st && make) st = folders_make(d->path, 0755, err);
    if (st) return st;
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    d->is_open = d->fd >= 0;
    if (d->is_open || (errno == ENOENT && !make)) return PL_OK;
    return pl_fail(err, PL_E_IO, "%s: %s", d->path, strerror(errno));
}

void models_dir_close(struct models_dir *d)
{
    if (d->is_open) close(d->fd);
    *d = (struct models_dir){ 0 };
}

pl_status models_dir_enter(const struct models_dir *d, const char *relative, bool make, int *fd,
                           pl_err *err)
{
    char name[PULL_PATH_MAX];
    *fd = -1;
    if (!d->is_open) return PL_OK;
    if (*relative && !pull_path_is_safe(relative))
        return pl_fail(err, PL_E_PARAM, "\"%s\" is no folder of models", relative);
    int at = openat(d->fd, ".", OPEN_FOLDER);
    for (const char *rest = relative; at >= 0 && *rest;) {
        const size_t n = strcspn(rest, "/");
        snprintf(name, sizeof name, "%.*s", (int)n, rest);
        if (make) mkdirat(at, name, 0755);          /* openat says what is wrong, if anything */
        const int next = openat(at, name, OPEN_FOLDER);
        const int why = errno;
        close(at);
        errno = why;
        at = next;
        rest += n + (rest[n] == '/');
    }
    *fd = at;
    if (at >= 0 || (errno == ENOENT && !make)) return PL_OK;
    return pl_fail(err, PL_E_IO, "%s/%s: %s", d->path, relative,
                   errno == ELOOP || errno == ENOTDIR ? "not a folder (links are not followed)"
                                                      : strerror(errno));
}

const char *models_split_path(char folder[PULL_PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');
    snprintf(folder, PULL_PATH_MAX, "%.*s", slash ? (int)(slash - path) : 0, path);
    return slash ? slash + 1 : path;
}

/* ---- looking around ------------------------------------------------------------------------- */

/* Names in a folder, sorted; takes the descriptor. NULL: none, or no memory. */
static char **names_in(int fd, size_t *n)
{
    char **names = NULL;
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    *n = 0;
    if (!list && fd >= 0) close(fd);
    for (const struct dirent *e; list && (e = readdir(list));) {
        if (e->d_name[0] == '.') continue;
        char **more = realloc(names, (*n + 1) * sizeof *names);
        if (!more) break;
        names = more;
        if ((names[*n] = strdup(e->d_name))) (*n)++;
    }
    if (list) closedir(list);
    return names;
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) free(names[i]);
    free(names);
}

static pl_status add_file(int folder, const char *name, const char *path, const struct stat *info,
                          struct listing *out, pl_err *err)
{
    char plain[PULL_PATH_MAX + NOTE_NAME_MAX];
    struct pull_note note;
    struct listing_file file = { .path = plain, .n_have_bytes = (uint64_t)info->st_size };
    snprintf(plain, sizeof plain, "%s", path);
    if (pull_ends_with(path, ".part")) {
        char note_name[NOTE_NAME_MAX];
        plain[strlen(plain) - strlen(".part")] = 0;
        file.is_partial = true;
        snprintf(note_name, sizeof note_name, "%.240s.json", name);
        if (note_read(folder, note_name, &note)) file.n_bytes = note.n_bytes;
    }
    if (file.n_bytes < file.n_have_bytes) file.n_bytes = file.n_have_bytes;
    return listing_add(out, &file, err);
}

static pl_status scan(int fd, const char *path, int depth, struct listing *out, pl_err *err)
{
    size_t n;
    const int own = openat(fd, ".", OPEN_FOLDER);
    char **names = names_in(own, &n);
    pl_status st = PL_OK;
    for (size_t i = 0; i < n && !st; i++) {
        char below[PULL_PATH_MAX + NOTE_NAME_MAX];
        struct stat info;
        snprintf(below, sizeof below, "%s%s%.255s", path, *path ? "/" : "", names[i]);
        if (!pull_path_is_safe(below) || fstatat(fd, names[i], &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISDIR(info.st_mode) && depth < MAX_DEPTH) {
            const int next = openat(fd, names[i], OPEN_FOLDER);
            if (next < 0) continue;
            st = scan(next, below, depth + 1, out, err);
            close(next);
        } else if (S_ISREG(info.st_mode) &&
                   (pull_ends_with(below, ".gguf") || pull_ends_with(below, ".gguf.part"))) {
            st = add_file(fd, names[i], below, &info, out, err);
        }
    }
    free_names(names, n);
    return st;
}

pl_status models_dir_scan(const struct models_dir *d, const char *relative, struct listing *out,
                          pl_err *err)
{
    int fd;
    pl_status st = models_dir_enter(d, relative, false, &fd, err);
    if (!st && fd >= 0) {
        st = scan(fd, "", 0, out, err);
        close(fd);
    }
    return st ? st : listing_group(out, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static pl_status each_of_owner(const struct models_dir *d, const char *owner, models_repo_fn *each,
                               void *arg, pl_err *err)
{
    char folder[2 * NOTE_NAME_MAX];
    size_t n;
    char **names = names_in(openat(d->fd, owner, OPEN_FOLDER), &n);
    pl_status st = PL_OK;
    if (n) qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n && !st; i++) {
        snprintf(folder, sizeof folder, "%.200s/%.200s", owner, names[i]);
        struct stat info;
        if (fstatat(d->fd, folder, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode))
            st = each(arg, folder, err);
    }
    free_names(names, n);
    return st;
}

pl_status models_dir_each_repo(const struct models_dir *d, models_repo_fn *each, void *arg,
                               pl_err *err)
{
    size_t n;
    pl_status st = PL_OK;
    if (!d->is_open) return PL_OK;
    char **names = names_in(openat(d->fd, ".", OPEN_FOLDER), &n);
    if (n) qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n && !st; i++)
        st = names[i][0] == '@' ? each(arg, names[i], err)
                                : each_of_owner(d, names[i], each, arg, err);
    free_names(names, n);
    return st;
}

struct search {
    const char *wanted;
    char found[PULL_PATH_MAX];
    bool is_exact;
};

static pl_status compare_folder(void *arg, const char *folder, pl_err *err)
{
    struct search *s = arg;
    (void)err;
    if (!strcmp(folder, s->wanted)) s->is_exact = true;
    if (!*s->found && !strcasecmp(folder, s->wanted))
        snprintf(s->found, sizeof s->found, "%s", folder);
    return PL_OK;
}

pl_status models_dir_know(const struct models_dir *d, char folder[PULL_PATH_MAX], pl_err *err)
{
    struct search s = { .wanted = folder };
    if (folder[0] == '@') return PL_OK;         /* of a URL: its server may tell them apart */
    const pl_status st = models_dir_each_repo(d, compare_folder, &s, err);
    if (!st && !s.is_exact && *s.found) snprintf(folder, PULL_PATH_MAX, "%s", s.found);
    return st;
}

/* ---- locking and removing ------------------------------------------------------------------- */

pl_status models_lock_part(int folder, const char *name, int *fd, pl_err *err)
{
    char part[NOTE_NAME_MAX];
    struct stat ours, named;
    snprintf(part, sizeof part, "%.240s.part", name);
    *fd = openat(folder, part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (*fd < 0) return pl_fail(err, PL_E_IO, "%s: %s", part, strerror(errno));
    pl_status st = PL_OK;
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
        st = errno == EWOULDBLOCK
                 ? pl_fail(err, PL_E_BUSY, "%s: another process is pulling it", name)
                 : pl_fail(err, PL_E_IO, "%s: cannot lock it: %s", part, strerror(errno));
    else if (fstat(*fd, &ours) != 0 || fstatat(folder, part, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
             ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)
        st = pl_fail(err, PL_E_BUSY, "%s: another process has just pulled or removed it", name);
    else if (!S_ISREG(ours.st_mode))
        st = pl_fail(err, PL_E_IO, "%s: not a regular file; remove it", part);
    if (st) {
        close(*fd);
        *fd = -1;
    }
    return st;
}

static void remove_empty_folders(const struct models_dir *d, const char *folder)
{
    char path[PULL_PATH_MAX];
    snprintf(path, sizeof path, "%s", folder);
    while (*path) {
        char above[PULL_PATH_MAX];
        int fd;
        const char *name = models_split_path(above, path);
        if (models_dir_enter(d, above, false, &fd, NULL) || fd < 0) return;
        const int failed = unlinkat(fd, name, AT_REMOVEDIR);
        close(fd);
        if (failed) return;
        snprintf(path, sizeof path, "%s", above);
    }
}

void models_dir_tidy(const struct models_dir *d, const char *path)
{
    char parent[PULL_PATH_MAX];
    models_split_path(parent, path);
    remove_empty_folders(d, parent);
}

pl_status models_dir_remove(const struct models_dir *d, const char *folder, const char *path,
                            pl_err *err)
{
    static const char *const suffixes[] = { "", ".json", ".part.json", ".part" };
    char whole[2 * PULL_PATH_MAX], parent[PULL_PATH_MAX], file[NOTE_NAME_MAX];
    int fd, lock;
    snprintf(whole, sizeof whole, "%s/%s", folder, path);
    if (!pull_path_is_safe(whole))
        return pl_fail(err, PL_E_PARAM, "\"%s\" is no model's path", whole);
    const char *name = models_split_path(parent, whole);
    pl_status st = models_dir_enter(d, parent, false, &fd, err);
    if (st || fd < 0) return st;
    st = models_lock_part(fd, name, &lock, err);
    for (size_t i = 0; !st && i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(file, sizeof file, "%.240s%s", name, suffixes[i]);
        if (unlinkat(fd, file, 0) != 0 && errno != ENOENT)
            st = pl_fail(err, PL_E_IO, "%s/%s/%s: %s", d->path, parent, file, strerror(errno));
    }
    if (lock >= 0) close(lock);
    close(fd);
    if (!st) remove_empty_folders(d, parent);
    return st;
}

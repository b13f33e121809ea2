#include "cli/service/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/models/listing.h"

/* Whole paths; `folder` ends without a slash. */
static bool is_below(const char *path, const char *folder)
{
    const size_t n = strlen(folder);
    return !strncmp(path, folder, n) && (path[n] == '/' || !path[n]);
}

static bool is_temporary(const char *path)
{
    return is_below(path, "/tmp") || is_below(path, "/var/tmp");
}

/* A unit with PrivateTmp has a /tmp of its own, where nothing is. Links may lead there too. */
static pl_status check_seen(const struct sandbox *s, const char *what, const char *path,
                            pl_err *err)
{
    char whole[PATH_MAX];
    const bool is_hidden = is_temporary(path) || (realpath(path, whole) && is_temporary(whole));
    if (s->is_user || s->is_launchd || !is_hidden) return PL_OK;
    return pl_fail(err, PL_E_PARAM,
                   "%s%s: a system service has a temporary folder of its own and does not see this "
                   "one; keep it elsewhere, as in /usr/local", what, path);
}

static pl_status check_there(const struct sandbox *s, const char *what, const char *path,
                             pl_err *err)
{
    struct stat info;
    const char *wrong = NULL;
    if (!stat(path, &info)) wrong = S_ISDIR(info.st_mode) ? "is a folder, not a file" : NULL;
    else if (errno == ENOENT || errno == ENOTDIR) wrong = "is not there";
    if (!wrong) return PL_OK;       /* also what may not be looked at: the service may be able to */
    if (!s->is_elsewhere) return pl_fail(err, PL_E_PARAM, "%s%s: %s", what, path, wrong);
    fprintf(stderr, "paceline: warning: %s%s: %s here\n", what, path, wrong);
    return PL_OK;
}

/* A model of several files wants all of them. */
static pl_status check_parts(const struct sandbox *s, const char *model, pl_err *err)
{
    char path[PATH_MAX];
    uint32_t part, n_parts;
    pl_status st = PL_OK;
    if (!listing_split_of(model, &part, &n_parts)) return PL_OK;
    for (part = 1; part <= n_parts && !st; part++) {
        listing_part_path(path, sizeof path, model, part);
        st = check_there(s, "a part of the model, ", path, err);
    }
    return st;
}

/* The user of a system service has no folder of its own but one, whoever owns the others. */
static pl_status check_written(const struct sandbox *s, const char *what, const char *path,
                               const char *name, pl_err *err)
{
    char own[128];
    snprintf(own, sizeof own, "/var/cache/%s", s->service);
    if (s->is_launchd || s->is_user || (is_below(path, own) && !strstr(path, "/.."))) return PL_OK;
    return pl_fail(err, PL_E_PARAM, "%s%s: a system service writes to no folder but its own; give "
                   "%s/%s", what, path, own, name);
}

pl_status sandbox_check(const struct sandbox *s, const struct service_words *w, const char *program,
                        pl_err *err)
{
    const struct {
        const char *what, *path;
        bool is_seen;            /* by the service itself; the key file is handed over by systemd */
    } files[] = {
        { "--model ", w->o.params.model_path, true },
        { "--chat-template-file ", w->o.template_file, true },
        { "--api-key-file ", w->o.api_key_file, false },
        { "the program ", program, true },
    };
    pl_status st = PL_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && !st; i++) {
        if (!files[i].path) continue;
        st = check_there(s, files[i].what, files[i].path, err);
        if (!st && files[i].is_seen) st = check_seen(s, files[i].what, files[i].path, err);
    }
    if (!st) st = check_parts(s, w->o.params.model_path, err);
    if (!st && w->o.params.pack_cache)
        st = check_written(s, "--pack-cache ", w->o.params.pack_cache, "packed", err);
    if (!st && w->o.log_file && !s->is_launchd)
        st = pl_fail(err, PL_E_PARAM,
                     "--log-file: a unit's log is kept by the journal (journalctl -u %s); leave "
                     "the option out", s->service);
    return st;
}

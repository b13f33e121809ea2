/* The folder of models, and walking below it.
 *
 *   OWNER/REPO/FILE.gguf            a model file of a hub, under its path there
 *   @HOST/FOLDER/FILE.gguf          one of any other server
 *   .../FILE.gguf.json              what is known of it (note.h)
 *   .../FILE.gguf.part              as much of it as has come; whoever writes to it holds its lock
 *   .../FILE.gguf.part.json         what that is a part of
 *
 * I1 A file under its final name is whole: it was verified, then renamed.
 * I2 Below the folder no link is followed: nothing outside it is written or removed, whatever names
 *    say. (The folder itself may be one.)
 *
 * One thread. */
#ifndef CLI_MODELS_DIR_H
#define CLI_MODELS_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/models/listing.h"

enum { MODELS_PATH_MAX = 4096 };

/* The option of every command that takes the name of a model; `to` is a const char *. */
#define MODELS_DIR_ARG(to)                                                                         \
    { "--dir", NULL, ARG_STRING, to, 0, 0, "DIR",                                                  \
      "the folder of models (~/.cache/paceline/models, or below $XDG_CACHE_HOME)" }

struct models_dir {                     /* zeroed is closed */
    bool is_open;                       /* false although opened: there is no folder yet */
    int fd;
    char path[MODELS_PATH_MAX / 2];
};

/* `path` NULL: paceline/models in the user's folder of caches. With `make` folders are made where
 * they are missing, else a missing one is no failure. */
pl_status models_dir_open(struct models_dir *d, const char *path, bool make, pl_err *err);
void models_dir_close(struct models_dir *d);

/* A folder below, "OWNER/REPO/sub" (of safe components) or "" for itself: *fd to close; -1 where it
 * is missing and not made. */
pl_status models_dir_enter(const struct models_dir *d, const char *relative, bool make, int *fd,
                           pl_err *err);

/* Adds all model files below a folder, with paths relative to it, whole and partial, and groups
 * them. */
pl_status models_dir_scan(const struct models_dir *d, const char *relative, struct listing *out,
                          pl_err *err);

/* Calls `each` for every "OWNER/REPO" and "@HOST", in order. */
typedef pl_status models_repo_fn(void *arg, const char *folder, pl_err *err);
pl_status models_dir_each_repo(const struct models_dir *d, models_repo_fn *each, void *arg,
                               pl_err *err);

/* Where there is no "OWNER/REPO" of this name, but one that differs in capitals alone: it becomes
 * that, for to a hub both are one. */
pl_status models_dir_know(const struct models_dir *d, char folder[PULL_PATH_MAX], pl_err *err);

/* Removes the folders above a path, "OWNER/REPO/FILE", as far as they are empty. */
void models_dir_tidy(const struct models_dir *d, const char *path);

/* Removes the file of a path below with its notes and what of it is partial, then folders that are
 * empty. PL_E_BUSY while it is being pulled. */
pl_status models_dir_remove(const struct models_dir *d, const char *folder, const char *path,
                            pl_err *err);

/* "a/b/c" to folder "a/b" and name "c". */
const char *models_split_path(char folder[PULL_PATH_MAX], const char *path);

/* Holds the lock of NAME.part, made if it is missing: *fd. PL_E_BUSY: somebody else does. */
pl_status models_lock_part(int folder, const char *name, int *fd, pl_err *err);

#endif

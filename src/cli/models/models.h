/* The models that were pulled: finding, listing and removing them. One thread. */
#ifndef CLI_MODELS_MODELS_H
#define CLI_MODELS_MODELS_H

#include "cli/models/dir.h"
#include "cli/models/note.h"

struct model {
    char name[PULL_URL_MAX];            /* what --model and rm take: "OWNER/REPO:Q4_K_M", a URL */
    char folder[PULL_PATH_MAX];         /* "OWNER/REPO", "@HOST" */
    struct listing_model files;
    struct pull_note note;              /* of its first part; empty: none */
    char pulled[24];                    /* by its note, else by the file's time */
    bool is_verified;                   /* every part had the SHA-256 that its source names */
};

struct models {                         /* zeroed is empty */
    struct model *list;
    size_t n;
};

/* All models, whole and partial, by name. Release with models_free. */
pl_status models_list(const struct models_dir *d, struct models *out, pl_err *err);
void models_free(struct models *m);

/* Path of part 1..n_parts of a model. */
void models_path(char to[MODELS_PATH_MAX], const struct models_dir *d, const struct model *m,
                 uint32_t part);

/* Path of the whole, pulled model that `name` means, in the folder `dir` (NULL: the user's).
 * PL_E_PARAM: it is no name, or not pulled. */
pl_status models_find(const char *name, const char *dir, char path[MODELS_PATH_MAX], pl_err *err);

/* For --model: *model stays where it is the path of a file; a name of what was pulled becomes its
 * path, in memory that stays until the next call. `dir` as above. PL_E_PARAM for a name that was
 * not pulled. */
pl_status models_resolve(const char **model, const char *dir, pl_err *err);

/* The one model, whole or partial, that `name` means. PL_E_PARAM: there is none, or several. */
pl_status models_pick(const struct models_dir *d, const char *name, struct model *out, pl_err *err);

/* All its parts, notes and partial files. */
pl_status models_remove(const struct models_dir *d, const struct model *m, pl_err *err);

#endif

/* What a person calls a model that is, or will be, in the folder of models:
 *
 *   OWNER/REPO  OWNER/REPO:TAG  OWNER/REPO:FILE.gguf          of a hub; hf.co/ may come first
 *   https://huggingface.co/OWNER/REPO/resolve/REVISION/FILE.gguf     the same, of that revision
 *   https://HOST/FOLDER/FILE.gguf                             a file of any server
 *
 * A name becomes part of a path and of URLs, so that only what is harmless in both is accepted. */
#ifndef CLI_MODELS_NAME_H
#define CLI_MODELS_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { PULL_PATH_MAX = 512, PULL_URL_MAX = 2048 };

#define PULL_DEFAULT_ENDPOINT "https://huggingface.co"

struct pull_name {
    bool is_url;                    /* a file of any server */
    char folder[PULL_PATH_MAX];     /* in the folder of models: "OWNER/REPO", "@HOST" */
    char file[PULL_PATH_MAX];       /* below that folder; empty: not said */
    char tag[40];                   /* "Q4_K_M"; empty: not said */
    char revision[128];             /* empty: not said */
    char url[PULL_URL_MAX];         /* of is_url: whole, and without what may hold a secret: */
    char shown[PULL_URL_MAX];       /* "OWNER/REPO:Q4_K_M", or the URL without its query */
};

/* URLs below `endpoint` (NULL: the default hub) are names of the hub. PL_E_PARAM with what a name
 * looks like. */
pl_status pull_name_parse(struct pull_name *name, const char *text, const char *endpoint,
                          pl_err *err);

/* Whether a path of some server stays inside the folder it is appended to, on every system: plain
 * components, none hidden, short enough for the suffixes of part files. */
bool pull_path_is_safe(const char *path);

/* Of a branch, tag or commit: refs/pr/1, v1.0, 5b0c5d... */
bool pull_revision_is_safe(const char *revision);

bool pull_url_is_plain(const char *url);        /* visible ASCII: the rest is to be escaped */

bool pull_ends_with(const char *text, const char *end);     /* in any case of letters */

#endif

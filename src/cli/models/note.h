/* What is remembered of a pulled file, or of a part of one: a small JSON file beside it. */
#ifndef CLI_MODELS_NOTE_H
#define CLI_MODELS_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/models/name.h"

enum { NOTE_NAME_MAX = 256 };

struct pull_note {
    char source[PULL_URL_MAX];      /* "OWNER/REPO", or a URL without its query */
    char endpoint[256];             /* of the hub; empty for a URL */
    char revision[128];             /* likewise */
    char etag[256];
    char sha256[65];                /* of a part: the whole's, empty if not known */
    char pulled[24];                /* "2026-11-23T15:04:05Z" */
    uint64_t n_bytes;               /* of the whole file; 0: not known */
    bool is_verified;               /* the source or the user named this SHA-256 */
};

/* False: there is none, or what is there is none of ours. `name` with its suffix. */
bool note_read(int folder, const char *name, struct pull_note *note);

/* Appears whole or not at all. */
pl_status note_write(int folder, const char *name, const struct pull_note *note, pl_err *err);

void note_time(char pulled[24]);

#endif

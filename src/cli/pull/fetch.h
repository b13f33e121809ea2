/* Brings one file under its final name, whole and verified, or leaves as much as came in FILE.part.
 *
 *   note of the part ─► the same file? ──no──► from the start
 *                            │yes
 *                            ▼
 *   hash what is there ─► ask for the rest (Range, If-Range) ─► 206: goes on  200: from the start
 *                            ▲      │cut, stall, 429, 5xx: wait, a bounded number of times
 *                            └──────┘
 *   size and SHA-256 right? ─► to disk ─► rename ─► note
 *
 * The part is locked from begin to end. One thread. */
#ifndef CLI_PULL_FETCH_H
#define CLI_PULL_FETCH_H

#include "cli/models/note.h"
#include "cli/progress.h"
#include "cli/pull/http.h"

struct fetch_source {
    const char *url;
    const char *shown;          /* how messages call the file */
    uint64_t n_bytes;           /* 0: not known */
    const char *sha256;         /* empty: not known */
    uint64_t n_before, n_all;   /* of a split model: bytes of the parts before, and of all; 0: a
                                 * file of its own, by which progress is counted */
    struct pull_note note;      /* source, endpoint and revision: what will be noted */
};

struct fetch_policy {
    uint32_t max_retries;       /* in a row that bring nothing much */
    double retry_delay_s;       /* before the first; doubles */
    FILE *to;                   /* for people; NULL: silent */
};

/* Whether `name` in the folder is this file, by its note, or, where there is none, by its hash
 * (which is then noted). */
pl_status fetch_is_there(int folder, const char *name, const struct fetch_source *source,
                         const struct fetch_policy *policy, bool *is_there, pl_err *err);

/* PL_E_BUSY: another process is at it. PL_E_IO for all that network and disk do. */
pl_status fetch_file(struct pull_http *http, int folder, const char *name,
                     const struct fetch_source *source, const struct fetch_policy *policy,
                     pl_err *err);

/* Bytes of the file that are in its part already. */
uint64_t fetch_have_bytes(int folder, const char *name);

/* PL_E_IO where this process may not write a file of that size. */
pl_status fetch_check_limit(uint64_t n_bytes, const char *what, pl_err *err);

/* PL_E_IO where so much more does not fit on the disk of a folder. */
pl_status fetch_check_room(int folder, uint64_t n_bytes, const char *what, pl_err *err);

/* The same rules of patience for a reply that is kept in memory: waits and returns true if another
 * try is due. *n_tried starts at 0. */
bool fetch_wait(const struct fetch_policy *policy, struct progress *progress,
                const struct http_reply *reply, uint32_t *n_tried, const pl_err *err);

#endif

/* Whether a file is there already. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/pull/fetch.h"
#include "cli/pull/sha256.h"

static bool is_noted_as(const struct pull_note *note, const struct fetch_source *source)
{
    if (*source->sha256) return !strcmp(note->sha256, source->sha256);
    return !strcmp(note->source, source->note.source) &&
           !strcmp(note->revision, source->note.revision) &&
           (!source->n_bytes || source->n_bytes == note->n_bytes);
}

/* Hashes a file without a note that tells, and notes what it is. */
static pl_status look_inside(int folder, int fd, const char *name, uint64_t n_bytes,
                             const struct fetch_source *source, bool *is_there, pl_err *err)
{
    char note_name[NOTE_NAME_MAX], found[65];
    struct sha256 sha256 = { 0 };
    struct pull_note note = source->note;
    pl_status st = sha256_open(&sha256, err);
    if (!st) st = sha256_add_file(&sha256, fd, n_bytes, name, err);
    if (!st) {
        sha256_take(&sha256, found);
        *is_there = !strcmp(found, source->sha256);
    }
    sha256_close(&sha256);
    if (st || !*is_there) return st;
    note.n_bytes = n_bytes;
    note.is_verified = true;
    snprintf(note.sha256, sizeof note.sha256, "%s", found);
    note_time(note.pulled);
    snprintf(note_name, sizeof note_name, "%.240s.json", name);
    return note_write(folder, note_name, &note, err);
}

pl_status fetch_is_there(int folder, const char *name, const struct fetch_source *source,
                         const struct fetch_policy *policy, bool *is_there, pl_err *err)
{
    char note_name[NOTE_NAME_MAX];
    struct pull_note note;
    struct stat info;
    pl_status st = PL_OK;
    *is_there = false;
    const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) return PL_OK;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        if (fd >= 0) close(fd);
        return pl_fail(err, PL_E_IO, "%s: is there, but is no plain file: remove it", name);
    }
    const uint64_t n_bytes = (uint64_t)info.st_size;
    snprintf(note_name, sizeof note_name, "%.240s.json", name);
    *is_there = note_read(folder, note_name, &note) && note.n_bytes == n_bytes &&
                is_noted_as(&note, source);
    if (!*is_there && *source->sha256 && (!source->n_bytes || n_bytes == source->n_bytes)) {
        if (policy->to) fprintf(policy->to, "%s: is there, its SHA-256 is checked\n", name);
        st = look_inside(folder, fd, name, n_bytes, source, is_there, err);
    }
    close(fd);
    return st;
}

#include "cli/models/note.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_NOTE_BYTES = 16384 };

void note_time(char pulled[24])
{
    struct tm t;
    const time_t now = time(NULL);
    strftime(pulled, 24, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &t));
}

static void take_text(const json_t *from, const char *key, char *to, size_t capacity)
{
    const char *text = json_string_value(json_object_get(from, key));
    if (text && strlen(text) < capacity) snprintf(to, capacity, "%s", text);
}

bool note_read(int folder, const char *name, struct pull_note *note)
{
    char text[MAX_NOTE_BYTES];
    *note = (struct pull_note){ 0 };
    const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    const ssize_t n = read(fd, text, sizeof text);
    close(fd);
    json_t *json = n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
    const json_int_t size = json_integer_value(json_object_get(json, "size"));
    if (json_is_object(json) && size >= 0) {
        note->n_bytes = (uint64_t)size;
        note->is_verified = json_is_true(json_object_get(json, "verified"));
        take_text(json, "source", note->source, sizeof note->source);
        take_text(json, "endpoint", note->endpoint, sizeof note->endpoint);
        take_text(json, "revision", note->revision, sizeof note->revision);
        take_text(json, "etag", note->etag, sizeof note->etag);
        take_text(json, "sha256", note->sha256, sizeof note->sha256);
        take_text(json, "pulled", note->pulled, sizeof note->pulled);
    }
    json_decref(json);
    return *note->source != 0;
}

static bool write_all(int fd, const char *text, size_t n)
{
    while (n) {
        const ssize_t done = write(fd, text, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        text += done;
        n -= (size_t)done;
    }
    return true;
}

pl_status note_write(int folder, const char *name, const struct pull_note *note, pl_err *err)
{
    char temporary[NOTE_NAME_MAX];
    json_t *json = json_pack("{s:s, s:s, s:s, s:I, s:s, s:b, s:s, s:s}", "source", note->source,
                             "endpoint", note->endpoint, "revision", note->revision, "size",
                             (json_int_t)note->n_bytes, "sha256", note->sha256, "verified",
                             note->is_verified, "etag", note->etag, "pulled", note->pulled);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!text) return pl_fail(err, PL_E_MEMORY, "%s: no memory for it", name);
    snprintf(temporary, sizeof temporary, "%.240s.tmp", name);
    unlinkat(folder, temporary, 0);
    const int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                          0644);
    bool is_written = fd >= 0 && write_all(fd, text, strlen(text)) && write_all(fd, "\n", 1) &&
                      fsync(fd) == 0;
    int why = errno;
    if (fd >= 0) close(fd);
    if (is_written && renameat(folder, temporary, folder, name) != 0) {
        is_written = false;
        why = errno;
    }
    free(text);
    if (is_written) return PL_OK;
    unlinkat(folder, temporary, 0);
    return pl_fail(err, PL_E_IO, "%s: cannot write it: %s", name, strerror(why));
}

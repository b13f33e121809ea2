#include "cli/pull/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/models/dir.h"
#include "cli/pull/interrupt.h"
#include "cli/pull/sha256.h"

enum { WORTH_BYTES = 8 << 20 };

struct fetch {
    const struct fetch_source *source;
    const struct fetch_policy *policy;
    const char *name;
    int folder, fd;
    char part[NOTE_NAME_MAX], part_note[NOTE_NAME_MAX];
    struct sha256 sha256;           /* of the n_done bytes in the part */
    struct progress progress;
    struct pull_note note;          /* of the part */
    uint64_t n_done, n_total;       /* n_total 0: not known */
    bool is_judged;                 /* this reply's head was looked at */
    bool starts_anew;               /* this reply showed that the part is of no use */
    bool has_older_bytes;           /* not all of the part came in one reply */
    char magic[4];                  /* the file's first bytes */
    pl_err err;
};

/* ---- how far it is -------------------------------------------------------------------------- */

static uint64_t all_bytes(const struct fetch *f)
{
    return f->source->n_all ? f->source->n_all : f->n_total;
}

static void begin_progress(struct fetch *f)
{
    progress_begin(&f->progress, f->policy->to, f->name, all_bytes(f),
                   f->source->n_before + f->n_done);
}

static void tell_progress(struct fetch *f)
{
    progress_at(&f->progress, f->source->n_before + f->n_done);
}

/* ---- the part ------------------------------------------------------------------------------- */

static pl_status drop_part(struct fetch *f)
{
    f->n_done = 0;
    f->n_total = f->source->n_bytes;
    f->has_older_bytes = false;
    f->note.etag[0] = 0;
    tell_progress(f);
    if (ftruncate(f->fd, 0) != 0)
        return pl_fail(&f->err, PL_E_IO, "%s: %s", f->part, strerror(errno));
    return sha256_open(&f->sha256, &f->err);
}

/* Whether what lies there is the beginning of the file that is wanted now. Without a hash to check
 * the whole by only an equal ETag tells, so there must be one. */
static bool is_same_file(const struct fetch *f, const struct pull_note *old)
{
    const struct fetch_source *s = f->source;
    if (*s->sha256) return !strcmp(old->sha256, s->sha256);
    return !strcmp(old->source, s->note.source) && !strcmp(old->revision, s->note.revision) &&
           *old->etag && (!s->n_bytes || old->n_bytes == s->n_bytes);
}

static pl_status hash_part(struct fetch *f, uint64_t n_bytes)
{
    if (pread(f->fd, f->magic, sizeof f->magic, 0) != sizeof f->magic)
        return pl_fail(&f->err, PL_E_IO, "%s: cannot be read", f->part);
    const pl_status st = sha256_add_file(&f->sha256, f->fd, n_bytes, f->part, &f->err);
    if (!st) f->n_done = n_bytes;
    return st;
}

static pl_status open_part(struct fetch *f)
{
    struct stat info;
    struct pull_note old;
    pl_status st = sha256_open(&f->sha256, &f->err);
    if (!st && fstat(f->fd, &info) != 0)
        st = pl_fail(&f->err, PL_E_IO, "%s: %s", f->part, strerror(errno));
    if (st || info.st_size == 0) return st;
    const uint64_t n_bytes = (uint64_t)info.st_size;
    if (!note_read(f->folder, f->part_note, &old) || !is_same_file(f, &old) ||
        (f->n_total && n_bytes > f->n_total) || n_bytes < 4)
        return drop_part(f);
    if (!strcmp(old.endpoint, f->note.endpoint))        /* another hub's ETag says nothing */
        snprintf(f->note.etag, sizeof f->note.etag, "%s", old.etag);
    if (!f->n_total) f->n_total = old.n_bytes;
    f->has_older_bytes = true;
    st = hash_part(f, n_bytes);
    begin_progress(f);
    if (!st) progress_say(&f->progress, "%s: going on after %" PRIu64 " bytes", f->source->shown,
                          f->n_done);
    return st;
}

static pl_status write_part(struct fetch *f, const char *bytes, size_t n)
{
    size_t at = 0;
    while (at < n) {
        const ssize_t done = pwrite(f->fd, bytes + at, n - at, (off_t)(f->n_done + at));
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0)
            return pl_fail(&f->err, PL_E_IO, "%s: cannot write: %s", f->part,
                           strerror(done ? errno : ENOSPC));
        at += (size_t)done;
    }
    for (size_t i = 0; i < n && f->n_done + i < 4; i++) f->magic[f->n_done + i] = bytes[i];
    sha256_add(&f->sha256, bytes, n);
    f->n_done += n;
    return PL_OK;
}

/* ---- a reply -------------------------------------------------------------------------------- */

static pl_status wrong_size(struct fetch *f, uint64_t n_found)
{
    return pl_fail(&f->err, PL_E_IO, "%s: the server has %" PRIu64 " bytes of it, %" PRIu64
                   " are wanted: it has changed, or the listing is wrong; pull again later",
                   f->source->shown, n_found, f->n_total);
}

/* The rest of the file, or not? */
static pl_status judge_rest(struct fetch *f, const struct http_reply *r)
{
    const bool has_changed = *r->etag && *f->note.etag && strcmp(r->etag, f->note.etag) != 0;
    const bool has_size = r->has_range && r->total != HTTP_UNKNOWN;
    const bool is_other_size = has_size && f->n_total && r->total != f->n_total;
    if (is_other_size && f->source->n_bytes && !has_changed) return wrong_size(f, r->total);
    f->starts_anew = has_changed || is_other_size || !r->has_range || r->first != f->n_done;
    if (!f->n_total && has_size) f->n_total = r->total;
    return PL_OK;
}

static pl_status judge_whole(struct fetch *f, const struct http_reply *r)
{
    if (f->n_done)
        progress_say(&f->progress, "%s: from the start again: %s", f->source->shown,
                     *r->etag && strcmp(r->etag, f->note.etag) != 0 ? "it has changed"
                                                                    : "the server sends all of it");
    pl_status st = f->n_done ? drop_part(f) : PL_OK;
    if (!st && r->n_bytes != HTTP_UNKNOWN) {
        if (f->n_total && r->n_bytes != f->n_total) return wrong_size(f, r->n_bytes);
        f->n_total = r->n_bytes;
    }
    return st;
}

static pl_status judge(struct fetch *f, const struct http_reply *r)
{
    pl_status st = r->status == 206 ? judge_rest(f, r) : judge_whole(f, r);
    f->is_judged = true;
    if (st || f->starts_anew) return st;
    f->progress.n_total = all_bytes(f);
    st = fetch_check_limit(f->n_total, f->source->shown, &f->err);
    if (!st && f->n_total > f->n_done)
        st = fetch_check_room(f->folder, f->n_total - f->n_done, f->source->shown, &f->err);
    if (r->status == 200 || *r->etag) snprintf(f->note.etag, sizeof f->note.etag, "%s", r->etag);
    f->note.n_bytes = f->n_total;
    return st ? st : note_write(f->folder, f->part_note, &f->note, &f->err);
}

static bool on_body(void *arg, const struct http_reply *reply, const char *bytes, size_t n)
{
    struct fetch *f = arg;
    if (!f->is_judged && (judge(f, reply) || f->starts_anew)) return false;
    if (f->n_total && n > f->n_total - f->n_done) {
        pl_fail(&f->err, PL_E_IO, "%s: the server sends more than the %" PRIu64 " bytes it has",
                f->source->shown, f->n_total);
        return false;
    }
    if (write_part(f, bytes, n)) return false;
    tell_progress(f);
    return true;
}

/* ---- until all is there --------------------------------------------------------------------- */

enum verdict { IS_WHOLE, TRY_AGAIN, GIVE_UP };

static enum verdict look_at_end(struct fetch *f, const struct http_reply *r, bool has_token)
{
    if (r->status == 416 && f->n_done) {
        if (drop_part(f)) return GIVE_UP;
        pl_fail(&f->err, PL_E_IO, "%s: 416, the server has no more of it: from the start again",
                f->source->shown);
        return TRY_AGAIN;
    }
    if (r->status != 200 && r->status != 206) {
        http_explain(r, f->source->shown, f->note.revision, has_token, &f->err);
        return http_is_passing(r->status) ? TRY_AGAIN : GIVE_UP;
    }
    if (!f->is_judged && judge(f, r)) return GIVE_UP;       /* it had no body */
    if (f->starts_anew && drop_part(f)) return GIVE_UP;
    if (f->n_total ? f->n_done == f->n_total : f->n_done > 0) {
        f->n_total = f->n_done;
        return IS_WHOLE;
    }
    pl_fail(&f->err, PL_E_IO, "%s: ended after %" PRIu64 " of %" PRIu64 " bytes", f->source->shown,
            f->n_done, f->n_total);
    return TRY_AGAIN;
}

static enum verdict try_once(struct fetch *f, struct pull_http *http, struct http_reply *reply)
{
    /* without a hash and without an ETag nothing says that the rest is of the same file */
    if (f->n_done && !*f->source->sha256 && !*f->note.etag && drop_part(f)) return GIVE_UP;
    const struct http_request request = { f->source->url, f->n_done, f->note.etag, on_body, f };
    f->is_judged = f->starts_anew = false;
    if (f->n_done) f->has_older_bytes = true;
    f->err = (pl_err){ 0 };
    const enum http_end end = pull_http_get(http, &request, reply, &f->err);
    switch (end) {
    case HTTP_DONE:
        return look_at_end(f, reply, http->token != NULL);
    case HTTP_CUT:
        return TRY_AGAIN;
    case HTTP_STOPPED:
        if (!f->starts_anew || f->err.status) return GIVE_UP;
        if (drop_part(f)) return GIVE_UP;
        pl_fail(&f->err, PL_E_IO, "%s: the rest that the server sends is of another file: from the "
                "start again", f->source->shown);
        return TRY_AGAIN;
    default:
        return GIVE_UP;
    }
}

/* Tries are counted anew only when there is more of the file than ever: that is bounded too. */
static pl_status fetch_all(struct fetch *f, struct pull_http *http)
{
    uint32_t n_tried = 0;
    uint64_t n_most = f->n_done;
    while (!f->n_total || f->n_done < f->n_total) {
        struct http_reply reply = { 0 };
        const enum verdict v = try_once(f, http, &reply);
        if (v == IS_WHOLE) break;
        if (v == GIVE_UP) return f->err.status;
        if (f->n_done >= n_most + WORTH_BYTES) {
            n_most = f->n_done;
            n_tried = 0;
        }
        if (!fetch_wait(f->policy, &f->progress, &reply, &n_tried, &f->err)) return f->err.status;
    }
    return PL_OK;
}

/* ---- the end -------------------------------------------------------------------------------- */

static pl_status verify(struct fetch *f, bool *is_wrong)
{
    char found[65];
    sha256_take(&f->sha256, found);
    *is_wrong = *f->source->sha256 && strcmp(found, f->source->sha256) != 0;
    if (*is_wrong)
        return pl_fail(&f->err, PL_E_IO, "%s: SHA-256 is %.12s..., %.12s... is wanted: damaged on "
                       "its way, or changed meanwhile; nothing was kept", f->source->shown, found,
                       f->source->sha256);
    if (memcmp(f->magic, "GGUF", 4) != 0) {
        *is_wrong = true;
        return pl_fail(&f->err, PL_E_FORMAT, "%s: what the server sent is no GGUF file; nothing "
                       "was kept", f->source->shown);
    }
    snprintf(f->note.sha256, sizeof f->note.sha256, "%s", found);
    f->note.is_verified = *f->source->sha256 != 0;
    return PL_OK;
}

/* On macOS fsync leaves data in the drive's own memory. */
static int to_disk(int fd)
{
#ifdef F_FULLFSYNC
    if (fcntl(fd, F_FULLFSYNC) == 0) return 0;
#endif
    return fsync(fd);
}

/* The note of an older file under this name goes first: a note never speaks of another file. */
static pl_status put_in_place(struct fetch *f, const char *name)
{
    char note[NOTE_NAME_MAX];
    snprintf(note, sizeof note, "%.240s.json", name);
    if (to_disk(f->fd) != 0 || (unlinkat(f->folder, note, 0) != 0 && errno != ENOENT) ||
        renameat(f->folder, f->part, f->folder, name) != 0)
        return pl_fail(&f->err, PL_E_IO, "%s: %s", name, strerror(errno));
    fsync(f->folder);               /* some systems cannot; only a loss of power would tell */
    f->note.n_bytes = f->n_total;
    note_time(f->note.pulled);
    const pl_status st = note_write(f->folder, note, &f->note, &f->err);
    unlinkat(f->folder, f->part_note, 0);
    return st;
}

static void tell_end(struct fetch *f)
{
    char size[16];
    progress_bytes(size, sizeof size, f->n_total);
    progress_say(&f->progress, "%s: %s, SHA-256 %.12s... %s", f->source->shown, size,
                 f->note.sha256,
                 f->note.is_verified ? "as it must be" : "(none was given to check it by)");
}

static pl_status fetch_verified(struct fetch *f, struct pull_http *http, const char *name)
{
    for (bool is_second = false;; is_second = true) {
        bool is_wrong = false;
        pl_status st = fetch_all(f, http);
        if (!st) st = verify(f, &is_wrong);
        if (!st) st = put_in_place(f, name);
        if (!st) tell_end(f);
        if (!is_wrong) return st;
        const bool had_older_bytes = f->has_older_bytes;
        const pl_err why = f->err;
        if (drop_part(f)) return f->err.status;
        f->err = why;
        if (is_second || !had_older_bytes) return st;
        progress_say(&f->progress, "%s; once more from the start", why.text);
    }
}

static void remove_part(struct fetch *f)
{
    unlinkat(f->folder, f->part_note, 0);
    unlinkat(f->folder, f->part, 0);
}

/* An empty part would only puzzle. */
static void leave_part(struct fetch *f, bool is_done)
{
    struct stat info;
    if (!is_done && fstat(f->fd, &info) == 0 && info.st_size == 0) remove_part(f);
    close(f->fd);
}

static void tick(void *arg)
{
    progress_tick(arg);
}

pl_status fetch_file(struct pull_http *http, int folder, const char *name,
                     const struct fetch_source *source, const struct fetch_policy *policy,
                     pl_err *err)
{
    struct fetch f = { .source = source, .policy = policy, .name = name, .folder = folder, .fd = -1,
                       .note = source->note, .n_total = source->n_bytes };
    snprintf(f.part, sizeof f.part, "%.240s.part", name);
    snprintf(f.part_note, sizeof f.part_note, "%.240s.json", f.part);
    snprintf(f.note.sha256, sizeof f.note.sha256, "%s", source->sha256);
    bool is_there = false;
    pl_status st = models_lock_part(folder, name, &f.fd, &f.err);
    /* another process may have brought it while we came to the lock */
    if (!st) st = fetch_is_there(folder, name, source, policy, &is_there, &f.err);
    if (!st && is_there) {
        remove_part(&f);
    } else if (!st) {
        begin_progress(&f);
        if (policy->to) interrupt_begin(name);
        http->tick = tick;
        http->tick_arg = &f.progress;
        st = open_part(&f);
        if (!st) st = fetch_verified(&f, http, name);
        progress_end(&f.progress);
        if (policy->to) interrupt_end();
        http->tick = NULL;
    }
    if (f.fd >= 0) leave_part(&f, st == PL_OK);
    sha256_close(&f.sha256);
    if (st && err) *err = f.err;
    return st;
}

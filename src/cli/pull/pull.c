#include "cli/pull/pull.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "cli/pull/fetch.h"

enum { MAX_PAGE_BYTES = 64 << 20, MAX_PAGES = 500 };

struct pull {
    const struct pull_options *options;
    struct fetch_policy policy;
    struct pull_name name;
    char endpoint[256];             /* without a '/' at its end */
    char revision[128];
    struct pull_http http;
    struct models_dir dir;
};

/* ---- addresses ------------------------------------------------------------------------------ */

/* Escapes all but what every URL may hold, and `plain`. */
static void add_escaped(struct strbuf *url, const char *text, char plain)
{
    for (; *text; text++)
        if (isalnum((unsigned char)*text) || strchr("-._~", *text) || *text == plain)
            strbuf_add(url, text, 1);
        else
            strbuf_addf(url, "%%%02X", (unsigned char)*text);
}

static void listing_url(const struct pull *p, struct strbuf *url)
{
    strbuf_addf(url, "%s/api/models/%s/tree/", p->endpoint, p->name.folder);
    add_escaped(url, p->revision, 0);
    strbuf_add_str(url, "?recursive=true");
}

static void file_url(const struct pull *p, const char *path, struct strbuf *url)
{
    strbuf_addf(url, "%s/%s/resolve/", p->endpoint, p->name.folder);
    add_escaped(url, p->revision, 0);
    strbuf_add_str(url, "/");
    add_escaped(url, path, '/');
}

/* The URL of another part of a split file: its name is exchanged, its query stays. */
static void part_url(const struct pull *p, const char *path, struct strbuf *url)
{
    const char *whole = p->name.url;
    const size_t n_shown = strcspn(whole, "?"), n_file = strlen(p->name.file);
    strbuf_add(url, whole, n_shown > n_file ? n_shown - n_file : n_shown);
    strbuf_add_str(url, path);
    strbuf_add_str(url, whole + n_shown);
}

/* ---- the hub's listing ---------------------------------------------------------------------- */

static bool add_to_page(void *arg, const struct http_reply *reply, const char *bytes, size_t n)
{
    struct strbuf *page = arg;
    (void)reply;
    strbuf_add(page, bytes, n);
    return !page->failed && page->n <= MAX_PAGE_BYTES;
}

static pl_status get_page(struct pull *p, const char *url, struct strbuf *page,
                          struct http_reply *reply, pl_err *err)
{
    struct progress lines = { .to = p->policy.to };
    const struct http_request request = { .url = url, .body = add_to_page, .arg = page };
    for (uint32_t n_tried = 0;;) {
        strbuf_clear(page);
        const enum http_end end = pull_http_get(&p->http, &request, reply, err);
        if (end == HTTP_DONE && reply->status == 200) return PL_OK;
        if (end == HTTP_DONE)
            http_explain(reply, p->name.shown, p->revision, p->http.token != NULL, err);
        if (end == HTTP_STOPPED)
            return pl_fail(err, PL_E_IO, "%s: the hub's listing is too long", p->name.shown);
        if (end == HTTP_FAILED || (end == HTTP_DONE && !http_is_passing(reply->status)) ||
            !fetch_wait(&p->policy, &lines, reply, &n_tried, err))
            return err->status;
    }
}

/* `next` may be relative to where it was found. */
static bool next_page(char *url, size_t capacity, const char *next)
{
    char *whole = NULL;
    CURLU *u = curl_url();
    const bool is_found = u && !curl_url_set(u, CURLUPART_URL, url, 0) &&
                          !curl_url_set(u, CURLUPART_URL, next, 0) &&
                          !curl_url_get(u, CURLUPART_URL, &whole, 0) &&
                          !strncasecmp(whole, "http", 4) && strlen(whole) < capacity;
    if (is_found) snprintf(url, capacity, "%s", whole);
    curl_free(whole);
    curl_url_cleanup(u);
    return is_found;
}

static pl_status get_listing(struct pull *p, struct listing *l, pl_err *err)
{
    struct strbuf page = { 0 }, first = { 0 };
    char url[2 * PULL_URL_MAX];
    struct http_reply reply = { 0 };
    pl_status st = PL_OK;
    listing_url(p, &first);
    snprintf(url, sizeof url, "%s", first.failed ? "" : first.bytes);
    for (int n_pages = 1; !st; n_pages++) {
        st = get_page(p, url, &page, &reply, err);
        if (!st) st = listing_add_page(l, page.bytes ? page.bytes : "", page.n, err);
        if (st || !*reply.next) break;
        if (n_pages == MAX_PAGES || !next_page(url, sizeof url, reply.next))
            st = pl_fail(err, PL_E_FORMAT, "%s: the hub's listing does not end", p->name.shown);
    }
    strbuf_free(&page);
    strbuf_free(&first);
    return st ? st : listing_group(l, err);
}

static void print_choices(const struct pull *p, const struct listing *l)
{
    if (!p->policy.to || !l->n_models) return;
    fprintf(p->policy.to, "%s has:\n", p->name.folder);
    listing_print(l, p->policy.to);
}

/* ---- files ---------------------------------------------------------------------------------- */

/* `listed` NULL: of a URL. `url` keeps the memory of source->url. */
static pl_status make_source(const struct pull *p, const char *path,
                             const struct listing_file *listed, struct strbuf *url,
                             struct fetch_source *source, pl_err *err)
{
    *source = (struct fetch_source){ .shown = path, .sha256 = "" };
    if (listed) file_url(p, path, url);
    else part_url(p, path, url);
    if (url->failed) return pl_fail(err, PL_E_MEMORY, "no memory for a URL");
    source->url = url->bytes;
    struct pull_note *note = &source->note;
    if (listed) {
        snprintf(note->source, sizeof note->source, "%s", p->name.folder);
        snprintf(note->endpoint, sizeof note->endpoint, "%s", p->endpoint);
        snprintf(note->revision, sizeof note->revision, "%s", p->revision);
        source->n_bytes = listed->n_bytes;
        source->sha256 = listed->sha256;
    } else {
        snprintf(note->source, sizeof note->source, "%.*s", (int)strcspn(url->bytes, "?"),
                 url->bytes);
    }
    if (p->options->sha256) source->sha256 = p->options->sha256;
    return PL_OK;
}

/* The folder that a file belongs to, made where it is missing, and the file's name in it. */
static pl_status enter_folder_of(const struct pull *p, const char *path, int *fd,
                                 char name[PULL_PATH_MAX], pl_err *err)
{
    char folder[PULL_PATH_MAX], whole[2 * PULL_PATH_MAX];
    snprintf(whole, sizeof whole, "%s/%s", p->name.folder, path);
    if (!pull_path_is_safe(whole))
        return pl_fail(err, PL_E_PARAM, "%s: this path is too long", whole);
    snprintf(name, PULL_PATH_MAX, "%s", models_split_path(folder, whole));
    return models_dir_enter(&p->dir, folder, true, fd, err);
}

/* n_before, n_all: as fetch_source has them. */
static pl_status fetch_part(struct pull *p, const char *path, const struct listing_file *listed,
                            uint64_t n_before, uint64_t n_all, pl_err *err)
{
    char name[PULL_PATH_MAX];
    struct strbuf url = { 0 };
    struct fetch_source source;
    int fd = -1;
    pl_status st = make_source(p, path, listed, &url, &source, err);
    source.n_before = n_before;
    source.n_all = n_all;
    if (!st) st = enter_folder_of(p, path, &fd, name, err);
    if (fd >= 0) {
        st = fetch_file(&p->http, fd, name, &source, &p->policy, err);
        close(fd);
    }
    strbuf_free(&url);
    return st;
}

/* Bytes of a part that are still to come. */
static pl_status add_missing(struct pull *p, const char *path, const struct listing_file *listed,
                             uint64_t *n_bytes, pl_err *err)
{
    char name[PULL_PATH_MAX];
    struct strbuf url = { 0 };
    struct fetch_source source;
    int fd = -1;
    bool is_there = false;
    pl_status st = make_source(p, path, listed, &url, &source, err);
    if (!st) st = enter_folder_of(p, path, &fd, name, err);
    if (!st) {
        st = fetch_is_there(fd, name, &source, &p->policy, &is_there, err);
        const uint64_t n_have = fetch_have_bytes(fd, name);
        if (!is_there && n_have < listed->n_bytes) *n_bytes += listed->n_bytes - n_have;
        close(fd);
    }
    strbuf_free(&url);
    return st;
}

/* Folders that were made for nothing. */
static void tidy(const struct pull *p, const char *path)
{
    char whole[2 * PULL_PATH_MAX];
    snprintf(whole, sizeof whole, "%s/%s", p->name.folder, path);
    models_dir_tidy(&p->dir, whole);
}

/* Room for all parts before the first is begun. */
static pl_status check_room(struct pull *p, const struct listing *l, const struct listing_model *m,
                            pl_err *err)
{
    uint64_t n_bytes = 0;
    pl_status st = PL_OK;
    for (uint32_t part = 1; !st && part <= m->n_parts; part++) {
        char path[PULL_PATH_MAX];
        listing_part_path(path, sizeof path, m->first, part);
        st = add_missing(p, path, listing_find(l, path), &n_bytes, err);
    }
    return st ? st : fetch_check_room(p->dir.fd, n_bytes, p->name.shown, err);
}

static void tell_size(const struct pull *p, const struct listing_model *m)
{
    char size[16];
    progress_bytes(size, sizeof size, m->n_bytes);
    if (!p->policy.to) return;
    fprintf(p->policy.to, "%s: %s, %u file%s, %s\n", p->name.folder, *m->tag ? m->tag : m->first,
            m->n_parts, m->n_parts > 1 ? "s" : "", size);
}

static pl_status pull_from_hub(struct pull *p, char first[PULL_PATH_MAX], pl_err *err)
{
    struct listing l = { 0 };
    const struct listing_model *m = NULL;
    pl_status st = get_listing(p, &l, err);
    if (!st && (st = listing_choose(&l, &p->name, true, &m, err))) print_choices(p, &l);
    if (!st && m->n_there != m->n_parts)
        st = pl_fail(err, PL_E_FORMAT, "%s: the hub lists %u of its %u parts", m->first, m->n_there,
                     m->n_parts);
    if (!st && p->options->sha256 && m->n_parts > 1)
        st = pl_fail(err, PL_E_PARAM, "--sha256 is of one file, %s has %u parts", m->first,
                     m->n_parts);
    if (!st) tell_size(p, m);
    if (!st) st = check_room(p, &l, m, err);
    uint64_t n_before = 0;
    for (uint32_t part = 1; !st && part <= m->n_parts; part++) {
        char path[PULL_PATH_MAX];
        listing_part_path(path, sizeof path, m->first, part);
        const struct listing_file *listed = listing_find(&l, path);
        st = fetch_part(p, path, listed, n_before, m->n_parts > 1 ? m->n_bytes : 0, err);
        if (m->n_parts > 1) n_before += listed->n_bytes;
    }
    if (!st) snprintf(first, PULL_PATH_MAX, "%s", m->first);
    else if (m) tidy(p, m->first);
    listing_free(&l);
    return st;
}

static pl_status pull_from_url(struct pull *p, char first[PULL_PATH_MAX], pl_err *err)
{
    uint32_t part, n_parts = 1;
    listing_part_path(first, PULL_PATH_MAX, p->name.file, 1);
    if (!listing_split_of(first, &part, &n_parts)) n_parts = 1;
    if (p->options->sha256 && n_parts > 1)
        return pl_fail(err, PL_E_PARAM, "--sha256 is of one file, %s has %u parts", first, n_parts);
    pl_status st = PL_OK;
    for (part = 1; !st && part <= n_parts; part++) {
        char path[PULL_PATH_MAX];
        listing_part_path(path, sizeof path, first, part);
        st = fetch_part(p, path, NULL, 0, 0, err);
    }
    if (st) tidy(p, first);
    return st;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static pl_status check_options(struct pull *p, pl_err *err)
{
    const struct pull_options *o = p->options;
    const char *revision = o->revision         ? o->revision
                           : *p->name.revision ? p->name.revision
                                               : "main";
    size_t n = strlen(o->endpoint);
    while (n && o->endpoint[n - 1] == '/') n--;
    const bool is_http = !strncasecmp(o->endpoint, "https://", 8) ||
                         !strncasecmp(o->endpoint, "http://", 7);
    if (n >= sizeof p->endpoint || !is_http || strpbrk(o->endpoint, "?#@") ||
        !pull_url_is_plain(o->endpoint))
        return pl_fail(err, PL_E_PARAM, "--endpoint (HF_ENDPOINT): wanted is https://HOST, without "
                       "user, query and password");
    snprintf(p->endpoint, sizeof p->endpoint, "%.*s", (int)n, o->endpoint);
    if (!pull_revision_is_safe(revision))
        return pl_fail(err, PL_E_PARAM, "--revision: \"%s\" is no branch, tag or commit", revision);
    snprintf(p->revision, sizeof p->revision, "%s", revision);
    if (o->sha256 && (strlen(o->sha256) != 64 || strspn(o->sha256, "0123456789abcdef") != 64))
        return pl_fail(err, PL_E_PARAM, "--sha256: wanted are 64 digits from 0 to f");
    return PL_OK;
}

pl_status pull_model(const char *name, const struct pull_options *o, char path[MODELS_PATH_MAX],
                     pl_err *err)
{
    struct pull p = { .options = o, .policy = { o->max_retries, o->retry_delay_s, o->to } };
    char first[PULL_PATH_MAX];
    pl_err own;
    if (!err) err = &own;
    pl_status st = pull_name_parse(&p.name, name, o->endpoint, err);
    if (!st) st = check_options(&p, err);
    if (st) return st;
    /* a hub's token is no business of another server, unless the person says so */
    const bool has_token = *o->token && (!p.name.is_url || o->is_token_given);
    st = pull_http_open(&p.http, has_token ? o->token : NULL,
                        p.name.is_url ? p.name.url : p.endpoint, o->stall_s, err);
    if (!st && has_token && !p.http.token && o->to)
        fprintf(o->to, "no token is sent to %s: it is not https\n",
                p.name.is_url ? p.name.shown : p.endpoint);
    if (!st) st = models_dir_open(&p.dir, o->dir, true, err);
    if (!st && !p.name.is_url) st = models_dir_know(&p.dir, p.name.folder, err);
    if (!st) st = p.name.is_url ? pull_from_url(&p, first, err) : pull_from_hub(&p, first, err);
    if (!st) snprintf(path, MODELS_PATH_MAX, "%s/%s/%s", p.dir.path, p.name.folder, first);
    models_dir_close(&p.dir);
    pull_http_close(&p.http);
    return st;
}

#include "cli/top/fetch.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/strbuf.h"

enum { TIMEOUT_MS = 5000, CONNECT_TIMEOUT_MS = 2000, MAX_BODY = 8 << 20 };

struct question {
    CURL *easy;
    struct strbuf body;
    char why[CURL_ERROR_SIZE];
    CURLcode result;
    bool is_open;
};

struct asked {
    struct top_server *server;
    struct question metrics, slots;
};

struct top_fetch {
    CURLM *multi;
    struct curl_slist *headers;
    struct asked *asked;            /* (n) */
    size_t n, n_open;
};

static size_t take(char *bytes, size_t size, size_t n, void *arg)
{
    struct question *q = arg;
    if (q->body.n + size * n > MAX_BODY) return 0;      /* curl ends the transfer */
    strbuf_add(&q->body, bytes, size * n);
    return q->body.failed ? 0 : size * n;
}

static bool is_loopback(const char *url)
{
    static const char *const hosts[] = { "://127.", "://localhost", "://[::1]" };
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (strstr(url, hosts[i])) return true;
    return false;
}

static bool open_question(struct top_fetch *f, const struct client *client, struct question *q,
                          struct asked *a, const char *path)
{
    char url[sizeof a->server->url + 16];
    q->easy = curl_easy_init();
    if (!q->easy) return false;
    snprintf(url, sizeof url, "%s%s", a->server->url, path);
    bool is_ok = !curl_easy_setopt(q->easy, CURLOPT_URL, url);
    curl_easy_setopt(q->easy, CURLOPT_HTTPHEADER, f->headers);
    curl_easy_setopt(q->easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(q->easy, CURLOPT_WRITEDATA, q);
    curl_easy_setopt(q->easy, CURLOPT_PRIVATE, a);
    curl_easy_setopt(q->easy, CURLOPT_ERRORBUFFER, q->why);
    curl_easy_setopt(q->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(q->easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(q->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(q->easy, CURLOPT_USERAGENT, "paceline-top/" PL_VERSION);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(q->easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(q->easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    client_apply(client, q->easy);
    if (is_loopback(url)) curl_easy_setopt(q->easy, CURLOPT_PROXY, "");
    return is_ok;
}

static pl_status fill(struct top_fetch *f, struct top_server *servers, const struct client *client,
                      pl_err *err)
{
    struct strbuf header = { 0 };
    if (*client->key) {
        strbuf_addf(&header, "Authorization: Bearer %s", client->key);
        f->headers = header.failed ? NULL : curl_slist_append(NULL, header.bytes);
        strbuf_free(&header);
        if (!f->headers) return pl_fail(err, PL_E_MEMORY, "out of memory");
    }
    f->multi = curl_multi_init();
    if (!f->multi) return pl_fail(err, PL_E_MEMORY, "out of memory");
    for (size_t i = 0; i < f->n; i++) {
        struct asked *a = &f->asked[i];
        a->server = &servers[i];
        if (!open_question(f, client, &a->metrics, a, "/metrics") ||
            !open_question(f, client, &a->slots, a, "/slots"))
            return pl_fail(err, PL_E_PARAM, "%.150s: no address that can be asked", servers[i].url);
    }
    return PL_OK;
}

pl_status top_fetch_open(struct top_fetch **out, struct top_server *servers, size_t n_servers,
                         const struct client *client, pl_err *err)
{
    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) return pl_fail(err, PL_E_MEMORY, "libcurl failed");
    struct top_fetch *f = calloc(1, sizeof *f);
    if (f) f->asked = calloc(n_servers, sizeof *f->asked);
    if (!f || !f->asked) {
        free(f);
        curl_global_cleanup();
        return pl_fail(err, PL_E_MEMORY, "out of memory");
    }
    f->n = n_servers;
    const pl_status st = fill(f, servers, client, err);
    if (st) top_fetch_close(f);
    else *out = f;
    return st;
}

static void close_question(struct top_fetch *f, struct question *q)
{
    if (q->is_open) curl_multi_remove_handle(f->multi, q->easy);
    curl_easy_cleanup(q->easy);
    strbuf_free(&q->body);
}

void top_fetch_close(struct top_fetch *f)
{
    if (!f) return;
    for (size_t i = 0; i < f->n; i++) {
        close_question(f, &f->asked[i].metrics);
        close_question(f, &f->asked[i].slots);
    }
    curl_multi_cleanup(f->multi);
    curl_slist_free_all(f->headers);
    free(f->asked);
    free(f);
    curl_global_cleanup();
}

static void begin(struct top_fetch *f, struct question *q)
{
    strbuf_free(&q->body);
    q->body = (struct strbuf){ 0 };
    q->why[0] = 0;
    q->is_open = !curl_multi_add_handle(f->multi, q->easy);
    q->result = q->is_open ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    f->n_open += q->is_open;
}

void top_fetch_begin(struct top_fetch *f)
{
    for (size_t i = 0; i < f->n; i++) {
        struct asked *a = &f->asked[i];
        if (a->metrics.is_open || a->slots.is_open) continue;
        begin(f, &a->metrics);
        begin(f, &a->slots);
    }
}

/* The server's own words out of an error in OpenAI's shape, or the status alone. */
static void refusal(char *why, size_t n_why, const struct question *q, long status)
{
    json_t *body = q->body.n ? json_loadb(q->body.bytes, q->body.n, 0, NULL) : NULL;
    const char *message = json_string_value(
        json_object_get(json_object_get(body, "error"), "message"));
    snprintf(why, n_why, "/metrics answers %ld%s%s", status, message ? ": " : "",
             message ? message : "");
    json_decref(body);
}

/* The server runs here if our end of the connection has the address of its end. */
static bool is_on_this_machine(const struct question *q)
{
    const char *theirs = NULL, *ours = NULL;
    curl_easy_getinfo(q->easy, CURLINFO_PRIMARY_IP, &theirs);
    curl_easy_getinfo(q->easy, CURLINFO_LOCAL_IP, &ours);
    return theirs && ours && *ours && !strcmp(theirs, ours);
}

static long status_of(const struct question *q)
{
    long status = 0;
    curl_easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static void tell(struct asked *a)
{
    const struct question *m = &a->metrics, *s = &a->slots;
    const uint64_t now_ns = clock_ns();
    const long status = status_of(m);
    if (m->result) {
        top_server_fail(a->server, now_ns, TOP_DOWN,
                        *m->why ? m->why : curl_easy_strerror(m->result));
    } else if (status != 200) {
        char why[sizeof a->server->why];
        refusal(why, sizeof why, m, status);
        top_server_fail(a->server, now_ns, TOP_REFUSES, why);
    } else {
        const bool has_slots = !s->result && status_of(s) == 200 && s->body.n;
        a->server->is_local = is_on_this_machine(m);
        top_server_answer(a->server, now_ns, m->body.n ? m->body.bytes : "", m->body.n,
                          has_slots ? s->body.bytes : NULL, s->body.n);
    }
}

static bool collect(struct top_fetch *f)
{
    int n_left;
    bool is_any = false;
    for (const CURLMsg *m; (m = curl_multi_info_read(f->multi, &n_left));) {
        char *private = NULL;
        if (m->msg != CURLMSG_DONE) continue;
        CURL *easy = m->easy_handle;
        const CURLcode result = m->data.result;         /* gone once the handle is removed */
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        struct asked *a = (struct asked *)(void *)private;
        struct question *q = easy == a->metrics.easy ? &a->metrics : &a->slots;
        curl_multi_remove_handle(f->multi, easy);
        q->result = result;
        q->is_open = false;
        f->n_open--;
        if (a->metrics.is_open || a->slots.is_open) continue;
        tell(a);
        is_any = true;
    }
    return is_any;
}

bool top_fetch_wait(struct top_fetch *f, int fd, int timeout_ms)
{
    struct curl_waitfd input = { .fd = fd, .events = CURL_WAIT_POLLIN };
    int n_running;
    curl_multi_perform(f->multi, &n_running);
    if (collect(f)) return true;
    curl_multi_poll(f->multi, fd >= 0 ? &input : NULL, fd >= 0, timeout_ms, NULL);
    curl_multi_perform(f->multi, &n_running);
    return collect(f);
}

size_t top_fetch_n_open(const struct top_fetch *f)
{
    return f->n_open;
}

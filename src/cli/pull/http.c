#include "cli/pull/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "paceline.h"

enum {
    MAX_REDIRECTS = 10,
    CONNECT_TIMEOUT_S = 30,
    LEAST_BYTES_PER_S = 1024,
    MAX_UNWANTED_BYTES = 1 << 20,   /* of the page that comes with an error */
};

/* ---- who may have the token ----------------------------------------------------------------- */

struct origin {
    char *scheme, *host, *port;
};

static void origin_free(struct origin *o)
{
    curl_free(o->scheme);
    curl_free(o->host);
    curl_free(o->port);
    *o = (struct origin){ 0 };
}

static bool origin_of(struct origin *o, const char *text)
{
    *o = (struct origin){ 0 };
    CURLU *url = curl_url();
    const bool is_url = url && !curl_url_set(url, CURLUPART_URL, text, 0) &&
                        !curl_url_get(url, CURLUPART_SCHEME, &o->scheme, 0) &&
                        !curl_url_get(url, CURLUPART_HOST, &o->host, 0) &&
                        !curl_url_get(url, CURLUPART_PORT, &o->port, CURLU_DEFAULT_PORT);
    curl_url_cleanup(url);
    if (!is_url) origin_free(o);
    return is_url;
}

bool http_same_origin(const char *a, const char *b)
{
    struct origin x, y;
    const bool is_x = origin_of(&x, a), is_y = origin_of(&y, b);
    const bool same = is_x && is_y && !strcasecmp(x.scheme, y.scheme) &&
                      !strcasecmp(x.host, y.host) && !strcmp(x.port, y.port);
    origin_free(&x);
    origin_free(&y);
    return same;
}

static bool is_private_enough(const char *url)
{
    struct origin o;
    if (!origin_of(&o, url)) return false;
    const bool is_enough = !strcasecmp(o.scheme, "https") || !strcasecmp(o.host, "localhost") ||
                           !strcmp(o.host, "[::1]") || !strncmp(o.host, "127.", 4);
    origin_free(&o);
    return is_enough;
}

/* ---- one handle ------------------------------------------------------------------------------ */

/* What the callbacks of one transfer share. */
struct transfer {
    struct pull_http *http;
    const struct http_request *request;
    struct http_reply *reply;
    uint64_t n_unwanted;
    bool is_stopped, has_enough;
};

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    http_read_header(t->reply, line, size * n);
    return size * n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    n *= size;
    if (t->reply->status != 200 && t->reply->status != 206) {
        t->n_unwanted += n;
        t->has_enough = t->n_unwanted > MAX_UNWANTED_BYTES;
        return t->has_enough ? 0 : n;
    }
    t->is_stopped = !t->request->body(t->request->arg, t->reply, bytes, n);
    return t->is_stopped ? 0 : n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct pull_http *h = arg;
    (void)a, (void)b, (void)c, (void)d;
    if (h->tick) h->tick(h->tick_arg);
    return 0;
}

pl_status pull_http_open(struct pull_http *h, const char *token, const char *token_for,
                         uint32_t stall_s, pl_err *err)
{
    *h = (struct pull_http){ .token = token && is_private_enough(token_for) ? token : NULL,
                             .token_for = token_for };
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return pl_fail(err, PL_E_INTERNAL, "libcurl does not start");
    h->curl = curl_easy_init();
    if (!h->curl) {
        curl_global_cleanup();
        return pl_fail(err, PL_E_MEMORY, "libcurl: no memory");
    }
    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "paceline/" PL_VERSION);
    curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, (long)LEAST_BYTES_PER_S);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, (long)stall_s);
    curl_easy_setopt(h->curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);    /* a proxy's */
    curl_easy_setopt(h->curl, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->why);
    curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(h->curl, CURLOPT_XFERINFODATA, h);
    curl_easy_setopt(h->curl, CURLOPT_NOPROGRESS, 0L);
    return PL_OK;
}

void pull_http_close(struct pull_http *h)
{
    if (h->curl) {
        curl_easy_cleanup(h->curl);
        curl_global_cleanup();
    }
    *h = (struct pull_http){ 0 };
}

static bool is_https(const char *url)
{
    return !strncasecmp(url, "https://", 8);
}

/* ---- one request ---------------------------------------------------------------------------- */

static struct curl_slist *headers_of(const struct pull_http *h, const struct http_request *request,
                                     bool with_token)
{
    char line[1024];
    struct curl_slist *list = curl_slist_append(NULL, "Accept: */*");
    if (with_token) {
        snprintf(line, sizeof line, "Authorization: Bearer %s", h->token);
        list = curl_slist_append(list, line);
    }
    if (request->from) {
        snprintf(line, sizeof line, "Range: bytes=%llu-", (unsigned long long)request->from);
        list = curl_slist_append(list, line);
        if (request->if_range && *request->if_range) {
            snprintf(line, sizeof line, "If-Range: %s", request->if_range);
            list = curl_slist_append(list, line);
        }
    }
    return list;
}

static bool may_pass(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static enum http_end transfer(struct transfer *t, const char *url, bool with_token, pl_err *err)
{
    struct pull_http *h = t->http;
    struct curl_slist *headers = headers_of(h, t->request, with_token);
    if (!headers) {
        pl_fail(err, PL_E_MEMORY, "no memory for a request");
        return HTTP_FAILED;
    }
    h->why[0] = 0;
    *t->reply = (struct http_reply){ .n_bytes = HTTP_UNKNOWN };
    curl_easy_setopt(h->curl, CURLOPT_URL, url);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, t);
    const CURLcode code = curl_easy_perform(h->curl);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);

    curl_off_t retry_after = 0;
    if (!curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &retry_after) && retry_after > 0)
        t->reply->retry_after_s = (uint64_t)retry_after;
    if (t->is_stopped) return HTTP_STOPPED;
    if (code == CURLE_OK || t->has_enough) return HTTP_DONE;
    pl_fail(err, PL_E_IO, "%.*s: %s", (int)strcspn(t->request->url, "?#"), t->request->url,
            h->why[0] ? h->why : curl_easy_strerror(code));
    return may_pass(code) ? HTTP_CUT : HTTP_FAILED;
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where the reply that just came leads: a copy to free, or NULL and the reason. */
static char *next_hop(struct pull_http *h, const char *from, pl_err *err)
{
    char *to = NULL;
    curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &to);
    const int n_from = (int)strcspn(from, "?#");
    if (!to) {
        pl_fail(err, PL_E_IO, "%.*s: redirected to nowhere", n_from, from);
        return NULL;
    }
    if (!is_https(to) && (is_https(from) || strncasecmp(to, "http://", 7) != 0)) {
        pl_fail(err, PL_E_IO, "%.*s: redirected to %.*s: refused, it is not https", n_from, from,
                (int)strcspn(to, "?#"), to);
        return NULL;
    }
    char *copy = strdup(to);
    if (!copy) pl_fail(err, PL_E_MEMORY, "no memory for a URL");
    return copy;
}

enum http_end pull_http_get(struct pull_http *h, const struct http_request *request,
                            struct http_reply *reply, pl_err *err)
{
    char *url = strdup(request->url);
    bool with_token = h->token != NULL;
    enum http_end end = HTTP_FAILED;
    if (!url) pl_fail(err, PL_E_MEMORY, "no memory for a URL");

    for (int hop = 0; url; hop++) {
        struct transfer t = { .http = h, .request = request, .reply = reply };
        with_token = with_token && http_same_origin(url, h->token_for);
        end = transfer(&t, url, with_token, err);
        if (end != HTTP_DONE || !is_redirect(reply->status)) break;
        end = HTTP_FAILED;
        char *next = hop < MAX_REDIRECTS ? next_hop(h, url, err) : NULL;
        if (hop == MAX_REDIRECTS)
            pl_fail(err, PL_E_IO, "%.*s: more than %d redirects", (int)strcspn(request->url, "?#"),
                    request->url, MAX_REDIRECTS);
        free(url);
        url = next;
    }
    free(url);
    return end;
}

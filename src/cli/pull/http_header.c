/* The header lines that pull needs. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/pull/http.h"

/* A run of digits that fits 63 bits; HTTP_UNKNOWN for anything else. */
static uint64_t number(const char *text, const char **end)
{
    uint64_t value = 0;
    const char *at = text;
    for (; isdigit((unsigned char)*at) && at - text < 18; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    *end = at;
    return at == text || isdigit((unsigned char)*at) ? HTTP_UNKNOWN : value;
}

/* "bytes 100-199/200"; the total may be '*'. */
static void read_range(struct http_reply *r, const char *text)
{
    if (strncasecmp(text, "bytes ", 6) != 0) return;
    const uint64_t first = number(text + 6, &text);
    if (first == HTTP_UNKNOWN || *text != '-') return;
    if (number(text + 1, &text) == HTTP_UNKNOWN || *text != '/') return;
    r->has_range = true;
    r->first = first;
    r->total = number(text + 1, &text);
}

/* <https://hub/api?cursor=x>; rel="next", <...>; rel="last" */
static void read_link(struct http_reply *r, const char *text)
{
    for (const char *open; (open = strchr(text, '<'));) {
        const char *close = strchr(open, '>');
        if (!close) return;
        const char *end = strchr(close, ',');
        const size_t n = end ? (size_t)(end - close) : strlen(close);
        char tail[128];
        snprintf(tail, sizeof tail, "%.*s", (int)(n < 127 ? n : 127), close);
        const size_t n_url = (size_t)(close - open - 1);
        if ((strcasestr(tail, "rel=\"next\"") || strcasestr(tail, "rel=next")) &&
            n_url < sizeof r->next) {
            memcpy(r->next, open + 1, n_url);
            r->next[n_url] = 0;
        }
        if (!end) return;
        text = end + 1;
    }
}

/* Only a strong one says that the bytes are the same. It is sent back, so it must be plain. */
static void read_etag(struct http_reply *r, const char *text)
{
    const size_t n = strlen(text);
    if (n < 3 || n >= sizeof r->etag || text[0] != '"' || text[n - 1] != '"') return;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= 32 || (unsigned char)text[i] >= 127) return;
    memcpy(r->etag, text, n + 1);
}

static const char *value_of(const char *line, const char *name)
{
    const size_t n = strlen(name);
    if (strncasecmp(line, name, n) != 0 || line[n] != ':') return NULL;
    line += n + 1;
    return line + strspn(line, " \t");
}

void http_read_header(struct http_reply *r, const char *line, size_t n)
{
    char text[PULL_URL_MAX + 512];
    const char *value, *end;
    if (n >= sizeof text) return;
    memcpy(text, line, n);
    while (n && isspace((unsigned char)text[n - 1])) n--;
    text[n] = 0;
    if (!strncmp(text, "HTTP/", 5)) {
        *r = (struct http_reply){ .n_bytes = HTTP_UNKNOWN };
        const char *status = strchr(text, ' ');
        r->status = status ? strtol(status, NULL, 10) : 0;
    } else if ((value = value_of(text, "content-length"))) {
        r->n_bytes = number(value, &end);
    } else if ((value = value_of(text, "content-range"))) {
        read_range(r, value);
    } else if ((value = value_of(text, "etag"))) {
        read_etag(r, value);
    } else if ((value = value_of(text, "x-error-code"))) {
        if (strlen(value) < sizeof r->error_code)
            snprintf(r->error_code, sizeof r->error_code, "%s", value);
    } else if ((value = value_of(text, "link"))) {
        read_link(r, value);
    }
}

bool http_is_passing(long status)
{
    return status == 408 || status == 429 || (status >= 500 && status <= 599);
}

static pl_status explain_404(const struct http_reply *r, const char *what, const char *revision,
                             pl_err *err)
{
    if (!strcmp(r->error_code, "RepoNotFound"))
        return pl_fail(err, PL_E_IO, "%s: 404, the hub has no such repository", what);
    if (!strcmp(r->error_code, "RevisionNotFound"))
        return pl_fail(err, PL_E_IO, "%s: 404, the repository has no revision \"%s\" (--revision)",
                       what, revision);
    if (!strcmp(r->error_code, "EntryNotFound"))
        return pl_fail(err, PL_E_IO, "%s: 404, the repository has no such file in revision \"%s\"",
                       what, revision);
    return pl_fail(err, PL_E_IO, "%s: 404, no such repository, revision or file", what);
}

pl_status http_explain(const struct http_reply *r, const char *what, const char *revision,
                       bool has_token, pl_err *err)
{
    switch (r->status) {
    case 401:
        return pl_fail(err, PL_E_IO, "%s: 401, %s", what,
                       has_token ? "the server does not accept the token (HF_TOKEN, --token-file)"
                                 : "private, gated or misspelt: a private one needs a token "
                                   "(HF_TOKEN or --token-file)");
    case 403:
        return pl_fail(err, PL_E_IO, "%s: 403, %s", what,
                       has_token ? "the token's owner may not read it: accept its licence there"
                                 : "it needs a token (HF_TOKEN or --token-file)");
    case 404:
        return explain_404(r, what, revision, err);
    case 416:
        return pl_fail(err, PL_E_IO, "%s: 416, the server does not send what it says it has", what);
    case 429:
        return pl_fail(err, PL_E_IO, "%s: 429, too many requests: try again later", what);
    default:
        return pl_fail(err, PL_E_IO, "%s: the server answers %ld", what, r->status);
    }
}

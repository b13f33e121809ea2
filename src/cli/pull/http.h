/* GET requests for models, one after another, over libcurl (which also reads the environment's
 * proxies).
 *
 * I1 The token goes to the scheme, host and port it was given for and to nobody else; once a
 *    redirect has led away it is not sent again in that request. Redirects are followed here and
 *    not by the library, so that this can be read. From https nothing leads to plain http.
 * I2 Without encryption the token goes to this machine only.
 * I3 No message holds a token or a URL's query.
 *
 * One thread. */
#ifndef CLI_PULL_HTTP_H
#define CLI_PULL_HTTP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/models/name.h"

#define HTTP_UNKNOWN UINT64_MAX

struct pull_http {                  /* zeroed is closed */
    CURL *curl;
    const char *token;              /* NULL: none */
    const char *token_for;          /* a URL of the server that it is for */
    void (*tick)(void *arg);        /* about every second while a request runs, and more often */
    void *tick_arg;
    char why[CURL_ERROR_SIZE];
};

struct http_reply {
    long status;                    /* 0: there was none */
    uint64_t n_bytes;               /* that the body was said to have, or HTTP_UNKNOWN */
    bool has_range;                 /* Content-Range: */
    uint64_t first, total;          /* total may be HTTP_UNKNOWN */
    uint64_t retry_after_s;         /* 0: not said */
    char error_code[32];            /* X-Error-Code: a hub's word for what is wrong; empty: none */
    char etag[256];                 /* a strong one, quotes included; empty: none */
    char next[PULL_URL_MAX];        /* address of the next page; empty: none */
};

/* Receives the body of 200 and 206 in pieces; false stops the request. */
typedef bool http_body_fn(void *arg, const struct http_reply *reply, const char *bytes, size_t n);

struct http_request {
    const char *url;
    uint64_t from;                  /* ask for the bytes from here on; 0: all */
    const char *if_range;           /* ... if this is still its ETag, else all; empty: not said */
    http_body_fn *body;
    void *arg;
};

enum http_end {
    HTTP_DONE,      /* a reply came, whatever its status, and its body whole */
    HTTP_CUT,       /* no reply or not all of it; another try may get it */
    HTTP_STOPPED,   /* by body() */
    HTTP_FAILED,    /* another try would fail likewise */
};

/* `stall_s`: less than a kilobyte a second for so long is a cut. token may be NULL, and h->token is
 * NULL afterwards where I2 forbids it. Both are borrowed. Release with pull_http_close. */
pl_status pull_http_open(struct pull_http *h, const char *token, const char *token_for,
                         uint32_t stall_s, pl_err *err);
void pull_http_close(struct pull_http *h);

/* *err says what happened where the end is HTTP_CUT or HTTP_FAILED. */
enum http_end pull_http_get(struct pull_http *h, const struct http_request *request,
                            struct http_reply *reply, pl_err *err);

/* A status that asks for patience: 408, 429, 5xx. */
bool http_is_passing(long status);

/* What a status other than 200 and 206 means for a person who pulls `what` of a revision (empty: of
 * none); a hub says more in X-Error-Code. */
pl_status http_explain(const struct http_reply *reply, const char *what, const char *revision,
                       bool has_token, pl_err *err);

/* For tests: reads one header line into the reply. */
void http_read_header(struct http_reply *reply, const char *line, size_t n);

/* Same scheme, host and port. */
bool http_same_origin(const char *a, const char *b);

#endif

/* A small HTTP client for tests: one request a connection, the answer as it came. Threads may each
 * use their own. */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/strbuf.h"

struct answer {
    unsigned status;            /* 0: the connection was cut before a status line */
    bool is_whole;              /* nothing is missing of the body */
    struct strbuf head, body;   /* the body without its chunks' sizes */
};

static inline void answer_free(struct answer *a)
{
    strbuf_free(&a->head);
    strbuf_free(&a->body);
}

/* -1: nobody listens. */
static inline int http_connect(uint16_t port)
{
    const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct timeval limit = { .tv_sec = 30 };
    const int rcvbuf = 128 << 10;       /* or the system keeps megabytes for a slow reader */
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline bool http_write(int fd, const char *bytes, size_t n)
{
    while (n) {
        const ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* headers: more lines, each ended by \r\n. n_said: the Content-Length. */
static inline bool http_begin(int fd, const char *method, const char *path, const char *headers,
                              const char *body, size_t n_body, size_t n_said)
{
    struct strbuf text = { 0 };
    strbuf_addf(&text, "%s %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n%s\r\n", method,
                path, n_said, headers);
    strbuf_add(&text, body, n_body);
    const bool is_sent = http_write(fd, text.bytes, text.n);
    strbuf_free(&text);
    return is_sent;
}

static inline bool unchunk(struct strbuf *body)
{
    struct strbuf plain = { 0 };
    const char *at = body->bytes, *end = at + body->n;
    bool is_whole = false;
    while (at && at < end) {
        char *rest;
        const size_t n = strtoul(at, &rest, 16);
        if (rest + 2 > end || memcmp(rest, "\r\n", 2)) break;
        if (n == 0) {
            is_whole = true;
            break;
        }
        at = rest + 2;
        if ((size_t)(end - at) < n + 2) break;
        strbuf_add(&plain, at, n);
        at += n + 2;
    }
    strbuf_free(body);
    *body = plain;
    return is_whole;
}

static inline void split_answer(struct answer *a, struct strbuf *raw)
{
    const char *end = raw->n ? strstr(raw->bytes, "\r\n\r\n") : NULL;
    if (!end) return;
    strbuf_add(&a->head, raw->bytes, (size_t)(end + 4 - raw->bytes));
    strbuf_add(&a->body, end + 4, raw->n - a->head.n);
    sscanf(a->head.bytes, "HTTP/1.1 %u", &a->status);
    const char *length = strcasestr(a->head.bytes, "\r\nContent-Length: ");
    if (strcasestr(a->head.bytes, "Transfer-Encoding: chunked")) a->is_whole = unchunk(&a->body);
    else a->is_whole = length && strtoul(length + 18, NULL, 10) == a->body.n;
}

/* Reads until the server closes, and closes. */
static inline struct answer http_finish(int fd)
{
    struct answer a = { 0 };
    struct strbuf raw = { 0 };
    char bytes[16384];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0) strbuf_add(&raw, bytes, (size_t)n);
    close(fd);
    split_answer(&a, &raw);
    strbuf_free(&raw);
    return a;
}

static inline struct answer http_ask(uint16_t port, const char *method, const char *path,
                                     const char *headers, const char *body, size_t n_body)
{
    struct strbuf all = { 0 };
    const int fd = http_connect(port);
    if (fd < 0) return (struct answer){ 0 };
    strbuf_addf(&all, "Connection: close\r\n%s", headers);
    http_begin(fd, method, path, all.bytes, body, n_body, n_body);
    strbuf_free(&all);
    return http_finish(fd);
}

#endif

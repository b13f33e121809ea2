/* A server over a fake engine, and what tests ask of it. */
#ifndef SERVER_FIXTURE_H
#define SERVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "server/server.h"
#include "unit/server/fake_engine.h"
#include "unit/server/http_client.h"

enum { PATH_BYTES = 64 };

#define CHAT "/v1/chat/completions"
#define TEXT "/v1/completions"

struct fixture {
    struct server *server;
    pl_engine *engine;
    uint16_t port;
};

static inline struct server_params params_of_test(void)
{
    return (struct server_params){ .model_path = "/models/fake.gguf",
                                   .sampling = { .temperature = 1, .top_p = 1, .typical_p = 1,
                                                 .repetition_penalty = 1 } };
}

static inline struct fixture open_with(const struct server_params *params, uint32_t n_streams,
                                       uint32_t queue_requests)
{
    struct fixture f = { .engine = fake_open(n_streams, queue_requests, 100000) };
    pl_err err = { 0 };
    if (server_open(&f.server, params, &err)) fail_msg("%s", err.text);
    f.port = server_port(f.server);
    assert_true(f.port > 0);
    server_ready(f.server, f.engine);
    return f;
}

static inline struct fixture open_fixture(void)
{
    const struct server_params params = params_of_test();
    return open_with(&params, 4, 16);
}

/* pl_close aborts if the server left a stream open. */
static inline void close_fixture(struct fixture *f)
{
    server_close(f->server);
    pl_close(f->engine);
}

static inline struct answer get(const struct fixture *f, const char *path)
{
    return http_ask(f->port, "GET", path, "", "", 0);
}

static inline struct answer post(const struct fixture *f, const char *path, const char *body)
{
    return http_ask(f->port, "POST", path, "", body, strlen(body));
}

/* The body of a chat whose one message is `content`; `more` are further members, each after a
 * comma. Release with free. */
static inline char *chat_body(const char *content, const char *more)
{
    struct strbuf b = { 0 };
    strbuf_addf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s}", content, more);
    return b.bytes;
}

static inline struct answer chat(const struct fixture *f, const char *content, const char *more)
{
    char *body = chat_body(content, more);
    const struct answer a = post(f, CHAT, body);
    free(body);
    return a;
}

/* A connection on which a chat was asked for; nothing was read. */
static inline int begin_chat(const struct fixture *f, const char *content, const char *more)
{
    char *body = chat_body(content, more);
    const int fd = http_connect(f->port);
    assert_true(fd >= 0);
    assert_true(http_begin(fd, "POST", CHAT, "Connection: close\r\n", body, strlen(body),
                           strlen(body)));
    free(body);
    return fd;
}

/* The string, integer or JSON text at a path of names and numbers: "choices.0.text". */
static inline void value_at(const json_t *v, const char *path, char *out, size_t n_out)
{
    char copy[PATH_BYTES], *rest;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *name = strtok_r(copy, ".", &rest); name; name = strtok_r(NULL, ".", &rest))
        v = json_is_array(v) ? json_array_get(v, strtoul(name, NULL, 10))
                             : json_object_get(v, name);
    char *text = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    if (json_is_string(v)) snprintf(out, n_out, "%s", json_string_value(v));
    else snprintf(out, n_out, "%s", text ? text : "missing");
    free(text);
}

static inline void expect_in(const char *json, const char *path, const char *want)
{
    char got[512];
    json_error_t why;
    json_t *v = json_loads(json ? json : "", JSON_DECODE_ANY, &why);
    if (!v) fail_msg("no JSON (%s): %s", why.text, json ? json : "nothing");
    value_at(v, path, got, sizeof got);
    json_decref(v);
    if (strcmp(got, want)) fail_msg("%s is %s, not %s, in %s", path, got, want, json);
}

static inline void expect(const struct answer *a, const char *path, const char *want)
{
    expect_in(a->body.bytes, path, want);
}

static inline void expect_status(const struct answer *a, unsigned status)
{
    if (a->status != status)
        fail_msg("status %u, not %u: %s", a->status, status, a->body.n ? a->body.bytes : "");
    if (!a->is_whole) fail_msg("the body is cut: %s", a->body.n ? a->body.bytes : "");
}

/* An error of this status, code and parameter ("null": none). */
static inline void expect_error(struct answer a, unsigned status, const char *code,
                                const char *param)
{
    expect_status(&a, status);
    expect(&a, "error.code", code);
    expect(&a, "error.param", param);
    answer_free(&a);
}

/* Calls `see` with each event of a stream that ends in [DONE]; how many there were before that. */
static inline uint32_t each_event(const struct answer *a, void (*see)(const char *json, void *arg),
                                  void *arg)
{
    uint32_t n = 0;
    char *text = strdup(a->body.n ? a->body.bytes : ""), *rest = text, *line;
    bool is_done = false;
    while ((line = strsep(&rest, "\n"))) {
        if (strncmp(line, "data: ", 6)) continue;
        assert_false(is_done);
        if ((is_done = !strcmp(line + 6, "[DONE]"))) continue;
        see(line + 6, arg);
        n++;
    }
    free(text);
    assert_true(is_done);
    return n;
}

/* Looks until it is so: the machine may be busy with other things for as long as it likes. */
static inline bool comes_true(bool (*is_true)(const struct fixture *), const struct fixture *f)
{
    for (const uint64_t end = clock_ns() + 60000000000; clock_ns() < end; fake_sleep_ms(5))
        if (is_true(f)) return true;
    return is_true(f);
}

static inline bool nothing_open(const struct fixture *f)
{
    return fake_n_open(f->engine) == 0;
}

static inline bool one_open(const struct fixture *f)
{
    return fake_n_open(f->engine) == 1;
}

static inline bool two_open(const struct fixture *f)
{
    return fake_n_open(f->engine) == 2;
}

static inline bool some_open(const struct fixture *f)
{
    return fake_n_open(f->engine) > 0;
}

static inline bool one_admitted(const struct fixture *f)
{
    return fake_n_admitted(f->engine) == 1;
}

#endif

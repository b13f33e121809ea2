/* The HTTP server: an OpenAI-compatible API over one engine.
 *
 * Threads: libmicrohttpd's own thread runs every handler; two threads prepare long requests; a
 * watcher thread notices clients that went away and when a ping is due; one answers balancers; the
 * engine thread wakes exchanges. The server's own threads take no signals. server_open,
 * server_ready, server_drain and server_close are called by one thread. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "paceline.h"

struct server_params {
    const char *host;               /* address or name to listen on; NULL: 127.0.0.1 */
    uint16_t port;                  /* 0: any free one */
    const char *agent_host;         /* likewise, for what balancers ask (agent.h) */
    uint16_t agent_port;            /* 0: they are told nothing */
    const char *model_path;         /* whose file name requests may name as their model */
    const char *alias;              /* other names of the model, parted by commas; the first is
                                     * its id; NULL: none */
    const char *path_prefix;        /* of every route: "/llm"; NULL: none */
    bool reuse_port;                /* other processes may listen on the same port */
    uint32_t idle_timeout_s;        /* connections on which nothing moves are closed; 0: 300 */
    bool has_strict_names;          /* a request that names another model is refused */
    pl_sampling sampling;           /* what requests that do not say otherwise get; its arrays must
                                     * outlive the server */
    bool has_seed, ignore_eos;      /* likewise: sampling.seed, in place of a random one */
    const char *template_kwargs;    /* likewise, an object's text: chat_template_kwargs, member
                                     * by member; NULL: none */
    uint32_t max_tokens;            /* likewise; 0: to the end of the context */
    uint32_t max_priority;          /* that a request may ask for */
    uint32_t ping_interval_s;       /* SSE comments while nothing else is sent; 0: none */
    uint32_t write_timeout_s;       /* an answer that cannot be written for so long is dropped;
                                     * 0: never */
    uint32_t max_connections;       /* 0: 1024 */
    /* Seconds that a client may take to send a head, between pieces of a body, and from one request
     * to the next; 0: 30, 60, 75. */
    uint32_t head_timeout_s, body_timeout_s, kept_timeout_s;
    bool is_verbose;                /* a line in the log for every request */
    size_t max_body_bytes;          /* 0: 16 MiB; all bodies together may hold 16 times as much */
    const char *const *api_keys;    /* (n_api_keys) one of them is needed, if any */
    size_t n_api_keys;
    bool no_metrics, no_slots;      /* switch /metrics and /slots off */
    bool no_page;                   /* browsers are shown nothing at / */
    bool has_vllm_metrics;          /* /metrics says what it can under vLLM's names as well, */
    bool has_llama_metrics;         /* and under llama-server's */
    bool no_prefix_cache;           /* the engine has none: nothing is said of it */
    const char *cors_origin;        /* Access-Control-Allow-Origin; NULL: not sent */
};

struct server;

/* Listens at once and answers 503 "loading model" until server_ready. Strings are copied. */
pl_status server_open(struct server **out, const struct server_params *params, pl_err *err);

/* From now on requests are served by the engine, which must stay open until server_close. */
void server_ready(struct server *s, pl_engine *engine);

/* How much of the model is loaded, from 0 to 1: told to whoever asks meanwhile. Any thread. */
void server_tell_loading(struct server *s, float fraction);

/* These keys from now on; copied. What was stored for the old ones is forgotten. False: no memory,
 * the old ones stay. Any thread. */
bool server_set_keys(struct server *s, const char *const *keys, size_t n);

uint16_t server_port(const struct server *s);

/* Answers 503 to new requests for text; what runs goes on. */
void server_drain(struct server *s);

/* Requests for text that are being answered now. */
uint32_t server_n_active(const struct server *s);

/* Replies that still run are cancelled and say so (503, or an error event in a stream), then every
 * connection is closed. NULL is allowed. */
void server_close(struct server *s);

#endif

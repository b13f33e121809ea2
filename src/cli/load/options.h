/* What a load is to do; every part of `paceline load` reads it. */
#ifndef CLI_LOAD_OPTIONS_H
#define CLI_LOAD_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/load/prompts.h"

struct client;

struct load_options {
    const char *base_url;       /* "http://127.0.0.1:8080": without "/v1" and a slash at its end */
    const char *model;
    const char *api_key;        /* NULL: none. Never shown */
    const struct client *client;    /* whose certificates are believed */
    const char *proxy;          /* "": none, whatever the environment says */
    bool is_chat, stream;
    uint32_t concurrency;       /* of the closed loop: so many are kept running */
    double rate;                /* of the open loop: requests a second; 0: a closed loop */
    uint32_t max_in_flight;     /* of the open loop: what arrives beyond that waits here */
    uint64_t n_requests;        /* counted ones; 0: no bound */
    uint64_t n_warmup;          /* before these, not counted */
    double duration_s;          /* nothing is begun after it; 0: no bound */
    double timeout_s, connect_timeout_s; /* of one request */
    uint32_t max_tokens;        /* 0: not sent */
    bool ignore_eos;
    double temperature;         /* below 0: not sent */
    json_t *extra;              /* members of every body, over all others; NULL: none */
    uint64_t seed;              /* of arrivals */
    const struct load_prompts *prompts;
};

static inline bool load_is_open(const struct load_options *o)
{
    return o->rate > 0;
}

#endif

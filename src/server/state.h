/* The server's state, and one exchange: a request and its answer. What each file does stands in its
 * own header. They are a stair: a file calls those on lower steps, never one on its own or above.
 *
 *   server                                              opens and stops all of it
 *   agent                                               what balancers are told
 *   exchange                                            what libmicrohttpd calls
 *   routes                                              the table
 *   route_..., metrics                                  what is done at each path
 *   events, embed_answer, prepare, watcher, request_log what goes on while an answer takes time
 *   dialects/..., completion_prompts, body               documents
 *   dialect, completion, embedding, connections         what there is of one request, one client
 *   active, embed_request, embed_vector                 requests that compute something
 *   answer, request, reply_reader, auth, head, linger, model_names, response_store
 *   tool_*                                              calls of tools, written and read
 *   answer_error, wake, bell, target, json_read, json_text, metrics_text, item_list, call_id,
 *   infill, logprobs, timings, accept, sampler_list
 *
 * An exchange's states:
 *
 *   NAMED --head whole--> RECEIVING: what is wrong with the head is answered at once
 *
 *   RECEIVING --body whole--> PREPARING --+--> ANSWERED          all routes, and every error
 *    on_request               a route     |    deliver
 *                                         +--> STREAMING --every stream ended--> ANSWERED
 *                                         |    events_stream      server-sent events
 *                                         +--> WAITING --every stream ended--> ANSWERED
 *                                              events_document    one JSON document
 *                                              embed_answer       of vectors
 *
 * A body of more than a few pages, or with a grammar (request_may_have_grammar), is prepared
 * (parsed, rendered, tokenized, its grammar compiled) on a thread of its own,
 * so that no reply under way waits for it (prepare.h). Meanwhile, and whenever STREAMING or WAITING
 * has nothing to do, the connection is suspended. The engine thread (new events), the watcher
 * (client gone, ping due) and the preparing threads wake it (wake.h).
 *
 * Everything else of an exchange belongs to libmicrohttpd's thread, while PREPARING to the thread
 * that prepares; the watcher reads the completion's streams, which do not change while the exchange
 * is being watched (from the end of PREPARING on).
 *
 * Order of locks: watcher or preparer, engine's, wake's, libmicrohttpd's own. Under those of keys
 * and of response_store no other is taken. */
#ifndef SERVER_STATE_H
#define SERVER_STATE_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdatomic.h>

#include "base/strbuf.h"
#include "server/agent.h"
#include "server/answer_error.h"
#include "server/auth.h"
#include "server/bell.h"
#include "server/connections.h"
#include "server/linger.h"
#include "server/prepare.h"
#include "server/response_store.h"
#include "server/server.h"
#include "server/target.h"
#include "server/tool_form.h"
#include "server/wake.h"
#include "server/watcher.h"

struct completion;
struct embedding;

enum { MAX_STATUS = 600, REQUEST_ID_BYTES = 129, METHOD_BYTES = 16 };

struct server {
    struct MHD_Daemon *daemon;
    uint16_t port;
    /* params, copied */
    char *alias, *more_aliases, *file_name, *model_path, *cors_origin, *path_prefix;
    size_t max_body_bytes, max_bodies_bytes;
    json_t *template_kwargs;        /* an object that nobody changes, or NULL */
    pl_sampling sampling;
    uint32_t max_tokens, max_priority, ping_interval_s, idle_timeout_s, write_timeout_s;
    bool has_seed, ignore_eos, no_metrics, no_slots, no_prefix_cache;
    bool has_vllm_metrics, has_llama_metrics, has_strict_names, is_verbose, no_page;

    _Atomic(pl_engine *) engine;    /* release: server_ready, acquire: handlers; NULL: loading */
    /* is_draining is stored before n_active is read and read after n_active grew, both sequentially
     * consistent: no request slips between. */
    atomic_bool is_draining;
    atomic_uint n_active;
    atomic_ulong n_ids;             /* completions started: makes ids */
    atomic_ulong n_request_ids;     /* likewise of requests whose clients gave none */
    atomic_uint load_percent;       /* while there is no engine */
    atomic_ulong n_refused_draining;
    atomic_size_t n_body_bytes;     /* of all bodies in memory, and of embeddings */
    uint64_t n_answers[MAX_STATUS]; /* by status; libmicrohttpd's thread */
    uint64_t n_refused_bodies;      /* likewise: for want of room for bodies */
    uint64_t n_refused_connections; /* likewise: there were too many */
    uint64_t started_s;
    struct bell bell;               /* the watcher's */
    struct watcher watcher;
    struct agent agent;
    struct preparer preparer;
    struct connections connections;
    struct linger_set linger;
    struct keys keys;
    struct response_store responses;
    struct tool_form tools;         /* before `engine` is stored */
};

/* STREAMING is ANSWERED with a body that is still read. */
enum exchange_state { NAMED, RECEIVING, PREPARING, WAITING, ANSWERED };

struct exchange {
    struct server *server;
    struct MHD_Connection *connection;
    enum target_kind target;
    char *whole_path;               /* decoded; NULL: the target is none */
    const char *path;               /* of the table of routes: without --api-prefix */
    char method[METHOD_BYTES], id[REQUEST_ID_BYTES];
    uint64_t started_ns;
    enum exchange_state state;

    /* looked up once, when the head is whole */
    const struct route *route;      /* NULL: there is none */
    enum error_shape errors;
    const char *other_methods;      /* the path exists, for these; NULL: it does not */
    bool is_allowed;                /* as far as API keys go */
    uint32_t key_number;            /* which was shown, from 1; 0: none */

    struct strbuf body;
    size_t n_received_bytes;
    bool drops_body, is_too_large, is_over_budget;
    bool is_closing;                /* the connection ends with this answer */
    bool is_active;                 /* counted in n_active */

    struct MHD_Response *response;  /* made and not yet handed to libmicrohttpd */
    unsigned status;
    enum MHD_Result result;         /* of the route; MHD_NO: close without an answer */
    struct completion *completion;
    struct embedding *embedding;

    struct wake wake;
    struct exchange *next_job;      /* the preparer's, under its lock */

    /* the watcher's, under its lock */
    struct exchange *next, *previous;
    bool is_watched;
    int socket;
    bool has_stray_bytes;           /* the client sent more: its end cannot be seen by reading */
    _Atomic uint64_t last_sent_ns;
};

static inline pl_engine *server_engine(const struct exchange *x)
{
    return atomic_load_explicit(&x->server->engine, memory_order_acquire);
}

#endif

/* Inside src/server: the server's state, and one exchange: a request and its answer.
 *
 *   RECEIVING --body whole--> PREPARING --+--> ANSWERED          all routes, and every error
 *    on_request               run_route   |    deliver
 *                                         +--> STREAMING --every stream ended--> ANSWERED
 *                                         |    read_stream       server-sent events
 *                                         +--> WAITING --every stream ended--> ANSWERED
 *                                              completion_advance      one JSON document
 *
 * A body of more than a few pages is prepared (parsed, rendered, tokenized) on a thread of its own,
 * so that no reply under way waits for it (prepare.c). Meanwhile, and whenever STREAMING or WAITING
 * has nothing to do, the connection is suspended and costs nothing. The engine thread (new events),
 * the watcher (client gone, ping due) and the preparing threads wake it. A wake-up must not be lost
 * between "nothing to do" and the suspension, so both sides hold `lock`:
 *     handler:  lock; if (!has_news) suspend;            unlock
 *     wakers:   lock; has_news = true; if suspended resume; unlock
 * Nothing else is done under `lock`, in particular no call into the engine, whose wake-up runs
 * under the stream's own lock. While PREPARING only the preparing thread may resume: events of a
 * stream that was just submitted must not give the connection back before all of the request is.
 *
 * Everything else of an exchange belongs to libmicrohttpd's thread, while PREPARING to the thread
 * that prepares; the watcher reads the completion's streams, which do not change while the exchange
 * is being watched (from the end of PREPARING on).
 *
 * Order of locks: watcher or preparer, engine's, exchange, libmicrohttpd's own. */
#ifndef SERVER_EXCHANGE_H
#define SERVER_EXCHANGE_H

#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/strbuf.h"
#include "server/server.h"

struct completion;
struct exchange;

enum { N_PREPARING_THREADS = 2, MAX_STATUS = 600 };

struct watcher {
    pthread_t thread;
    pthread_mutex_t lock;           /* guards the list; taken before any exchange's lock */
    struct exchange *first;
    int wake[2];                    /* a pipe: the list changed, or closing */
    bool is_running, is_closing;
};

struct preparer {
    pthread_t thread[N_PREPARING_THREADS];
    uint32_t n_threads;
    pthread_mutex_t lock;           /* guards what follows */
    pthread_cond_t changed;
    struct exchange *first, *last;
    bool is_open, is_closing;
};

struct server {
    struct MHD_Daemon *daemon;
    uint16_t port;
    /* params, copied */
    char *alias, *file_name, *model_path, *cors_origin;
    char **api_keys;
    size_t n_api_keys, max_body_bytes, max_bodies_bytes;
    pl_sampling sampling;
    uint32_t max_tokens, ping_interval_s;
    bool no_metrics, no_slots, has_vllm_metrics, no_prefix_cache;

    _Atomic(pl_engine *) engine;    /* release: server_ready, acquire: handlers; NULL: loading */
    /* is_draining is stored before n_active is read and read after n_active grew, both sequentially
     * consistent: no request slips between. */
    atomic_bool is_draining;
    atomic_uint n_active;
    atomic_ulong n_ids;             /* completions started: makes ids */
    atomic_ulong n_refused_draining;
    atomic_size_t n_body_bytes;     /* of all bodies in memory */
    uint64_t n_answers[MAX_STATUS]; /* by status; libmicrohttpd's thread */
    uint64_t n_refused_bodies;      /* likewise: for want of room for bodies */
    uint64_t started_s;
    struct watcher watcher;
    struct preparer preparer;
};

/* STREAMING is ANSWERED with a body that is still read. */
enum exchange_state { RECEIVING, PREPARING, WAITING, ANSWERED };

struct exchange {
    struct server *server;
    struct MHD_Connection *connection;
    const struct route *route;      /* NULL: there is none */
    const char *path;               /* libmicrohttpd's, as long as the exchange */
    enum exchange_state state;
    struct strbuf body;
    size_t n_received_bytes;
    bool drops_body, is_too_large, is_over_budget;
    bool is_active;                 /* counted in n_active */

    struct MHD_Response *response;  /* made and not yet handed to libmicrohttpd */
    unsigned status;
    enum MHD_Result result;         /* of the route; MHD_NO: close without an answer */
    struct completion *completion;

    pthread_mutex_t lock;
    bool has_news, is_suspended;    /* under lock */
    bool is_preparing;              /* under lock */
    bool is_gone;                   /* under lock: the client left */
    bool is_ping_due;               /* under lock */

    struct exchange *next_job;      /* the preparer's, under its lock */

    /* the watcher's, under its lock */
    struct exchange *next, *previous;
    bool is_watched;
    int socket;
    bool has_stray_bytes;           /* the client sent more: its end cannot be seen by reading */
    _Atomic uint64_t last_sent_ns;
};

/* Makes the answer or starts a completion. MHD_NO: close the connection. Any thread. */
typedef enum MHD_Result route_fn(struct exchange *x);

struct route {
    const char *method, *path;
    route_fn *run;
    bool is_open;                   /* needs no API key */
    bool needs_engine;
    bool is_prefix;                 /* stands for every longer path */
};

/* NULL: no such path. *other_methods: the path exists, for these methods. */
const struct route *route_find(const char *method, const char *path, const char **other_methods);

/* exchange.c */
MHD_AccessHandlerCallback exchange_handler(void);
MHD_RequestCompletedCallback exchange_completed_handler(void);
void exchange_wake(struct exchange *x);             /* any thread */
void exchange_prepared(struct exchange *x);         /* the thread that prepares; its last access */
bool exchange_suspend(struct exchange *x);          /* false: there are news, look again */
bool exchange_take_news(struct exchange *x, bool *is_ping_due); /* true: the client left */
void exchange_free_body(struct exchange *x);
void exchange_mark_gone(struct exchange *x);        /* under the watcher's lock */

/* prepare.c */
pl_status preparer_open(struct server *s, pl_err *err);
bool preparer_take(struct exchange *x);             /* suspends; false: stopped, not taken */
void preparer_stop(struct server *s);               /* what waits is prepared first */
void preparer_close(struct server *s);

/* watcher.c */
pl_status watcher_open(struct server *s, pl_err *err);
void watcher_close(struct server *s);
void watcher_add(struct exchange *x);
void watcher_remove(struct exchange *x);

/* auth.c */
bool auth_is_allowed(const struct exchange *x);

/* completion.c */
enum MHD_Result completion_start(struct exchange *x, bool is_chat);
enum MHD_Result completion_advance(struct exchange *x);    /* makes the document or suspends */
void completion_cancel(struct completion *c);              /* any thread, while watched */
void completion_free(struct completion *c);

/* routes */
route_fn route_chat, route_completions, route_models, route_model, route_health, route_metrics,
    route_slots, route_props, route_tokenize, route_detokenize, route_apply_template, route_root;

/* Whether a request may call the model so; completion.c. */
bool server_knows_model(const struct server *s, const char *name);

/* The name that answers call the model; route_info.c. */
const char *server_model_id(const struct server *s);

static inline pl_engine *server_engine(const struct exchange *x)
{
    return atomic_load_explicit(&x->server->engine, memory_order_acquire);
}

#endif

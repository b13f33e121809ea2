/* Inside src/server: the server's state, and one exchange: a request and its answer.
 *
 *   RECEIVING --body whole--> ANSWERED                          (all routes but the two below)
 *       |
 *       +--start_completion--> WAITING --every stream ended--> ANSWERED     one JSON document
 *       |                         ^  \__ suspended between wake-ups
 *       +--start_completion--> STREAMING --every stream ended--> ANSWERED   server-sent events
 *                                 ^  \__ suspended between wake-ups
 *
 * While a completion has nothing to send its connection is suspended, so that it costs nothing. The
 * engine thread (new events), the watcher (client gone, ping due) wake it. A wake-up must not be lost
 * between "nothing to do" and the suspension, so both sides hold `lock`:
 *     handler:  lock; if (!has_news) suspend;            unlock
 *     wakers:   lock; has_news = true; if suspended resume; unlock
 * Nothing else is done under `lock`, in particular no call into the engine, whose wake-up runs under
 * the stream's own lock.
 *
 * Everything else of an exchange belongs to libmicrohttpd's thread; the watcher reads `stream`,
 * which does not change while the exchange is being watched. */
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

struct watcher {
    pthread_t thread;
    pthread_mutex_t lock;           /* guards the list; taken before any exchange's lock */
    struct exchange *first;
    int wake[2];                    /* a pipe: the list changed, or closing */
    bool is_running, is_closing;
};

struct server {
    struct MHD_Daemon *daemon;
    uint16_t port;
    /* params, copied */
    char *alias, *file_name, *model_path, *cors_origin;
    char **api_keys;
    size_t n_api_keys, max_body_bytes;
    pl_sampling sampling;
    uint32_t max_tokens, ping_interval_s;
    bool no_metrics, no_slots;

    _Atomic(pl_engine *) engine;    /* release in server_ready, acquire in handlers; NULL: loading */
    atomic_bool is_draining;
    atomic_uint n_active;
    atomic_ulong n_ids;             /* completions started: makes ids */
    uint64_t started_s;
    struct watcher watcher;
};

struct exchange {
    struct server *server;
    struct MHD_Connection *connection;
    const struct route *route;
    struct strbuf body;
    bool is_too_large, is_answered;
    struct completion *completion;
    json_t *json;                   /* the body of a completion, which its request points into */

    pthread_mutex_t lock;
    bool has_news, is_suspended;    /* under lock */
    bool is_gone;                   /* under lock: the client left */
    bool is_ping_due;               /* under lock */

    /* the watcher's, under its lock */
    struct exchange *next, *previous;
    bool is_watched;
    int socket;
    bool has_stray_bytes;           /* the client sent more: its end cannot be seen by reading */
    _Atomic uint64_t last_sent_ns;
};

typedef enum MHD_Result route_fn(struct exchange *x);

struct route {
    const char *method, *path;
    route_fn *run;
    bool is_open;                   /* needs no API key */
    bool needs_engine;
};

/* NULL: no such path. *other_methods: the path exists, for these methods. */
const struct route *route_find(const char *method, const char *path, const char **other_methods);

/* exchange.c: may be called from any thread */
void exchange_wake(struct exchange *x);

/* watcher.c */
pl_status watcher_open(struct server *s, pl_err *err);
void watcher_close(struct server *s);
void watcher_add(struct exchange *x);
void watcher_remove(struct exchange *x);

/* auth.c */
bool auth_is_allowed(const struct exchange *x);

/* completion.c */
enum MHD_Result completion_start(struct exchange *x, bool is_chat);
enum MHD_Result completion_resume(struct exchange *x);     /* after a wake-up, not streaming */
void completion_cancel(struct completion *c);              /* any thread, while watched */
void completion_free(struct completion *c);

/* routes */
route_fn route_chat, route_completions, route_models, route_health, route_metrics,
    route_slots, route_props, route_tokenize, route_detokenize, route_apply_template, route_root;

#endif

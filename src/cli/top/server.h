/* One server over time: the last answers, and what lies between them. */
#ifndef CLI_TOP_SERVER_H
#define CLI_TOP_SERVER_H

#include "cli/top/figures.h"
#include "cli/top/slots.h"

enum {
    TOP_HISTORY = 512,      /* rates kept for the spark line */
    TOP_WINDOW = 32,        /* answers kept, for percentiles */
};

enum top_state {
    TOP_ASKED,              /* no answer yet */
    TOP_UP,
    TOP_DOWN,               /* it cannot be reached */
    TOP_REFUSES,            /* it answers, but not with figures */
};

struct top_server {
    char url[256];
    enum top_state state;
    char why[160];          /* TOP_DOWN, TOP_REFUSES */
    uint64_t since_ns;      /* of the state */
    bool is_local;          /* it runs on this machine */
    uint32_t n_answers;     /* of figures; answer i is at i % TOP_WINDOW */
    uint32_t n_window;      /* of them, in the window: since the server started last */
    struct top_figures figures[TOP_WINDOW];
    uint64_t at_ns[TOP_WINDOW];
    uint32_t n_rates;       /* reply tokens a second between answers; rate i at i % TOP_HISTORY */
    double rate[TOP_HISTORY];
    struct top_slots slots;
};

/* `url` without a path ("host:8080", "http://host:8080/"); false: too long. */
bool top_server_init(struct top_server *s, const char *url);

/* An answer of /metrics and, where there was one, of /slots (NULL: none). */
void top_server_answer(struct top_server *s, uint64_t now_ns, const char *metrics, size_t n_metrics,
                       const char *slots, size_t n_slots);

/* No figures; `why` for people. */
void top_server_fail(struct top_server *s, uint64_t now_ns, enum top_state state, const char *why);

/* The newest figures; NULL: there never were any. */
const struct top_figures *top_server_now(const struct top_server *s);

/* A counter's increase a second between the last two answers. NAN: not known. `figure` is the
 * counter's offset in struct top_figures. */
double top_server_rate(const struct top_server *s, size_t figure);

struct top_percentiles {
    double p50, p95;        /* NAN: nothing was observed */
    bool is_since_start;    /* nothing was in the window: of all since the server started */
};

/* Of the last seconds; `histogram` is an offset in struct top_figures. */
struct top_percentiles top_server_percentiles(const struct top_server *s, size_t histogram,
                                              double seconds);

#endif

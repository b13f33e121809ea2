/* What the monitor shows of its servers, as lines. */
#ifndef CLI_TOP_VIEW_H
#define CLI_TOP_VIEW_H

#include "cli/host/host.h"
#include "cli/top/frame.h"
#include "cli/top/server.h"

struct top_view {
    const struct top_server *server;    /* (n_servers) */
    size_t n_servers, selected;
    const struct host_figures *host;    /* of this machine */
    uint64_t now_ns;
    double interval_s;
    const char *clock;                  /* "15:04:05" */
    bool is_paused;
};

/* A screen: all servers in short, where there are several, and one in full. */
void top_view_screen(const struct top_view *v, struct frame *f);

/* All servers in full, one after another. */
void top_view_all(const struct top_view *v, struct frame *f);

#endif

/* Where the layers of a model live: on one backend, or the first of them on one and the rest on
 * another. Layers in a row have one home; X is handed over between two. The first home embeds, the
 * last has the output head and picks. */
#ifndef MODEL_HOMES_H
#define MODEL_HOMES_H

#include "backend/backend.h"

enum { MAX_HOMES = 2 };

struct home {
    const struct backend_ops *ops;
    struct backend *backend;    /* NULL: only planned */
    uint32_t n_layers;
};

struct homes {
    uint32_t n;
    struct home home[MAX_HOMES];    /* (n) in the order of their layers */
};

/* The home that has the output head. */
static inline const struct home *homes_last(const struct homes *h)
{
    return &h->home[h->n - 1];
}

#endif

/* The table of routes. */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

#include "server/state.h"

/* Makes the answer or starts a completion. MHD_NO: close the connection. Any thread. */
typedef enum MHD_Result route_fn(struct exchange *x);

struct route {
    const char *method, *path;      /* GET (HEAD too), POST or DELETE */
    route_fn *run;
    const struct dialect *dialect;  /* of a body that asks for text */
    enum error_shape errors;
    bool is_open;                   /* needs no API key */
    bool needs_engine;
    bool is_prefix;                 /* stands for every longer path */
};

/* NULL: no such path. *other_methods: the path exists, for these methods. */
const struct route *route_find(const char *method, const char *path, const char **other_methods);

/* What errors look like at a path that is no route. */
enum error_shape route_errors(const char *path);

#endif

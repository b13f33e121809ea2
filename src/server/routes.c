#include "server/routes.h"

#include <string.h>

#include "server/dialect.h"
#include "server/metrics.h"
#include "server/route_completion.h"
#include "server/route_embedding.h"
#include "server/route_info.h"
#include "server/route_text.h"

static const struct route routes[] = {
    { "POST", "/v1/chat/completions", route_completion, &dialect_chat, .needs_engine = true },
    { "POST", "/chat/completions", route_completion, &dialect_chat, .needs_engine = true },
    { "POST", "/v1/completions", route_completion, &dialect_text, .needs_engine = true },
    { "POST", "/completions", route_completion, &dialect_text, .needs_engine = true },
    { "POST", "/v1/embeddings", route_embeddings, .needs_engine = true },
    { "POST", "/embeddings", route_embeddings, .needs_engine = true },
    { "POST", "/embedding", route_embedding, .needs_engine = true },
    { "GET", "/v1/models", route_models, .needs_engine = true },
    { "GET", "/models", route_models, .needs_engine = true },
    { "GET", "/v1/models/", route_model, .needs_engine = true, .is_prefix = true },
    { "GET", "/models/", route_model, .needs_engine = true, .is_prefix = true },
    { "POST", "/tokenize", route_tokenize, .needs_engine = true },
    { "POST", "/detokenize", route_detokenize, .needs_engine = true },
    { "POST", "/apply-template", route_apply_template, .needs_engine = true },
    { "GET", "/props", route_props, .needs_engine = true },
    { "GET", "/slots", route_slots, .needs_engine = true },
    { "GET", "/metrics", route_metrics, .needs_engine = true },
    { "GET", "/health", route_health, .is_open = true },
    { "GET", "/v1/health", route_health, .is_open = true },
    { "GET", "/", route_root, .is_open = true },
};

static bool is_at(const struct route *r, const char *path)
{
    const size_t n = strlen(r->path);
    return r->is_prefix ? !strncmp(r->path, path, n) && path[n] : !strcmp(r->path, path);
}

static bool takes(const struct route *r, const char *method)
{
    return !strcmp(r->method, method) || (!strcmp(r->method, "GET") && !strcmp(method, "HEAD"));
}

const struct route *route_find(const char *method, const char *path, const char **other_methods)
{
    *other_methods = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!is_at(&routes[i], path)) continue;
        if (takes(&routes[i], method)) return &routes[i];
        *other_methods = strcmp(routes[i].method, "GET") ? routes[i].method : "GET, HEAD";
    }
    return NULL;
}

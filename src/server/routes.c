#include "server/routes.h"

#include <string.h>

#include "server/dialect.h"
#include "server/metrics.h"
#include "server/route_cancel.h"
#include "server/route_completion.h"
#include "server/route_embedding.h"
#include "server/route_info.h"
#include "server/route_ollama.h"
#include "server/route_openapi.h"
#include "server/route_page.h"
#include "server/route_responses.h"
#include "server/route_text.h"

static const struct route routes[] = {
    { "POST", "/v1/chat/completions", route_completion, &dialect_chat, .needs_engine = true },
    { "POST", "/chat/completions", route_completion, &dialect_chat, .needs_engine = true },
    { "POST", "/v1/completions", route_completion, &dialect_text, .needs_engine = true },
    { "POST", "/completions", route_completion, &dialect_text, .needs_engine = true },
    { "POST", "/completion", route_completion, &dialect_native, .needs_engine = true },
    { "POST", "/infill", route_completion, &dialect_infill, .needs_engine = true },
    { "POST", "/v1/messages", route_completion, &dialect_messages, ERRORS_ANTHROPIC,
      .needs_engine = true },
    { "POST", "/v1/messages/count_tokens", route_count_tokens, &dialect_messages, ERRORS_ANTHROPIC,
      .needs_engine = true },
    { "POST", "/api/chat", route_completion, &dialect_ollama_chat, ERRORS_OLLAMA,
      .needs_engine = true },
    { "POST", "/api/generate", route_completion, &dialect_ollama_generate, ERRORS_OLLAMA,
      .needs_engine = true },
    { "POST", "/api/show", route_ollama_show, .errors = ERRORS_OLLAMA, .needs_engine = true },
    { "POST", "/api/embed", route_ollama_embed, .errors = ERRORS_OLLAMA, .needs_engine = true },
    { "POST", "/api/embeddings", route_ollama_embeddings, .errors = ERRORS_OLLAMA,
      .needs_engine = true },
    { "GET", "/api/tags", route_ollama_tags, .errors = ERRORS_OLLAMA, .needs_engine = true },
    { "GET", "/api/ps", route_ollama_ps, .errors = ERRORS_OLLAMA, .needs_engine = true },
    { "GET", "/api/version", route_ollama_version, .errors = ERRORS_OLLAMA },
    { "POST", "/v1/responses", route_completion, &dialect_responses, .needs_engine = true },
    { "POST", "/responses", route_completion, &dialect_responses, .needs_engine = true },
    { "POST", "/v1/responses/input_tokens", route_input_tokens, &dialect_responses,
      .needs_engine = true },
    { "POST", "/responses/input_tokens", route_input_tokens, &dialect_responses,
      .needs_engine = true },
    { "POST", "/v1/chat/completions/input_tokens", route_input_tokens, &dialect_chat,
      .needs_engine = true },
    { "POST", "/chat/completions/input_tokens", route_input_tokens, &dialect_chat,
      .needs_engine = true },
    { "POST", "/v1/chat/completions/", route_cancel, .is_prefix = true },
    { "GET", "/v1/responses/", route_response, .is_prefix = true },
    { "GET", "/responses/", route_response, .is_prefix = true },
    { "DELETE", "/v1/responses/", route_response_delete, .is_prefix = true },
    { "DELETE", "/responses/", route_response_delete, .is_prefix = true },
    { "POST", "/v1/embeddings", route_embeddings, .needs_engine = true },
    { "POST", "/embeddings", route_embeddings, .needs_engine = true },
    { "POST", "/embedding", route_embedding, .needs_engine = true },
    { "GET", "/v1/models", route_models, .needs_engine = true },
    { "GET", "/models", route_models, .needs_engine = true },
    { "GET", "/v1/models/", route_model, .needs_engine = true, .is_prefix = true },
    { "GET", "/models/", route_model, .needs_engine = true, .is_prefix = true },
    { "POST", "/tokenize", route_tokenize, .needs_engine = true },
    { "POST", "/detokenize", route_detokenize, .needs_engine = true },
    { "POST", "/apply-template", route_apply_template, &dialect_chat, .needs_engine = true },
    { "GET", "/props", route_props, .needs_engine = true },
    { "GET", "/slots", route_slots, .needs_engine = true },
    { "GET", "/metrics", route_metrics, .needs_engine = true },
    { "GET", "/health", route_health, .is_open = true },
    { "GET", "/v1/health", route_health, .is_open = true },
    { "GET", "/openapi.json", route_openapi, .is_open = true },
    { "GET", "/", route_page, .is_open = true },
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

/* What an answer's Allow says of these methods. */
static const char *allow_of(unsigned methods)
{
    static const char *const texts[] = { NULL, "GET, HEAD", "POST", "GET, HEAD, POST", "DELETE",
                                         "GET, HEAD, DELETE", "POST, DELETE",
                                         "GET, HEAD, POST, DELETE" };
    return texts[methods];
}

static unsigned bit_of(const char *method)
{
    return !strcmp(method, "GET") ? 1 : !strcmp(method, "POST") ? 2 : 4;
}

const struct route *route_find(const char *method, const char *path, const char **other_methods)
{
    unsigned others = 0;
    *other_methods = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!is_at(&routes[i], path)) continue;
        if (takes(&routes[i], method)) return &routes[i];
        others |= bit_of(routes[i].method);
    }
    *other_methods = allow_of(others);
    return NULL;
}

enum error_shape route_errors(const char *path)
{
    return strncmp(path, "/api/", 5) ? ERRORS_OPENAI : ERRORS_OLLAMA;
}

#include "cli/serve/tell.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/exposure.h"

static void tell_taken(FILE *to, const struct foreign_taken *taken)
{
    for (size_t i = 0; i < taken->n; i++)
        fprintf(to, "accepted   %.*s: %s\n", (int)taken->list[i].n_word, taken->list[i].word,
                taken->list[i].text);
}

/* The one option whose number means something else at llama-server. */
static void tell_context(FILE *to, const struct serve_options *o, const pl_plan *p)
{
    fprintf(to, "context    %u tokens for each of %u streams", p->ctx_tokens, p->n_streams);
    if (o->divides_context)
        fprintf(to, ", not shared among them; llama-server would give each %u",
                p->ctx_tokens / p->n_streams);
    else if (o->is_context_chosen && p->ctx_tokens < p->model_ctx_tokens)
        fprintf(to,
                " (of the model's %u: three quarters of the free memory; --ctx-size, --parallel)",
                p->model_ctx_tokens);
    fputc('\n', to);
}

/* An IPv6 address stands in brackets in a URL. */
static void tell_address(FILE *to, const char *host, uint16_t port)
{
    const bool is_bare = strchr(host, ':') && *host != '[';
    fprintf(to, "listening  http://%s%s%s:%u\n", is_bare ? "[" : "", host, is_bare ? "]" : "",
            port);
}

void serve_tell_start(FILE *to, const struct serve_options *o, const pl_plan *plan, uint16_t port)
{
    cli_print_plan(to, plan);
    if (o->params.n_threads > plan->n_threads)
        fprintf(to, "threads    %u asked for, %u used: one per core\n", o->params.n_threads,
                plan->n_threads);
    tell_taken(to, &o->taken);
    tell_context(to, o, plan);
    exposure_warn(to, o->server.host, o->api_keys.n || o->api_key_file);
    tell_address(to, o->server.host, port);
}

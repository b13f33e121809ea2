#include "server/route_ollama.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "server/active.h"
#include "server/answer.h"
#include "server/body.h"
#include "server/dialects/ollama_names.h"
#include "server/json_text.h"
#include "server/model_names.h"
#include "server/request_fields.h"

/* Clients compare: this is the Ollama whose interface is spoken here, the first with logprobs. */
#define OLLAMA_VERSION "0.12.11"
/* The model stays: a day beyond anybody's keep_alive, and one that every date type holds. */
#define NEVER "2318-01-01T00:00:00Z"

/* ---- what the model is ---------------------------------------------------------------------- */

static json_t *string_of(struct strbuf *text)
{
    json_t *string = json_text_string(text->n ? text->bytes : "");
    strbuf_free(text);
    return string;
}

static json_t *name_json(const struct server *s)
{
    struct strbuf name = { 0 };
    ollama_name_add(&name, s);
    return string_of(&name);
}

static json_t *time_json(uint64_t time_s)
{
    struct strbuf text = { 0 };
    ollama_time_add(&text, time_s);
    return string_of(&text);
}

/* 64 digits, as Ollama has it; of the name and sizes, for clients that tell models apart by it. */
static json_t *digest_json(const struct server *s, const pl_plan *p)
{
    struct strbuf what = { 0 }, digits = { 0 };
    for (int i = 0; i < 4; i++) {
        strbuf_clear(&what);
        strbuf_addf(&what, "%d %s %" PRIu64 " %" PRIu64, i, model_names_first(s), p->file_bytes,
                    p->n_parameters);
        strbuf_addf(&digits, "%016" PRIx64, hash64(what.n ? what.bytes : "", what.n));
    }
    strbuf_free(&what);
    return string_of(&digits);
}

static json_t *details_json(const pl_plan *p)
{
    const double n = (double)p->n_parameters;
    char size[32];
    if (n >= 1e9) snprintf(size, sizeof size, "%.1fB", n / 1e9);
    else if (n >= 1e6) snprintf(size, sizeof size, "%.2fM", n / 1e6);
    else snprintf(size, sizeof size, "%.2fK", n / 1e3);
    return json_pack("{s:s s:s s:o s:[o] s:s s:s}", "parent_model", "", "format", "gguf", "family",
                     json_text_string(p->architecture), "families",
                     json_text_string(p->architecture), "parameter_size", size,
                     "quantization_level", p->quantisation);
}

static json_t *entry_json(const struct exchange *x, const pl_plan *p, uint64_t size)
{
    const struct server *s = x->server;
    return json_pack("{s:o s:o s:I s:o s:o}", "name", name_json(s), "model", name_json(s), "size",
                     (json_int_t)size, "digest", digest_json(s, p), "details", details_json(p));
}

/* ---- lists ---------------------------------------------------------------------------------- */

enum MHD_Result route_ollama_tags(struct exchange *x)
{
    const pl_plan *p = pl_engine_plan(server_engine(x));
    json_t *entry = entry_json(x, p, p->file_bytes);
    json_object_set_new(entry, "modified_at", time_json(x->server->started_s));
    return answer_json(x, 200, json_pack("{s:[o]}", "models", entry));
}

/* On a GPU is what its layers are of all. */
static uint64_t gpu_bytes(const pl_plan *p)
{
    const bool is_cpu = !strcmp(p->backend, "cpu") || !strcmp(p->backend, "exact");
    if (is_cpu || !p->n_layers || p->n_cpu_layers > p->n_layers) return 0;
    return p->total_bytes / p->n_layers * (p->n_layers - p->n_cpu_layers);
}

enum MHD_Result route_ollama_ps(struct exchange *x)
{
    const pl_plan *p = pl_engine_plan(server_engine(x));
    json_t *entry = entry_json(x, p, p->total_bytes);
    json_object_set_new(entry, "size_vram", json_integer((json_int_t)gpu_bytes(p)));
    json_object_set_new(entry, "expires_at", json_string(NEVER));
    json_object_set_new(entry, "context_length", json_integer(p->ctx_tokens));
    return answer_json(x, 200, json_pack("{s:[o]}", "models", entry));
}

enum MHD_Result route_ollama_version(struct exchange *x)
{
    return answer_json(x, 200, json_pack("{s:s}", "version", OLLAMA_VERSION));
}

/* ---- show ----------------------------------------------------------------------------------- */

/* context_length is what a request may have, which is what clients want to know. */
static json_t *info_json(const pl_plan *p)
{
    const struct {
        const char *name;
        uint64_t value;
    } values[] = {
        { "context_length", p->ctx_tokens },
        { "embedding_length", p->d_model },
        { "block_count", p->n_layers },
        { "attention.head_count", p->n_heads },
        { "attention.head_count_kv", p->n_kv_heads },
        { "vocab_size", p->n_vocab },
    };
    json_t *info = json_pack("{s:o s:o s:I}", "general.architecture",
                             json_text_string(p->architecture), "general.basename",
                             json_text_string(p->model_name), "general.parameter_count",
                             (json_int_t)p->n_parameters);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s.%s", p->architecture, values[i].name);
        char *clean = json_text_clean(name);
        json_object_set_new(info, clean ? clean : "", json_integer((json_int_t)values[i].value));
        free(clean);
    }
    return info;
}

/* Any model with a template calls tools: one that knows none is taught. */
static json_t *capabilities_json(const struct exchange *x)
{
    static const char *const marks[] = { "<think>", "enable_thinking", "reasoning_content" };
    const char *template = pl_chat_template(server_engine(x));
    const struct tool_syntax *syntax = x->server->tools.syntax;
    bool thinks = syntax && syntax->family == TOOL_CHANNELS;
    for (size_t i = 0; template && i < sizeof marks / sizeof *marks; i++)
        thinks = thinks || strstr(template, marks[i]);
    json_t *all = json_pack("[s]", "completion");
    if (template && syntax) json_array_append_new(all, json_string("tools"));
    if (template && thinks) json_array_append_new(all, json_string("thinking"));
    return all;
}

/* As a Modelfile's PARAMETER lines. */
static json_t *parameters_json(const struct exchange *x)
{
    const pl_sampling *p = &x->server->sampling;
    const uint32_t n_ctx = pl_engine_plan(server_engine(x))->ctx_tokens;
    struct strbuf text = { 0 };
    strbuf_addf(&text, "num_ctx %u\ntemperature %g\ntop_k %u\ntop_p %g\nmin_p %g\n"
                "repeat_penalty %g\nrepeat_last_n %u", n_ctx, (double)p->temperature, p->top_k,
                (double)p->top_p, (double)p->min_p, (double)p->repetition_penalty,
                p->penalty_last_n);
    return string_of(&text);
}

static json_t *show_json(const struct exchange *x)
{
    const pl_engine *engine = server_engine(x);
    const pl_plan *p = pl_engine_plan(engine);
    const char *template = pl_chat_template(engine);
    return json_pack("{s:s s:o s:o s:o s:o s:o s:o}", "modelfile", "", "parameters",
                     parameters_json(x), "template", json_text_string(template ? template : ""),
                     "details", details_json(p), "model_info", info_json(p), "capabilities",
                     capabilities_json(x), "modified_at", time_json(x->server->started_s));
}

/* `name` is what older clients say. */
enum MHD_Result route_ollama_show(struct exchange *x)
{
    enum MHD_Result result;
    json_t *body = body_object(x, &result);
    if (!body) return result;
    const struct fields f = { .body = body };
    const json_t *model = field_get(&f, "model");
    if (!model) model = field_get(&f, "name");
    const char *name = json_string_value(model);
    if (!name)
        result = answer_fail(x, 400, NULL, NULL, "model is %s; a string is wanted",
                             field_kind(model));
    else if (!model_names_have(x->server, name))
        result = active_fail_model(x, name);
    else
        result = answer_json(x, 200, show_json(x));
    json_decref(body);
    return result;
}

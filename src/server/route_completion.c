#include "server/route_completion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/active.h"
#include "server/answer.h"
#include "server/body.h"
#include "server/completion_prompts.h"
#include "server/dialect.h"
#include "server/events.h"
#include "server/json_text.h"
#include "server/request_bias.h"

/* ---- what a reply depends on ---------------------------------------------------------------- */

static void on_event(void *arg)
{
    wake_up(arg);
}

/* A seed of its own for each reply to a prompt, and for each of several conversations:
 * splitmix64's steps keep them apart. */
static uint64_t seed_of(const struct completion *c, uint32_t prompt, uint32_t reply)
{
    const uint64_t i = c->request.is_chat ? prompt * (uint64_t)c->request.n + reply : reply;
    return c->request.sampling.seed + i * 0x9e3779b97f4a7c15u;
}

/* Of a model that thinks first, what is held to a form comes behind its thoughts. */
static pl_grammar grammar_of(const struct request *r, bool is_thinking)
{
    static const char *const end_of_thoughts[] = { "</think>" };
    const struct request_grammar *g = &r->grammar;
    if (!g->source) return (pl_grammar){ 0 };
    pl_grammar grammar = { .kind = g->kind, .source = g->source, .n_bytes = strlen(g->source),
                           .trigger = g->trigger, .n_triggers = g->n_triggers,
                           .triggers_at_start = g->triggers_at_start };
    if (!is_thinking || g->n_triggers) return grammar;
    grammar.trigger = end_of_thoughts;
    grammar.n_triggers = 1;
    grammar.must_begin = grammar.begins_behind = true;
    return grammar;
}

/* A chat of a model whose replies come in channels. */
static bool has_channels(const struct completion *c)
{
    return c->syntax && c->syntax->family == TOOL_CHANNELS;
}

/* ---- how long a reply may think ------------------------------------------------------------- */

/* The marks of its thoughts, as tokens. */
struct marks {
    pl_tokens begin, end;
};

static void free_marks(struct marks *m)
{
    pl_tokens_free(&m->begin);
    pl_tokens_free(&m->end);
}

static pl_status add_mark(const struct completion *c, const char *text, pl_tokens *to, pl_err *err)
{
    return pl_tokenize(c->engine, text, strlen(text), PL_TOKENIZE_SPECIAL, to, err);
}

/* Nothing where there is no limit. */
static pl_status find_marks(const struct completion *c, struct marks *m, pl_err *err)
{
    const bool is_channel = has_channels(c);
    if (!c->request.is_chat || !c->request.has_thought_limit) return PL_OK;
    pl_status st = add_mark(c, is_channel ? "<|channel|>analysis<|message|>" : "<think>", &m->begin,
                            err);
    return st ? st : add_mark(c, is_channel ? "<|end|>" : "</think>", &m->end, err);
}

static pl_thoughts thoughts_of(const struct completion *c, uint32_t p, const struct marks *m)
{
    const bool has_begun = c->prompt[p].is_thinking;
    return (pl_thoughts){ .begin = m->begin.ids, .n_begin = has_begun ? 0 : m->begin.n,
                          .end = m->end.ids, .n_end = m->end.n,
                          .max_tokens = c->request.max_thought_tokens };
}

/* ---- submitting ----------------------------------------------------------------------------- */

/* A seed that nobody gave: one that a JSON number holds, so that it can be told and sent again. */
static void choose_seed(struct completion *c)
{
    const uint64_t any = clock_ns() ^ (uint64_t)(uintptr_t)c;
    if (!c->request.has_seed) c->request.sampling.seed = any & ((UINT64_C(1) << 53) - 1);
}

/* The number of its key, or what stands for who says to ask: no two numbers of keys are like that.
 */
static uint64_t who_asks(const struct completion *c)
{
    uint64_t hash = 0xcbf29ce484222325u;        /* FNV-1a */
    if (c->exchange->key_number) return c->exchange->key_number;
    if (!c->request.user) return 0;
    for (const char *at = c->request.user; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
    return hash | UINT64_C(1) << 63;
}

/* The i-th reply to a prompt, as the next choice. */
static pl_status submit(struct completion *c, uint32_t p, uint32_t i, const struct marks *marks,
                        pl_err *err)
{
    const struct request *r = &c->request;
    struct choice *ch = &c->choice[c->n_choices];
    pl_request request = {
        .tokens = c->prompt[p].tokens.ids, .n_tokens = c->prompt[p].n_tokens,
        .max_tokens = r->max_tokens, .sampling = r->sampling, .stop = r->stop,
        .n_stop = r->n_stop, .stop_tokens = r->stop_tokens, .n_stop_tokens = r->n_stop_tokens,
        .min_tokens = r->min_tokens, .thoughts = thoughts_of(c, p, marks),
        .grammar = grammar_of(r, c->prompt[p].is_thinking),
        .control_text = r->has_tools || has_channels(c),
        .ignore_eos = r->ignore_eos, .computes_prompt = r->computes_prompt,
        .logprobs = r->logprobs, .n_top_logprobs = r->n_top_logprobs,
        .prompt_logprobs = r->echo && r->logprobs && !i,
        .who = who_asks(c), .priority = r->priority,
        .fork_of = i ? c->choice[c->n_choices - i].stream : NULL, .on_event = on_event,
        .arg = &c->exchange->wake,
    };
    request.sampling.seed = seed_of(c, p, i);
    ch->prompt = p;
    ch->n_characters = json_text_characters(c->prompt[p].echo.bytes, c->prompt[p].echo.n);
    ch->reader = (struct reply_reader){
        .syntax = c->syntax, .tools = c->tools, .is_single = r->has_one_call,
        .state = has_channels(c)           ? REPLY_HEADER
                 : !r->splits_thoughts     ? REPLY_TELLING
                 : c->prompt[p].is_thinking ? REPLY_THINKING
                                            : REPLY_START,
    };
    pl_status st = pl_submit(c->engine, &request, &ch->stream, err);
    if (st == PL_E_GRAMMAR && r->grammar.is_optional) {
        PL_LOG(WARN, "server", "tools are not held to their schemas: %s", err->text);
        request.grammar = (pl_grammar){ 0 };
        st = pl_submit(c->engine, &request, &ch->stream, err);
    }
    c->n_choices += !st;
    return st;
}

static pl_status submit_all(struct completion *c, pl_err *err)
{
    struct marks marks = { 0 };
    pl_status st = find_marks(c, &marks, err);
    for (uint32_t p = 0; p < c->n_prompts && !st; p++)
        for (uint32_t i = 0; i < c->request.n && !st; i++) st = submit(c, p, i, &marks, err);
    free_marks(&marks);
    return st;
}

/* ---- what is refused ------------------------------------------------------------------------ */

static const char *param_of(const struct completion *c, const pl_err *err)
{
    if (err->status == PL_E_GRAMMAR) return dialect_param(c, c->request.grammar.param);
    if (err->status != PL_E_PARAM && err->status != PL_E_CONTEXT && err->status != PL_E_TEMPLATE)
        return NULL;
    return dialect_param(c, c->request.is_chat ? "messages" : "prompt");
}

/* Whether the vocabulary has the token; else refused. */
static bool check_token(struct exchange *x, const struct completion *c, const char *name,
                        int32_t token, enum MHD_Result *result)
{
    const uint32_t n_vocab = pl_engine_plan(c->engine)->n_vocab;
    if ((uint32_t)token < n_vocab) return true;
    *result = answer_fail(x, 400, name, "invalid_parameter",
                          "%s names token %d; 0 to %u are wanted", name, token, n_vocab - 1);
    return false;
}

/* False: refused, *result is the answer's. */
static bool check(struct exchange *x, const struct completion *c, enum MHD_Result *result)
{
    const struct request *r = &c->request;
    if (!active_has_model(x, r->model, result)) return false;
    for (size_t i = 0; i < r->sampling.n_bias; i++)
        if (!check_token(x, c, "logit_bias", r->bias[i].token, result)) return false;
    for (size_t i = 0; i < r->n_stop_tokens; i++)
        if (!check_token(x, c, "stop_token_ids", r->stop_tokens[i], result)) return false;
    return true;
}

/* The stop strings, for the answer that tells which of them came. */
static json_t *stops_of(const struct request *r)
{
    json_t *stops = json_array();
    for (size_t i = 0; i < r->n_stop; i++) json_array_append_new(stops, json_string(r->stop[i]));
    return stops;
}

/* The request keeps nothing of the body: a request that waits for a slot costs little memory. */
static void let_go_of_body(struct completion *c)
{
    struct request *r = &c->request;
    const bool tells_prompt = r->echo && r->logprobs;
    for (uint32_t i = 0; i < c->n_prompts && !tells_prompt; i++)
        pl_tokens_free(&c->prompt[i].tokens);
    request_free(r);
    r->model = r->user = NULL;
    r->prompt = NULL;
    r->n_stop = r->sampling.n_bias = 0;
    r->sampling.bias = NULL;
    r->sampling.n_dry_breakers = 0;
    r->sampling.dry_breaker = NULL;
}

/* submit_all stopped at the prompt that does not fit: the one after the choices there are. */
static enum MHD_Result fail_context(struct exchange *x, const struct completion *c,
                                    const pl_err *err)
{
    return answer_fail_context(x, err, param_of(c, err),
                               c->prompt[c->n_choices / c->request.n].n_tokens,
                               pl_engine_plan(c->engine)->ctx_tokens);
}

/* Renders, tokenizes and submits what request_parse found. False: refused, *result is the
 * answer's. */
static bool begin(struct exchange *x, struct completion *c, const json_t *body,
                  enum MHD_Result *result)
{
    const struct server *s = x->server;
    pl_err err = { 0 };
    if (request_resolve_bias(&c->request, c->engine, &err)) {
        *result = answer_fail_engine(x, &err, dialect_param(c, "logit_bias"));
        return false;
    }
    if (!check(x, c, result)) return false;
    if (c->dialect->is_silent) {
        let_go_of_body(c);
        return true;
    }
    if (c->dialect->is_chat) c->syntax = s->tools.syntax;
    if (!c->request.has_tools && !has_channels(c)) c->syntax = NULL;
    c->tools = c->request.tools;
    c->request.tools = NULL;
    c->stops = stops_of(&c->request);
    choose_seed(c);
    pl_status st = pl_queue_check(c->engine, &err);
    if (!st) st = prompts_read(c, &err);
    if (!st) st = submit_all(c, &err);
    if (!st && c->dialect->keep) c->dialect->keep(c, body);
    if (!st) let_go_of_body(c);
    else if (st == PL_E_CONTEXT) *result = fail_context(x, c, &err);
    else *result = answer_fail_engine(x, &err, param_of(c, &err));
    return !st;
}

/* From the body, in the dialect's members, to streams under way. */
static bool read_and_begin(struct exchange *x, struct completion *c, const json_t *body,
                           enum MHD_Result *result)
{
    const struct server *s = x->server;
    const struct request_defaults defaults = { s->sampling, s->max_tokens, s->has_seed,
                                              s->ignore_eos, (int32_t)s->max_priority,
                                              s->template_kwargs, &s->tools };
    json_t *translated;
    const bool has_begun = dialect_read(c, body, &defaults, &translated, result) &&
                           begin(x, c, body, result);
    json_decref(translated);
    return has_begun;
}

static struct completion *new_completion(struct exchange *x)
{
    struct completion *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->exchange = x;
    c->engine = server_engine(x);
    c->dialect = x->route->dialect;
    c->created_s = (uint64_t)time(NULL);
    snprintf(c->id, sizeof c->id, "%s%lx%08lx", c->dialect->id_prefix,
             (unsigned long)x->server->started_s, atomic_fetch_add(&x->server->n_ids, 1));
    return c;
}

enum MHD_Result route_completion(struct exchange *x)
{
    enum MHD_Result result;
    if (!active_begin(x, &result)) return result;
    json_t *body = body_object(x, &result);
    if (!body) return result;
    struct completion *c = new_completion(x);
    const bool has_begun = c && read_and_begin(x, c, body, &result);
    json_decref(body);
    if (!has_begun) {
        completion_free(c);
        return c ? result : answer_fail(x, 500, NULL, NULL, "out of memory");
    }
    x->completion = c;
    atomic_store(&x->last_sent_ns, clock_ns());
    return c->request.stream ? events_stream(x) : MHD_YES;
}

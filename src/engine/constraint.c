#include "engine/constraint.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/trigger.h"

enum state { WAITING, BUSY, READY, OFF };

struct constraint {
    struct worker_job job;          /* first member: a job is its constraint's */
    struct constraint_room *room;
    struct matcher *matcher;
    uint32_t *mask;                 /* (room->n_words) */
    enum matcher_next next;         /* as the worker found it */
    bool ignores_eos, must_begin;
    struct trigger trigger;
    int32_t token;                  /* to be pushed by the worker; -1: none */
    struct trigger_rest rest;       /* likewise, before it */

    pthread_mutex_t lock;           /* guards what follows */
    pthread_cond_t changed;
    enum state state;
    bool is_closed;
};

/* ---- the worker ----------------------------------------------------------------------------- */

static void destroy(struct constraint *c)
{
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    matcher_close(c->matcher);
    free(c->mask);
    free(c);
}

static bool push_what_came(struct constraint *c)
{
    const struct trigger_rest *rest = &c->rest;
    bool is_taken = !rest->n_bytes || matcher_push_text(c->matcher, rest->bytes, rest->n_bytes);
    for (uint32_t i = 0; i < rest->n_tokens && is_taken; i++)
        is_taken = matcher_push(c->matcher, rest->token[i].token);
    if (is_taken && c->token >= 0) is_taken = matcher_push(c->matcher, c->token);
    c->rest = (struct trigger_rest){ 0 };
    c->token = -1;
    return is_taken;
}

static void compute_mask(struct constraint *c)
{
    const struct constraint_room *r = c->room;
    c->next = matcher_mask(c->matcher, c->mask, r->n_words);
    if (c->next == MATCHER_MAY_END && !c->ignores_eos)
        for (size_t i = 0; i < r->n_words; i++) c->mask[i] |= r->ends[i];
}

/* A token that the mask allowed is always taken; what stands around a trigger may not be of the
 * grammar, and then the reply is not held to it. */
static void run(struct worker_job *job)
{
    struct constraint *c = (struct constraint *)job;    /* its first member */
    const bool has_begun_now = c->rest.n_bytes || c->rest.n_tokens;
    const bool is_taken = push_what_came(c);
    if (is_taken) compute_mask(c);
    else c->next = MATCHER_FAILED;

    pthread_mutex_lock(&c->lock);
    c->state = !is_taken && has_begun_now ? OFF : READY;
    const bool is_closed = c->is_closed;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    if (is_closed) destroy(c);
}

static void hand_over(struct constraint *c)
{
    pthread_mutex_lock(&c->lock);
    c->state = BUSY;
    pthread_mutex_unlock(&c->lock);
    worker_add(&c->room->worker, &c->job);
}

/* ---- open and close ------------------------------------------------------------------------- */

static pl_status copy_triggers(struct trigger *t, const pl_grammar *g, pl_err *err)
{
    if (g->n_triggers > TRIGGER_MAX)
        return pl_fail(err, PL_E_PARAM, "%zu triggers; at most %d are allowed", g->n_triggers,
                       TRIGGER_MAX);
    for (t->n = 0; t->n < g->n_triggers; t->n++) {
        const char *string = g->trigger[t->n];
        const size_t n = string ? strlen(string) : 0;
        if (n == 0 || n > TRIGGER_MAX_BYTES)
            return pl_fail(err, PL_E_PARAM, "trigger %u has %zu bytes; 1 to %d are allowed", t->n,
                           n, TRIGGER_MAX_BYTES);
        memcpy(t->string[t->n], string, n);
        t->n_bytes[t->n] = (uint32_t)n;
    }
    t->is_first_only = g->triggers_at_start;
    t->is_left_out = g->begins_behind;
    return PL_OK;
}

static pl_status fill(struct constraint *c, const pl_grammar *g, pl_err *err)
{
    c->mask = calloc(c->room->n_words, sizeof *c->mask);
    if (!c->mask) return pl_fail(err, PL_E_MEMORY, "no memory for a mask");
    c->must_begin = g->must_begin;
    c->state = g->n_triggers ? WAITING : READY;
    const pl_status st = copy_triggers(&c->trigger, g, err);
    if (st) return st;
    return matcher_open(&c->matcher, c->room->vocabulary, g->kind, g->source, g->n_bytes, err);
}

pl_status constraint_open(struct constraint **out, struct constraint_room *room,
                          const pl_grammar *grammar, bool ignores_eos, pl_err *err)
{
    *out = NULL;
    const pl_status ready = constraint_room_fill(room, err);
    if (ready) return ready;
    struct constraint *c = calloc(1, sizeof *c);
    if (!c) return pl_fail(err, PL_E_MEMORY, "no memory for a constraint");
    c->room = room;
    c->ignores_eos = ignores_eos;
    c->token = -1;
    c->job.run = run;
    if (pthread_mutex_init(&c->lock, NULL)) {
        free(c);
        return pl_fail(err, PL_E_MEMORY, "cannot make a lock");
    }
    if (pthread_cond_init(&c->changed, NULL)) {
        pthread_mutex_destroy(&c->lock);
        free(c);
        return pl_fail(err, PL_E_MEMORY, "cannot make a condition");
    }
    const pl_status st = fill(c, grammar, err);
    if (st) destroy(c);
    else *out = c;
    return st;
}

void constraint_start(struct constraint *c)
{
    if (c->state == READY) hand_over(c);
}

void constraint_close(struct constraint *c)
{
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    const bool is_busy = c->state == BUSY;
    c->is_closed = true;
    pthread_mutex_unlock(&c->lock);
    if (!is_busy) destroy(c);
}

/* ---- from token to token -------------------------------------------------------------------- */

void constraint_push(struct constraint *c, int32_t token)
{
    /* not BUSY: the token was picked under the mask that the worker was asked for */
    if (c->state == WAITING) {
        size_t n;
        const char *bytes = tokenizer_bytes(c->room->tokenizer, token, &n);
        if (trigger_push(&c->trigger, token, bytes, n, &c->rest)) hand_over(c);
    } else if (c->state == READY) {
        c->token = token;
        hand_over(c);
    }
}

enum matcher_next constraint_wait(struct constraint *c, const uint32_t **mask)
{
    pthread_mutex_lock(&c->lock);
    while (c->state == BUSY) pthread_cond_wait(&c->changed, &c->lock);
    const enum state state = c->state;
    pthread_mutex_unlock(&c->lock);
    *mask = state == READY                      ? c->mask
            : state == WAITING && c->must_begin ? c->room->others
                                                : NULL;
    return state == READY ? c->next : MATCHER_GOES_ON;
}

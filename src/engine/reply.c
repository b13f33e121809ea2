#include "engine/reply.h"

#include <string.h>

#include "engine/record.h"

/* The text a token adds, behind the space for held-back text. Control tokens add none, unless it is
 * wanted. */
static size_t decode(const struct reply_context *c, struct pl_stream *s, int32_t token)
{
    if (tokenizer_is_control(c->tokenizer, token) &&
        (!s->control_text || tokenizer_is_end(c->tokenizer, token)))
        return 0;
    size_t n;
    const char *bytes = tokenizer_bytes(c->tokenizer, token, &n);
    return utf8_stream_push(&s->utf8, bytes, n, c->text + STOP_MAX_BYTES);
}

static void observe_token(const struct reply_context *c, struct pl_stream *s, uint64_t now_ns)
{
    if (s->first_token_ns) {
        stats_observe(&c->stats->now.inter_token, now_ns - s->last_token_ns);
    } else {
        s->first_token_ns = now_ns;
        stats_observe(&c->stats->now.ttft, now_ns - s->submitted_ns);
        stats_observe(&c->stats->now.prefill, now_ns - s->admitted_ns);
    }
    s->last_token_ns = now_ns;
    stats_reply_tokens(c->stats, now_ns, 1);
}

pl_finish reply_token(const struct reply_context *c, struct pl_stream *s,
                      const struct picked *picked, uint64_t now_ns, int32_t *stop_index)
{
    *stop_index = -1;
    if (picked->token == PICKED_COMPLETE) return PL_FINISH_STOP;
    if (picked->token < 0) return PL_FINISH_ERROR;     /* no finite logit, or all forbidden */
    if (!s->ignore_eos && tokenizer_is_end(c->tokenizer, picked->token)) return PL_FINISH_STOP;
    if (ending_has(&s->ending, picked->token)) return PL_FINISH_STOP;

    s->seq.token[s->seq.n_tokens++] = picked->token;
    s->n_reply++;
    s->mu = s->next_mu;
    if (s->constraint) constraint_push(s->constraint, picked->token);
    observe_token(c, s, now_ns);

    const char *text;
    const size_t n = decode(c, s, picked->token);
    const struct stop_result r = stop_push(&s->stop, c->text, n, &text);
    const struct record record = {
        .kind = PL_EVENT_TOKEN, .token = picked->token, .logprob = picked->logprob,
        .n_top = picked->n_top, .n_text_bytes = (uint32_t)r.n_released, .stop_index = -1
    };
    record_emit(s, &record, picked->top, NULL, text);

    *stop_index = r.stop_index;
    if (r.stop_index >= 0) return PL_FINISH_STOP;
    return s->seq.n_tokens == s->seq.max_tokens ? PL_FINISH_LENGTH : PL_FINISH_NONE;
}

/* What is still held back: the rest of the decoder first, because a stop string may end in it. */
static struct stop_result flush(const struct reply_context *c, struct pl_stream *s, char *out)
{
    const char *text;
    const size_t n = utf8_stream_finish(&s->utf8, c->text + STOP_MAX_BYTES);
    const struct stop_result pushed = stop_push(&s->stop, c->text, n, &text);
    memcpy(out, text, pushed.n_released);
    if (pushed.stop_index >= 0) return pushed;

    struct stop_result r = stop_finish(&s->stop);
    memcpy(out + pushed.n_released, s->stop.held, r.n_released);
    r.n_released += pushed.n_released;
    return r;
}

void reply_end(const struct reply_context *c, struct pl_stream *s, pl_finish finish,
               int32_t stop_index, uint64_t now_ns)
{
    char text[2 * STOP_MAX_BYTES + UTF8_STREAM_SLACK];
    struct stop_result rest = { 0, -1 };
    if (stop_index < 0) {
        rest = flush(c, s, text);
        if (rest.stop_index >= 0 && finish == PL_FINISH_LENGTH) finish = PL_FINISH_STOP;
        if (finish == PL_FINISH_STOP) stop_index = rest.stop_index;
    }

    const pl_usage usage = {
        .n_prompt = s->seq.n_prompt, .n_cached = s->seq.n_cached, .n_reply = s->n_reply,
        .queue_ns = (s->admitted_ns ? s->admitted_ns : now_ns) - s->submitted_ns,
        .prefill_ns = s->first_token_ns ? s->first_token_ns - s->admitted_ns : 0,
        .decode_ns = s->last_token_ns - s->first_token_ns,
    };
    const struct record record = { .kind = PL_EVENT_END, .token = -1, .finish = finish,
                                   .n_text_bytes = (uint32_t)rest.n_released,
                                   .stop_index = stop_index };
    c->stats->now.n_finished[finish]++;
    if (c->stats->now.n_tokens_max < usage.n_prompt + usage.n_reply)
        c->stats->now.n_tokens_max = usage.n_prompt + usage.n_reply;
    if (s->first_token_ns) stats_observe(&c->stats->now.decode, usage.decode_ns);
    stats_observe(&c->stats->now.end_to_end, now_ns - s->submitted_ns);
    const pl_token_prob none = { 0 };
    record_emit(s, &record, &none, &usage, text);
}

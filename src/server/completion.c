#include "server/completion.h"

#include <stdlib.h>

void completion_cancel(struct completion *c)
{
    for (uint32_t i = 0; i < c->n_choices; i++) pl_stream_cancel(c->choice[i].stream);
}

void completion_cancel_choice(struct completion *c, uint32_t choice)
{
    atomic_store(&c->choice[choice].is_cancelled, true);
    pl_stream_cancel(c->choice[choice].stream);
}

bool choice_has_failed(const struct choice *ch)
{
    const bool is_wanted = !atomic_load(&((struct choice *)(uintptr_t)ch)->is_cancelled);
    return finish_is_failure(ch->finish) && (ch->finish != PL_FINISH_CANCELLED || is_wanted);
}

struct completion_sums completion_sums(const struct completion *c)
{
    struct completion_sums sums = { 0 };
    for (uint32_t i = 0; i < c->n_prompts; i++) sums.n_prompt += c->prompt[i].n_tokens;
    for (uint32_t i = 0; i < c->n_choices; i++) {
        const struct choice *ch = &c->choice[i];
        const pl_usage *u = &ch->usage;
        sums.n_reply += ch->has_ended ? u->n_reply : ch->n_tokens;
        if (i % c->request.n == 0) sums.n_cached += u->n_cached;
        if (u->queue_ns > sums.queue_ns) sums.queue_ns = u->queue_ns;
        if (u->prefill_ns > sums.prefill_ns) sums.prefill_ns = u->prefill_ns;
        if (u->decode_ns > sums.decode_ns) sums.decode_ns = u->decode_ns;
    }
    return sums;
}

const char *completion_stop_string(const struct completion *c, const struct choice *ch)
{
    if (ch->finish != PL_FINISH_STOP || ch->stop_index < 0) return NULL;
    return json_string_value(json_array_get(c->stops, (size_t)ch->stop_index));
}

void completion_free(struct completion *c)
{
    if (!c) return;
    for (uint32_t i = 0; i < c->n_choices; i++) {
        struct choice *ch = &c->choice[i];
        pl_stream_close(ch->stream);
        strbuf_free(&ch->text);
        reply_reader_free(&ch->reader);
        strbuf_free(&ch->logprobs);
        strbuf_free(&ch->token_ids);
        strbuf_free(&ch->token_logprobs);
        strbuf_free(&ch->top_logprobs);
        strbuf_free(&ch->text_offset);
    }
    for (uint32_t i = 0; i < c->n_prompts; i++) {
        pl_tokens_free(&c->prompt[i].tokens);
        strbuf_free(&c->prompt[i].echo);
    }
    if (c->own) c->free_own(c->own);
    json_decref(c->tools);
    json_decref(c->stops);
    free(c->choice);
    free(c->prompt);
    request_free(&c->request);
    strbuf_free(&c->out);
    free(c);
}

#include "cli/run/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/strbuf.h"
#include "cli/run/interrupt.h"

static pl_status add_message(struct chat *c, const char *role, const char *content, size_t n,
                             pl_err *err)
{
    json_t *message = json_pack("{s:s s:s%}", "role", role, "content", content, n);
    if (!message || json_array_append_new(c->messages, message))
        return pl_fail(err, PL_E_PARAM, "what was typed is not UTF-8: set the terminal to it");
    return PL_OK;
}

static void forget_last(struct chat *c)
{
    json_array_remove(c->messages, json_array_size(c->messages) - 1);
}

pl_status chat_open(struct chat *c, pl_err *err)
{
    c->messages = json_array();
    if (!c->messages) return pl_fail(err, PL_E_MEMORY, "out of memory");
    return c->system_prompt
        ? add_message(c, "system", c->system_prompt, strlen(c->system_prompt), err) : PL_OK;
}

void chat_close(struct chat *c)
{
    json_decref(c->messages);
    c->messages = NULL;
}

void chat_forget(struct chat *c)
{
    while (json_array_size(c->messages) > (c->system_prompt ? 1 : 0)) forget_last(c);
}

/* ---- a reply -------------------------------------------------------------------------------- */

static pl_finish stream_reply(pl_stream *stream, struct strbuf *reply, pl_usage *usage)
{
    pl_event event;
    for (;;) {
        if (interrupt_is_set()) pl_stream_cancel(stream);
        if (!pl_stream_wait(stream, 100)) continue;
        while (pl_stream_next(stream, &event)) {
            if (event.kind != PL_EVENT_ADMITTED) {
                fwrite(event.text, 1, event.n_text_bytes, stdout);
                strbuf_add(reply, event.text, event.n_text_bytes);
            }
            if (event.kind == PL_EVENT_END) {
                *usage = event.usage;
                return event.finish;
            }
        }
        fflush(stdout);
    }
}

static pl_status prompt_of_messages(const struct chat *c, pl_tokens *tokens, pl_err *err)
{
    json_t *all = json_pack("{s:O s:b}", "messages", c->messages, "add_generation_prompt", 1);
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    const pl_status st = text ? pl_chat_prompt(c->engine, text, strlen(text), NULL, tokens, err)
                              : pl_fail(err, PL_E_MEMORY, "out of memory");
    free(text);
    json_decref(all);
    return st;
}

static void tell_usage(const pl_usage *usage, pl_finish finish)
{
    static const char *const ends[] = {
        [PL_FINISH_LENGTH] = ", cut: --n-predict or --ctx-size is used up",
        [PL_FINISH_CANCELLED] = ", stopped", [PL_FINISH_ERROR] = ", failed",
    };
    const double s = (double)usage->decode_ns * 1e-9;
    fflush(stdout);
    fprintf(stderr, "[%u prompt tokens (%u cached) in %.2f s, %u reply tokens, %.1f tok/s%s]\n",
            usage->n_prompt, usage->n_cached, (double)usage->prefill_ns * 1e-9, usage->n_reply,
            s > 0 && usage->n_reply > 1 ? (usage->n_reply - 1) / s : 0,
            ends[finish] ? ends[finish] : "");
}

static pl_status answer(const struct chat *c, const char *prompt, struct strbuf *reply,
                        pl_finish *finish, pl_err *err)
{
    pl_tokens tokens = { 0 };
    pl_stream *stream = NULL;
    pl_usage usage;
    pl_status st = c->is_raw ? pl_tokenize(c->engine, prompt, strlen(prompt),
                                           PL_TOKENIZE_SPECIAL | PL_TOKENIZE_BOS, &tokens, err)
                             : prompt_of_messages(c, &tokens, err);
    if (!st) {
        const pl_request request = { .tokens = tokens.ids, .n_tokens = tokens.n,
                                     .max_tokens = c->max_tokens, .sampling = c->sampling };
        st = pl_submit(c->engine, &request, &stream, err);
    }
    if (!st) {
        *finish = stream_reply(stream, reply, &usage);
        printf("\n");
        tell_usage(&usage, *finish);
        if (*finish == PL_FINISH_ERROR)
            st = pl_fail(err, PL_E_INTERNAL, "the machine failed a step of this reply");
    }
    pl_stream_close(stream);
    pl_tokens_free(&tokens);
    return st;
}

pl_status chat_ask(struct chat *c, const char *question, bool *is_stopped, pl_err *err)
{
    struct strbuf reply = { 0 };
    pl_finish finish = PL_FINISH_NONE;
    pl_status st = PL_OK;

    if (!c->is_raw) st = add_message(c, "user", question, strlen(question), err);
    if (st) return st;
    st = answer(c, question, &reply, &finish, err);
    *is_stopped = finish == PL_FINISH_CANCELLED;
    if (!c->is_raw) {
        const bool is_kept = !st && (reply.n || !*is_stopped);
        if (is_kept) st = add_message(c, "assistant", reply.bytes ? reply.bytes : "", reply.n, err);
        if (!is_kept || st) forget_last(c);
    }
    strbuf_free(&reply);
    return st;
}

#include "server/request_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/completion.h"
#include "server/embedding.h"

enum { LOGGED_PATH_BYTES = 100 };

/* What a client names is not to break lines or colour terminals. */
static const char *printable(char *to, const char *from)
{
    size_t n = 0;
    for (; from && from[n] && n < LOGGED_PATH_BYTES; n++)
        to[n] = from[n] > ' ' && from[n] < 0x7f ? from[n] : '?';
    to[n] = 0;
    return to;
}

static const char *end_name(const struct exchange *x, enum MHD_RequestTerminationCode code,
                            bool is_gone)
{
    if (x->state == NAMED) return "head_refused_or_cut";
    if (x->state == RECEIVING) return "body_refused_or_cut";
    if (code == MHD_REQUEST_TERMINATED_COMPLETED_OK) return "answered";    /* whoever closed it */
    if (is_gone) return "client_left";
    switch (code) {
    case MHD_REQUEST_TERMINATED_TIMEOUT_REACHED: return "too_slow";
    case MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN: return "shutting_down";
    case MHD_REQUEST_TERMINATED_CLIENT_ABORT:
    case MHD_REQUEST_TERMINATED_READ_ERROR: return "client_left";
    default: return x->state == ANSWERED ? "cut" : "client_left";
    }
}

static void add_tokens(struct strbuf *to, const struct completion *c)
{
    const struct completion_sums sums = completion_sums(c);
    strbuf_addf(to, " prompt_tokens=%" PRIu64 " cached_tokens=%" PRIu64 " reply_tokens=%" PRIu64
                " queue_ms=%" PRIu64 " prefill_ms=%" PRIu64 " decode_ms=%" PRIu64, sums.n_prompt,
                sums.n_cached, sums.n_reply, sums.queue_ns / 1000000, sums.prefill_ns / 1000000,
                sums.decode_ns / 1000000);
}

void request_log(const struct exchange *x, enum MHD_RequestTerminationCode code, bool is_gone)
{
    char path[LOGGED_PATH_BYTES + 1], key[16] = "none";
    struct strbuf more = { 0 };
    if (!x->server->is_verbose) return;
    if (x->key_number) snprintf(key, sizeof key, "%u", x->key_number);
    strbuf_add_str(&more, "");
    if (x->completion) add_tokens(&more, x->completion);
    if (x->embedding)
        strbuf_addf(&more, " prompt_tokens=%" PRIu64 " texts=%zu", x->embedding->n_tokens,
                    x->embedding->n_texts);
    PL_LOG(INFO, "http", "id=%s %s %s status=%u end=%s ms=%" PRIu64 " key=%s%s",
           *x->id ? x->id : "none", *x->method ? x->method : "?", printable(path, x->whole_path),
           x->state == ANSWERED ? x->status : 0, end_name(x, code, is_gone),
           (clock_ns() - x->started_ns) / 1000000, key, more.bytes ? more.bytes : "");
    strbuf_free(&more);
}

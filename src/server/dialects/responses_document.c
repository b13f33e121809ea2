#include "server/dialects/responses_document.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "server/dialects/responses.h"
#include "server/json_text.h"
#include "server/model_names.h"
#include "server/state.h"

const char *response_status_name(enum response_status status)
{
    static const char *const names[] = { "in_progress", "completed", "incomplete", "failed" };
    return names[status];
}

enum response_status response_status_of(const struct completion *c)
{
    return c->choice[0].finish == PL_FINISH_LENGTH ? RESPONSE_INCOMPLETE : RESPONSE_COMPLETED;
}

static void add_head(const struct completion *c, enum response_status status, const char *why,
                     struct strbuf *to)
{
    const char *model = model_names_first(c->exchange->server);
    strbuf_addf(to, "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%" PRIu64
                ",\"status\":\"%s\",\"background\":false", c->id, c->created_s,
                response_status_name(status));
    if (status == RESPONSE_COMPLETED)
        strbuf_addf(to, ",\"completed_at\":%" PRIu64, (uint64_t)time(NULL));
    strbuf_add_str(to, ",\"error\":");
    if (why) {
        strbuf_add_str(to, "{\"code\":\"server_error\",\"message\":");
        json_text_add(to, why, strlen(why));
        strbuf_add_str(to, "}");
    } else {
        strbuf_add_str(to, "null");
    }
    strbuf_addf(to, ",\"incomplete_details\":%s,\"model\":",
                status == RESPONSE_INCOMPLETE ? "{\"reason\":\"max_output_tokens\"}" : "null");
    json_text_add(to, model, strlen(model));
}

static void add_usage(const struct completion *c, struct strbuf *to)
{
    const struct response *r = c->own;
    const struct completion_sums sums = completion_sums(c);
    const uint64_t n_thought = r->n_thought_tokens < sums.n_reply ? r->n_thought_tokens
                                                                  : sums.n_reply;
    strbuf_addf(to, ",\"usage\":{\"input_tokens\":%" PRIu64 ",\"input_tokens_details\":{"
                "\"cached_tokens\":%" PRIu64 ",\"cache_write_tokens\":0},\"output_tokens\":%" PRIu64
                ",\"output_tokens_details\":{\"reasoning_tokens\":%" PRIu64 "},\"total_tokens\":%"
                PRIu64 "}", sums.n_prompt, sums.n_cached, sums.n_reply, n_thought,
                sums.n_prompt + sums.n_reply);
}

void response_document_add(const struct completion *c, enum response_status status,
                           const char *why, struct strbuf *to)
{
    const struct response *r = c->own;
    const pl_sampling *s = &c->request.sampling;
    add_head(c, status, why, to);
    strbuf_addf(to, ",\"output\":[%s]", r->output.n ? r->output.bytes : "");
    strbuf_add(to, r->echo.bytes, r->echo.n);
    strbuf_addf(to, ",\"temperature\":%.7g,\"top_p\":%.7g,\"truncation\":\"disabled\","
                "\"service_tier\":\"default\",\"user\":null", (double)s->temperature,
                (double)s->top_p);
    if (status == RESPONSE_IN_PROGRESS) strbuf_add_str(to, ",\"usage\":null");
    else add_usage(c, to);
    strbuf_add_str(to, "}");
}

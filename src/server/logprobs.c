#include "server/logprobs.h"

#include "server/json_text.h"

/* The object stays open. */
static void add_token(struct strbuf *to, const pl_engine *engine, int32_t token, float logprob)
{
    size_t n;
    const char *bytes = pl_token_bytes(engine, token, &n);
    strbuf_addf(to, "{\"id\":%d,\"token\":", token);
    json_text_add(to, bytes, n);
    strbuf_addf(to, ",\"logprob\":%.6f,\"bytes\":", (double)logprob);
    json_text_add_bytes(to, bytes, n);
}

void logprobs_add(struct strbuf *to, const pl_engine *engine, const pl_event *e)
{
    if (to->n) strbuf_add_str(to, ",");
    add_token(to, engine, e->token, e->logprob);
    strbuf_add_str(to, ",\"top_logprobs\":[");
    for (uint32_t i = 0; i < e->n_top; i++) {
        if (i) strbuf_add_str(to, ",");
        add_token(to, engine, e->top[i].token, e->top[i].logprob);
        strbuf_add_str(to, "}");
    }
    strbuf_add_str(to, "]}");
}

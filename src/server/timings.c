#include "server/timings.h"

/* "NAME_n":...,"NAME_ms":..., and the rates of n_timed tokens in that time; 0 where none is. */
static void add_phase(struct strbuf *to, const char *name, uint32_t n, uint32_t n_timed, double ms)
{
    const double per_token = n_timed ? ms / n_timed : 0;
    const double per_second = n_timed && ms > 0 ? 1e3 / ms * n_timed : 0;
    strbuf_addf(to, "\"%s_n\":%u,\"%s_ms\":%.6f,\"%s_per_token_ms\":%.6f,\"%s_per_second\":%.9g",
                name, n, name, ms, name, per_token, name, per_second);
}

void timings_add(struct strbuf *to, const pl_usage *u)
{
    const uint32_t n_prompt = u->n_prompt - u->n_cached;
    strbuf_addf(to, "{\"cache_n\":%u,", u->n_cached);
    add_phase(to, "prompt", n_prompt, n_prompt, (double)u->prefill_ns * 1e-6);
    strbuf_add_str(to, ",");
    add_phase(to, "predicted", u->n_reply, u->n_reply ? u->n_reply - 1 : 0,
              (double)u->decode_ns * 1e-6);
    strbuf_add_str(to, "}");
}

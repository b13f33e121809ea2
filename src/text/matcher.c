#include "text/matcher.h"

#include <stdlib.h>

#include "base/log.h"
#include "text/text_shim.h"

struct vocabulary {
    const struct shim_vocabulary *shim;
};

struct matcher {
    struct shim_matcher *shim;
};

/* Says the shim's reason and frees it. */
static pl_status fail(pl_err *err, int shim_status, struct shim_text *reason)
{
    enum { MAX_BYTES = PL_ERR_TEXT_BYTES - 32 };   /* room for what stands before */
    const size_t n = shim_text_cut(reason, MAX_BYTES);
    const pl_status st = shim_status == SHIM_MEMORY     ? PL_E_MEMORY
                         : shim_status == SHIM_INTERNAL ? PL_E_INTERNAL
                                                        : PL_E_GRAMMAR;
    pl_fail(err, st, "grammar: %.*s", (int)n, reason->bytes);
    pl_shim_free(reason);
    return st;
}

pl_status vocabulary_open(struct vocabulary **out, const char *bytes, const size_t *offset,
                          const uint8_t *kind, size_t n, pl_err *err)
{
    struct shim_text text = { 0 };
    *out = calloc(1, sizeof **out);
    if (!*out) return pl_fail(err, PL_E_MEMORY, "no memory for a vocabulary");
    const int st = pl_shim_vocabulary_open(&(*out)->shim, bytes, offset, kind, n, &text);
    if (st == SHIM_OK) {
        pl_shim_free(&text);
        return PL_OK;
    }
    free(*out);
    *out = NULL;
    return fail(err, st, &text);
}

void vocabulary_close(struct vocabulary *v)
{
    if (!v) return;
    pl_shim_vocabulary_close(v->shim);
    free(v);
}

pl_status matcher_open(struct matcher **out, const struct vocabulary *v, pl_grammar_kind kind,
                       const char *source, size_t n_bytes, pl_err *err)
{
    struct shim_text text = { 0 };
    *out = calloc(1, sizeof **out);
    if (!*out) return pl_fail(err, PL_E_MEMORY, "no memory for a matcher");
    const int st =
        pl_shim_matcher_open(&(*out)->shim, v->shim, (int)kind, source, n_bytes, &text);
    if (st == SHIM_OK) {
        pl_shim_free(&text);
        return PL_OK;
    }
    free(*out);
    *out = NULL;
    return fail(err, st, &text);
}

void matcher_close(struct matcher *m)
{
    if (!m) return;
    pl_shim_matcher_close(m->shim);
    free(m);
}

static bool is_taken(int shim_status, struct shim_text *text)
{
    if (shim_status != SHIM_OK && text->n)
        PL_LOG(WARN, "text", "a grammar's matcher failed: %.*s", (int)text->n, text->bytes);
    pl_shim_free(text);
    return shim_status == SHIM_OK;
}

bool matcher_push(struct matcher *m, int32_t token)
{
    struct shim_text text = { 0 };
    const int st = pl_shim_matcher_push(m->shim, (uint32_t)token, &text);
    return is_taken(st, &text);
}

bool matcher_push_text(struct matcher *m, const char *bytes, size_t n)
{
    struct shim_text text = { 0 };
    const int st = pl_shim_matcher_push_text(m->shim, bytes, n, &text);
    return is_taken(st, &text);
}

enum matcher_next matcher_mask(struct matcher *m, uint32_t *mask, size_t n_words)
{
    static const enum matcher_next next_of[] = { MATCHER_GOES_ON, MATCHER_MAY_END,
                                                 MATCHER_COMPLETE };
    struct shim_text text = { 0 };
    int next = 0;
    const int st = pl_shim_matcher_mask(m->shim, mask, n_words, &next, &text);
    return is_taken(st, &text) ? next_of[next] : MATCHER_FAILED;
}

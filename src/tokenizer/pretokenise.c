#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "tokenizer/pretokenise.h"
#include "tokenizer/utf8.h"

/* ---- opening -------------------------------------------------------------------------------- */

static pl_status fail_unknown(const char *name, size_t n, pl_err *err)
{
    struct strbuf known = { 0 };
    const char *first;
    size_t n_first;
    for (size_t i = 0; (first = pattern_name(i, &n_first)) != NULL; i++)
        strbuf_addf(&known, " %.*s", (int)n_first, first);

    pl_status st = pl_fail(err, PL_E_UNSUPPORTED,
                           "tokenizer.ggml.pre '%.*s' is unknown; known are, with aliases:%s",
                           (int)(n < 32 ? n : 32), name, known.failed ? "" : known.bytes);
    strbuf_free(&known);
    return st;
}

static pl_status compile(const char *pattern, pcre2_code **out, pl_err *err)
{
    int code;
    PCRE2_SIZE at;

    *out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                         PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    if (!*out) {
        PCRE2_UCHAR text[128] = "";
        pcre2_get_error_message(code, text, sizeof text);
        return pl_fail(err, code == PCRE2_ERROR_HEAP_FAILED ? PL_E_MEMORY : PL_E_INTERNAL,
                       "a pre-tokenizer pattern does not compile: %s at %zu", (char *)text,
                       (size_t)at);
    }
    /* Where the system refuses executable memory the interpreter does the same, slower. */
    (void)pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
    return PL_OK;
}

pl_status pretokeniser_open(struct pretokeniser *p, const char *name, size_t n, pl_err *err)
{
    *p = (struct pretokeniser){ .family = pattern_find(name, n) };
    if (!p->family) return fail_unknown(name, n, err);

    while (p->n_stages < MAX_STAGES && p->family->stage[p->n_stages]) {
        pl_status st = compile(p->family->stage[p->n_stages], &p->stage[p->n_stages], err);
        if (st) {
            pretokeniser_close(p);
            return st;
        }
        p->n_stages++;
    }
    return PL_OK;
}

void pretokeniser_close(struct pretokeniser *p)
{
    for (unsigned i = 0; i < p->n_stages; i++) pcre2_code_free(p->stage[i]);
    *p = (struct pretokeniser){ 0 };
}

size_t pretokeniser_n_bytes(const struct pretokeniser *p)
{
    size_t n = 0;

    for (unsigned i = 0; i < p->n_stages; i++) {
        size_t code = 0, jit = 0;
        pcre2_pattern_info(p->stage[i], PCRE2_INFO_SIZE, &code);
        pcre2_pattern_info(p->stage[i], PCRE2_INFO_JITSIZE, &jit);
        n += code + jit;
    }
    return n;
}

/* ---- splitting ------------------------------------------------------------------------------ */

struct split {
    const struct pretokeniser *p;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    piece_fn *fn;
    void *arg;
};

/* The next match at or after `from`; *found is false where there is none. */
static pl_status find_match(const struct split *s, unsigned stage, const char *text, size_t n,
                            size_t from, size_t span[2], bool *found, pl_err *err)
{
    /* The text was checked; checking again at every match would be quadratic. */
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int rc =
        pcre2_match(s->p->stage[stage], (PCRE2_SPTR)text, n, from, options, s->match, s->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(s->p->stage[stage], (PCRE2_SPTR)text, n, from, options | PCRE2_NO_JIT,
                         s->match, s->limits);

    *found = rc > 0;
    if (rc == PCRE2_ERROR_NOMATCH) return PL_OK;
    if (rc == PCRE2_ERROR_NOMEMORY)
        return pl_fail(err, PL_E_MEMORY, "no memory to match a pre-tokenizer pattern");
    if (rc <= 0)
        return pl_fail(err, PL_E_INTERNAL, "matching a pre-tokenizer pattern failed (%d)", rc);

    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->match);
    span[0] = at[0];
    span[1] = at[1];
    return PL_OK;
}

/* Matches and what lies between them are the pieces that the next stage cuts on. */
static pl_status split_stage(const struct split *s, unsigned stage, const char *text, size_t n,
                             pl_err *err)
{
    if (stage == s->p->n_stages) return s->fn(s->arg, text, n, err);

    size_t done = 0;
    pl_status st = PL_OK;
    while (!st && done < n) {
        size_t span[2] = { n, n };
        bool found;
        st = find_match(s, stage, text, n, done, span, &found, err);
        if (!st && span[0] > done) st = split_stage(s, stage + 1, text + done, span[0] - done, err);
        if (!st && found) st = split_stage(s, stage + 1, text + span[0], span[1] - span[0], err);
        done = span[1];
    }
    return st;
}

/* Bytes from the start that are whole characters (characters = true) or that form none. */
static size_t run_length(const char *text, size_t n, bool characters)
{
    const unsigned char *b = (const unsigned char *)text;
    size_t i = 0;

    while (i < n) {
        const int length = utf8_length(b + i, n - i);
        if ((length > 0) != characters) break;
        i += length > 0 ? (size_t)length : 1;
    }
    return i;
}

pl_status pretokeniser_split(const struct pretokeniser *p, const char *text, size_t n, piece_fn *fn,
                             void *arg, pl_err *err)
{
    struct split s = {
        .p = p,
        .match = pcre2_match_data_create(1, NULL),
        .limits = pcre2_match_context_create(NULL),
        .fn = fn,
        .arg = arg,
    };
    pl_status st = PL_OK;
    if (!s.match || !s.limits) st = pl_fail(err, PL_E_MEMORY, "no memory to match patterns");

    /* The limits guard against patterns of strangers; these are ours, and a run of spaces may
     * rightly be backed out of one by one. */
    if (s.limits) pcre2_set_match_limit(s.limits, UINT32_MAX);

    for (size_t at = 0; !st && at < n;) {
        size_t run = run_length(text + at, n - at, true);
        if (run) {
            st = split_stage(&s, 0, text + at, run, err);
        } else {
            run = run_length(text + at, n - at, false);
            st = fn(arg, text + at, run, err);
        }
        at += run;
    }
    pcre2_match_context_free(s.limits);
    pcre2_match_data_free(s.match);
    return st;
}

#include "cli/sampling_args.h"

#include <stdio.h>
#include <string.h>

enum { EXIT_USAGE = 2, GO_ON = -1, MAX_BREAKER = 40 };

static int add(pl_sampling *s, const char *option, const char *name, size_t n)
{
    pl_err err = { 0 };
    if (!pl_sampling_add(s, name, n, &err)) return GO_ON;
    fprintf(stderr, "paceline: %s: %s\n", option, err.text);
    return EXIT_USAGE;
}

/* Names with ; between, or letters with nothing. */
static int take_order(const struct sampling_words *w, pl_sampling *s)
{
    int code = GO_ON;
    if (w->letters || w->samplers) s->n_order = 0;
    for (const char *at = w->letters ? w->letters : ""; *at && code < 0; at++)
        code = add(s, "--sampler-seq", at, 1);
    if (w->letters) return code;
    for (const char *at = w->samplers ? w->samplers : ""; *at && code < 0;) {
        const size_t n = strcspn(at, ";");
        code = add(s, "--samplers", at, n);
        at += n + (at[n] == ';');
    }
    return code;
}

/* \n, \t, \r, and of any other character itself, as llama-server has it. */
static void unescape(char *to, const char *from)
{
    for (; *from; from++) {
        const bool is_escaped = *from == '\\' && from[1];
        if (is_escaped) from++;
        *to++ = !is_escaped   ? *from
                : *from == 'n' ? '\n'
                : *from == 't' ? '\t'
                : *from == 'r' ? '\r'
                               : *from;
    }
    *to = 0;
}

static int take_breakers(const struct sampling_words *w, pl_sampling *s)
{
    static char text[ARG_MAX_STRINGS][MAX_BREAKER + 1];
    static const char *breaker[ARG_MAX_STRINGS];
    if (!w->breakers.n) return GO_ON;
    s->dry_breaker = breaker;
    s->n_dry_breakers = 0;
    for (size_t i = 0; i < w->breakers.n; i++) {
        const char *from = w->breakers.text[i];
        if (!strcmp(from, "none")) continue;
        if (!*from || strlen(from) > MAX_BREAKER) {
            fprintf(stderr, "paceline: --dry-sequence-breaker: found %zu bytes, 1 to %d are "
                    "wanted\n", strlen(from), MAX_BREAKER);
            return EXIT_USAGE;
        }
        unescape(text[i], from);
        breaker[s->n_dry_breakers++] = text[i];
    }
    return GO_ON;
}

int sampling_args_take(const struct sampling_words *words, pl_sampling *s)
{
    const int code = take_order(words, s);
    return code < 0 ? take_breakers(words, s) : code;
}

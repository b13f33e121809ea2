#include "cli/args.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/help.h"
#include "cli/nearest.h"

enum { EXIT_USAGE = 2, GO_ON = -1, MAX_WORD = 48 };

struct parser {
    const struct arg_page *page;
    int argc, at;
    char **argv;
    struct arg_strings *rest;
    struct foreign_taken *taken;
};

static bool is_one_of(const char *words, const char *word, size_t n)
{
    while (words && *words) {
        const size_t n_this = strcspn(words, " ");
        if (n_this == n && !memcmp(words, word, n)) return true;
        words += n_this + (words[n_this] == ' ');
    }
    return false;
}

static const struct arg *find(const struct parser *p, const char *word, size_t n)
{
    for (size_t i = 0; i < p->page->n_table; i++)
        if ((strlen(p->page->table[i].name) == n && !memcmp(p->page->table[i].name, word, n)) ||
            is_one_of(p->page->table[i].shorts, word, n))
            return &p->page->table[i];
    return NULL;
}

static int unknown(const struct parser *p, const char *word, size_t n)
{
    struct nearest best;
    nearest_begin(&best, word, n);
    for (size_t i = 0; i < p->page->n_table; i++) nearest_offer(&best, p->page->table[i].name);
    const char *nearest = best.name;
    fprintf(stderr, "paceline: unknown option %.*s%s%s%s (see --help)\n", (int)n, word,
            nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    return EXIT_USAGE;
}

static int bad_value(const struct arg *a, const char *value)
{
    if (a->min == 0 && a->max == 0)
        fprintf(stderr, "paceline: %s: \"%s\" is not a number\n", a->name, value);
    else
        fprintf(stderr, "paceline: %s: found \"%s\", a number from %.10g to %.10g is wanted\n",
                a->name, value, a->min, a->max);
    return EXIT_USAGE;
}

static int store_number(const struct arg *a, const char *value)
{
    char *end;
    errno = 0;
    const double x = strtod(value, &end);
    if (end == value || *end || errno || !isfinite(x)) return bad_value(a, value);
    if ((a->min != 0 || a->max != 0) && (x < a->min || x > a->max)) return bad_value(a, value);
    if (a->kind == ARG_F32) {
        *(float *)a->to = (float)x;
        return GO_ON;
    }
    const bool is_signed = a->kind == ARG_I32 || a->kind == ARG_I64;
    if (x != floor(x) || fabs(x) > 0x1p53 || (x < 0 && !is_signed)) return bad_value(a, value);
    switch (a->kind) {
    case ARG_U32:
        if (x > UINT32_MAX) return bad_value(a, value);
        *(uint32_t *)a->to = (uint32_t)x;
        break;
    case ARG_I32:
        if (x < INT32_MIN || x > INT32_MAX) return bad_value(a, value);
        *(int32_t *)a->to = (int32_t)x;
        break;
    case ARG_I64:
        *(int64_t *)a->to = (int64_t)x;
        break;
    default:
        *(uint64_t *)a->to = (uint64_t)x;
    }
    return GO_ON;
}

/* --name [on|off|auto]: the next word is the value if it is one of these. */
static const char *optional_value(struct parser *p)
{
    static const char words[] = "on off auto true false 1 0 enabled disabled";
    if (p->at + 1 < p->argc && is_one_of(words, p->argv[p->at + 1], strlen(p->argv[p->at + 1])))
        return p->argv[++p->at];
    return NULL;
}

static int store_joined(const char **to, const char *value)
{
    static char *joined;    /* the last one that was made; kept, for *to points to it */
    char *longer;
    if (!*to) {
        *to = value;
        return GO_ON;
    }
    if (asprintf(&longer, "%s,%s", *to, value) < 0) {
        fputs("paceline: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    if (*to == joined) free(joined);
    *to = joined = longer;
    return GO_ON;
}

static int store(const struct arg *a, const char *value)
{
    switch (a->kind) {
    case ARG_FLAG:
        *(bool *)a->to = true;
        return GO_ON;
    case ARG_SWITCH:
        *(bool *)a->to = !value || !is_one_of("off false 0 disabled", value, strlen(value));
        return GO_ON;
    case ARG_STRING:
        *(const char **)a->to = value;
        return GO_ON;
    case ARG_STRINGS: {
        struct arg_strings *list = a->to;
        if (list->n == ARG_MAX_STRINGS) {
            fprintf(stderr, "paceline: %s: given more than %d times\n", a->name, ARG_MAX_STRINGS);
            return EXIT_USAGE;
        }
        list->text[list->n++] = value;
        return GO_ON;
    }
    case ARG_JOINED:
        return store_joined(a->to, value);
    default:
        return store_number(a, value);
    }
}

static int needs_value(const char *word, size_t n, const char *value)
{
    fprintf(stderr, "paceline: %.*s needs a value%s%s\n", (int)n, word, value ? ": " : "",
            value ? value : "");
    return EXIT_USAGE;
}

/* What another program would do with this word; its value is skipped or judged, never stored. */
static int parse_foreign(struct parser *p, const char *word, size_t n, const char *value)
{
    bool is_negated;
    const struct foreign *f = NULL;
    for (size_t i = 0; i < p->page->n_table && !f; i++)
        if (p->page->table[i].kind == ARG_FOREIGN)
            f = foreign_find(p->page->table[i].to, word, n, &is_negated);
    if (!f) return unknown(p, word, n);
    if (is_negated) value = "off";
    else if (f->value == FOREIGN_SWITCH && !value) value = optional_value(p);
    else if (f->value == FOREIGN_VALUE && !value && p->at + 1 < p->argc) value = p->argv[++p->at];
    else if (f->value == FOREIGN_VALUE && !value && f->effect == FOREIGN_NOTHING)
        return needs_value(word, n, NULL);
    return foreign_take(f, word, n, value, p->taken) ? GO_ON : EXIT_USAGE;
}

static int parse_option(struct parser *p)
{
    const char *word = p->argv[p->at];
    const size_t n = strcspn(word, "=");
    const struct arg *a = find(p, word, n);
    const char *value = word[n] == '=' ? word + n + 1 : NULL;

    if (!a && !strncmp(word, "--no-", 5)) {     /* --no-x turns the switch --x off */
        char name[MAX_WORD + 8];
        snprintf(name, sizeof name, "--%s", word + 5);
        a = find(p, name, strlen(name));
        if (a && a->kind == ARG_SWITCH) return store(a, "off");
        a = NULL;
    }
    if (!a) return parse_foreign(p, word, n, value);
    if (a->kind == ARG_FLAG) {
        if (!value) return store(a, NULL);
        fprintf(stderr, "paceline: %s takes no value, found \"%s\"\n", a->name, value);
        return EXIT_USAGE;
    }
    if (a->kind == ARG_SWITCH) return store(a, value ? value : optional_value(p));
    if (!value && p->at + 1 == p->argc) return needs_value(a->name, strlen(a->name), a->value);
    return store(a, value ? value : p->argv[++p->at]);
}

/* Bounds of what is no number would be read by nobody. */
static void check_table(const struct arg_page *page)
{
    for (size_t i = 0; i < page->n_table; i++) {
        const struct arg *a = &page->table[i];
        const bool is_number = a->kind == ARG_U32 || a->kind == ARG_U64 || a->kind == ARG_I32 ||
                               a->kind == ARG_I64 || a->kind == ARG_F32;
        assert(is_number || (a->min == 0 && a->max == 0));
        (void)is_number;        /* where asserts are left out */
    }
}

int args_parse(const struct arg_page *page, int argc, char **argv, struct arg_strings *rest,
               struct foreign_taken *taken)
{
    struct parser p = { page, argc, 1, argv, rest, taken };
    bool only_words = false;

    check_table(page);
    for (; p.at < argc; p.at++) {
        const char *word = argv[p.at];
        if (!only_words && (!strcmp(word, "--help") || !strcmp(word, "-h"))) {
            help_print(page);
            return 0;
        }
        if (!only_words && !strcmp(word, "--")) {
            only_words = true;
        } else if (!only_words && word[0] == '-' && word[1]) {
            const int result = parse_option(&p);
            if (result != GO_ON) return result;
        } else if (rest && rest->n < ARG_MAX_STRINGS) {
            rest->text[rest->n++] = word;
        } else {
            fprintf(stderr, "paceline: unexpected word \"%s\" (see --help)\n", word);
            return EXIT_USAGE;
        }
    }
    return GO_ON;
}

int args_take_model(const struct arg_page *page, const struct arg_strings *words,
                    const char **model)
{
    if (words->n > (*model ? 0 : 1)) {
        fprintf(stderr, "paceline: unexpected word \"%s\": %s (see --help)\n",
                words->text[*model ? 0 : 1],
                *model ? "--model names the model" : "one model is wanted");
        return EXIT_USAGE;
    }
    if (words->n) *model = words->text[0];
    return *model ? GO_ON : args_missing(page, "--model FILE, or the model as a word");
}

int args_missing(const struct arg_page *page, const char *what)
{
    fprintf(stderr, "paceline: %s needs %s\n", page->name, what);
    return EXIT_USAGE;
}

#include "cli/args.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/help.h"

enum { EXIT_USAGE = 2, GO_ON = -1, MAX_WORD = 48 };

struct parser {
    const struct arg_page *page;
    int argc, at;
    char **argv;
    struct arg_strings *rest, *given_always;
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

/* Letters to insert, drop or exchange (Levenshtein). */
static size_t edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t row[MAX_WORD + 1];
    if (n_a > MAX_WORD || n_b > MAX_WORD) return MAX_WORD;
    for (size_t j = 0; j <= n_b; j++) row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            const size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[n_b];
}

static int unknown(const struct parser *p, const char *word, size_t n)
{
    const char *nearest = NULL;
    size_t least = n / 2 + 1;
    for (size_t i = 0; i < p->page->n_table; i++) {
        const char *name = p->page->table[i].name;
        const size_t distance = edit_distance(word, n, name, strlen(name));
        if (distance < least) {
            least = distance;
            nearest = name;
        }
    }
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
    if (x != floor(x) || fabs(x) > 0x1p53 || (x < 0 && a->kind != ARG_I32))
        return bad_value(a, value);
    switch (a->kind) {
    case ARG_U32:
        if (x > UINT32_MAX) return bad_value(a, value);
        *(uint32_t *)a->to = (uint32_t)x;
        break;
    case ARG_I32:
        if (x < INT32_MIN || x > INT32_MAX) return bad_value(a, value);
        *(int32_t *)a->to = (int32_t)x;
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

static int store(struct parser *p, const struct arg *a, const char *value)
{
    switch (a->kind) {
    case ARG_FLAG:
        *(bool *)a->to = true;
        return GO_ON;
    case ARG_SWITCH:
        *(bool *)a->to = !value || !is_one_of("off false 0 disabled", value, strlen(value));
        return GO_ON;
    case ARG_ALWAYS:
        if (p->given_always && p->given_always->n < ARG_MAX_STRINGS)
            p->given_always->text[p->given_always->n++] = a->name;
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
    default:
        return store_number(a, value);
    }
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
        if (a && a->kind == ARG_SWITCH) return store(p, a, "off");
        a = NULL;
    }
    if (!a) return unknown(p, word, n);
    if (a->kind == ARG_FLAG) {
        if (!value) return store(p, a, NULL);
        fprintf(stderr, "paceline: %s takes no value, found \"%s\"\n", a->name, value);
        return EXIT_USAGE;
    }
    if (a->kind == ARG_SWITCH || (a->kind == ARG_ALWAYS && !a->value))
        return store(p, a, value ? value : optional_value(p));
    if (!value && p->at + 1 == p->argc) {
        fprintf(stderr, "paceline: %s needs a value: %s\n", a->name, a->value);
        return EXIT_USAGE;
    }
    return store(p, a, value ? value : p->argv[++p->at]);
}

int args_parse(const struct arg_page *page, int argc, char **argv, struct arg_strings *rest,
               struct arg_strings *given_always)
{
    struct parser p = { page, argc, 1, argv, rest, given_always };
    bool only_words = false;

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

int args_missing(const struct arg_page *page, const char *what)
{
    fprintf(stderr, "paceline: %s needs %s\n", page->name, what);
    return EXIT_USAGE;
}

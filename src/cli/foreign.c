#include "cli/foreign.h"

#include <stdio.h>
#include <string.h>

static bool is_in(const char *words, const char *word, size_t n)
{
    while (words && *words) {
        const size_t n_this = strcspn(words, " ");
        if (n_this == n && !memcmp(words, word, n)) return true;
        if (n_this > 1 && words[n_this - 1] == '*' && n >= n_this &&
            !memcmp(words, word, n_this - 1))
            return true;
        words += n_this + (words[n_this] == ' ');
    }
    return false;
}

static const struct foreign *find_name(const struct foreign_table *t, const char *word, size_t n)
{
    for (size_t i = 0; i < t->n; i++)
        if (is_in(t->list[i].names, word, n)) return &t->list[i];
    return NULL;
}

/* --no-x and -no-x of a row of --x and -x; a row may name its --no- form itself. */
const struct foreign *foreign_find(const struct foreign_table *t, const char *word, size_t n,
                                   bool *is_negated)
{
    char stem[64];
    const size_t n_dashes = strspn(word, "-");
    const struct foreign *f = find_name(t, word, n);
    *is_negated = false;
    if (f || n < n_dashes + 4 || n >= sizeof stem || memcmp(word + n_dashes, "no-", 3)) return f;
    snprintf(stem, sizeof stem, "%.*s%.*s", (int)n_dashes, word, (int)(n - n_dashes - 3),
             word + n_dashes + 3);
    f = find_name(t, stem, strlen(stem));
    *is_negated = f != NULL;
    return f && f->value == FOREIGN_SWITCH ? f : NULL;
}

static bool is_neutral(const struct foreign *f, const char *value)
{
    if (!value || !f->neutral) return false;
    return *value ? is_in(f->neutral, value, strlen(value)) : !*f->neutral;
}

bool foreign_take(const struct foreign *f, const char *word, size_t n_word, const char *value,
                  struct foreign_taken *taken)
{
    if (f->effect == FOREIGN_REFUSED && !is_neutral(f, value)) {
        fprintf(stderr, "paceline: %.*s is not supported: %s\n", (int)n_word, word, f->text);
        return false;
    }
    if (taken && taken->n < sizeof taken->list / sizeof *taken->list) {
        taken->list[taken->n].word = word;
        taken->list[taken->n].n_word = n_word;
        taken->list[taken->n++].text = f->effect == FOREIGN_NOTHING ? f->text
                                                                    : "asks for nothing";
    }
    return true;
}

#include "cli/nearest.h"

#include <string.h>
#include <strings.h>

enum { MAX_WORD = 64 };

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

void nearest_begin(struct nearest *best, const char *word, size_t n)
{
    *best = (struct nearest){ .word = word, .n = n, .least = 2 * (n / 2 + 1) };
}

static void take(struct nearest *best, const char *name, size_t distance)
{
    if (distance >= best->least) return;
    best->least = distance;
    best->name = name;
}

void nearest_offer(struct nearest *best, const char *name)
{
    take(best, name, 2 * edit_distance(best->word, best->n, name, strlen(name)));
}

static int has_word(const char *name, const char *word, size_t n)
{
    for (; *name; name++)
        if (!strncasecmp(name, word, n)) return 1;
    return 0;
}

/* Distances are counted twice over: what has the word in it comes between 0 and 1 letter. */
void nearest_offer_part(struct nearest *best, const char *name)
{
    if (best->n > 1 && has_word(name, best->word, best->n)) {
        const int is_shorter = best->name && best->least == 1 && strlen(name) < strlen(best->name);
        if (is_shorter) best->name = name;
        else take(best, name, 1);
    } else {
        nearest_offer(best, name);
    }
}

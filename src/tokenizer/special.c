#include <stdlib.h>
#include <string.h>

#include "tokenizer/special.h"

struct name {
    const char *bytes;
    size_t n;
    uint32_t id;
};

/* Bytewise, a prefix before what it begins, of equal names the lower id. */
static int by_name(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    const int order = memcmp(x->bytes, y->bytes, x->n < y->n ? x->n : y->n);
    if (order) return order;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static void sort_names(struct special_set *set, const struct vocab *v, struct name *names)
{
    for (uint32_t i = 0; i < set->n; i++) {
        names[i].id = set->id[i];
        names[i].bytes = vocab_text(v, set->id[i], &names[i].n);
    }
    qsort(names, set->n, sizeof *names, by_name);
    for (uint32_t i = 0; i < set->n; i++) set->id[i] = names[i].id;

    uint32_t i = 0;
    for (unsigned b = 0; b <= 256; b++) {
        while (i < set->n && (unsigned char)names[i].bytes[0] < b) i++;
        set->first[b] = i;
    }
}

static bool has_name(const struct vocab *v, uint32_t id)
{
    return v->offset[id] != v->offset[id + 1];
}

pl_status special_open(struct special_set *set, const struct vocab *v,
                       bool (*belongs)(const struct vocab *v, uint32_t id), pl_err *err)
{
    *set = (struct special_set){ 0 };

    uint32_t n = 0;
    for (uint32_t id = 0; id < v->n_vocab; id++) n += belongs(v, id) && has_name(v, id);
    if (n == 0) return PL_OK;

    struct name *names = malloc(n * sizeof *names);
    set->id = malloc(n * sizeof *set->id);
    if (!names || !set->id) {
        free(names);
        special_close(set);
        return pl_fail(err, PL_E_MEMORY, "no memory for %u special tokens", n);
    }
    pl_status st = PL_OK;
    for (uint32_t id = 0; id < v->n_vocab; id++) {
        if (!belongs(v, id) || !has_name(v, id)) continue;
        if (v->offset[id + 1] - v->offset[id] > SPECIAL_MAX_BYTES)
            st = pl_fail(err, PL_E_FORMAT, "special token %u has a name of %u bytes; at most %d",
                         id, v->offset[id + 1] - v->offset[id], SPECIAL_MAX_BYTES);
        set->id[set->n++] = id;
    }
    if (st)
        special_close(set);
    else
        sort_names(set, v, names);
    free(names);
    return st;
}

void special_close(struct special_set *set)
{
    free(set->id);
    *set = (struct special_set){ 0 };
}

/* First name of [low, high) whose byte number `depth` is at least c; a name that ends there counts
 * as smaller than any. */
static uint32_t lower_bound(const struct special_set *set, const struct vocab *v, uint32_t low,
                            uint32_t high, size_t depth, int c)
{
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        size_t n;
        const char *name = vocab_text(v, set->id[middle], &n);
        const int byte = depth < n ? (unsigned char)name[depth] : -1;
        if (byte < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest name with which the text begins. */
static bool match_here(const struct special_set *set, const struct vocab *v, const char *text,
                       size_t n, struct special_match *out)
{
    uint32_t low = set->first[(unsigned char)text[0]];
    uint32_t high = set->first[(unsigned char)text[0] + 1];
    bool found = false;

    for (size_t depth = 1; low < high; depth++) {
        size_t n_name;
        vocab_text(v, set->id[low], &n_name);
        if (n_name == depth) {
            found = true;
            out->id = set->id[low];
            out->n_bytes = depth;
        }
        if (depth == n) break;
        const int c = (unsigned char)text[depth];
        low = lower_bound(set, v, low, high, depth, c);
        high = lower_bound(set, v, low, high, depth, c + 1);
    }
    return found;
}

bool special_find(const struct special_set *set, const struct vocab *v, const char *text, size_t n,
                  size_t from, struct special_match *out)
{
    if (set->n == 0) return false;
    for (size_t at = from; at < n; at++) {
        const unsigned char b = (unsigned char)text[at];
        if (set->first[b] == set->first[b + 1]) continue;
        if (!match_here(set, v, text + at, n - at, out)) continue;
        out->at = at;
        return true;
    }
    return false;
}

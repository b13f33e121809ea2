/* Joining neighbours by rank: the loop that byte-level BPE and SentencePiece share. The pair with
 * the lowest rank is joined first, of equal ones the leftmost, until no pair has a rank.
 *
 * Symbols are a linked list over an array; candidate pairs are one heap of numbers, rank above
 * position, so a comparison is one instruction. An entry is out of date when its left symbol is
 * gone or now belongs to a pair of another rank; that is seen when it is taken, so nothing is ever
 * searched in the heap. O(n log n), also for a megabyte of one letter. */
#ifndef TOKENIZER_MERGE_H
#define TOKENIZER_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MERGE_NONE UINT32_MAX /* no rank, no symbol */

struct merge_symbol {
    uint32_t start, n_bytes;    /* its part of the piece */
    uint32_t prev, next;        /* MERGE_NONE at the ends */
    int32_t id;                 /* token, or -1: the vocabulary has none */
    int32_t joined;             /* the token that this and the next one become */
    uint32_t rank;              /* of that pair; MERGE_NONE: they cannot be joined */
};

struct merge_work { /* reused from piece to piece; zeroed is empty; release with merge_free */
    struct merge_symbol *symbol;
    size_t n_symbols;
    uint64_t *heap;
    size_t n_heap;
    size_t capacity;            /* symbols; the heap holds twice as many entries */
};

/* The rank of a pair and in *joined what it becomes, or MERGE_NONE. */
typedef uint32_t merge_pair_fn(const void *arg, const struct merge_symbol *left,
                               const struct merge_symbol *right, int32_t *joined);

/* Empties the list and makes room for n symbols; false: no memory. */
bool merge_begin(struct merge_work *w, size_t n);

void merge_add(struct merge_work *w, size_t start, size_t n_bytes, int32_t id);

/* Afterwards the result is the list from symbol 0 along `next`. */
void merge_run(struct merge_work *w, merge_pair_fn *pair, const void *arg);

void merge_free(struct merge_work *w);

#endif

/* A model file that lies in memory, as one part, for tests and fuzzing: with an allocation of just
 * its size, a read beyond its end is found by the address sanitizer, which a mapped page hides. */
#ifndef TEST_PARSE_BYTES_H
#define TEST_PARSE_BYTES_H

#include <stdlib.h>
#include <string.h>

#include "gguf/parse.h"
#include "quant/quant.h"

struct parsed {
    struct gguf g;
    struct file_map map;
};

/* Like gguf_open, but a file that says it is one of many stands alone. Copies the bytes. Release
 * with parsed_free, after failure too. */
static inline pl_status parse_bytes(struct parsed *p, const void *bytes, size_t n, pl_err *err)
{
    *p = (struct parsed){ 0 };
    void *copy = malloc(n ? n : 1);
    if (!copy) return pl_fail(err, PL_E_MEMORY, "no memory for a copy of the file");
    if (n) memcpy(copy, bytes, n);
    p->map = (struct file_map){ .data = copy, .n_bytes = n, .path = "memory.gguf" };
    p->g.part = &p->map;
    p->g.n_parts = 1;
    p->g.file_bytes = n;

    struct gguf_split split;
    pl_status st = gguf_parse_part(&p->g, 0, &p->g.key, &p->g.n_keys, err);
    if (!st) st = gguf_read_split(p->g.key, p->g.n_keys, p->map.path, &split, err);
    if (!st) st = gguf_sort_tensors(&p->g, err);
    return st;
}

static inline void parsed_free(struct parsed *p)
{
    gguf_free_overrides(&p->g);
    free((void *)(uintptr_t)p->map.data);
    free(p->g.key);
    free(p->g.tensor);
    *p = (struct parsed){ 0 };
}

/* Reads everything a file that was opened promises: names, strings, elements, first rows. Returns a
 * sum that depends on all of it. */
static inline uint64_t read_everything(const struct gguf *g)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < g->n_keys; i++) {
        const struct gguf_key *k = &g->key[i];
        for (size_t b = 0; b < k->name.n; b++) sum += (uint8_t)k->name.bytes[b];
        const struct gguf_array *a = &k->array;
        const uint8_t *at = k->kind == GGUF_STRING ? k->data : a->data;
        uint64_t n_strings = k->kind == GGUF_STRING;
        if (k->kind == GGUF_ARRAY && a->kind == GGUF_STRING) n_strings = a->n;
        for (uint64_t s = 0; s < n_strings; s++) {
            const struct gguf_string string = gguf_next_string(&at);
            for (size_t b = 0; b < string.n; b++) sum += (uint8_t)string.bytes[b];
        }
        if (k->kind != GGUF_ARRAY) continue;
        for (uint64_t e = 0; e < a->n; e++) {
            if (a->kind == GGUF_I32 || a->kind == GGUF_U32)
                sum += (uint32_t)gguf_array_integer(a, e);
            if (a->kind == GGUF_F32) sum += gguf_array_float(a, e) > 0;
            if (a->kind == GGUF_BOOL || a->kind == GGUF_U8 || a->kind == GGUF_I8) sum += a->data[e];
            if (a->kind >= GGUF_U64) sum += a->data[8 * e + 7];
        }
    }
    for (uint64_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensor[i];
        float *row = t->dim[0] <= 1 << 20 ? malloc(t->dim[0] * sizeof *row) : NULL;
        sum += t->data[0] + t->data[t->n_bytes - 1];
        if (!row) continue;
        quant_dequantise(t->type, t->data, row, t->dim[0]);
        sum += row[t->dim[0] - 1] > 0;
        free(row);
    }
    return sum;
}

#endif

/* Lists what a model file holds, for tests written in Python:
 *
 *   part PATH N_BYTES
 *   key NAME KIND VALUE                          integers in decimal, floats as %a, strings in
 *   key NAME array KIND N VALUE VALUE ...        hexadecimal after an x
 *   tensor NAME TYPE OFFSET N_BYTES DIM DIM ...  the offset counts from the start of the part */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/parse.h"

static void print_string(struct gguf_string s)
{
    printf(" x");
    for (size_t i = 0; i < s.n; i++) printf("%02x", (unsigned char)s.bytes[i]);
}

static pl_status print_array(const struct gguf *g, const char *name, const struct gguf_key *k,
                             pl_err *err)
{
    struct gguf_array a;
    const pl_status st = gguf_array(g, name, k->array.kind, &a, err);
    if (st) return st;
    printf(" array %d %" PRIu64, (int)a.kind, a.n);
    const uint8_t *at = a.data;
    for (uint64_t i = 0; i < a.n; i++) {
        if (a.kind == GGUF_STRING) print_string(gguf_next_string(&at));
        else if (a.kind == GGUF_F32) printf(" %a", (double)gguf_array_float(&a, i));
        else if (a.kind == GGUF_I32) printf(" %d", (int32_t)gguf_array_integer(&a, i));
        else if (a.kind == GGUF_U32) printf(" %u", (uint32_t)gguf_array_integer(&a, i));
        else printf(" ?");
    }
    return PL_OK;
}

static pl_status print_key(const struct gguf *g, const struct gguf_key *k, pl_err *err)
{
    char name[256];
    struct gguf_string s;
    float f;
    bool yes;
    uint64_t u;
    snprintf(name, sizeof name, "%.*s", (int)k->name.n, k->name.bytes);
    printf("key %s", name);
    if (k->kind == GGUF_ARRAY) return print_array(g, name, k, err);
    printf(" %d", (int)k->kind);

    pl_status st;
    if (k->kind == GGUF_STRING) {
        if (!(st = gguf_string(g, name, &s, err))) print_string(s);
    } else if (k->kind == GGUF_F32 || k->kind == GGUF_F64) {
        if (!(st = gguf_f32(g, name, &f, err))) printf(" %a", (double)f);
    } else if (k->kind == GGUF_BOOL) {
        if (!(st = gguf_bool(g, name, &yes, err))) printf(" %d", yes);
    } else {
        if (!(st = gguf_u64(g, name, &u, err))) printf(" %" PRIu64, u);
    }
    return st;
}

static void print_tensor(const struct gguf *g, const struct gguf_tensor *t)
{
    const struct file_map *in = g->part;
    while (t->data < in->data || t->data >= in->data + in->n_bytes) in++;
    printf("tensor %.*s %u %zu %zu", (int)t->name.n, t->name.bytes, t->type,
           (size_t)(t->data - in->data), t->n_bytes);
    for (uint32_t d = 0; d < t->n_dims; d++) printf(" %" PRIu64, t->dim[d]);
    putchar('\n');
}

int main(int argc, char **argv)
{
    struct gguf g;
    pl_err err = { 0 };
    if (argc != 2) return 2;

    pl_status st = gguf_open(&g, argv[1], &err);
    for (uint32_t i = 0; i < g.n_parts; i++)
        printf("part %s %zu\n", g.part[i].path, g.part[i].n_bytes);
    for (uint64_t i = 0; i < g.n_keys && !st; i++) {
        st = print_key(&g, &g.key[i], &err);
        putchar('\n');
    }
    for (uint64_t i = 0; i < g.n_tensors; i++) print_tensor(&g, &g.tensor[i]);
    gguf_close(&g);
    if (st) fprintf(stderr, "%s\n", err.text);
    return st != PL_OK;
}

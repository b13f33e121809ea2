/* Random bytes as a model file. What gguf_open would believe is checked against gguf.h: every key,
 * string, array element and first row of a tensor is read (the address sanitizer sees what lies
 * outside), names are in order and found again, tensors lie where I2 says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/gguf/parse_bytes.h"

static void check(bool holds, const char *claim)
{
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", claim);
    abort();
}

static char *zero_terminated(struct gguf_string s)
{
    char *text = malloc(s.n + 1);
    check(text != NULL, "there is memory");
    memcpy(text, s.bytes, s.n);
    text[s.n] = 0;
    return text;
}

/* Each getter on each key: it succeeds or says why not, and never both. */
static void check_key(const struct gguf *g, const struct gguf_key *k)
{
    char *name = zero_terminated(k->name);
    pl_err err = { 0 };
    uint32_t u32;
    uint64_t u64;
    float f32;
    bool boolean;
    struct gguf_string string;
    struct gguf_array array;

    check(gguf_has(g, name), "a key is found under its name");
    int n_good = !gguf_u64(g, name, &u64, &err);
    n_good += !gguf_f32(g, name, &f32, &err);
    n_good += !gguf_bool(g, name, &boolean, &err);
    n_good += !gguf_string(g, name, &string, &err);
    for (enum gguf_kind kind = GGUF_U8; kind <= GGUF_F64; kind++)
        n_good += !gguf_array(g, name, kind, &array, &err);
    check(n_good <= 1, "a key has one kind");
    check(gguf_u32(g, name, &u32, &err) || n_good == 1, "a u32 is an integer");
    check(!strchr(err.text, '\n'), "an error is one line");
    free(name);
}

static void check_tensor(const struct gguf *g, const struct gguf_tensor *t)
{
    const struct file_map *map = &g->part[0];
    char *name = zero_terminated(t->name);
    check(gguf_find(g, name) == t, "a tensor is found under its name");
    check(t->data >= map->data && t->n_bytes <= map->n_bytes &&
              (size_t)(t->data - map->data) <= map->n_bytes - t->n_bytes,
          "a tensor lies inside the file");
    check((t->data - map->data) % 8 == 0, "a tensor is aligned");
    for (const struct gguf_tensor *o = g->tensor; o < t; o++)
        check(o->data + o->n_bytes <= t->data || t->data + t->n_bytes <= o->data,
              "tensors do not overlap");
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
    struct parsed p;
    pl_err err = { 0 };
    const pl_status st = parse_bytes(&p, data, n_data, &err);
    check(!st == !err.text[0], "a failure has a message, a success none");
    if (!st) {
        read_everything(&p.g);
        for (uint64_t i = 0; i < p.g.n_keys; i++) check_key(&p.g, &p.g.key[i]);
        for (uint64_t i = 0; i < p.g.n_tensors; i++) check_tensor(&p.g, &p.g.tensor[i]);
    }
    parsed_free(&p);
    return 0;
}

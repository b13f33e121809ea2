/* Random bytes as a model file. What gguf_open would believe is checked against gguf.h: every key,
 * string, array element and first row of a tensor is read (the address sanitizer sees what lies
 * outside), names are in order and found again, tensors lie where I2 says. A file that holds goes
 * on into an engine (open_and_step.h). Beside random changes of bytes, numbers of the header become
 * those at which somebody may have forgotten a bound. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/gguf/parse_bytes.h"
#include "open_and_step.h"

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
    const bool is_integer = !gguf_u64(g, name, &u64, &err);
    const bool is_float = !gguf_f32(g, name, &f32, &err),
               is_bool = !gguf_bool(g, name, &boolean, &err);
    int n_others = !gguf_string(g, name, &string, &err);
    for (enum gguf_kind kind = GGUF_U8; kind <= GGUF_F64; kind++)
        n_others += !gguf_array(g, name, kind, &array, &err);
    check(n_others <= 1, "a key is a text or an array of one kind");
    check(!n_others || !(is_integer || is_float || is_bool), "or a number");
    check(gguf_u32(g, name, &u32, &err) || (is_integer && u32 == u64), "a u32 is an integer");
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
        if (p.g.n_tensors && gguf_has(&p.g, "general.architecture"))
            fuzz_open_and_step(data, n_data);
    }
    parsed_free(&p);
    return 0;
}

/* ---- changes -------------------------------------------------------------------------------- */

size_t LLVMFuzzerMutate(uint8_t *data, size_t n_data, size_t max_bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_data, size_t max_bytes, unsigned seed);

/* A key whose value is a number: another number, of the same kind. */
static void change_number(uint8_t *value, uint32_t kind, unsigned seed)
{
    static const uint32_t numbers[] = {
        0, 1, 2, 3, 4, 7, 8, 12, 16, 31, 32, 33, 48, 64, 96, 128, 255, 256, 257, 288, 512, 1023,
        1024, 1025, 4096, 4097, 65535, 65536, 1u << 20, 1u << 21, 1u << 24, 1u << 31, UINT32_MAX,
    };
    static const float floats[] = { 0, -0.0f, 1, -1, 1e-30f, 1e30f, 0.5f, 3e38f };
    const uint32_t number = numbers[seed % (sizeof numbers / sizeof *numbers)];
    const float real = floats[seed % (sizeof floats / sizeof *floats)];
    if (kind == GGUF_F32) memcpy(value, &real, 4);
    else memcpy(value, &number, 4);
}

/* One of the file's numbers of 32 bits, by the names' common end: ".head_count" and the like. */
static bool change_header(uint8_t *data, size_t n_data, unsigned seed)
{
    static const char *const names[] = {
        ".block_count", ".context_length", ".embedding_length", ".feed_forward_length",
        ".head_count", ".head_count_kv", ".key_length", ".value_length", ".dimension_count",
        ".expert_count", ".expert_used_count", ".expert_feed_forward_length",
        ".expert_shared_feed_forward_length", ".sliding_window", ".sliding_window_pattern",
        ".layer_norm_rms_epsilon", ".freq_base", ".scaling.factor", ".original_context_length",
        "_logit_softcapping", "_scale", ".attention.scale", "_token_id",
    };
    const char *name = names[seed % (sizeof names / sizeof *names)];
    const size_t n_name = strlen(name);
    for (size_t at = 0; at + n_name + 8 <= n_data; at++) {
        if (memcmp(data + at, name, n_name)) continue;
        uint32_t kind;
        memcpy(&kind, data + at + n_name, 4);
        if (kind != GGUF_U32 && kind != GGUF_I32 && kind != GGUF_F32) continue;
        change_number(data + at + n_name + 4, kind, seed / 31);
        return true;
    }
    return false;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n_data, size_t max_bytes, unsigned seed)
{
    if (seed % 2 && change_header(data, n_data, seed / 2)) return n_data;
    return LLVMFuzzerMutate(data, n_data, max_bytes);
}

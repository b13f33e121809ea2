/* Keys that a user sets instead of the file's: `--override-kv`. A key's value is then the
 * override's own memory; every look-up works as before. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf/parse.h"

enum { MAX_KEY_BYTES = 127 };

struct gguf_override {
    struct gguf_override *next;
    char name[MAX_KEY_BYTES + 1];
    uint8_t value[];            /* as the file has it: a number, a byte, or u64 length and bytes */
};

static const struct type {
    const char *name;
    enum gguf_kind kind;
} types[] = {
    { "int", GGUF_I64 }, { "float", GGUF_F64 }, { "bool", GGUF_BOOL }, { "str", GGUF_STRING },
};

void gguf_free_overrides(struct gguf *g)
{
    while (g->override) {
        struct gguf_override *next = g->override->next;
        free(g->override);
        g->override = next;
    }
}

/* The key of this name, made where there is none; the table stays sorted. NULL: no memory. */
static struct gguf_key *key_to_set(struct gguf *g, const char *name)
{
    const struct gguf_key *there = gguf_find_key(g, name);
    if (there) return &g->key[there - g->key];

    struct gguf_key *keys = realloc(g->key, (g->n_keys + 1) * sizeof *keys);
    if (!keys) return NULL;
    g->key = keys;
    const size_t n = strlen(name);
    uint64_t at = 0;
    for (; at < g->n_keys; at++) {
        const struct gguf_string s = keys[at].name;
        const int order = memcmp(name, s.bytes, n < s.n ? n : s.n);
        if (order < 0 || (order == 0 && n < s.n)) break;
    }
    memmove(keys + at + 1, keys + at, (g->n_keys - at) * sizeof *keys);
    g->n_keys++;
    return &keys[at];
}

/* Writes the value; false: the text is none of this kind. */
static bool parse_value(enum gguf_kind kind, const char *text, uint8_t *out)
{
    char *end;
    errno = 0;
    if (kind == GGUF_STRING) {
        const uint64_t n = strlen(text);
        memcpy(out, &n, sizeof n);
        memcpy(out + sizeof n, text, n);
        return true;
    }
    if (kind == GGUF_BOOL) {
        *out = !strcmp(text, "true");
        return *out || !strcmp(text, "false");
    }
    if (!*text || isspace((unsigned char)*text)) return false;
    if (kind == GGUF_I64) {
        const int64_t v = strtoll(text, &end, 10);
        memcpy(out, &v, sizeof v);
        return !*end && !errno;
    }
    const double v = strtod(text, &end);
    memcpy(out, &v, sizeof v);
    return !*end && isfinite(v);
}

pl_status gguf_override_key(struct gguf *g, const char *key, enum gguf_kind kind, const char *value,
                            pl_err *err)
{
    const size_t n_value = kind == GGUF_STRING ? sizeof(uint64_t) + strlen(value) : sizeof(double);
    struct gguf_override *o = calloc(1, sizeof *o + n_value);
    if (!o) return pl_fail(err, PL_E_MEMORY, "no memory to override %s", key);
    o->next = g->override;
    g->override = o;
    if (!*key || strlen(key) > MAX_KEY_BYTES)
        return pl_fail(err, PL_E_PARAM, "--override-kv: a key of %zu bytes; 1 to %d are wanted",
                       strlen(key), MAX_KEY_BYTES);
    strcpy(o->name, key);
    if (!parse_value(kind, value, o->value))
        return pl_fail(err, PL_E_PARAM, "--override-kv %s: \"%.40s\" is no %s", key, value,
                       kind == GGUF_I64 ? "integer" : kind == GGUF_F64 ? "number"
                                                                       : "true or false");
    struct gguf_key *to = key_to_set(g, o->name);
    if (!to) return pl_fail(err, PL_E_MEMORY, "no memory to override %s", key);
    *to = (struct gguf_key){ .name = { o->name, strlen(o->name) }, .kind = kind, .data = o->value };
    return PL_OK;
}

/* "=TYPE:" at the text's start; NULL: something else. */
static const struct type *type_at(const char *text)
{
    for (size_t i = 0; *text == '=' && i < sizeof types / sizeof *types; i++) {
        const size_t n = strlen(types[i].name);
        if (!strncmp(text + 1, types[i].name, n) && text[1 + n] == ':') return &types[i];
    }
    return NULL;
}

/* Where the override at `text` ends: at a comma after which another begins, or at the end. */
static size_t override_bytes(const char *text)
{
    size_t n = strcspn(text, ",");
    while (text[n] && !type_at(text + n + 1 + strcspn(text + n + 1, "=,")))
        n += 1 + strcspn(text + n + 1, ",");
    return n;
}

static pl_status override_one(struct gguf *g, char *text, pl_err *err)
{
    char *equals = text + strcspn(text, "=");
    const struct type *type = type_at(equals);
    if (!type)
        return pl_fail(err, PL_E_PARAM, "--override-kv: found \"%.60s\"; KEY=TYPE:VALUE is wanted, "
                       "TYPE one of int, float, bool, str", text);
    *equals = 0;
    return gguf_override_key(g, text, type->kind, equals + strlen(type->name) + 2, err);
}

pl_status gguf_override(struct gguf *g, const char *text, pl_err *err)
{
    char *copy = strdup(text);
    pl_status st = copy ? PL_OK : pl_fail(err, PL_E_MEMORY, "no memory for --override-kv");
    for (char *at = copy; !st; ) {
        const size_t n = override_bytes(at);
        const bool is_last = !at[n];
        at[n] = 0;
        st = override_one(g, at, err);
        if (is_last) break;
        at += n + 1;
    }
    free(copy);
    return st;
}

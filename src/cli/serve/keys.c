#include "cli/serve/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

/* Commas inside one --api-key and lines of a file both separate keys; space around one is none. */
static void split(struct serve_keys *k, char *text, const char *separators)
{
    const size_t max = sizeof k->key / sizeof *k->key;
    char *rest;
    for (char *key = strtok_r(text, separators, &rest); key && k->n < max;
         key = strtok_r(NULL, separators, &rest)) {
        key += strspn(key, " \t");
        size_t n = strlen(key);
        while (n && strchr(" \t", key[n - 1])) key[--n] = 0;
        if (n) k->key[k->n++] = key;
    }
}

/* The file's lines and, behind a zero, the options' keys: one text that split may write into. */
static bool read_text(const struct serve_options *o, struct strbuf *text, size_t *n_file)
{
    char *file = o->api_key_file ? cli_read_all(o->api_key_file, n_file) : NULL;
    if (o->api_key_file && !file) return false;
    if (file) strbuf_add(text, file, *n_file);
    free(file);
    strbuf_add(text, "", 1);
    for (size_t i = 0; i < o->api_keys.n; i++)
        strbuf_addf(text, "%s%s", i ? "," : "", o->api_keys.text[i]);
    strbuf_add(text, "", 1);
    if (text->failed) fprintf(stderr, "paceline: no memory for the API keys\n");
    return !text->failed;
}

bool serve_keys_read(struct serve_keys *to, const struct serve_options *o)
{
    struct serve_keys k = { .n = 0 };
    struct strbuf text = { 0 };
    size_t n_file = 0;
    if (!read_text(o, &text, &n_file)) {
        strbuf_free(&text);
        return false;
    }
    k.text = text.bytes;
    split(&k, k.text, "\r\n");
    if (o->api_key_file && !k.n) {
        fprintf(stderr, "paceline: %s: holds no key\n", o->api_key_file);
        free(k.text);
        return false;
    }
    split(&k, k.text + n_file + 1, ",");
    free(to->text);
    *to = k;
    return true;
}

void serve_keys_free(struct serve_keys *k)
{
    free(k->text);
    *k = (struct serve_keys){ .n = 0 };
}

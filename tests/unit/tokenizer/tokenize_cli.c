/* The tokenizer for tests written in Python. Inputs come on stdin, each a 32-bit little-endian
 * length and as many bytes; one line goes out for each.
 *
 *   tokenize_cli plain MODEL.gguf       token ids
 *   tokenize_cli special MODEL.gguf     token ids, control tokens recognised
 *   tokenize_cli detokenize MODEL.gguf  in hexadecimal what the plain tokens stand for
 *   tokenize_cli split PRE              bytes of each piece that the pre-tokenizer PRE makes
 *   tokenize_cli utf8                   what utf8_stream makes of the bytes, in hexadecimal; "?"
 *                                       where that depends on how they are cut in two */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/pretokenise.h"
#include "tokenizer/tokenizer.h"

static bool read_input(char **bytes, size_t *n)
{
    unsigned char head[4];
    if (fread(head, 1, 4, stdin) != 4) return false;
    *n = head[0] | head[1] << 8 | head[2] << 16 | (size_t)head[3] << 24;
    *bytes = realloc(*bytes, *n + 1);
    return *bytes && fread(*bytes, 1, *n, stdin) == *n;
}

static void print_hex(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) printf("%02x", (unsigned char)bytes[i]);
}

static pl_status print_tokens(const struct tokenizer *t, const char *mode, const char *text,
                              size_t n_bytes, pl_err *err)
{
    struct token_list list = { 0 };
    pl_status st =
        tokenizer_encode(t, text, n_bytes, strcmp(mode, "special") == 0, NULL, &list, err);
    for (size_t i = 0; i < list.n; i++) {
        size_t n;
        const char *bytes = tokenizer_bytes(t, list.ids[i], &n);
        if (strcmp(mode, "detokenize") == 0)
            print_hex(bytes, n);
        else
            printf("%s%d", i ? " " : "", list.ids[i]);
    }
    putchar('\n');
    token_list_free(&list);
    return st;
}

static int run_tokenizer(const char *mode, const char *path)
{
    pl_err err = { 0 };
    struct gguf g;
    struct tokenizer *t = NULL;
    char *text = NULL;
    size_t n;

    pl_status st = gguf_open(&g, path, &err);
    if (!st) st = tokenizer_open(&t, &g, &err);
    gguf_close(&g);
    while (!st && read_input(&text, &n)) st = print_tokens(t, mode, text, n, &err);
    if (st) fprintf(stderr, "tokenize_cli: %s\n", err.text);
    free(text);
    tokenizer_close(t);
    return st ? 1 : 0;
}

static pl_status print_length(void *arg, const char *piece, size_t n, pl_err *err)
{
    (void)arg, (void)piece, (void)err;
    printf("%zu ", n);
    return PL_OK;
}

static int run_split(const char *name)
{
    pl_err err = { 0 };
    struct pretokeniser p;
    char *text = NULL;
    size_t n;

    pl_status st = pretokeniser_open(&p, name, strlen(name), &err);
    while (!st && read_input(&text, &n)) {
        st = pretokeniser_split(&p, text, n, print_length, NULL, &err);
        putchar('\n');
    }
    if (st) fprintf(stderr, "tokenize_cli: %s\n", err.text);
    free(text);
    pretokeniser_close(&p);
    return st ? 1 : 0;
}

static size_t decode_cut(const char *bytes, size_t n, size_t cut, char *out)
{
    struct utf8_stream s = { 0 };
    size_t n_out = utf8_stream_push(&s, bytes, cut, out);
    n_out += utf8_stream_push(&s, bytes + cut, n - cut, out + n_out);
    return n_out + utf8_stream_finish(&s, out + n_out);
}

static int run_utf8(void)
{
    char *bytes = NULL;
    size_t n;

    while (read_input(&bytes, &n)) {
        char *whole = malloc(3 * n + 3 * UTF8_STREAM_SLACK);
        char *cut = malloc(3 * n + 3 * UTF8_STREAM_SLACK);
        if (!whole || !cut) return 1;
        const size_t n_whole = decode_cut(bytes, n, n, whole);
        bool is_equal = true;
        for (size_t i = 0; i < n; i++)
            is_equal &= decode_cut(bytes, n, i, cut) == n_whole && !memcmp(cut, whole, n_whole);
        if (is_equal)
            print_hex(whole, n_whole);
        else
            putchar('?');
        putchar('\n');
        free(whole);
        free(cut);
    }
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "utf8") == 0) return run_utf8();
    if (argc == 3 && strcmp(argv[1], "split") == 0) return run_split(argv[2]);
    if (argc == 3) return run_tokenizer(argv[1], argv[2]);
    fprintf(stderr, "usage: tokenize_cli plain|special|detokenize|split|utf8 [MODEL|PRE]\n");
    return 2;
}

/* Writes a small random llama model with a byte vocabulary as a GGUF file: tests of the engine need
 * a model that runs in microseconds a token and whose replies vary. Every byte is a token, so
 * replies are full of characters split over tokens. */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"

enum {
    TINY_D_MODEL = 64, TINY_D_FF = 128, TINY_D_HEAD = 32, TINY_HEADS = 2, TINY_KV_HEADS = 1,
    TINY_LAYERS = 2, TINY_VOCAB = 320, TINY_CTX = 4096, TINY_END = 256, TINY_TURN = 257,
};

struct tiny_writer {
    FILE *f;
    struct rng rng, more;       /* more: of rows beyond the vocabulary, so that the others stay */
    uint32_t n_heads, n_head_rows;
    uint64_t n_data;            /* bytes of the data section announced so far */
};

static inline void tiny_u32(struct tiny_writer *w, uint32_t v)
{
    fwrite(&v, 4, 1, w->f);
}

static inline void tiny_u64(struct tiny_writer *w, uint64_t v)
{
    fwrite(&v, 8, 1, w->f);
}

static inline void tiny_bytes(struct tiny_writer *w, const char *text, size_t n)
{
    tiny_u64(w, n);
    fwrite(text, 1, n, w->f);
}

static inline void tiny_key(struct tiny_writer *w, const char *key, uint32_t kind)
{
    tiny_bytes(w, key, strlen(key));
    tiny_u32(w, kind);
}

static inline void tiny_key_u32(struct tiny_writer *w, const char *key, uint32_t v)
{
    tiny_key(w, key, 4);
    tiny_u32(w, v);
}

static inline void tiny_key_f32(struct tiny_writer *w, const char *key, float v)
{
    tiny_key(w, key, 6);
    fwrite(&v, 4, 1, w->f);
}

static inline void tiny_key_string(struct tiny_writer *w, const char *key, const char *v)
{
    tiny_key(w, key, 8);
    tiny_bytes(w, v, strlen(v));
}

/* The character that stands for a byte in byte-level vocabularies. */
static inline uint32_t tiny_symbol(int byte)
{
    uint32_t extra = 256;
    for (int b = 0; b < 256; b++) {
        const bool keeps = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte) return keeps ? (uint32_t)b : extra;
        extra += !keeps;
    }
    return 0;
}

static inline void tiny_vocabulary(struct tiny_writer *w)
{
    tiny_key_string(w, "tokenizer.ggml.model", "gpt2");
    tiny_key_string(w, "tokenizer.ggml.pre", "gpt-2");
    tiny_key(w, "tokenizer.ggml.tokens", 9);
    tiny_u32(w, 8);
    tiny_u64(w, TINY_VOCAB);
    for (int i = 0; i < TINY_VOCAB; i++) {
        char name[16];
        if (i >= 256) {
            snprintf(name, sizeof name, i == TINY_END ? "<|end|>" : i == TINY_TURN ? "<|turn|>" :
                     "w%d", i);
            tiny_bytes(w, name, strlen(name));
            continue;
        }
        const uint32_t c = tiny_symbol(i);
        const char utf8[2] = { (char)(0xc0 | c >> 6), (char)(0x80 | (c & 63)) };
        const char ascii = (char)c;
        if (c < 128)
            tiny_bytes(w, &ascii, 1);
        else
            tiny_bytes(w, utf8, 2);
    }
    tiny_key(w, "tokenizer.ggml.token_type", 9);
    tiny_u32(w, 5);
    tiny_u64(w, TINY_VOCAB);
    for (int i = 0; i < TINY_VOCAB; i++) tiny_u32(w, i == TINY_END || i == TINY_TURN ? 3 : 1);
    tiny_key(w, "tokenizer.ggml.merges", 9);
    tiny_u32(w, 8);
    tiny_u64(w, 1);
    tiny_bytes(w, "t h", 3);    /* makes no token: "th" is none */
    tiny_key_u32(w, "tokenizer.ggml.eos_token_id", TINY_END);
}

static inline uint64_t tiny_tensor_bytes(uint32_t n_k, uint32_t n_rows)
{
    return n_rows ? (uint64_t)n_rows * n_k / 32 * 34 : n_k * 4u;
}

/* n_rows 0: a vector of f32; else a matrix of Q8_0. */
static inline void tiny_info(struct tiny_writer *w, const char *name, uint32_t n_k, uint32_t n_rows)
{
    tiny_bytes(w, name, strlen(name));
    tiny_u32(w, n_rows ? 2 : 1);
    tiny_u64(w, n_k);
    if (n_rows) tiny_u64(w, n_rows);
    tiny_u32(w, n_rows ? 8 : 0);
    tiny_u64(w, w->n_data);
    w->n_data += (tiny_tensor_bytes(n_k, n_rows) + 31) / 32 * 32;
}

static inline void tiny_data(struct tiny_writer *w, const char *name, uint32_t n_k, uint32_t n_rows)
{
    (void)name;
    uint64_t n = tiny_tensor_bytes(n_k, n_rows);
    for (uint32_t i = 0; !n_rows && i < n_k; i++) {
        const float v = (float)(0.8 + 0.4 * rng_unit(&w->rng));
        fwrite(&v, 4, 1, w->f);
    }
    for (uint64_t i = 0; i < n / 34 && n_rows; i++) {
        const uint16_t scale = 0x1400;      /* 2^-10: values of about +-0.125 */
        int8_t q[32];
        struct rng *rng = i / (n_k / 32) < TINY_VOCAB ? &w->rng : &w->more;
        for (int j = 0; j < 32; j++) q[j] = (int8_t)((int)rng_below(rng, 255) - 127);
        fwrite(&scale, 2, 1, w->f);
        fwrite(q, 1, 32, w->f);
    }
    for (; n % 32; n++) fputc(0, w->f);
}

typedef void tiny_each_fn(struct tiny_writer *w, const char *name, uint32_t n_k, uint32_t n_rows);

static inline void tiny_each(struct tiny_writer *w, tiny_each_fn *fn)
{
    const struct {
        const char *name;
        uint32_t n_k, n_rows;
    } of_layer[] = {
        { "attn_norm.weight", TINY_D_MODEL, 0 },
        { "attn_q.weight", TINY_D_MODEL, w->n_heads * TINY_D_HEAD },
        { "attn_k.weight", TINY_D_MODEL, TINY_KV_HEADS * TINY_D_HEAD },
        { "attn_v.weight", TINY_D_MODEL, TINY_KV_HEADS * TINY_D_HEAD },
        { "attn_output.weight", w->n_heads * TINY_D_HEAD, TINY_D_MODEL },
        { "ffn_norm.weight", TINY_D_MODEL, 0 },
        { "ffn_gate.weight", TINY_D_MODEL, TINY_D_FF },
        { "ffn_up.weight", TINY_D_MODEL, TINY_D_FF },
        { "ffn_down.weight", TINY_D_FF, TINY_D_MODEL },
    };
    fn(w, "token_embd.weight", TINY_D_MODEL, w->n_head_rows);
    fn(w, "output_norm.weight", TINY_D_MODEL, 0);
    for (int l = 0; l < TINY_LAYERS; l++)
        for (size_t i = 0; i < sizeof of_layer / sizeof *of_layer; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s", l, of_layer[i].name);
            fn(w, name, of_layer[i].n_k, of_layer[i].n_rows);
        }
}

static const char tiny_template[] =
    "{% for m in messages %}{{ '<|turn|>' + m.role + ':' + m.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|turn|>bot:' }}{% endif %}";

/* Writes to a new temporary file, whose path goes to `path`; the caller unlinks it. n_heads: query
 * heads, over one KV head; n_head_rows: of the embedding, which is the output head too. */
static inline bool tiny_model_write_as(char path[64], bool with_template, uint32_t n_heads,
                                       uint32_t n_head_rows)
{
    strcpy(path, "/tmp/paceline-tiny-XXXXXX");
    const int fd = mkstemp(path);
    struct tiny_writer w = { .f = fd < 0 ? NULL : fdopen(fd, "wb"), .n_heads = n_heads,
                             .n_head_rows = n_head_rows };
    if (!w.f) return false;
    rng_seed(&w.rng, 7);
    rng_seed(&w.more, 8);
    fwrite("GGUF", 1, 4, w.f);
    tiny_u32(&w, 3);
    tiny_u64(&w, 2 + TINY_LAYERS * 9);
    tiny_u64(&w, with_template ? 18 : 17);
    tiny_key_string(&w, "general.architecture", "llama");
    tiny_key_string(&w, "general.name", "tiny");
    tiny_key_u32(&w, "llama.block_count", TINY_LAYERS);
    tiny_key_u32(&w, "llama.context_length", TINY_CTX);
    tiny_key_u32(&w, "llama.embedding_length", TINY_D_MODEL);
    tiny_key_u32(&w, "llama.feed_forward_length", TINY_D_FF);
    tiny_key_u32(&w, "llama.attention.head_count", n_heads);
    tiny_key_u32(&w, "llama.attention.key_length", TINY_D_HEAD);
    tiny_key_u32(&w, "llama.attention.value_length", TINY_D_HEAD);
    tiny_key_u32(&w, "llama.attention.head_count_kv", TINY_KV_HEADS);
    tiny_key_f32(&w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    tiny_vocabulary(&w);
    if (with_template) tiny_key_string(&w, "tokenizer.chat_template", tiny_template);
    tiny_each(&w, tiny_info);
    while (ftell(w.f) % 32) fputc(0, w.f);
    tiny_each(&w, tiny_data);
    return fclose(w.f) == 0;
}

static inline bool tiny_model_write(char path[64], bool with_template)
{
    return tiny_model_write_as(path, with_template, TINY_HEADS, TINY_VOCAB);
}

/* Makes a number of the file's header another; false: there is no such key. */
static inline bool tiny_model_patch(const char *path, const char *key, uint32_t value)
{
    enum { N_HEADER = 1 << 16 };
    static char header[N_HEADER];
    FILE *f = fopen(path, "r+b");
    if (!f) return false;
    const size_t n = fread(header, 1, N_HEADER, f), n_key = strlen(key);
    bool is_found = false;
    for (size_t at = 0; at + n_key + 8 <= n && !is_found; at++) {
        if (memcmp(header + at, key, n_key)) continue;
        is_found = !fseek(f, (long)(at + n_key + 4), SEEK_SET) && fwrite(&value, 4, 1, f) == 1;
    }
    return fclose(f) == 0 && is_found;
}

#endif

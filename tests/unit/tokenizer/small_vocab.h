/* Small vocabularies for tests. Byte-level: 256 bytes in byte order, then what is added; so the
 * token of byte b is b. SentencePiece: <unk> <s> </s>, 256 byte tokens (id 3 + b), then what is
 * added. */
#ifndef TEST_SMALL_VOCAB_H
#define TEST_SMALL_VOCAB_H

#include "tokenizer/tokenizer.h"
#include "tokenizer/vocab.h"
#include "gguf_writer.h"

enum { MAX_ADDED = 64 };

struct added_token {
    const char *text;           /* as the file spells it */
    enum token_kind kind;
    float score;
};

struct small_vocab {
    struct added_token token[MAX_ADDED];
    const char *merge[MAX_ADDED];
    const char *pre;            /* byte-level; NULL: no such key */
    bool no_bytes;              /* leave the byte tokens out */
    bool adds_space;            /* SentencePiece */
    bool no_token_types, no_scores;
    int bos, eos;               /* 0: no such key */
    const char *id_key;         /* one more key of an id */
    uint32_t id_value;
    bool id_is_signed;
};

/* The character that spells a byte in the alphabet of byte-level vocabularies. */
static inline size_t spell_byte(int byte, char out[4])
{
    unsigned c = 0;
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173)) {
        c = (unsigned)byte;
    } else {
        c = 256;
        for (int b = 0; b < byte; b++)
            c += !((b >= 33 && b <= 126) || (b >= 161 && b != 173));
    }
    if (c < 128) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

static inline uint32_t count_added(const struct small_vocab *s)
{
    uint32_t n = 0;
    while (n < MAX_ADDED && s->token[n].text) n++;
    return n;
}

static inline void write_byte_tokens(struct gguf_writer *w, bool is_spm)
{
    for (int b = 0; b < 256; b++) {
        char name[8];
        size_t n = 6;
        if (is_spm)
            snprintf(name, sizeof name, "<0x%02X>", b);
        else
            n = spell_byte(b, name);
        put_string(&w->keys, name, n);
    }
}

static inline void write_common(struct gguf_writer *w, const struct small_vocab *s)
{
    if (s->bos) write_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)s->bos);
    if (s->eos) write_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)s->eos);
    if (s->id_key && !s->id_is_signed) write_u32(w, s->id_key, s->id_value);
    if (s->id_key && s->id_is_signed) {
        write_key(w, s->id_key, GGUF_I32);
        put_u32(&w->keys, s->id_value);
    }
}

static inline pl_status open_byte_level(const struct small_vocab *s, struct tokenizer **out,
                                        pl_err *err)
{
    const uint32_t n_bytes = s->no_bytes ? 0 : 256, n_added = count_added(s);
    uint64_t n_merges = 0;
    while (n_merges < MAX_ADDED && s->merge[n_merges]) n_merges++;

    struct gguf_writer w = { 0 };
    write_string(&w, "tokenizer.ggml.model", "gpt2");
    if (s->pre) write_string(&w, "tokenizer.ggml.pre", s->pre);
    write_array(&w, "tokenizer.ggml.tokens", GGUF_STRING, n_bytes + n_added);
    if (n_bytes) write_byte_tokens(&w, false);
    for (uint32_t i = 0; i < n_added; i++)
        put_string(&w.keys, s->token[i].text, strlen(s->token[i].text));
    if (!s->no_token_types) {
        write_array(&w, "tokenizer.ggml.token_type", GGUF_I32, n_bytes + n_added);
        for (uint32_t i = 0; i < n_bytes; i++) put_u32(&w.keys, TOKEN_NORMAL);
        for (uint32_t i = 0; i < n_added; i++) put_u32(&w.keys, s->token[i].kind);
    }
    write_array(&w, "tokenizer.ggml.merges", GGUF_STRING, n_merges);
    for (uint64_t i = 0; i < n_merges; i++) put_string(&w.keys, s->merge[i], strlen(s->merge[i]));
    write_common(&w, s);

    struct gguf g;
    *out = NULL;
    pl_status st = writer_open(&w, &g, err);
    if (st) return st;
    st = tokenizer_open(out, &g, err);
    gguf_close(&g);
    return st;
}

static inline pl_status open_sentencepiece(const struct small_vocab *s, struct tokenizer **out,
                                           pl_err *err)
{
    static const char *const first[] = { "<unk>", "<s>", "</s>" };
    const uint32_t n_bytes = s->no_bytes ? 0 : 256, n_added = count_added(s);
    const uint32_t n = 3 + n_bytes + n_added;

    struct gguf_writer w = { 0 };
    write_string(&w, "tokenizer.ggml.model", "llama");
    write_array(&w, "tokenizer.ggml.tokens", GGUF_STRING, n);
    for (int i = 0; i < 3; i++) put_string(&w.keys, first[i], strlen(first[i]));
    if (n_bytes) write_byte_tokens(&w, true);
    for (uint32_t i = 0; i < n_added; i++)
        put_string(&w.keys, s->token[i].text, strlen(s->token[i].text));
    if (!s->no_token_types) {
        write_array(&w, "tokenizer.ggml.token_type", GGUF_I32, n);
        put_u32(&w.keys, TOKEN_UNKNOWN);
        put_u32(&w.keys, TOKEN_CONTROL);
        put_u32(&w.keys, TOKEN_CONTROL);
        for (uint32_t i = 0; i < n_bytes; i++) put_u32(&w.keys, TOKEN_BYTE);
        for (uint32_t i = 0; i < n_added; i++) put_u32(&w.keys, s->token[i].kind);
    }
    if (!s->no_scores) write_array(&w, "tokenizer.ggml.scores", GGUF_F32, n);
    for (uint32_t i = 0; i < n && !s->no_scores; i++) {
        const float score = i < 3 + n_bytes ? 0 : s->token[i - 3 - n_bytes].score;
        strbuf_add(&w.keys, &score, sizeof score);
    }
    write_bool(&w, "tokenizer.ggml.add_space_prefix", s->adds_space);
    write_common(&w, s);

    struct gguf g;
    *out = NULL;
    pl_status st = writer_open(&w, &g, err);
    if (st) return st;
    st = tokenizer_open(out, &g, err);
    gguf_close(&g);
    return st;
}

#endif

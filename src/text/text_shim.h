/* The C face of the Rust shim (rust/src/lib.rs), which this header repeats by hand. No call prints,
 * exits or unwinds. Threads: any; an open template or vocabulary is read-only, a matcher is used by
 * one at a time. */
#ifndef TEXT_TEXT_SHIM_H
#define TEXT_TEXT_SHIM_H

#include <stddef.h>
#include <stdint.h>

struct shim_template;
struct shim_vocabulary;
struct shim_matcher;

/* UTF-8 without a zero; release with pl_shim_free. Every call fills it, with its result or with the
 * reason of its failure in one line. */
struct shim_text {
    char *bytes;
    size_t n;
};

/* How many of its bytes, at most so many, are whole characters. */
static inline size_t shim_text_cut(const struct shim_text *text, size_t most)
{
    if (text->n <= most) return text->n;
    while ((text->bytes[most] & 0xc0) == 0x80) most--;
    return most;
}

enum {
    SHIM_OK,
    SHIM_BAD_INPUT,     /* the JSON */
    SHIM_TEMPLATE,      /* does not compile, raised an error, or broke its bounds; of a matcher: it
                         * broke its bounds */
    SHIM_MEMORY,
    SHIM_INTERNAL,
};

/* Writes the local time as strftime does; 0 if it does not fit into n bytes. */
typedef size_t shim_strftime_fn(const char *format, char *out, size_t n);

struct shim_source {
    const char *chat;
    const char *tool_use;       /* runs where a request has tools; NULL: there is none */
    const char *bos, *eos;
};

/* text: on success lines for the log about what the template does not do (those that begin
 * with ! are warnings), or nothing. */
int pl_shim_template_open(const struct shim_template **out, const struct shim_source *source,
                          shim_strftime_fn *strftime_now, struct shim_text *text);
void pl_shim_template_close(const struct shim_template *t);

/* names: what the strings of the JSON must not spell. guard: see chat_template_render. note: the
 * same for this rendering. */
int pl_shim_template_render(const struct shim_template *t, const char *json, size_t n_json,
                            const char *const *names, size_t n_names, struct shim_text *text,
                            char guard[8], struct shim_text *note);

/* bytes: of all n tokens, one after another; offset (n + 1): where each begins; kind (n): 0 text,
 * 1 control, 2 one that ends a reply. */
int pl_shim_vocabulary_open(const struct shim_vocabulary **out, const char *bytes,
                            const size_t *offset, const uint8_t *kind, size_t n,
                            struct shim_text *text);
void pl_shim_vocabulary_close(const struct shim_vocabulary *v);

/* kind: as pl_grammar_kind. SHIM_BAD_INPUT: the grammar is none, or asks for what there is not.
 * The vocabulary outlives its matchers. */
int pl_shim_matcher_open(struct shim_matcher **out, const struct shim_vocabulary *v, int kind,
                         const char *source, size_t n_source, struct shim_text *text);
void pl_shim_matcher_close(struct shim_matcher *m);

/* SHIM_BAD_INPUT: the grammar does not take this here. */
int pl_shim_matcher_push(struct shim_matcher *m, uint32_t token, struct shim_text *text);
int pl_shim_matcher_push_text(struct shim_matcher *m, const char *bytes, size_t n,
                              struct shim_text *text);

/* Sets bit t % 32 of mask[t / 32] for every token t that may come next and ends no reply. next: 0,
 * or 1 where the reply may also be over, or 2 where it is. */
int pl_shim_matcher_mask(struct shim_matcher *m, uint32_t *mask, size_t n_words, int *next,
                         struct shim_text *text);

void pl_shim_free(struct shim_text *text);

#endif

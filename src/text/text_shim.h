/* The C face of the Rust shim (rust/src/lib.rs), which this header repeats by hand. No call prints,
 * exits or unwinds. Threads: any; an open template is read-only. */
#ifndef TEXT_TEXT_SHIM_H
#define TEXT_TEXT_SHIM_H

#include <stddef.h>

struct shim_template;

/* UTF-8 without a zero; release with pl_shim_free. Every call fills it, with its result or with the
 * reason of its failure in one line. */
struct shim_text {
    char *bytes;
    size_t n;
};

enum {
    SHIM_OK,
    SHIM_BAD_INPUT,     /* the JSON */
    SHIM_TEMPLATE,      /* does not compile, raised an error, or broke its bounds */
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

void pl_shim_free(struct shim_text *text);

#endif

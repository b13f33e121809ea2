/* Chat templates: Jinja programs that model files carry, run by minijinja behind the Rust shim
 * (rust/). A template is compiled once and is read-only afterwards: any thread. */
#ifndef TEXT_CHAT_TEMPLATE_H
#define TEXT_CHAT_TEMPLATE_H

#include <stddef.h>

#include "base/status.h"
#include "base/strbuf.h"

struct chat_template;

struct chat_template_source {
    const char *chat;
    const char *tool_use;       /* runs where a conversation has tools; NULL: `chat` does */
    const char *bos, *eos;      /* the template's bos_token and eos_token; NULL: none */
};

/* Compiles the sources and renders small conversations to see what they do with roles, parts, tools
 * and calls (rust/src/probe.rs); what they do not print is logged. A source that does not compile:
 * PL_E_TEMPLATE with line and reason. */
pl_status chat_template_open(struct chat_template **out, const struct chat_template_source *source,
                             pl_err *err);
void chat_template_close(struct chat_template *t);

/* The source of a template that ships with paceline ("chatml", ...), or NULL. */
const char *chat_template_builtin(const char *name);

/* The text that must not be spelled by message content: names of control tokens. */
struct control_names {
    const char *const *name;    /* (n) zero-terminated */
    size_t n;
};

/* Renders a conversation. json is an object with "messages" (array), optionally "tools", and any
 * further members, all of which are variables of the template; "add_generation_prompt" is false
 * where absent. Messages are shaped as the template wants them first (rust/src/shape.rs): arguments
 * of calls as objects or text, content as text or parts, roles that it knows.
 *
 * Every string inside messages and tools in which a control token's name stands (or that could
 * become one together with what the template writes beside it) gets the guard character put into
 * that name. `guard` receives that character (a noncharacter, U+FDD0 ..., chosen so that it occurs
 * nowhere in the json) and the tokenizer removes it again after it looked for control tokens; it
 * is "" where no string needed one.
 * PL_E_PARAM: the json is malformed, or a message's role is one that the template does not print.
 * PL_E_TEMPLATE: the template raised an error; its words. */
pl_status chat_template_render(const struct chat_template *t, const char *json, size_t n_bytes,
                               const struct control_names *control, struct strbuf *out,
                               char guard[8], pl_err *err);

#endif

/* llama-server's own /completion and /infill. */
#ifndef SERVER_DIALECTS_NATIVE_H
#define SERVER_DIALECTS_NATIVE_H

#include "server/dialect.h"

translate_fn native_translate, native_translate_infill;

/* As struct dialect's. c->own is then an object of jansson's: {"settings", "prompts", "has_tokens",
 * "fields"}. */
void native_keep(struct completion *c, const json_t *body);

#endif

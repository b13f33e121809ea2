/* llama-server's own /completion and /infill. */
#ifndef SERVER_DIALECTS_NATIVE_H
#define SERVER_DIALECTS_NATIVE_H

#include "server/dialect.h"

/* As struct dialect's translate and keep. What is kept: {"settings", "prompts", "has_tokens",
 * "fields"}. */
json_t *native_translate(const json_t *body, struct request_error *error);
json_t *native_translate_infill(const json_t *body, struct request_error *error);
void native_keep(struct completion *c, const json_t *body);

#endif

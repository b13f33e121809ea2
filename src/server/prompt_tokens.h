/* A prompt's tokens, put together out of ids and texts. Any thread. */
#ifndef SERVER_PROMPT_TOKENS_H
#define SERVER_PROMPT_TOKENS_H

#include <jansson.h>

#include "paceline.h"

/* Whether v may be a token's id: an integer from 0 on; *id is that. */
bool prompt_token_id(const json_t *v, int32_t *id);

/* These append; what `to` holds is the caller's, whatever comes. flags: as pl_tokenize has them. */
pl_status prompt_tokens_add(pl_tokens *to, const int32_t *ids, size_t n, pl_err *err);
pl_status prompt_tokens_add_text(pl_tokens *to, const pl_engine *engine, const char *text, size_t n,
                                 unsigned flags, pl_err *err);

#endif

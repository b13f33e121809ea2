/* What a request's prompts are as tokens. */
#ifndef SERVER_COMPLETION_PROMPTS_H
#define SERVER_COMPLETION_PROMPTS_H

#include "server/completion.h"

/* Fills c->prompt and makes room for c->choice. completion_free releases both, failed or not. */
pl_status prompts_read(struct completion *c, pl_err *err);

#endif

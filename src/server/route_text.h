/* POST /tokenize, /detokenize, /apply-template, and tokens of conversations counted. */
#ifndef SERVER_ROUTE_TEXT_H
#define SERVER_ROUTE_TEXT_H

#include "server/routes.h"

route_fn route_tokenize, route_detokenize, route_apply_template;
route_fn route_count_tokens, route_input_tokens;    /* of a chat: Anthropic's and OpenAI's form */

#endif

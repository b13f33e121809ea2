/* Appending to a token_list (tokenizer.h). */
#ifndef TOKENIZER_TOKEN_LIST_H
#define TOKENIZER_TOKEN_LIST_H

#include "tokenizer/tokenizer.h"

pl_status token_list_push(struct token_list *list, int32_t id, pl_err *err);

#endif

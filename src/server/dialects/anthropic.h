/* Anthropic's /v1/messages. */
#ifndef SERVER_DIALECTS_ANTHROPIC_H
#define SERVER_DIALECTS_ANTHROPIC_H

#include "server/dialect.h"

translate_fn anthropic_translate;

#endif

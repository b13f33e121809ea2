/* llama-server's options that serve has no use for. Those that mean something here are rows of
 * options.c, under llama-server's names. docs/llama-server.md is made of both. */
#ifndef CLI_SERVE_LLAMA_OPTIONS_H
#define CLI_SERVE_LLAMA_OPTIONS_H

#include "cli/foreign.h"

extern const struct foreign_table llama_options;

#endif

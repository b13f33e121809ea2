/* A command's options and words as bash, zsh and fish complete them, for the scripts that
 * cmd_completion prints around them. */
#ifndef CLI_HELP_COMPLETE_H
#define CLI_HELP_COMPLETE_H

#include "cli/args.h"

void help_print_bash(const struct arg_page *page);
void help_print_zsh(const struct arg_page *page);
void help_print_fish(const struct arg_page *page);

#endif

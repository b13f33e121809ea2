/* One page of a command in the forms that people and shells read. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/args.h"

enum help_form { HELP_TEXT, HELP_MAN, HELP_BASH, HELP_ZSH, HELP_FISH };

/* What help_print prints from now on; HELP_TEXT at start. The option tables live in their
 * commands, so that a man page is made by asking the command for its help in another form. */
void help_set_form(enum help_form form);

/* To standard output. */
void help_print(const struct arg_page *page);

#endif

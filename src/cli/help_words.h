/* Words of a page as the forms that it is printed in want them. To standard output. */
#ifndef CLI_HELP_WORDS_H
#define CLI_HELP_WORDS_H

#include "cli/args.h"

/* Calls with each way to write the option; a switch has a --no- form. */
void help_each_spelling(const struct arg *a, void (*with)(const char *word, size_t n, void *arg),
                        void *arg);

/* Text inside a man page, with what roff would take as its own escaped. */
void help_print_roff(const char *text);

/* Text inside single quotes of a shell; `special` characters get a backslash before them. */
void help_print_quoted(const char *text, const char *special, bool is_fish);

#endif

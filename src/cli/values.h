/* What may stand behind an option, or as a word of a command, where that can be listed: what shells
 * offer. */
#ifndef CLI_VALUES_H
#define CLI_VALUES_H

#include <stdbool.h>
#include <stdio.h>

/* Of an option of a command, or with "" of the command's words: whether there are any that are
 * always the same, and these, each after a space. */
bool values_exist(const char *command, const char *option);
void values_print(FILE *to, const char *command, const char *option);

/* Whether pulled models may stand there too: "paceline completion models" names them at any
 * time. */
bool values_are_models(const char *command, const char *option);

#endif

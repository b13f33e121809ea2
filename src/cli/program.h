/* This program's own file, and running other programs. */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* The absolute path of the running executable. */
bool program_path(char *out, size_t n);

/* Runs argv (NULL at the end; found on PATH) and waits. Its exit code; -1 with errno: not started,
 * or ended by a signal. */
int program_run(const char *const *argv);

/* Likewise, with what it prints in `out`, cut where it is full. */
int program_output(const char *const *argv, char *out, size_t n);

/* Of what a program printed: the number behind `word`, where that begins a line, spaces before it
 * not counted, and is the whole of it: "powermode" is not "lowpowermode". -1: there is none. */
int program_number(const char *text, const char *word);

#endif

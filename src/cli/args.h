/* Command-line options, as a table a command. Long options are spelled as llama-server spells them,
 * so that a command line moves over with only the program's name changed. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/foreign.h"

enum arg_kind {
    ARG_FLAG,       /* bool: becomes true */
    ARG_SWITCH,     /* bool: --name [on|off|auto], or --no-name */
    ARG_STRING,     /* const char *: points into argv */
    ARG_STRINGS,    /* struct arg_strings: may be given several times */
    ARG_JOINED,     /* const char *: likewise, values joined by commas; they live as long as the
                     * program */
    ARG_U32,        /* uint32_t between min and max */
    ARG_U64,        /* uint64_t between min and max */
    ARG_I32,        /* int32_t between min and max */
    ARG_I64,        /* int64_t between min and max */
    ARG_FOREIGN,    /* const struct foreign_table *: another program's, looked up after all
                     * others */
    ARG_F32,        /* float between min and max */
};

enum { ARG_MAX_STRINGS = 32 };

struct arg_strings {
    const char *text[ARG_MAX_STRINGS];
    size_t n;
};

struct arg {
    const char *name;       /* "--ctx-size"; of ARG_FOREIGN "" */
    const char *shorts;     /* other spellings, separated by spaces: "-c"; NULL: none */
    enum arg_kind kind;
    void *to;
    double min, max;        /* of numbers; both 0: no bounds, as of all others */
    const char *value;      /* what the value is called in help */
    const char *help;
};

/* What --help, the man page and the completions say of a command. Texts end without a newline. */
struct arg_page {
    const char *name;       /* "serve" */
    const char *usage;      /* what follows the name: "--model FILE [OPTIONS]" */
    const char *about;      /* sentences for the man page, wrapped as help is; NULL: none */
    const char *example;    /* command lines, one a line */
    const struct arg *table;
    size_t n_table;
};

/* Fills the table's targets from argv[1..]; words that are no options go to `rest`. Prints one line
 * and returns 2 where something is wrong (an unknown option with the nearest one that exists), or
 * prints the help and returns 0 for --help; -1: go on. Foreign options that were taken without
 * effect are collected in `taken` (may be NULL). */
int args_parse(const struct arg_page *page, int argc, char **argv, struct arg_strings *rest,
               struct foreign_taken *taken);

/* The model that a command wants: --model, or the one word there is. As args_parse: -1, go on. */
int args_take_model(const struct arg_page *page, const struct arg_strings *words,
                    const char **model);

/* "paceline: serve needs --model FILE" to standard error; returns the exit code of it: 2. */
int args_missing(const struct arg_page *page, const char *what);

#define N_ARGS(table) (sizeof(table) / sizeof *(table))

#endif

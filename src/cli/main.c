/* The command of each name. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    { "serve", cmd_serve, "serve a model over an OpenAI-compatible API" },
    { "run", cmd_run, "answer a prompt, or chat, in the terminal" },
    { "bench", cmd_bench, "measure a model on this machine" },
    { "score", cmd_score, "log-probabilities of a given token sequence" },
    { "tokenize", cmd_tokenize, "text to token ids" },
};

static void print_help(FILE *to)
{
    fputs("paceline " PL_VERSION ": many parallel generations of one LLM in one process\n\n"
          "usage: paceline COMMAND [OPTIONS]   (paceline COMMAND --help)\n\n", to);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(name, commands[i].name)) return commands[i].run(argc - 1, argv + 1);
    if (!strcmp(name, "--version") || !strcmp(name, "version")) {
        puts("paceline " PL_VERSION);
        return 0;
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
        print_help(stdout);
        return 0;
    }
    if (*name) fprintf(stderr, "paceline: unknown command \"%s\"\n", name);
    print_help(stderr);
    return 2;
}

/* The command of each name. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "paceline.h"

static void print_help(FILE *to)
{
    fputs("paceline " PL_VERSION ": many parallel generations of one LLM in one process\n\n"
          "usage: paceline COMMAND [OPTIONS]   (paceline COMMAND --help)\n\n", to);
    for (size_t i = 0; i < n_commands; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct command *command = command_find(name);

    if (command) return command->run(argc - 1, argv + 1);
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

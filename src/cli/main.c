/* The command of each name. */
#include <stdio.h>
#include <string.h>

#include "cli/build_info.h"
#include "cli/commands.h"
#include "paceline.h"

static void print_help(FILE *to)
{
    fputs("paceline " PL_VERSION ": many parallel generations of one LLM in one process\n\n"
          "usage: paceline COMMAND [OPTIONS]   (paceline help COMMAND)\n\n", to);
    for (size_t i = 0; i < n_commands; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
}

/* help COMMAND is COMMAND --help. */
static int help(int argc, char **argv)
{
    char option[] = "--help";
    if (argc < 3) {
        print_help(stdout);
        return 0;
    }
    const struct command *command = command_find(argv[2]);
    if (!command || argc > 3) {
        fprintf(stderr,
                "paceline: help takes the name of one command, found \"%s\" (see paceline "
                "--help)\n", argv[command ? 3 : 2]);
        return 2;
    }
    char *words[] = { argv[2], option, NULL };
    return command->run(2, words);
}

static int version(int argc, char **argv)
{
    if (argc > 2 && (argc > 3 || strcmp(argv[2], "--build-info"))) {
        fprintf(stderr, "paceline: %s takes --build-info and nothing else, found \"%s\"\n", argv[1],
                argv[argc > 3 ? 3 : 2]);
        return 2;
    }
    if (argc > 2) build_info_print(stdout);
    else puts("paceline " PL_VERSION);
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct command *command = command_find(name);

    if (command) return command->run(argc - 1, argv + 1);
    if (!strcmp(name, "--version") || !strcmp(name, "version")) return version(argc, argv);
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))
        return help(argc, argv);
    if (*name) fprintf(stderr, "paceline: unknown command \"%s\"\n", name);
    print_help(stderr);
    return 2;
}

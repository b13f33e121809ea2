#include "cli/commands.h"

#include <string.h>

/* A build without the server has what needs nothing but a model file. */
const struct command commands[] = {
#ifdef PACELINE_HAS_SERVER
    { "serve", cmd_serve, "serve a model over an OpenAI-compatible API" },
    { "run", cmd_run, "answer a prompt, or chat, in the terminal" },
    { "up", cmd_up, "plan a model, start a server, wait until it answers" },
    { "down", cmd_down, "stop a server that up started" },
    { "plan", cmd_plan, "what a model takes of a machine, and how fast it will be" },
    { "doctor", cmd_doctor, "what of this machine needs mending" },
#endif
    { "self-test", cmd_self_test, "whether what computes on this machine computes rightly" },
#ifdef PACELINE_HAS_SERVER
    { "service", cmd_service, "have the system run a server" },
    { "pull", cmd_pull, "fetch a model from a hub or a URL" },
#endif
    { "list", cmd_list, "the models that were pulled" },
    { "rm", cmd_rm, "remove a pulled model" },
    { "bench", cmd_bench, "measure a model on this machine" },
#ifdef PACELINE_HAS_SERVER
    { "load", cmd_load, "load a server with requests and report how it took them" },
    { "top", cmd_top, "watch servers in the terminal" },
#endif
    { "score", cmd_score, "log-probabilities of a given token sequence" },
    { "tokenize", cmd_tokenize, "text to token ids" },
    { "man", cmd_man, "a command's manual page" },
    { "completion", cmd_completion, "completions for a shell" },
};
const size_t n_commands = sizeof commands / sizeof *commands;

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (!strcmp(name, commands[i].name)) return &commands[i];
    return NULL;
}

#include "cli/values.h"

#include <string.h>

#include "cli/commands.h"
#include "cli/names.h"
#include "estimate/columns.h"
#include "estimate/machine.h"
#include "estimate/recipe.h"
#include "estimate/shape.h"

static void print_commands(FILE *to)
{
    for (size_t i = 0; i < n_commands; i++) fprintf(to, " %s", commands[i].name);
}

static void print_machines(FILE *to)
{
    fputs(" this", to);
    for (size_t i = 0; i < n_machines; i++) fprintf(to, " %s", machines[i].name);
}

static void print_presets(FILE *to)
{
    for (size_t i = 0; i < n_shapes; i++) fprintf(to, " %s", shapes[i].name);
}

static void print_recipes(FILE *to)
{
    for (int i = 0; i < N_RECIPES; i++) fprintf(to, " %s", recipe_traits((enum recipe)i)->name);
}

/* command: NULL is any. */
static const struct {
    const char *command, *option, *fixed;
    void (*print)(FILE *to);
} kinds[] = {
    { NULL, "--backend", " " BACKEND_NAMES(" "), NULL },
    { NULL, "--isa", " " ISA_NAMES(" "), NULL },
    { NULL, "--cache-type-k", " " KV_TYPE_NAMES(" "), NULL },
    { NULL, "--cache-type-v", " " KV_TYPE_NAMES(" "), NULL },
    { "plan", "--machine", NULL, print_machines },
    { "plan", "--quant", NULL, print_recipes },
    { "plan", "--model", NULL, print_presets },
    { "plan", "", NULL, print_presets },
    { "serve", "--metrics-compat", " vllm", NULL },
    { "serve", "--device", " none", NULL },
    { "serve", "--n-gpu-layers", " 0 all auto", NULL },
    { "load", "--endpoint", " chat completions", NULL },
    { "service", "", " install start stop status uninstall", NULL },
    { "completion", "", " bash zsh fish", NULL },
    { "man", "", NULL, print_commands },
    { "help", "", NULL, print_commands },
};

static size_t find(const char *command, const char *option)
{
    size_t i = 0;
    while (i < sizeof kinds / sizeof *kinds &&
           ((kinds[i].command && strcmp(kinds[i].command, command)) ||
            strcmp(kinds[i].option, option)))
        i++;
    return i;
}

bool values_exist(const char *command, const char *option)
{
    return find(command, option) < sizeof kinds / sizeof *kinds;
}

void values_print(FILE *to, const char *command, const char *option)
{
    const size_t i = find(command, option);
    if (i == sizeof kinds / sizeof *kinds) return;
    if (kinds[i].print) kinds[i].print(to);
    else fputs(kinds[i].fixed, to);
}

bool values_are_models(const char *command, const char *option)
{
    static const char *const with[] = { "serve", "run", "bench", "doctor", "score", "tokenize",
                                        "up", "plan", "service", "rm" };
    if (*option && strcmp(option, "--model")) return false;
    for (size_t i = 0; i < sizeof with / sizeof *with; i++)
        if (!strcmp(with[i], command)) return true;
    return false;
}

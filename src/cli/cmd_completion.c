/* paceline completion, paceline man: what shells and man(1) read, made of the same tables as
 * --help. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/help_words.h"
#include "cli/models/models.h"
#include "cli/values.h"
#include "paceline.h"

static void ask_for_help(const struct command *c)
{
    char help[] = "--help", name[32];
    char *argv[] = { name, help, NULL };
    snprintf(name, sizeof name, "%s", c->name);
    c->run(2, argv);
}

static void ask_every_command(void)
{
    for (size_t i = 0; i < n_commands; i++) ask_for_help(&commands[i]);
}

static void print_bash(void)
{
    puts("# bash completion of paceline: source <(paceline completion bash)\n"
         "_paceline()\n{\n"
         "    local line=${COMP_LINE-} word=${COMP_WORDS[COMP_CWORD]} "
         "before=${COMP_WORDS[COMP_CWORD-1]}\n"
         "    local words= paths= values= models= given= own= named=\n"
         "    COMPREPLY=()\n"
         "    if [ -n \"$line\" ]; then     "
         "# a name with a colon is several words to bash, and one here\n"
         "        line=${line:0:COMP_POINT}; word=${line##* }; "
         "line=${line% *}; before=${line##* }\n"
         "    fi\n"
         "    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    fputs("        COMPREPLY=($(compgen -W \"", stdout);
    for (size_t i = 0; i < n_commands; i++) printf("%s ", commands[i].name);
    puts("help\" -- \"$word\"))\n        return\n    fi\n"
         "    case ${COMP_WORDS[1]} in");
    ask_every_command();
    fputs("    help) own=\"", stdout);
    values_print(stdout, "help", "");
    puts("\" ;;\n"
         "    esac\n"
         "    case \" $paths $values \" in\n"
         "        *\" $before \"*) ;;\n"
         "        *) before=WORD given=$own; "
         "case $word in -*|'') given=\"$own $words\" ;; esac ;;\n"
         "    esac\n"
         "    case \" $models \" in\n"
         "        *\" $before \"*) named=$(\"${COMP_WORDS[0]}\" completion models 2>/dev/null); "
         "paths=\"$paths WORD\" ;;\n"
         "    esac\n"
         "    COMPREPLY=($(compgen -W \"$given $named\" -- \"$word\"))\n"
         "    case \"$word \" in -*) return ;; esac\n"
         "    case \" $paths \" in\n"
         "        *\" $before \"*) compopt -o filenames; "
         "COMPREPLY+=($(compgen -f -- \"$word\")) ;;\n"
         "    esac\n"
         "    case $word in      # bash puts back what stands before the last colon itself\n"
         "        *:*) named=${word%:*}: ; COMPREPLY=(\"${COMPREPLY[@]#\"$named\"}\") ;;\n"
         "    esac\n}\ncomplete -F _paceline paceline");
}

static void print_zsh(void)
{
    puts("#compdef paceline\n"
         "# zsh completion: a file _paceline in a folder of $fpath\n"
         "local -a commands=(");
    for (size_t i = 0; i < n_commands; i++) {
        printf("    '%s:", commands[i].name);
        help_print_quoted(commands[i].summary, "", false);
        puts("'");
    }
    puts("    'help:the options of a command'\n)\n"
         "if (( CURRENT == 2 )); then\n    _describe command commands\n    return\nfi\n"
         "local command=$words[2]\nshift words\n(( CURRENT-- ))\n"
         "case $command in");
    ask_every_command();
    fputs("    help)\n        compadd --", stdout);
    values_print(stdout, "help", "");
    puts(" ;;\nesac");
}

static void print_fish(void)
{
    puts("# fish completion of paceline: paceline completion fish | source\n"
         "complete -c paceline -f");
    for (size_t i = 0; i < n_commands; i++) {
        printf("complete -c paceline -n __fish_use_subcommand -a %s -d '", commands[i].name);
        help_print_quoted(commands[i].summary, "\\", true);
        puts("'");
    }
    fputs("complete -c paceline -n __fish_use_subcommand -a help -d 'the options of a command'\n"
          "complete -c paceline -n '__fish_seen_subcommand_from help' -a '", stdout);
    values_print(stdout, "help", "");
    puts("'");
    ask_every_command();
}

/* What the scripts ask for while one types: names of pulled models. Nothing is wrong with none. */
static int print_models(void)
{
    pl_err ignored;
    struct models_dir d;
    struct models models = { 0 };
    if (!models_dir_open(&d, NULL, false, &ignored) && !models_list(&d, &models, &ignored))
        for (size_t i = 0; i < models.n; i++) puts(models.list[i].name);
    models_free(&models);
    models_dir_close(&d);
    return 0;
}

int cmd_completion(int argc, char **argv)
{
    static const struct {
        const char *name;
        enum help_form form;
        void (*print)(void);
    } shells[] = { { "bash", HELP_BASH, print_bash }, { "zsh", HELP_ZSH, print_zsh },
                   { "fish", HELP_FISH, print_fish } };
    const struct arg_page page = {
        "completion", "bash | zsh | fish",
        "Prints completions of commands and options for a shell.",
        "source <(paceline completion bash)\n"
        "paceline completion zsh > ~/.zfunc/_paceline\n"
        "paceline completion fish > ~/.config/fish/completions/paceline.fish", NULL, 0
    };
    struct arg_strings words = { .n = 0 };
    const int code = args_parse(&page, argc, argv, &words, NULL);
    if (code >= 0) return code;
    if (words.n == 1 && !strcmp(words.text[0], "models")) return print_models();
    for (size_t i = 0; words.n == 1 && i < sizeof shells / sizeof *shells; i++)
        if (!strcmp(words.text[0], shells[i].name)) {
            help_set_form(shells[i].form);
            shells[i].print();
            return 0;
        }
    return args_missing(&page, "the name of a shell: bash, zsh or fish");
}

static void print_man_head(const char *dash, const char *name, const char *summary)
{
    printf(".TH PACELINE%s", dash);
    for (const char *at = name; *at; at++) {        /* in capitals, as titles are */
        if (*at == '-') fputs("\\-", stdout);
        else putchar(toupper((unsigned char)*at));
    }
    printf(" 1 \"\" \"paceline " PL_VERSION "\"\n.SH NAME\npaceline%s", *dash ? "\\-" : "");
    help_print_roff(name);
    fputs(" \\- ", stdout);
    help_print_roff(summary);
    puts("");
}

static void print_man_of_all(void)
{
    print_man_head("", "", "many parallel generations of one LLM in one process");
    puts(".SH SYNOPSIS\n.B paceline\n.I COMMAND\n[OPTIONS]\n.SH COMMANDS");
    for (size_t i = 0; i < n_commands; i++) {
        fputs(".TP\n.BR paceline\\-", stdout);
        help_print_roff(commands[i].name);
        puts(" (1)");
        help_print_roff(commands[i].summary);
        puts("");
    }
}

int cmd_man(int argc, char **argv)
{
    const struct arg_page page = {
        "man", "[COMMAND]", "Prints the manual page of a command, or of the program, for man(1).",
        "paceline man serve | man -l -", NULL, 0
    };
    struct arg_strings words = { .n = 0 };
    const int code = args_parse(&page, argc, argv, &words, NULL);
    if (code >= 0) return code;
    if (!words.n) {
        print_man_of_all();
        return 0;
    }
    const struct command *command = command_find(words.text[0]);
    if (!command || words.n > 1) return args_missing(&page, "the name of one command");
    print_man_head("\\-", command->name, command->summary);
    help_set_form(HELP_MAN);
    ask_for_help(command);
    return 0;
}

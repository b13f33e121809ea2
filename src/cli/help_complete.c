#include "cli/help_complete.h"

#include <stdio.h>
#include <string.h>

#include "cli/help_words.h"
#include "cli/values.h"

static bool takes_path(const struct arg *a)
{
    return a->value && (!strcmp(a->value, "FILE") || !strcmp(a->value, "DIR"));
}

/* Whether the next word is the option's and not a word of its own. */
static bool takes_value(const struct arg *a)
{
    return a->value && a->kind != ARG_FLAG && a->kind != ARG_SWITCH && a->kind != ARG_FOREIGN;
}

/* What begins the next spelling: nothing before the first. */
struct parted {
    const char *now, *then;
};

static void print_parted(const char *word, size_t n, void *parted)
{
    struct parted *by = parted;
    printf("%s%.*s", by->now, (int)n, word);
    by->now = by->then;
}

static void print_spellings(const struct arg *a, const char *parted_by)
{
    struct parted by = { "", parted_by };
    if (a->kind != ARG_FOREIGN) help_each_spelling(a, print_parted, &by);
}

/* ---- bash ----------------------------------------------------------------------------------- */

enum bash_list { BASH_ALL, BASH_PATHS, BASH_VALUES, BASH_MODELS };

static bool is_in(enum bash_list which, const struct arg_page *p, const struct arg *a)
{
    switch (which) {
    case BASH_PATHS: return takes_path(a);
    case BASH_VALUES: return takes_value(a) && !takes_path(a);
    case BASH_MODELS: return takes_value(a) && values_are_models(p->name, a->name);
    default: return a->kind != ARG_FOREIGN;
    }
}

static void print_bash_list(const struct arg_page *p, const char *name, enum bash_list which,
                            const char *end)
{
    printf("        %s=\"", name);
    for (size_t i = 0; i < p->n_table; i++) {
        if (!is_in(which, p, &p->table[i])) continue;
        print_spellings(&p->table[i], " ");
        putchar(' ');
    }
    printf("%s\"\n", end);
}

/* An arm of the case statement that cmd_completion opens. */
void help_print_bash(const struct arg_page *p)
{
    printf("    %s)\n", p->name);
    print_bash_list(p, "words", BASH_ALL, "--help");
    print_bash_list(p, "paths", BASH_PATHS, "");
    print_bash_list(p, "values", BASH_VALUES, "");
    print_bash_list(p, "models", BASH_MODELS, values_are_models(p->name, "") ? "WORD" : "");
    puts("        case $before in");
    for (size_t i = 0; i < p->n_table; i++) {
        const struct arg *a = &p->table[i];
        if (!takes_value(a) || !values_exist(p->name, a->name)) continue;
        fputs("            ", stdout);
        print_spellings(a, "|");
        fputs(") given=\"", stdout);
        values_print(stdout, p->name, a->name);
        puts("\" ;;");
    }
    fputs("        esac\n        own=\"", stdout);
    values_print(stdout, p->name, "");
    puts("\"\n        ;;");
}

/* ---- zsh ------------------------------------------------------------------------------------ */

/* What completes a value or a word: an action of _arguments. */
static void print_zsh_action(const char *command, const char *option, bool has_paths)
{
    if (values_are_models(command, option)) {
        fputs("{compadd -- ${(f)\"$(paceline completion models 2>/dev/null)\"}", stdout);
        values_print(stdout, command, option);
        fputs(has_paths ? "; _files}" : "}", stdout);
    } else if (values_exist(command, option)) {
        fputs("(", stdout);
        values_print(stdout, command, option);
        fputs(")", stdout);
    } else {
        fputs(has_paths ? "_files" : " ", stdout);
    }
}

void help_print_zsh(const struct arg_page *p)
{
    printf("    %s)\n        _arguments \\\n", p->name);
    for (size_t i = 0; i < p->n_table; i++) {
        const struct arg *a = &p->table[i];
        const bool has_others = a->shorts || a->kind == ARG_SWITCH;
        if (a->kind == ARG_FOREIGN) continue;
        fputs(has_others ? "            {" : "            ", stdout);
        print_spellings(a, ",");
        fputs(has_others ? "}'[" : "'[", stdout);
        help_print_quoted(a->help, "[]:\\", false);
        putchar(']');
        if (takes_value(a)) {
            putchar(':');
            help_print_quoted(a->value, "[]:\\", false);
            putchar(':');
            print_zsh_action(p->name, a->name, takes_path(a));
        }
        puts("' \\");
    }
    fputs("            '--help[what the options do]' '*:word:", stdout);
    print_zsh_action(p->name, "", true);
    puts("'\n        ;;");
}

/* ---- fish ----------------------------------------------------------------------------------- */

static void print_fish_word(const char *word, size_t n, void *unused)
{
    (void)unused;
    if (n > 2 && word[0] == '-' && word[1] == '-') printf(" -l %.*s", (int)(n - 2), word + 2);
    else if (n == 2) printf(" -s %c", word[1]);
    else printf(" -o %.*s", (int)(n - 1), word + 1);
}

static void print_fish_choices(const char *command, const char *option)
{
    const bool has_models = values_are_models(command, option);
    if (!has_models && !values_exist(command, option)) return;
    fputs(" -a '", stdout);
    values_print(stdout, command, option);
    if (has_models) fputs(" (paceline completion models 2>/dev/null)", stdout);
    fputs("'", stdout);
}

static void print_fish_condition(const char *command)
{
    printf("complete -c paceline -n '__fish_seen_subcommand_from %s'", command);
}

void help_print_fish(const struct arg_page *p)
{
    for (size_t i = 0; i < p->n_table; i++) {
        const struct arg *a = &p->table[i];
        if (a->kind == ARG_FOREIGN) continue;
        print_fish_condition(p->name);
        help_each_spelling(a, print_fish_word, NULL);
        if (takes_value(a)) {
            fputs(takes_path(a) ? " -r -F" : " -x", stdout);
            print_fish_choices(p->name, a->name);
        }
        fputs(" -d '", stdout);
        help_print_quoted(a->help, "\\", true);
        puts("'");
    }
    if (!values_are_models(p->name, "") && !values_exist(p->name, "")) return;
    print_fish_condition(p->name);
    if (values_are_models(p->name, "")) fputs(" -F", stdout);
    print_fish_choices(p->name, "");
    puts("");
}

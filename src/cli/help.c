#include "cli/help.h"

#include <stdio.h>
#include <string.h>

enum { MAX_LEFT = 96 };

static enum help_form form = HELP_TEXT;

void help_set_form(enum help_form next)
{
    form = next;
}

static const char *effect(const struct arg *a)
{
    return a->kind == ARG_ALWAYS ? "accepted: " : "";
}

/* ---- text ----------------------------------------------------------------------------------- */

static void print_lines(const char *indent, const char *text)
{
    while (*text) {
        const size_t n = strcspn(text, "\n");
        printf("%s%.*s\n", indent, (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void print_text(const struct arg_page *p)
{
    printf("usage: paceline %s %s\n\n", p->name, p->usage);
    for (size_t i = 0; i < p->n_table; i++) {
        const struct arg *a = &p->table[i];
        char left[MAX_LEFT];
        snprintf(left, sizeof left, "%s%s%s%s%s", a->name, a->shorts ? ", " : "",
                 a->shorts ? a->shorts : "", a->value ? " " : "", a->value ? a->value : "");
        printf("  %-32s %s%s\n", left, effect(a), a->help);
    }
    if (!p->example) return;
    puts(strchr(p->example, '\n') ? "\nexamples:" : "\nexample:");
    print_lines("  ", p->example);
}

/* ---- man ------------------------------------------------------------------------------------ */

void help_print_roff(const char *text)
{
    for (bool begins_line = true; *text; text++) {
        if (begins_line && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
        if (*text == '\\') fputs("\\e", stdout);
        else if (*text == '-') fputs("\\-", stdout);
        else putchar(*text);
        begins_line = *text == '\n';
    }
}

static void print_spellings(const struct arg *a)
{
    fputs("\\fB", stdout);
    help_print_roff(a->name);
    for (const char *at = a->shorts; at && *at;) {
        char word[MAX_LEFT];
        const size_t n = strcspn(at, " ");
        snprintf(word, sizeof word, "%.*s", (int)n, at);
        fputs("\\fR, \\fB", stdout);
        help_print_roff(word);
        at += n + (at[n] == ' ');
    }
    fputs("\\fR", stdout);
    if (!a->value) return;
    fputs(" \\fI", stdout);
    help_print_roff(a->value);
    fputs("\\fR", stdout);
}

static void print_man(const struct arg_page *p)
{
    fputs(".SH SYNOPSIS\n.B paceline ", stdout);
    printf("%s\n", p->name);
    help_print_roff(p->usage);
    puts("");
    if (p->about) {
        puts(".SH DESCRIPTION");
        help_print_roff(p->about);
        puts("");
    }
    if (p->n_table) puts(".SH OPTIONS");
    for (size_t i = 0; i < p->n_table; i++) {
        puts(".TP");
        print_spellings(&p->table[i]);
        printf("\n%s", effect(&p->table[i]));
        help_print_roff(p->table[i].help);
        puts("");
    }
    if (!p->example) return;
    fputs(".SH EXAMPLES\n.nf\n", stdout);
    help_print_roff(p->example);
    puts("\n.fi");
}

/* ---- completions ---------------------------------------------------------------------------- */

static bool takes_path(const struct arg *a)
{
    return a->value && (!strcmp(a->value, "FILE") || !strcmp(a->value, "DIR"));
}

/* Whether the next word is the option's and not a word of its own. */
static bool takes_value(const struct arg *a)
{
    return a->value && a->kind != ARG_FLAG && a->kind != ARG_SWITCH;
}

static void print_spaced(const struct arg *a, const char *parted_by)
{
    printf("%s", a->name);
    for (const char *at = a->shorts; at && *at;) {
        const size_t n = strcspn(at, " ");
        printf("%s%.*s", parted_by, (int)n, at);
        at += n + (at[n] == ' ');
    }
}

/* An arm of the case statement that cmd_completion opens: words, and which want a path or any value. */
static void print_bash(const struct arg_page *p)
{
    printf("    %s)\n        words=\"", p->name);
    for (size_t i = 0; i < p->n_table; i++) {
        print_spaced(&p->table[i], " ");
        putchar(' ');
    }
    printf("--help\"\n        paths=\"");
    for (size_t i = 0; i < p->n_table; i++)
        if (takes_path(&p->table[i])) {
            print_spaced(&p->table[i], " ");
            putchar(' ');
        }
    printf("\"\n        values=\"");
    for (size_t i = 0; i < p->n_table; i++)
        if (takes_value(&p->table[i]) && !takes_path(&p->table[i])) {
            print_spaced(&p->table[i], " ");
            putchar(' ');
        }
    puts("\"\n        ;;");
}

void help_print_quoted(const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'') fputs(form == HELP_FISH ? "\\'" : "'\\''", stdout);
        else if (strchr(special, *text)) printf("\\%c", *text);
        else putchar(*text);
    }
}

static void print_zsh(const struct arg_page *p)
{
    printf("    %s)\n        _arguments \\\n", p->name);
    for (size_t i = 0; i < p->n_table; i++) {
        const struct arg *a = &p->table[i];
        fputs(a->shorts ? "            {" : "            ", stdout);
        print_spaced(a, ",");
        fputs(a->shorts ? "}'[" : "'[", stdout);
        help_print_quoted(a->help, "[]:\\");
        putchar(']');
        if (takes_value(a)) printf(":%s:%s", a->value, takes_path(a) ? "_files" : " ");
        puts("' \\");
    }
    puts("            '--help[what the options do]' '*:file:_files'\n        ;;");
}

static void print_fish_word(const char *word, size_t n)
{
    if (n > 2 && word[0] == '-' && word[1] == '-') printf(" -l %.*s", (int)(n - 2), word + 2);
    else if (n == 2) printf(" -s %c", word[1]);
    else printf(" -o %.*s", (int)(n - 1), word + 1);
}

static void print_fish(const struct arg_page *p)
{
    for (size_t i = 0; i < p->n_table; i++) {
        const struct arg *a = &p->table[i];
        printf("complete -c paceline -n '__fish_seen_subcommand_from %s'", p->name);
        print_fish_word(a->name, strlen(a->name));
        for (const char *at = a->shorts; at && *at;) {
            const size_t n = strcspn(at, " ");
            print_fish_word(at, n);
            at += n + (at[n] == ' ');
        }
        if (takes_value(a)) fputs(takes_path(a) ? " -r -F" : " -x", stdout);
        fputs(" -d '", stdout);
        help_print_quoted(a->help, "\\");
        puts("'");
    }
}

void help_print(const struct arg_page *page)
{
    static void (*const print[])(const struct arg_page *) = {
        [HELP_TEXT] = print_text, [HELP_MAN] = print_man, [HELP_BASH] = print_bash,
        [HELP_ZSH] = print_zsh, [HELP_FISH] = print_fish,
    };
    print[form](page);
}

#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "cli/help_complete.h"
#include "cli/help_words.h"

enum { MAX_LEFT = 128, MAX_COLUMN = 98, LEFT_COLUMN = 32 };

static enum help_form form = HELP_TEXT;

void help_set_form(enum help_form next)
{
    form = next;
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

static void add_spelling(const char *word, size_t n, void *left)
{
    const size_t n_left = strlen(left);
    snprintf((char *)left + n_left, MAX_LEFT - n_left, "%s%.*s", n_left ? ", " : "", (int)n, word);
}

/* The names of a page's foreign options without effect, in lines. */
static void print_foreign_names(const struct foreign_table *t)
{
    size_t column = MAX_COLUMN;
    puts("\naccepted without effect, for the sake of llama-server's command lines (the manual says "
         "why):");
    for (size_t i = 0; i < t->n; i++) {
        if (t->list[i].effect != FOREIGN_NOTHING) continue;
        const size_t n = strcspn(t->list[i].names, " ");
        if (column + n + 1 > MAX_COLUMN) {
            printf("%s ", column == MAX_COLUMN && i == 0 ? " " : "\n ");
            column = 1;
        }
        printf(" %.*s", (int)n, t->list[i].names);
        column += n + 1;
    }
    puts("");
}

static const struct foreign_table *foreign_of(const struct arg_page *p)
{
    for (size_t i = 0; i < p->n_table; i++)
        if (p->table[i].kind == ARG_FOREIGN) return p->table[i].to;
    return NULL;
}

static void print_text(const struct arg_page *p)
{
    printf("usage: paceline %s %s\n\n", p->name, p->usage);
    for (size_t i = 0; i < p->n_table; i++) {
        const struct arg *a = &p->table[i];
        char left[MAX_LEFT] = "";
        if (a->kind == ARG_FOREIGN) continue;
        help_each_spelling(a, add_spelling, left);
        const size_t n = strlen(left);
        if (a->value) snprintf(left + n, sizeof left - n, " %s", a->value);
        if (strlen(left) > LEFT_COLUMN) printf("  %s\n  %-*s %s\n", left, LEFT_COLUMN, "", a->help);
        else printf("  %-*s %s\n", LEFT_COLUMN, left, a->help);
    }
    if (foreign_of(p)) print_foreign_names(foreign_of(p));
    if (!p->example) return;
    puts(strchr(p->example, '\n') ? "\nexamples:" : "\nexample:");
    print_lines("  ", p->example);
}

/* ---- man ------------------------------------------------------------------------------------ */

static void print_bold(const char *word, size_t n, void *is_first)
{
    char text[MAX_LEFT];
    snprintf(text, sizeof text, "%.*s", (int)n, word);
    fputs(*(bool *)is_first ? "\\fB" : ", \\fB", stdout);
    help_print_roff(text);
    fputs("\\fR", stdout);
    *(bool *)is_first = false;
}

static void print_spellings(const struct arg *a)
{
    bool is_first = true;
    help_each_spelling(a, print_bold, &is_first);
    if (!a->value) return;
    fputs(" \\fI", stdout);
    help_print_roff(a->value);
    fputs("\\fR", stdout);
}

static void print_man_foreign(const struct foreign_table *t, enum foreign_effect effect,
                              const char *heading)
{
    printf(".SH %s\n", heading);
    for (size_t i = 0; i < t->n; i++) {
        const struct foreign *f = &t->list[i];
        bool is_first = true;
        if (f->effect != effect) continue;
        puts(".TP");
        for (const char *at = f->names; *at;) {
            const size_t n = strcspn(at, " ");
            print_bold(at, n, &is_first);
            at += n + (at[n] == ' ');
        }
        puts("");
        help_print_roff(f->text);
        if (f->neutral && *f->neutral) {
            fputs(" (accepted: ", stdout);
            help_print_roff(f->neutral);
            fputs(")", stdout);
        }
        puts("");
    }
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
        if (p->table[i].kind == ARG_FOREIGN) continue;
        puts(".TP");
        print_spellings(&p->table[i]);
        puts("");
        help_print_roff(p->table[i].help);
        puts("");
    }
    if (foreign_of(p)) {
        print_man_foreign(foreign_of(p), FOREIGN_NOTHING, "ACCEPTED WITHOUT EFFECT");
        print_man_foreign(foreign_of(p), FOREIGN_REFUSED, "NOT SUPPORTED");
    }
    if (!p->example) return;
    fputs(".SH EXAMPLES\n.nf\n", stdout);
    help_print_roff(p->example);
    puts("\n.fi");
}

void help_print(const struct arg_page *page)
{
    static void (*const print[])(const struct arg_page *) = {
        [HELP_TEXT] = print_text, [HELP_MAN] = print_man, [HELP_BASH] = help_print_bash,
        [HELP_ZSH] = help_print_zsh, [HELP_FISH] = help_print_fish,
    };
    print[form](page);
}


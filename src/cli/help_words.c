#include "cli/help_words.h"

#include <stdio.h>
#include <string.h>

void help_each_spelling(const struct arg *a, void (*with)(const char *word, size_t n, void *arg),
                        void *arg)
{
    char no[128];
    with(a->name, strlen(a->name), arg);
    for (const char *at = a->shorts; at && *at;) {
        const size_t n = strcspn(at, " ");
        with(at, n, arg);
        at += n + (at[n] == ' ');
    }
    if (a->kind != ARG_SWITCH) return;
    snprintf(no, sizeof no, "--no-%s", a->name + 2);
    with(no, strlen(no), arg);
}

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

void help_print_quoted(const char *text, const char *special, bool is_fish)
{
    for (; *text; text++) {
        if (*text == '\'') fputs(is_fish ? "\\'" : "'\\''", stdout);
        else if (strchr(special, *text)) printf("\\%c", *text);
        else putchar(*text);
    }
}

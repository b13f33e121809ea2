#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "cli/terminal.h"

enum { MAX_COLUMNS = 16, MAX_CELL = 160, LEAST_WIDTH = 40, USUAL_WIDTH = 80 };

/* Where lines go, and how. */
struct page {
    FILE *to;
    unsigned text_width;        /* that sentences are broken at; 0: they are not */
    unsigned table_width;
    const char *bold, *bad, *plain;
};

static void cell_text(char *out, const json_t *value)
{
    if (json_is_string(value)) snprintf(out, MAX_CELL, "%s", json_string_value(value));
    else if (json_is_number(value)) snprintf(out, MAX_CELL, "%.6g", json_number_value(value));
    else snprintf(out, MAX_CELL, "%s", json_is_null(value) ? "" : "?");
}

/* Figures stand to the right. */
static bool is_figure(const char *text)
{
    char *end;
    strtod(text, &end);
    return end != text && !*end;
}

/* Characters, not bytes. */
static size_t width(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void measure(const json_t *row, size_t *widths)
{
    char text[MAX_CELL];
    for (size_t i = 0; i < json_array_size(row) && i < MAX_COLUMNS; i++) {
        cell_text(text, json_array_get(row, i));
        if (width(text) > widths[i]) widths[i] = width(text);
    }
}

/* Some columns of a table: the first one, and from `from` to before `to`. */
struct block {
    size_t from, to;
};

/* As many columns from `from` on as fit beside the first one; at least one. */
static struct block block_of(const size_t *widths, size_t n, size_t from, unsigned table_width)
{
    size_t used = 1 + (from ? widths[0] + 2 : 0), to = from;
    while (to < n && (to == from || used + widths[to] + 1 <= table_width)) used += widths[to++] + 2;
    return (struct block){ from, to };
}

/* A "no" that a person looks for. */
static bool is_bad(const json_t *head, size_t column, const char *text)
{
    const char *name = json_string_value(json_array_get(head, column));
    return name && !strcmp(name, "fits") && !strcmp(text, "no");
}

static void print_cell(const struct page *p, const char *text, size_t wide, bool is_right,
                       bool is_last, const char *colour)
{
    const int padding = (int)(wide - width(text));
    const char *plain = *colour ? p->plain : "";
    if (is_right) fprintf(p->to, " %*s%s%s%s", padding, "", colour, text, plain);
    else fprintf(p->to, " %s%s%s%*s", colour, text, plain, is_last ? 0 : padding, "");
    if (!is_last) fputc(' ', p->to);
}

/* as_row: where a heading's column has figures, it stands to the right as they do. */
static void print_cells(const struct page *p, const json_t *head, const json_t *row,
                        const json_t *as_row, const size_t *widths, struct block b)
{
    char text[MAX_CELL], model[MAX_CELL];
    fputc(' ', p->to);
    for (size_t i = b.from ? 0 : b.from; i < b.to; i = i || !b.from ? i + 1 : b.from) {
        cell_text(text, json_array_get(row, i));
        cell_text(model, json_array_get(as_row, i));
        print_cell(p, text, widths[i], is_figure(model), i + 1 == b.to,
                   is_bad(head, i, text) ? p->bad : "");
    }
    fputc('\n', p->to);
}

/* Columns that do not fit beside each other come in blocks, each with the first column. */
static void print_table(const struct page *p, const json_t *table)
{
    const json_t *head = json_object_get(table, "head"), *rows = json_object_get(table, "rows");
    size_t widths[MAX_COLUMNS] = { 0 };
    size_t n = json_array_size(head ? head : json_array_get(rows, 0));
    if (n > MAX_COLUMNS) n = MAX_COLUMNS;
    measure(head, widths);
    for (size_t i = 0; i < json_array_size(rows); i++) measure(json_array_get(rows, i), widths);
    for (struct block b = block_of(widths, n, 0, p->table_width); b.from < n;
         b = block_of(widths, n, b.to, p->table_width)) {
        if (b.from) fputc('\n', p->to);
        if (head) print_cells(p, head, head, json_array_get(rows, 0), widths, b);
        for (size_t i = 0; i < json_array_size(rows); i++) {
            const json_t *row = json_array_get(rows, i);
            print_cells(p, head, row, row, widths, b);
        }
    }
}

/* Broken at spaces, the rest indented a little more. */
static void print_text(const struct page *p, const char *text)
{
    unsigned column = 2;
    fputs("  ", p->to);
    while (*text) {
        const size_t n = strcspn(text, " ");
        char word[MAX_CELL];
        snprintf(word, sizeof word, "%.*s", (int)n, text);
        const unsigned wide = (unsigned)width(word);
        if (p->text_width && column > 4 && column + wide > p->text_width) {
            fputs("\n    ", p->to);
            column = 4;
        }
        fwrite(text, 1, n, p->to);
        text += n;
        column += wide;
        if (*text == ' ') {
            text++;
            if (*text && !(p->text_width && column + 1 >= p->text_width)) {
                fputc(' ', p->to);
                column++;
            } else {
                column = p->text_width;
            }
        }
    }
    fputc('\n', p->to);
}

static void print_section(const struct page *p, const json_t *section)
{
    const json_t *lines = json_object_get(section, "text");
    const json_t *tables = json_object_get(section, "tables");
    fprintf(p->to, "\n%s%s%s\n", p->bold, json_string_value(json_object_get(section, "heading")),
            p->plain);
    for (size_t i = 0; i < json_array_size(lines); i++)
        print_text(p, json_string_value(json_array_get(lines, i)));
    for (size_t i = 0; i < json_array_size(tables); i++) print_table(p, json_array_get(tables, i));
}

void report_print(FILE *to, const json_t *report, bool has_colours)
{
    const json_t *sections = json_object_get(report, "sections");
    const unsigned wide = terminal_width(to);
    const struct page p = {
        .to = to, .text_width = wide && wide < LEAST_WIDTH ? LEAST_WIDTH : wide,
        .table_width = wide < LEAST_WIDTH ? wide ? LEAST_WIDTH : USUAL_WIDTH : wide,
        .bold = has_colours ? "\033[1m" : "", .bad = has_colours ? "\033[31m" : "",
        .plain = has_colours ? "\033[0m" : "",
    };
    fprintf(to, "%s%s%s\n", p.bold, json_string_value(json_object_get(report, "title")), p.plain);
    fprintf(to, "%s\n", json_string_value(json_object_get(report, "lead")));
    for (size_t i = 0; i < json_array_size(sections); i++)
        print_section(&p, json_array_get(sections, i));
}

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"

enum { MAX_COLUMNS = 16, MAX_CELL = 160 };

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

/* as_row: where a heading's column has figures, it stands to the right as they do; NULL: a row. */
static void print_cells(FILE *to, const json_t *row, const size_t *widths, const json_t *as_row)
{
    char text[MAX_CELL], model[MAX_CELL];
    const size_t n = json_array_size(row) < MAX_COLUMNS ? json_array_size(row) : MAX_COLUMNS;
    fputc(' ', to);
    for (size_t i = 0; i < n; i++) {
        cell_text(text, json_array_get(row, i));
        cell_text(model, as_row ? json_array_get(as_row, i) : json_array_get(row, i));
        const int padding = (int)(widths[i] - width(text));
        if (is_figure(model)) fprintf(to, " %*s%s ", padding, "", text);
        else fprintf(to, " %s%*s ", text, i + 1 < n ? padding : 0, "");
    }
    fputc('\n', to);
}

static void print_table(FILE *to, const json_t *table)
{
    const json_t *head = json_object_get(table, "head"), *rows = json_object_get(table, "rows");
    size_t widths[MAX_COLUMNS] = { 0 };
    measure(head, widths);
    for (size_t i = 0; i < json_array_size(rows); i++) measure(json_array_get(rows, i), widths);
    if (head) print_cells(to, head, widths, json_array_get(rows, 0));
    for (size_t i = 0; i < json_array_size(rows); i++)
        print_cells(to, json_array_get(rows, i), widths, NULL);
}

void report_print(FILE *to, const json_t *report, bool is_bold)
{
    const json_t *sections = json_object_get(report, "sections");
    const char *bold = is_bold ? "\033[1m" : "", *plain = is_bold ? "\033[0m" : "";
    fprintf(to, "%s%s%s\n%s\n", bold, json_string_value(json_object_get(report, "title")), plain,
            json_string_value(json_object_get(report, "lead")));
    for (size_t i = 0; i < json_array_size(sections); i++) {
        const json_t *section = json_array_get(sections, i);
        const json_t *lines = json_object_get(section, "text");
        const json_t *tables = json_object_get(section, "tables");
        fprintf(to, "\n%s%s%s\n", bold, json_string_value(json_object_get(section, "heading")),
                plain);
        for (size_t j = 0; j < json_array_size(lines); j++)
            fprintf(to, "  %s\n", json_string_value(json_array_get(lines, j)));
        for (size_t j = 0; j < json_array_size(tables); j++)
            print_table(to, json_array_get(tables, j));
    }
}

#include "cli/top/prom_text.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBER = 64 };

struct prom_reader prom_begin(const char *text, size_t n)
{
    return (struct prom_reader){ text, text + n, 0 };
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip_spaces(const char *at, const char *end)
{
    while (at < end && is_space(*at)) at++;
    return at;
}

static bool is_name_char(char c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
           (!is_first && c >= '0' && c <= '9');
}

static const char *skip_name(const char *at, const char *end)
{
    const char *begin = at;
    while (at < end && is_name_char(*at, at == begin)) at++;
    return at;
}

/* After the quote that ends a string which begins at `at`; NULL: nothing ends it. */
static const char *skip_string(const char *at, const char *end)
{
    for (; at < end; at++) {
        if (*at == '"') return at + 1;
        if (*at == '\\' && at + 1 < end) at++;
    }
    return NULL;
}

/* One name="value" at `at`; *value is behind its opening quote. NULL: there is none. */
static const char *skip_label(const char *at, const char *end, const char **name, size_t *n_name,
                              const char **value)
{
    *name = skip_spaces(at, end);
    at = skip_name(*name, end);
    *n_name = (size_t)(at - *name);
    at = skip_spaces(at, end);
    if (!*n_name || at == end || *at != '=') return NULL;
    at = skip_spaces(at + 1, end);
    if (at == end || *at != '"') return NULL;
    *value = at + 1;
    return skip_string(*value, end);
}

/* From behind "{" to behind "}". NULL: these are no labels. */
static const char *skip_labels(const char *at, const char *end)
{
    for (;;) {
        const char *name, *value;
        size_t n_name;
        at = skip_spaces(at, end);
        if (at < end && *at == '}') return at + 1;
        at = skip_label(at, end, &name, &n_name, &value);
        if (!at) return NULL;
        at = skip_spaces(at, end);
        if (at < end && *at == ',') at++;
        else if (at == end || *at != '}') return NULL;
    }
}

/* A number ends at a space or the line's end; what follows it (a time, an exemplar) is not used. */
static bool read_value(const char *at, const char *end, double *out)
{
    char text[MAX_NUMBER];
    size_t n = 0;
    at = skip_spaces(at, end);
    while (at + n < end && !is_space(at[n])) n++;
    if (n == 0 || n >= sizeof text || memchr(at, 0, n)) return false;
    memcpy(text, at, n);
    text[n] = 0;
    char *stop;
    *out = strtod(text, &stop);
    return !*stop;
}

static bool read_line(const char *at, const char *end, struct prom_sample *out)
{
    *out = (struct prom_sample){ .name = at, .labels = at };
    at = skip_name(at, end);
    out->n_name = (size_t)(at - out->name);
    if (!out->n_name) return false;
    const char *after = skip_spaces(at, end);
    if (after < end && *after == '{') {
        out->labels = after + 1;
        at = skip_labels(after + 1, end);
        if (!at) return false;
        out->n_labels = (size_t)(at - 1 - out->labels);
    } else if (after == at) {
        return false;                       /* the value must stand apart from the name */
    }
    return read_value(at, end, &out->value);
}

bool prom_next(struct prom_reader *r, struct prom_sample *out)
{
    while (r->at < r->end) {
        const char *line = skip_spaces(r->at, r->end);
        const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
        const char *line_end = newline ? newline : r->end;
        r->at = newline ? newline + 1 : r->end;
        if (line >= line_end || *line == '#') continue;
        if (read_line(line, line_end, out)) return true;
        r->n_bad_lines++;
    }
    return false;
}

bool prom_is(const struct prom_sample *s, const char *name)
{
    return strlen(name) == s->n_name && !memcmp(name, s->name, s->n_name);
}

static bool unescape(const char *at, const char *end, char *out, size_t n_out)
{
    size_t n = 0;
    for (; at < end; at++) {
        char c = *at;
        if (c == '\\' && at + 1 < end) c = *++at == 'n' ? '\n' : *at;
        if (n + 1 >= n_out) return false;
        out[n++] = c;
    }
    out[n] = 0;
    return true;
}

bool prom_label(const struct prom_sample *s, const char *name, char *out, size_t n_out)
{
    const char *at = s->labels, *end = s->labels + s->n_labels;
    while (at < end) {
        const char *found, *value;
        size_t n_found;
        at = skip_label(at, end, &found, &n_found, &value);
        if (!at) return false;
        if (n_found == strlen(name) && !memcmp(found, name, n_found))
            return n_out && unescape(value, at - 1, out, n_out);
        at = skip_spaces(at, end);
        if (at < end && *at == ',') at++;
    }
    return false;
}

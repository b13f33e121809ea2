#include "server/json_read.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

#define KEY "\xef\xb7\x90 number"

/* ---- numbers in a text ---------------------------------------------------------------------- */

static size_t skip_digits(const char *at, const char *end)
{
    const char *from = at;
    while (at < end && isdigit((unsigned char)*at)) at++;
    return (size_t)(at - from);
}

/* Bytes of the JSON number at `at`, 0 where there is none. */
static size_t number_bytes(const char *at, const char *end, bool *is_integer)
{
    const char *from = at;
    if (at < end && *at == '-') at++;
    const size_t n_whole = skip_digits(at, end);
    if (!n_whole || (n_whole > 1 && *at == '0')) return 0;
    at += n_whole;
    *is_integer = true;
    if (at < end && *at == '.') {
        const size_t n = skip_digits(at + 1, end);
        if (!n) return 0;
        at += 1 + n;
        *is_integer = false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        const char *sign = at + 1;
        if (sign < end && (*sign == '+' || *sign == '-')) sign++;
        const size_t n = skip_digits(sign, end);
        if (!n) return 0;
        at = sign + n;
        *is_integer = false;
    }
    return (size_t)(at - from);
}

/* What follows the number in a body is no digit, so that strtoll and strtod stop where it ends; a
 * body ends in a zero. */
static bool is_too_large(const char *number, bool is_integer)
{
    errno = 0;
    if (is_integer) {
        (void)strtoll(number, NULL, 10);
        return errno == ERANGE;
    }
    return isinf(strtod(number, NULL));
}

/* Bytes of the string that begins at `at`, with its quotes where it has both. */
static size_t string_bytes(const char *at, const char *end)
{
    const char *from = at++;
    while (at < end && *at != '"') at += *at == '\\' && at + 1 < end ? 2 : 1;
    return (size_t)((at < end ? at + 1 : end) - from);
}

/* The text with every number that is too large put into its object. */
static void wrap_large_numbers(struct strbuf *to, const char *bytes, size_t n)
{
    const char *end = bytes + n;
    for (const char *at = bytes; at < end;) {
        bool is_integer = false;
        const bool is_number = *at == '-' || isdigit((unsigned char)*at);
        const size_t n_number = is_number ? number_bytes(at, end, &is_integer) : 0;
        if (n_number && is_too_large(at, is_integer)) {
            strbuf_add_str(to, "{\"" KEY "\":\"");
            strbuf_add(to, at, n_number);
            strbuf_add_str(to, "\"}");
            at += n_number;
            continue;
        }
        const size_t n_same = *at == '"' ? string_bytes(at, end) : n_number ? n_number : 1;
        strbuf_add(to, at, n_same);
        at += n_same;
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

static json_t *read_large(const char *bytes, size_t n, json_error_t *why)
{
    struct strbuf copy = { 0 }, text = { 0 };
    json_t *v = NULL;
    strbuf_add(&copy, bytes, n);        /* ends in a zero */
    if (!copy.failed) wrap_large_numbers(&text, copy.bytes, n);
    if (!copy.failed && !text.failed) v = json_loadb(text.bytes, text.n, JSON_ALLOW_NUL, why);
    strbuf_free(&copy);
    strbuf_free(&text);
    return v;
}

json_t *json_read(const char *bytes, size_t n, json_error_t *why)
{
    json_error_t own;
    if (!why) why = &own;
    json_t *v = json_loadb(bytes, n, JSON_ALLOW_NUL, why);
    const bool is_large = !v && json_error_code(why) == json_error_numeric_overflow;
    return is_large ? read_large(bytes, n, why) : v;
}

const char *json_read_digits(const json_t *v)
{
    bool is_integer;
    const json_t *number = json_object_size(v) == 1 ? json_object_get(v, KEY) : NULL;
    const char *text = json_string_value(number);
    const size_t n = json_string_length(number);
    return text && n && number_bytes(text, text + n, &is_integer) == n ? text : NULL;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* An object as above never stands inside a string: its quotes would be escaped there. */
char *json_read_write(const json_t *v)
{
    static const char opens[] = "{\"" KEY "\":\"";
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text || !strstr(text, opens)) return text;
    const char *end = text + strlen(text);
    char *to = text;
    for (const char *at = text; at < end;) {
        const bool is_opening = !strncmp(at, opens, sizeof opens - 1);
        const char *digits = at + sizeof opens - 1;
        bool is_integer;
        const size_t n = is_opening ? number_bytes(digits, end, &is_integer) : 0;
        if (n && !strncmp(digits + n, "\"}", 2)) {
            memmove(to, digits, n);
            to += n;
            at = digits + n + 2;
        } else {
            *to++ = *at++;
        }
    }
    *to = 0;
    return text;
}

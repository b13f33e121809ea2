/* Reading a body. jansson holds integers of 64 bits and doubles; a number beyond both is kept as
 * its digits, in an object that no client sends: {"U+FDD0 number": "18446744073709551615"}. It is
 * no number to those who look at its type; json_read_digits tells, and json_read_write gives it
 * back. */
#ifndef SERVER_JSON_READ_H
#define SERVER_JSON_READ_H

#include <stddef.h>

#include <jansson.h>

/* As json_loadb with JSON_ALLOW_NUL, for numbers of any size. */
json_t *json_read(const char *bytes, size_t n, json_error_t *why);

/* The digits of such a number, valid as long as v, or NULL. */
const char *json_read_digits(const json_t *v);

/* v as compact JSON with all its numbers; NULL: out of memory. Release with free. */
char *json_read_write(const json_t *v);

#endif

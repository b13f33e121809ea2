/* Writing JSON text by hand, where a token's time counts. */
#ifndef SERVER_JSON_TEXT_H
#define SERVER_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/strbuf.h"

/* Appends a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void json_text_add(struct strbuf *b, const char *bytes, size_t n);

/* A copy of a text in which bytes that are not UTF-8 became U+FFFD; NULL: no memory. */
char *json_text_clean(const char *text);

/* The same as a JSON string, or JSON's null where there is no text. */
json_t *json_text_string(const char *text);

bool json_text_is_utf8(const char *bytes, size_t n);

/* Characters that begin in these bytes, which may be a piece of a text. */
size_t json_text_characters(const char *bytes, size_t n);

/* Appends "[72,101,...]". */
void json_text_add_bytes(struct strbuf *b, const char *bytes, size_t n);

#endif

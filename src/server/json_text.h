/* Writing JSON text by hand, where a token's time counts. */
#ifndef SERVER_JSON_TEXT_H
#define SERVER_JSON_TEXT_H

#include <stddef.h>

#include "base/strbuf.h"

/* Appends a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. */
void json_text_add(struct strbuf *b, const char *bytes, size_t n);

/* Appends "[72,101,...]". */
void json_text_add_bytes(struct strbuf *b, const char *bytes, size_t n);

#endif

/* Answers: JSON documents and errors in OpenAI's shape. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <jansson.h>

#include "server/exchange.h"

/* Sends `bytes` as the whole answer; takes a copy. */
enum MHD_Result http_send(struct exchange *x, unsigned status, const char *type, const char *bytes,
                          size_t n);

/* Sends a document and releases it. NULL: out of memory, answered as 500. */
enum MHD_Result http_send_json(struct exchange *x, unsigned status, json_t *document);

/* An error in OpenAI's shape; param and code may be NULL. */
enum MHD_Result http_fail(struct exchange *x, unsigned status, const char *param, const char *code,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The answer to a failed call of the engine. */
enum MHD_Result http_fail_engine(struct exchange *x, const pl_err *err, const char *param);

/* {"error": {...}} as text, for a stream that has begun. */
void http_error_text(struct strbuf *to, unsigned status, const char *code, const char *message);

/* Headers that every answer carries. */
void http_common_headers(const struct exchange *x, struct MHD_Response *response);

/* The body as a JSON object; NULL: it is none and the error was sent (*result). */
json_t *http_body(struct exchange *x, enum MHD_Result *result);

/* Frees a connection suspended for good: closes it without an answer. */
#define HTTP_CLOSE MHD_NO

#endif

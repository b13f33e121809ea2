/* Answers: JSON documents and errors in OpenAI's shape. They are made on any thread and handed to
 * libmicrohttpd by exchange.c. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <jansson.h>

#include "server/exchange.h"

/* Makes `response` the answer, with the headers that every answer has. NULL: MHD_NO. */
enum MHD_Result http_answer(struct exchange *x, unsigned status, struct MHD_Response *response,
                            const char *type);

/* `bytes` are the whole answer; takes a copy. */
enum MHD_Result http_send(struct exchange *x, unsigned status, const char *type, const char *bytes,
                          size_t n);

/* Answers with a document and releases it. NULL: out of memory, answered as 500. */
enum MHD_Result http_send_json(struct exchange *x, unsigned status, json_t *document);

/* An error in OpenAI's shape; param and code may be NULL. */
enum MHD_Result http_fail(struct exchange *x, unsigned status, const char *param, const char *code,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The answer to a failed call of the engine. */
enum MHD_Result http_fail_engine(struct exchange *x, const pl_err *err, const char *param);

/* {"error": {...}} as text, for a stream that has begun. */
void http_error_text(struct strbuf *to, unsigned status, const char *code, const char *message);

/* Answers a browser's question whether it may call (OPTIONS). libmicrohttpd's thread. */
enum MHD_Result http_send_preflight(struct exchange *x);

/* The body as a JSON object; NULL: it is none and the answer says so (*result). */
json_t *http_body(struct exchange *x, enum MHD_Result *result);

/* Text that was written, released; failed: out of memory, answered as 500. */
enum MHD_Result http_send_text(struct exchange *x, struct strbuf *json);

#endif

/* Answers: JSON documents, and errors in the route's shape. They are made on any thread and handed
 * to libmicrohttpd by exchange.c. */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include <jansson.h>

#include "server/state.h"

/* Makes `response` the answer, with the headers that every answer has. NULL: MHD_NO. */
enum MHD_Result answer_set(struct exchange *x, unsigned status, struct MHD_Response *response,
                           const char *type);

/* `bytes` are the whole answer; takes a copy. */
enum MHD_Result answer_bytes(struct exchange *x, unsigned status, const char *type,
                             const char *bytes, size_t n);

/* Answers with a document and releases it. NULL: out of memory, answered as 500. */
enum MHD_Result answer_json(struct exchange *x, unsigned status, json_t *document);

/* An error in the route's shape; param and code may be NULL. */
enum MHD_Result answer_fail(struct exchange *x, unsigned status, const char *param,
                            const char *code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The answer to a failed call of the engine. */
enum MHD_Result answer_fail_engine(struct exchange *x, const pl_err *err, const char *param);

/* 503 while the model loads, with how far that is. */
enum MHD_Result answer_fail_loading(struct exchange *x);

/* The same where prompt and reply do not fit a stream's context: with both numbers. */
enum MHD_Result answer_fail_context(struct exchange *x, const pl_err *err, const char *param,
                                    uint64_t n_prompt_tokens, uint64_t n_ctx);

/* Answers a browser's question whether it may call (OPTIONS). libmicrohttpd's thread. */
enum MHD_Result answer_preflight(struct exchange *x);

/* Text that was written, released; failed: out of memory, answered as 500. */
enum MHD_Result answer_text(struct exchange *x, struct strbuf *json);

#endif

/* What a body of /v1/embeddings or /embedding asks for, checked and tokenized. Any thread. */
#ifndef SERVER_EMBED_REQUEST_H
#define SERVER_EMBED_REQUEST_H

#include "server/request.h"

enum { EMBED_MAX_TEXTS = 2048, EMBED_MAX_NORM = 1024 };

/* How vectors are told. */
struct embed_form {
    uint32_t n_dims;                /* the first so many of each */
    int norm;                       /* -1: as they are; 0: the largest becomes 32760; p: the sum of
                                     * p-th powers becomes 1 */
    bool is_base64;
};

struct embed_request {
    const char *model;              /* as named, in the body; NULL: not named */
    struct embed_form form;
    pl_tokens *tokens;              /* (n_texts) owned */
    size_t n_texts;
    uint64_t n_tokens;              /* of all of them */
};

/* False: *error says why. Release with embed_request_free in either case. */
bool embed_request_read(struct embed_request *out, const json_t *body, const pl_engine *engine,
                        struct request_error *error);
void embed_request_free(struct embed_request *r);

#endif

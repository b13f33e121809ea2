/* SHA-256, by the library that TLS already brings in. One thread. */
#ifndef CLI_PULL_SHA256_H
#define CLI_PULL_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct sha256 {                     /* zeroed is closed */
    void *handle;
};

/* Starts anew. Release with sha256_close. */
pl_status sha256_open(struct sha256 *s, pl_err *err);
void sha256_add(struct sha256 *s, const void *bytes, size_t n);

/* The first n_bytes of a file; `name` for messages. */
pl_status sha256_add_file(struct sha256 *s, int fd, uint64_t n_bytes, const char *name,
                          pl_err *err);

/* Of all bytes added so far, in lower-case hex; begins anew. */
void sha256_take(struct sha256 *s, char hex[65]);
void sha256_close(struct sha256 *s);

#endif

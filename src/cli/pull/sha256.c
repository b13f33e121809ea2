#include "cli/pull/sha256.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20 };

pl_status sha256_open(struct sha256 *s, pl_err *err)
{
    gnutls_hash_hd_t handle;
    sha256_close(s);
    const int code = gnutls_hash_init(&handle, GNUTLS_DIG_SHA256);
    if (code) return pl_fail(err, PL_E_INTERNAL, "SHA-256: %s", gnutls_strerror(code));
    s->handle = handle;
    return PL_OK;
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
    gnutls_hash(s->handle, bytes, n);
}

pl_status sha256_add_file(struct sha256 *s, int fd, uint64_t n_bytes, const char *name,
                          pl_err *err)
{
    char *bytes = malloc(READ_BYTES);
    if (!bytes) return pl_fail(err, PL_E_MEMORY, "no memory to read %s", name);
    pl_status st = PL_OK;
    for (uint64_t at = 0; !st && at < n_bytes;) {
        const uint64_t left = n_bytes - at;
        const ssize_t n = pread(fd, bytes, left < READ_BYTES ? (size_t)left : READ_BYTES,
                                (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            st = pl_fail(err, PL_E_IO, "%s: %s", name, n ? strerror(errno) : "got shorter");
        } else {
            sha256_add(s, bytes, (size_t)n);
            at += (uint64_t)n;
        }
    }
    free(bytes);
    return st;
}

void sha256_take(struct sha256 *s, char hex[65])
{
    unsigned char digest[32];
    gnutls_hash_output(s->handle, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

void sha256_close(struct sha256 *s)
{
    if (s->handle) gnutls_hash_deinit(s->handle, NULL);
    s->handle = NULL;
}

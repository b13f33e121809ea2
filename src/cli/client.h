/* What a command that asks servers needs to be let in: a key, and whose certificates it
 * believes. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/status.h"
#include "cli/args.h"

struct client {
    const char *api_key, *api_key_file, *ca_file;       /* as given; NULL: not */
    bool is_insecure;
    char key[4096];                 /* empty: none. Never shown */
};

#define CLIENT_ARGS(c)                                                                             \
    { "--api-key", NULL, ARG_STRING, &(c)->api_key, 0, 0, "KEY",                                   \
      "sent as a bearer token; other users may see it in the process list" },                      \
    { "--api-key-file", NULL, ARG_STRING, &(c)->api_key_file, 0, 0, "FILE",                        \
      "file whose first line is the key" },                                                        \
    { "--cacert", NULL, ARG_STRING, &(c)->ca_file, 0, 0, "FILE",                                   \
      "certificates, PEM, that a server's is checked against in place of the system's" },          \
    { "--insecure", "-k", ARG_FLAG, &(c)->is_insecure, 0, 0, NULL,                                 \
      "take any certificate: whoever stands between may read and answer" }

/* Reads and checks the key, and that the certificates are there. */
pl_status client_open(struct client *c, pl_err *err);

/* For every handle that asks. */
void client_apply(const struct client *c, CURL *easy);

#endif

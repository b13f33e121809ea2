#include "cli/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static pl_status read_key(struct client *c, pl_err *err)
{
    if (!c->api_key_file) {
        if (strlen(c->api_key) >= sizeof c->key)
            return pl_fail(err, PL_E_PARAM, "the API key is longer than %zu bytes",
                           sizeof c->key - 1);
        snprintf(c->key, sizeof c->key, "%s", c->api_key);
        return PL_OK;
    }
    FILE *from = fopen(c->api_key_file, "r");
    if (!from) return pl_fail(err, PL_E_IO, "%s: %s", c->api_key_file, strerror(errno));
    if (!fgets(c->key, sizeof c->key, from)) *c->key = 0;
    fclose(from);
    c->key[strcspn(c->key, "\r\n")] = 0;
    return PL_OK;
}

pl_status client_open(struct client *c, pl_err *err)
{
    if (c->ca_file && access(c->ca_file, R_OK))
        return pl_fail(err, PL_E_PARAM, "--cacert %s: %s", c->ca_file, strerror(errno));
    if (!c->api_key && !c->api_key_file) return PL_OK;
    if (c->api_key && c->api_key_file)
        return pl_fail(err, PL_E_PARAM, "--api-key and --api-key-file: one of them is wanted");
    const pl_status st = read_key(c, err);
    if (st) return st;
    for (const char *at = c->key; *at; at++)
        if ((unsigned char)*at <= 32 || *at == 127)
            return pl_fail(err, PL_E_PARAM, "the API key has a space or control character in it");
    return *c->key ? PL_OK : pl_fail(err, PL_E_PARAM, "the API key is empty");
}

void client_apply(const struct client *c, CURL *easy)
{
    if (c->ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_file);
    if (!c->is_insecure) return;
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
}

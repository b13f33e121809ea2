/* Brings a model into the folder of models: what a name means, all its parts, each whole and
 * verified. */
#ifndef CLI_PULL_PULL_H
#define CLI_PULL_PULL_H

#include <stdint.h>
#include <stdio.h>

#include "cli/models/dir.h"

enum { PULL_TOKEN_MAX = 512 };

struct pull_options {               /* made by pull_options_default */
    const char *endpoint;           /* of the hub; https://huggingface.co */
    const char *revision;           /* NULL: the one the name says, else main */
    const char *dir;                /* NULL: the user's folder of models */
    const char *sha256;             /* of a single file, where the person knows it; NULL */
    char token[PULL_TOKEN_MAX];     /* for the hub; empty: none */
    bool is_token_given;            /* by --token-file: it is for a plain URL's server too */
    uint32_t max_retries, stall_s;
    float retry_delay_s;
    FILE *to;                       /* what people see of it; NULL: nothing */
};

/* Defaults, and what HF_ENDPOINT, HF_TOKEN and the hub's own token file say. */
void pull_options_default(struct pull_options *o);

/* This token in place of any other, without white space around it. False: it could be no part of a
 * header. */
bool pull_take_token(struct pull_options *o, const char *text);

/* The token of a file, in place of any other. */
pl_status pull_read_token(struct pull_options *o, const char *path, pl_err *err);

/* path: of the model's only file or first part. PL_E_PARAM for a name that means nothing, PL_E_BUSY
 * while another process pulls it. */
pl_status pull_model(const char *name, const struct pull_options *o, char path[MODELS_PATH_MAX],
                     pl_err *err);

#endif

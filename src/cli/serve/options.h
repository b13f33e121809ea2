/* What paceline serve is asked to do. Whoever starts a server by another way (service) reads its
 * command line with the same table. */
#ifndef CLI_SERVE_OPTIONS_H
#define CLI_SERVE_OPTIONS_H

#include "cli/args.h"
#include "paceline.h"
#include "server/server.h"

struct serve_options {
    pl_params params;               /* model_path as it was given: models_resolve it */
    struct server_params server;    /* but for keys and the model's path */
    uint32_t port, grace_s;
    int32_t n_predict;
    struct arg_strings api_keys, always;
    const char *dir, *api_key_file, *template_file, *metrics_compat;    /* into argv; may be NULL */
    bool is_quiet, is_verbose;
};

/* From argv[1..], with defaults for what is not there. As args_parse: -1, go on; else the exit code
 * after a message or the help. */
int serve_options_parse(struct serve_options *o, int argc, char **argv);

#endif

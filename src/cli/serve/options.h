/* What paceline serve is asked to do. Whoever starts a server by another way (service) reads its
 * command line with the same table. */
#ifndef CLI_SERVE_OPTIONS_H
#define CLI_SERVE_OPTIONS_H

#include "cli/args.h"
#include "paceline.h"
#include "server/server.h"

enum { PULL_NAME_MAX = 1024 };

struct serve_options {
    pl_params params;               /* model_path as it was given: serve_find_model turns it into a
                                     * path */
    struct server_params server;    /* but for keys and the model's path */
    uint32_t port, grace_s;
    int32_t n_predict;
    struct arg_strings api_keys;
    struct foreign_taken taken;     /* llama-server's options that change nothing */
    const char *dir, *api_key_file, *template_file, *metrics_compat;    /* into argv; may be NULL */
    const char *log_file;
    const char *pull;               /* a name or URL to be pulled where it is missing; NULL: none */
    const char *hub_token;
    char pull_name[PULL_NAME_MAX];  /* of --hf-repo with --hf-file */
    bool is_quiet, is_verbose, is_offline;
    bool is_context_chosen;         /* by this program: none was given */
    bool divides_context;           /* as llama-server would: --ctx-size and --parallel are both
                                     * given */
};

/* From argv[1..], with defaults for what is not there. As args_parse: -1, go on; else the exit code
 * after a message or the help. */
int serve_options_parse(struct serve_options *o, int argc, char **argv);

#endif

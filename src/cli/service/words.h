/* What a service runs: the command line of serve, made to mean the same from any folder, and what
 * follows from it for the service's file. */
#ifndef CLI_SERVICE_WORDS_H
#define CLI_SERVICE_WORDS_H

#include "cli/models/dir.h"
#include "cli/serve/options.h"

enum { SERVICE_MAX_WORDS = ARG_MAX_STRINGS + 8 };

#define SERVICE_AS_SERVE UINT32_MAX

struct service_words {              /* does not move: it points into itself */
    struct serve_options o;         /* model_path is a whole path */
    const char *word[SERVICE_MAX_WORDS];
    size_t n;
    char model[MODELS_PATH_MAX], model_word[MODELS_PATH_MAX + 16], grace[16];
};

/* From "[MODEL] [SERVE OPTIONS]", checked by serve's own table. MODEL and --model may be names of
 * pulled models. grace_s: what running requests get, or SERVICE_AS_SERVE. -1: go on; else the exit
 * code after a message. */
int service_words_read(struct service_words *w, const char *const *given, size_t n_given,
                       uint32_t grace_s);

/* Warns on standard error of keys that anybody could read, and of files that a user without rights
 * of its own, who runs `program`, could not; NULL: it has the rights of who installs it. */
void service_words_warn(const struct service_words *w, const char *program);

/* What the model that is served takes; 0: unknown. */
uint64_t service_words_bytes(const struct service_words *w);

#endif

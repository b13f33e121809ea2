/* What systemd and launchd read to run a server: their files as text. */
#ifndef CLI_SERVICE_SERVICE_FILE_H
#define CLI_SERVICE_SERVICE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct service {
    const char *name;           /* "paceline": of the unit, the label's last part, the log */
    const char *program;        /* absolute path of the executable */
    const char *const *args;    /* of the program: "serve", "--model", ... */
    size_t n_args;
    const char *key_file;       /* where one of args ends in it: secret; NULL: none */
    const char *write_dir;      /* that the program writes to; NULL: none */
    const char *log_dir;        /* launchd: where output goes; systemd has its journal */
    uint32_t grace_s;           /* what running requests get after SIGTERM */
    bool is_user;               /* for one user's session, not for the machine */
};

/* A hardened unit: read-only system, no new privileges, no home but to read. systemd counts it as
 * started when the model is loaded, and kills and restarts a server whose engine makes no progress.
 * The machine's (not a user's) gets the key file from systemd, which reads it as root. */
void service_print_unit(FILE *to, const struct service *s);

/* A property list: ProcessType Interactive, because Background slows a server to a tenth. */
void service_print_plist(FILE *to, const struct service *s);

/* Name characters: letters, digits, "-", "_", "."; no path can be made of such a name. */
bool service_name_is_valid(const char *name);

#endif

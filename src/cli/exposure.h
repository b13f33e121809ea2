/* Servers that others can reach and nobody guards. */
#ifndef CLI_EXPOSURE_H
#define CLI_EXPOSURE_H

#include <stdbool.h>
#include <stdio.h>

/* Whether a server on this address or name is heard by this machine alone. */
bool exposure_is_local(const char *host);

/* One line where a server on `host` answers other machines without asking for a key. */
void exposure_warn(FILE *to, const char *host, bool has_key);

#endif

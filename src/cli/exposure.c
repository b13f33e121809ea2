#include "cli/exposure.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

bool exposure_is_local(const char *host)
{
    char bare[64];
    struct in_addr v4;
    struct in6_addr v6;
    const size_t n = strlen(host);
    const bool has_brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
    snprintf(bare, sizeof bare, "%.*s", (int)(has_brackets ? n - 2 : n), host + has_brackets);
    if (inet_pton(AF_INET, bare, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, bare, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    return !strcasecmp(bare, "localhost");
}

void exposure_warn(FILE *to, const char *host, bool has_key)
{
    if (has_key || exposure_is_local(host)) return;
    fprintf(to, "warning    %s: other machines reach this server, and no key is asked for: "
            "--api-key-file FILE\n", host);
}

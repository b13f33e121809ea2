/* API keys. */
#include <string.h>
#include <strings.h>

#include "server/exchange.h"

/* Takes the same time wherever the keys differ; only the length of the known key shows. */
static bool equals(const char *known, const char *offered)
{
    const size_t n = strlen(known), n_offered = strlen(offered);
    unsigned char differs = n != n_offered;
    for (size_t i = 0; i < n; i++)
        differs |= (unsigned char)(known[i] ^ offered[n_offered ? i % n_offered : 0]);
    return !differs;
}

static const char *offered_key(const struct exchange *x)
{
    const char *value =
        MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Authorization");
    if (value && !strncasecmp(value, "Bearer ", 7)) return value + 7;
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "x-api-key");
}

bool auth_is_allowed(const struct exchange *x)
{
    const struct server *s = x->server;
    if (!s->n_api_keys || x->route->is_open) return true;
    const char *offered = offered_key(x);
    bool is_known = false;
    for (size_t i = 0; offered && i < s->n_api_keys; i++)
        is_known |= equals(s->api_keys[i], offered);
    return is_known;
}

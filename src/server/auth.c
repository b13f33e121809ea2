#include "server/auth.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_KEY_BYTES = 4096 };

/* Takes the same time wherever the keys differ; only the length of the known key shows. */
static bool equals(const char *known, const char *offered)
{
    const size_t n = strlen(known), n_offered = strlen(offered);
    unsigned char differs = n != n_offered;
    for (size_t i = 0; i < n; i++)
        differs |= (unsigned char)(known[i] ^ offered[n_offered ? i % n_offered : 0]);
    return !differs;
}

static const char *header(struct MHD_Connection *c, const char *name)
{
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* OpenAI's way, and those of Anthropic's and of Azure's clients. */
static const char *offered_key(struct MHD_Connection *c)
{
    const char *value = header(c, "Authorization");
    if (value && !strncasecmp(value, "Bearer ", 7)) return value + 7;
    if ((value = header(c, "x-api-key"))) return value;
    return header(c, "api-key");
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Space around a header's value is not part of it. False: it is longer than any key. */
static bool copy_trimmed(char *to, size_t capacity, const char *from)
{
    size_t n = strlen(from);
    while (n && is_space(*from)) from++, n--;
    while (n && is_space(from[n - 1])) n--;
    if (n >= capacity) return false;
    memcpy(to, from, n);
    to[n] = 0;
    return true;
}

bool keys_allow(struct keys *k, struct MHD_Connection *connection, uint32_t *number)
{
    char key[MAX_KEY_BYTES];
    const char *offered = offered_key(connection);
    const bool has_any = offered && copy_trimmed(key, sizeof key, offered);
    *number = 0;
    pthread_mutex_lock(&k->lock);
    const bool needs_one = k->n > 0;
    for (size_t i = 0; has_any && i < k->n; i++)
        if (equals(k->key[i], key)) *number = (uint32_t)i + 1;
    pthread_mutex_unlock(&k->lock);
    return !needs_one || *number;
}

static void free_keys(char **key, size_t n)
{
    for (size_t i = 0; i < n; i++) free(key[i]);
    free(key);
}

bool keys_set(struct keys *k, const char *const *keys, size_t n)
{
    char **copy = calloc(n + 1, sizeof *copy);
    size_t n_copied = 0;
    while (copy && n_copied < n && (copy[n_copied] = strdup(keys[n_copied]))) n_copied++;
    if (!copy || n_copied < n) {
        free_keys(copy, n_copied);
        return false;
    }
    pthread_mutex_lock(&k->lock);
    char **old = k->key;
    const size_t n_old = k->n;
    k->key = copy;
    k->n = n;
    pthread_mutex_unlock(&k->lock);
    free_keys(old, n_old);
    return true;
}

bool keys_open(struct keys *k)
{
    k->is_open = !pthread_mutex_init(&k->lock, NULL);
    return k->is_open;
}

void keys_close(struct keys *k)
{
    if (!k->is_open) return;
    free_keys(k->key, k->n);
    pthread_mutex_destroy(&k->lock);
    *k = (struct keys){ .n = 0 };
}

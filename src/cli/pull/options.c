/* What the environment says to pull. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/pull/pull.h"

bool pull_take_token(struct pull_options *o, const char *text)
{
    const char *begin = text + strspn(text, " \t\r\n");
    size_t n = strlen(begin);
    while (n && strchr(" \t\r\n", begin[n - 1])) n--;
    if (!n || n >= sizeof o->token) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)begin[i] <= 32 || (unsigned char)begin[i] >= 127) return false;
    memcpy(o->token, begin, n);
    o->token[n] = 0;
    return true;
}

static bool read_token(struct pull_options *o, const char *path, int *why)
{
    char text[4 * PULL_TOKEN_MAX];
    FILE *from = fopen(path, "rb");
    *why = from ? 0 : errno;
    if (!from) return false;
    const size_t n = fread(text, 1, sizeof text - 1, from);
    fclose(from);
    text[n] = 0;
    return pull_take_token(o, text);
}

pl_status pull_read_token(struct pull_options *o, const char *path, pl_err *err)
{
    int why;
    o->token[0] = 0;
    o->is_token_given = read_token(o, path, &why);
    if (o->is_token_given) return PL_OK;
    return pl_fail(err, PL_E_PARAM, "%s: %s", path,
                   why ? strerror(why) : "wanted is a token alone, of up to 511 characters");
}

static void read_hub_token(struct pull_options *o)
{
    char path[MODELS_PATH_MAX];
    int why;
    const char *hf = getenv("HF_HOME"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (hf && *hf) snprintf(path, sizeof path, "%s/token", hf);
    else if (cache && *cache) snprintf(path, sizeof path, "%s/huggingface/token", cache);
    else if (home && *home) snprintf(path, sizeof path, "%s/.cache/huggingface/token", home);
    else return;
    read_token(o, path, &why);      /* nobody asked for it: without it as well */
}

void pull_options_default(struct pull_options *o)
{
    const char *endpoint = getenv("HF_ENDPOINT"), *token = getenv("HF_TOKEN");
    *o = (struct pull_options){ .endpoint = PULL_DEFAULT_ENDPOINT, .max_retries = 5, .stall_s = 30,
                                .retry_delay_s = 1 };
    if (endpoint && *endpoint) o->endpoint = endpoint;
    if (!token || !pull_take_token(o, token)) read_hub_token(o);
}

#include "server/dialects/ollama_names.h"

#include <string.h>
#include <time.h>

#include "server/model_names.h"

void ollama_name_add(struct strbuf *to, const struct server *s)
{
    const char *name = model_names_first(s);
    strbuf_add_str(to, name);
    if (!strchr(name, ':')) strbuf_add_str(to, ":latest");
}

void ollama_time_add(struct strbuf *to, uint64_t time_s)
{
    const time_t t = (time_t)time_s;
    char text[32];
    struct tm utc;
    if (!gmtime_r(&t, &utc) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc)) *text = 0;
    strbuf_add_str(to, text);
}

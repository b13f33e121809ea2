#include "server/model_names.h"

#include <string.h>

#include "server/state.h"

const char *model_names_first(const struct server *s)
{
    return s->alias ? s->alias : s->file_name;
}

static bool equals_n(const char *name, size_t n_name, const char *known, size_t n_known)
{
    return known && n_name == n_known && !memcmp(name, known, n_known);
}

static bool equals(const char *name, size_t n_name, const char *known)
{
    return equals_n(name, n_name, known, known ? strlen(known) : 0);
}

/* Names parted by commas, with white space around them. */
static bool is_listed(const char *names, const char *name, size_t n_name)
{
    while (names && *names) {
        names += strspn(names, " ,");
        const size_t n_whole = strcspn(names, ",");
        size_t n = n_whole;
        while (n && names[n - 1] == ' ') n--;
        if (n && equals_n(name, n_name, names, n)) return true;
        names += n_whole;
    }
    return false;
}

static bool has(const struct server *s, const char *name, size_t n_name)
{
    if (!n_name || equals(name, n_name, s->alias)) return true;
    if (is_listed(s->more_aliases, name, n_name)) return true;
    const size_t n = s->file_name ? strlen(s->file_name) : 0;
    const size_t n_stem = n > 5 && !strcmp(s->file_name + n - 5, ".gguf") ? n - 5 : n;
    return equals_n(name, n_name, s->file_name, n) ||
           equals_n(name, n_name, s->file_name, n_stem) || equals(name, n_name, s->model_path);
}

bool model_names_have(const struct server *s, const char *name)
{
    static const char tag[] = ":latest";
    const size_t n = name ? strlen(name) : 0, n_tag = sizeof tag - 1;
    const bool is_tagged = n > n_tag && !strcmp(name + n - n_tag, tag);
    return has(s, name, n) || (is_tagged && has(s, name, n - n_tag));
}

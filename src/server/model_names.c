#include "server/model_names.h"

#include <string.h>

#include "server/state.h"

const char *model_names_first(const struct server *s)
{
    return s->alias ? s->alias : s->file_name;
}

static bool equals_n(const char *a, const char *b, size_t n)
{
    return b && strlen(b) >= n && strlen(a) == n && !memcmp(a, b, n);
}

/* Names parted by commas, with white space around them. */
static bool is_listed(const char *names, const char *name)
{
    while (names && *names) {
        names += strspn(names, " ,");
        const size_t n_whole = strcspn(names, ",");
        size_t n = n_whole;
        while (n && names[n - 1] == ' ') n--;
        if (n && equals_n(name, names, n)) return true;
        names += n_whole;
    }
    return false;
}

bool model_names_have(const struct server *s, const char *name)
{
    if (!name || !*name || (s->alias && !strcmp(s->alias, name))) return true;
    if (is_listed(s->more_aliases, name)) return true;
    const size_t n = s->file_name ? strlen(s->file_name) : 0;
    const size_t n_stem = n > 5 && !strcmp(s->file_name + n - 5, ".gguf") ? n - 5 : n;
    return equals_n(name, s->file_name, n) || equals_n(name, s->file_name, n_stem) ||
           (s->model_path && !strcmp(s->model_path, name));
}

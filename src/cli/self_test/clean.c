#include "cli/self_test/clean.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEAST_NAME = 3, LEAST_KEY = 8, LONG_KEY = 32 };

void owner_read(struct owner *o)
{
    const struct passwd *p = getpwuid(geteuid());
    const char *home = getenv("HOME");
    *o = (struct owner){ 0 };
    if (!home || !*home) home = p ? p->pw_dir : "";
    snprintf(o->home, sizeof o->home, "%s", home);
    snprintf(o->user, sizeof o->user, "%s", p ? p->pw_name : "");
    if (gethostname(o->host, sizeof o->host - 1)) *o->host = 0;
    o->host[strcspn(o->host, ".")] = 0;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* What a path does not go on behind. */
static bool ends_path(char c)
{
    return !c || isspace((unsigned char)c) || strchr("\"':,;()<>|", c);
}

/* Letters of `name` that the text begins with as a word of its own; 0: it does not. */
static size_t name_at(const char *at, const char *name)
{
    const size_t n = strlen(name);
    return n >= LEAST_NAME && !strncasecmp(at, name, n) && !is_word(at[n]) ? n : 0;
}

/* Of the home, where the text begins with it; a home that is "/" is none. */
static size_t home_at(const char *at, const struct owner *o)
{
    const size_t n = strlen(o->home);
    return n >= LEAST_NAME && !strncmp(at, o->home, n) && (ends_path(at[n]) || at[n] == '/') ? n
                                                                                             : 0;
}

/* Of a path of two parts or more, the bytes before its last "/"; 0: there is none here. */
static size_t folders_at(const char *at)
{
    size_t last = 0;
    if (*at != '/') return 0;
    for (size_t n = 0; !ends_path(at[n]); n++)
        if (at[n] == '/' && !ends_path(at[n + 1])) last = n;
    return last;
}

/* Of an address: "//", and who is named before the host, "//jane:pw@". 0: there is none here. */
static size_t who_at(const char *at)
{
    size_t n = 2;
    if (strncmp(at, "//", 2)) return 0;
    while (!isspace((unsigned char)at[n]) && at[n] && !strchr("/@\"'", at[n])) n++;
    return at[n] == '@' ? n + 1 : 2;
}

/* A key from here on: what one begins with, or many letters and digits that spell nothing. */
static size_t key_at(const char *at)
{
    static const char *const begins[] = { "hf_", "sk-", "pk-", "ghp_", "github_pat_" };
    size_t n = 0, n_digits = 0, n_letters = 0;
    for (; is_word(at[n]); n++) {
        n_digits += isdigit((unsigned char)at[n]) != 0;
        n_letters += isalpha((unsigned char)at[n]) != 0;
    }
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        const size_t head = strlen(begins[i]);
        if (!strncmp(at, begins[i], head) && n >= head + LEAST_KEY) return n;
    }
    return n >= LONG_KEY && n_digits >= LEAST_KEY && n_letters >= LEAST_KEY ? n : 0;
}

/* Where a word begins: what stands for the next *n bytes, or NULL. */
static const char *instead_of(const char *at, const struct owner *o, size_t *n)
{
    static const char bearer[] = "Bearer ";
    if ((*n = who_at(at))) return *n > 2 ? "//WHO@" : "//";
    if ((*n = folders_at(at))) return "...";
    if ((*n = name_at(at, o->user))) return "USER";
    if ((*n = name_at(at, o->host))) return "HOST";
    if ((*n = key_at(at))) return "KEY";
    if (strncasecmp(at, bearer, sizeof bearer - 1)) return NULL;
    *n = sizeof bearer - 1;
    while (!ends_path(at[*n])) ++*n;
    return "Bearer KEY";
}

void clean_add(struct strbuf *to, const struct owner *o, const char *text)
{
    for (char before = 0; *text;) {
        size_t n = home_at(text, o);
        const char *instead = n ? "~" : is_word(before) ? NULL : instead_of(text, o, &n);
        if (instead) strbuf_add_str(to, instead);
        else strbuf_add(to, text, n = 1);
        before = instead ? 0 : *text;
        text += n;
    }
}

#include "cli/models/name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#ifdef PACELINE_HAS_SERVER
#include <curl/curl.h>
#endif

enum { MAX_COMPONENT = 200, MAX_OWNER = 96 };

bool pull_ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && !strcasecmp(text + n - n_end, end);
}

bool pull_url_is_plain(const char *url)
{
    for (; *url; url++)
        if ((unsigned char)*url <= 32 || (unsigned char)*url >= 127) return false;
    return true;
}

static bool is_safe_component(const char *text, size_t n)
{
    if (n == 0 || n > MAX_COMPONENT || text[0] == '.') return false;    /* ".", "..", hidden */
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 32 || text[i] == 127 || text[i] == '\\') return false;
    return true;
}

bool pull_path_is_safe(const char *path)
{
    if (strlen(path) >= PULL_PATH_MAX) return false;
    for (;;) {
        const size_t n = strcspn(path, "/");
        if (!is_safe_component(path, n)) return false;
        if (!path[n]) return true;
        path += n + 1;
    }
}

static bool is_word(const char *text, size_t n, size_t max)
{
    if (n == 0 || n > max || text[0] == '.' || text[0] == '-') return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i])) return false;
    return true;
}

bool pull_revision_is_safe(const char *revision)
{
    if (strlen(revision) >= sizeof ((struct pull_name *)0)->revision) return false;
    for (;;) {
        const size_t n = strcspn(revision, "/");
        if (!is_word(revision, n, MAX_OWNER)) return false;
        if (!revision[n]) return true;
        revision += n + 1;
    }
}

static pl_status refuse(const char *text, const char *why, pl_err *err)
{
    return pl_fail(err, PL_E_PARAM, "\"%s\" is no name of a model: %s; wanted is OWNER/REPO, "
                   "OWNER/REPO:Q4_K_M, OWNER/REPO:FILE.gguf or the URL of a .gguf file", text, why);
}

/* ---- names of a hub ------------------------------------------------------------------------- */

/* "%20" to " ", until the end or a query. False: a zero byte, half an escape, or too long. */
static bool unescape(char *to, size_t capacity, const char *from, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        int byte = (unsigned char)from[i];
        if (byte == '%') {
            unsigned value;
            if (i + 2 >= n || !isxdigit((unsigned char)from[i + 1]) ||
                !isxdigit((unsigned char)from[i + 2]) || sscanf(from + i + 1, "%2x", &value) != 1)
                return false;
            byte = (int)value;
            i += 2;
        }
        if (!byte || at + 1 >= capacity) return false;
        to[at++] = (char)byte;
    }
    to[at] = 0;
    return true;
}

/* "resolve/REVISION/FILE.gguf" or "blob/..." of a hub's address. */
static pl_status parse_address(struct pull_name *name, const char *text, const char *rest,
                               pl_err *err)
{
    const size_t n_verb = strcspn(rest, "/");
    const bool is_known = (n_verb == 7 && !memcmp(rest, "resolve", 7)) ||
                          (n_verb == 4 && !memcmp(rest, "blob", 4));
    if (!is_known || !rest[n_verb])
        return refuse(text, "an address of a hub goes on with /resolve/REVISION/FILE.gguf", err);
    const char *revision = rest + n_verb + 1;
    const size_t n_revision = strcspn(revision, "/");
    const char *file = revision + n_revision + (revision[n_revision] == '/');
    if (!unescape(name->revision, sizeof name->revision, revision, n_revision) ||
        !pull_revision_is_safe(name->revision))
        return refuse(text, "its revision has letters that no revision has", err);
    if (!unescape(name->file, sizeof name->file, file, strcspn(file, "?#")) ||
        !pull_path_is_safe(name->file) || !pull_ends_with(name->file, ".gguf"))
        return refuse(text, "it does not end in the path of a .gguf file", err);
    return PL_OK;
}

static pl_status parse_hub_name(struct pull_name *name, const char *text, const char *rest,
                                pl_err *err)
{
    const size_t n_owner = strcspn(rest, "/");
    const char *repo = rest + n_owner + (rest[n_owner] == '/');
    const size_t n_repo = strcspn(repo, ":/?#");
    if (!is_word(rest, n_owner, MAX_OWNER) || !is_word(repo, n_repo, MAX_OWNER))
        return refuse(text, "it does not begin with OWNER/REPO of letters, digits, '.', '_', '-'",
                      err);
    snprintf(name->folder, sizeof name->folder, "%.*s/%.*s", (int)n_owner, rest, (int)n_repo, repo);
    const char *after = repo + n_repo;
    pl_status st = PL_OK;
    if (*after == '/' && after[1]) {
        st = parse_address(name, text, after + 1, err);
    } else if (*after == ':') {
        after++;
        if (pull_ends_with(after, ".gguf") && pull_path_is_safe(after))
            snprintf(name->file, sizeof name->file, "%s", after);
        else if (is_word(after, strlen(after), sizeof name->tag - 1))
            snprintf(name->tag, sizeof name->tag, "%s", after);
        else
            st = refuse(text, "after ':' comes neither a tag nor the path of a .gguf file", err);
    } else if (*after && strcmp(after, "/") != 0) {
        st = refuse(text, "it has a query", err);
    }
    snprintf(name->shown, sizeof name->shown, "%s%s%s%s", name->folder,
             *name->tag || *name->file ? ":" : "", name->tag, name->file);
    return st;
}

/* ---- files of any server -------------------------------------------------------------------- */

#ifdef PACELINE_HAS_SERVER
static void add_folder(struct pull_name *name, const char *host, const char *port)
{
    snprintf(name->folder, sizeof name->folder, "@%.100s%s%.8s", host, port ? "_" : "",
             port ? port : "");
    for (char *c = name->folder + 1; *c; c++)
        *c = isalnum((unsigned char)*c) || strchr(".-_", *c) ? (char)tolower((unsigned char)*c)
                                                             : '_';
}

/* Its parts from libcurl's parser, because that is who will ask for it. Escapes stay as they are:
 * two addresses that differ stay two paths. */
static const char *split_url(struct pull_name *name, CURLU *url)
{
    char *host = NULL, *port = NULL, *path = NULL, *user = NULL, *password = NULL;
    const char *why = NULL;
    curl_url_get(url, CURLUPART_USER, &user, 0);
    curl_url_get(url, CURLUPART_PASSWORD, &password, 0);
    curl_url_get(url, CURLUPART_PORT, &port, 0);
    if (user || password) {
        why = "it holds a user or password (a token goes into --token-file)";
    } else if (curl_url_get(url, CURLUPART_HOST, &host, 0) ||
               curl_url_get(url, CURLUPART_PATH, &path, 0) || path[0] != '/' ||
               !pull_path_is_safe(path + 1) || !pull_ends_with(path, ".gguf")) {
        why = "its path is not that of a .gguf file";
    } else {
        snprintf(name->file, sizeof name->file, "%s", path + 1);
        add_folder(name, host, port);
    }
    curl_free(user);
    curl_free(password);
    curl_free(port);
    curl_free(host);
    curl_free(path);
    return why;
}

static pl_status parse_url(struct pull_name *name, const char *text, pl_err *err)
{
    if (strlen(text) >= sizeof name->url) return refuse("URL", "it is too long", err);
    if (!pull_url_is_plain(text)) return refuse("URL", "it has letters that must be escaped", err);
    CURLU *url = curl_url();
    if (!url) return pl_fail(err, PL_E_MEMORY, "no memory for a URL");
    const char *why = "it is no URL";
    char *whole = NULL;
    if (curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK) {
        curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
        why = split_url(name, url);
    }
    if (!why && curl_url_get(url, CURLUPART_URL, &whole, 0) == CURLUE_OK &&
        strlen(whole) < sizeof name->url) {
        name->is_url = true;
        snprintf(name->url, sizeof name->url, "%s", whole);
        snprintf(name->shown, sizeof name->shown, "%.*s", (int)strcspn(whole, "?#"), whole);
    } else if (!why) {
        why = "it is too long";
    }
    curl_free(whole);
    curl_url_cleanup(url);
    if (!why) return PL_OK;
    char shown[PULL_URL_MAX];       /* a password is not repeated */
    const char *at = strrchr(text, '@'), *scheme_end = strstr(text, "//");
    snprintf(shown, sizeof shown, "%.*s", (int)strcspn(text, "?#"), text);
    if (at && scheme_end) snprintf(shown, sizeof shown, "%.*s", (int)(scheme_end + 2 - text), text);
    return refuse(shown, why, err);
}
#else
static pl_status parse_url(struct pull_name *name, const char *text, pl_err *err)
{
    (void)name;
    return refuse(text, "this build fetches nothing: give a file", err);
}
#endif

/* What follows the endpoint and a '/', or NULL. */
static const char *below(const char *text, const char *endpoint)
{
    size_t n = strlen(endpoint);
    while (n && endpoint[n - 1] == '/') n--;
    return n && !strncasecmp(text, endpoint, n) && text[n] == '/' ? text + n + 1 : NULL;
}

pl_status pull_name_parse(struct pull_name *name, const char *text, const char *endpoint,
                          pl_err *err)
{
    static const char *const hubs[] = { PULL_DEFAULT_ENDPOINT, "https://hf.co", "huggingface.co",
                                        "hf.co" };
    const char *rest = endpoint ? below(text, endpoint) : NULL;
    *name = (struct pull_name){ 0 };
    for (size_t i = 0; !rest && i < sizeof hubs / sizeof *hubs; i++) rest = below(text, hubs[i]);
    if (!rest && (!strncasecmp(text, "https://", 8) || !strncasecmp(text, "http://", 7)))
        return parse_url(name, text, err);
    return parse_hub_name(name, text, rest ? rest : text, err);
}

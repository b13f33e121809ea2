#include "cli/models/listing.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- files ---------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_of_a_model(const char *path)
{
    const char *name = base_name(path);
    return pull_ends_with(path, ".gguf") && !strcasestr(name, "mmproj") &&
           !strcasestr(name, "imatrix");
}

pl_status listing_add(struct listing *l, const struct listing_file *file, pl_err *err)
{
    if (!is_of_a_model(file->path)) return PL_OK;
    if (l->n_files == LISTING_MAX_FILES)
        return pl_fail(err, PL_E_FORMAT, "more than %d model files are listed", LISTING_MAX_FILES);
    if (l->n_files == l->files_capacity) {
        const size_t capacity = l->files_capacity ? 2 * l->files_capacity : 32;
        struct listing_file *more = realloc(l->files, capacity * sizeof *more);
        if (!more) return pl_fail(err, PL_E_MEMORY, "no memory for a list of files");
        l->files = more;
        l->files_capacity = capacity;
    }
    l->files[l->n_files] = *file;
    l->files[l->n_files].path = strdup(file->path);
    if (!l->files[l->n_files].path) return pl_fail(err, PL_E_MEMORY, "no memory for a path");
    l->n_files++;
    return PL_OK;
}

static bool is_sha256(const char *hex)
{
    return hex && strlen(hex) == 64 && strspn(hex, "0123456789abcdefABCDEF") == 64;
}

static pl_status add_entry(struct listing *l, const json_t *entry, pl_err *err)
{
    const char *type = json_string_value(json_object_get(entry, "type"));
    const char *path = json_string_value(json_object_get(entry, "path"));
    const json_t *lfs = json_object_get(entry, "lfs");
    const json_t *size = json_object_get(json_is_object(lfs) ? lfs : entry, "size");
    const char *oid = json_string_value(json_object_get(lfs, "oid"));
    if (type && strcmp(type, "file") != 0) return PL_OK;
    if (!path) return pl_fail(err, PL_E_FORMAT, "the hub's listing has an entry without a path");
    if (!is_of_a_model(path)) return PL_OK;
    if (!pull_path_is_safe(path))
        return pl_fail(err, PL_E_FORMAT, "the hub's listing names the file \"%s\", which would not "
                       "stay in its folder: refused", path);
    if (!json_is_integer(size) || json_integer_value(size) <= 0)
        return pl_fail(err, PL_E_FORMAT, "the hub's listing has no size for \"%s\"", path);
    if (oid && !strncmp(oid, "sha256:", 7)) oid += 7;
    struct listing_file file = { .path = (char *)(uintptr_t)path,
                                 .n_bytes = (uint64_t)json_integer_value(size) };
    if (is_sha256(oid))
        for (size_t i = 0; i < 64; i++) file.sha256[i] = (char)(oid[i] | 0x20);     /* to lower */
    return listing_add(l, &file, err);
}

pl_status listing_add_page(struct listing *l, const char *json, size_t n, pl_err *err)
{
    json_error_t why;
    json_t *page = json_loadb(json, n, 0, &why);
    if (!page)
        return pl_fail(err, PL_E_FORMAT, "the hub's listing is not JSON (%s): is the endpoint that "
                       "of a hub?", why.text);
    pl_status st = PL_OK;
    if (!json_is_array(page))
        st = pl_fail(err, PL_E_FORMAT, "the hub's listing is not a JSON array: is the endpoint "
                     "that of a hub?");
    for (size_t i = 0; !st && i < json_array_size(page); i++)
        st = add_entry(l, json_array_get(page, i), err);
    json_decref(page);
    return st;
}

static int by_path(const void *a, const void *b)
{
    const struct listing_file *x = a, *y = b;
    const int order = strcmp(x->path, y->path);
    return order ? order : (int)x->is_partial - (int)y->is_partial;
}

const struct listing_file *listing_find(const struct listing *l, const char *path)
{
    size_t low = 0, high = l->n_files;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(path, l->files[middle].path);
        if (!order) return &l->files[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

void listing_free(struct listing *l)
{
    for (size_t i = 0; i < l->n_files; i++) free(l->files[i].path);
    free(l->files);
    free(l->models);
    *l = (struct listing){ 0 };
}

/* ---- models --------------------------------------------------------------------------------- */

static void sort_files(struct listing *l)
{
    size_t n = 0;
    if (l->n_files) qsort(l->files, l->n_files, sizeof *l->files, by_path);
    for (size_t i = 0; i < l->n_files; i++)
        if (n && !strcmp(l->files[n - 1].path, l->files[i].path)) free(l->files[i].path);
        else l->files[n++] = l->files[i];
    l->n_files = n;
}

/* Parts of one model are near each other in the order of paths, so the search goes backwards. */
static struct listing_model *model_of(struct listing *l, const char *path)
{
    char first[PULL_PATH_MAX];
    uint32_t part, n_parts = 1;
    listing_part_path(first, sizeof first, path, 1);
    if (!listing_split_of(path, &part, &n_parts)) n_parts = 1;
    for (size_t i = l->n_models; n_parts > 1 && i-- > 0;)
        if (!strcmp(l->models[i].first, first)) return &l->models[i];
    struct listing_model *m = &l->models[l->n_models++];
    *m = (struct listing_model){ .n_parts = n_parts };
    snprintf(m->first, sizeof m->first, "%s", first);
    listing_tag(m->tag, path);
    return m;
}

pl_status listing_group(struct listing *l, pl_err *err)
{
    sort_files(l);
    free(l->models);
    l->n_models = 0;
    l->models = calloc(l->n_files + 1, sizeof *l->models);
    if (!l->models) return pl_fail(err, PL_E_MEMORY, "no memory for a list of models");
    for (size_t i = 0; i < l->n_files; i++) {
        const struct listing_file *f = &l->files[i];
        struct listing_model *m = model_of(l, f->path);
        m->n_there += !f->is_partial;
        m->n_bytes += f->n_bytes;
        m->n_have_bytes += f->n_have_bytes;
    }
    return PL_OK;
}

/* ---- choice --------------------------------------------------------------------------------- */

/* F16 and FP16 are two spellings of one. */
static const char *without_p(const char *tag)
{
    static const char *const spellings[][2] = { { "FP16", "F16" }, { "FP32", "F32" } };
    for (size_t i = 0; i < 2; i++)
        if (!strcasecmp(tag, spellings[i][0])) return spellings[i][1];
    return tag;
}

static bool same_tag(const char *a, const char *b)
{
    return *a && !strcasecmp(without_p(a), without_p(b));
}

static bool is_meant(const struct listing_model *m, const struct pull_name *name, const char *tag,
                     int pass)
{
    if (*name->file) {
        char first[PULL_PATH_MAX];
        listing_part_path(first, sizeof first, name->file, 1);
        return pass == 0 ? !strcmp(m->first, first) : !strcmp(base_name(m->first), first);
    }
    if (pass == 0) return same_tag(m->tag, tag);
    return !strncmp(m->tag, "UD-", 3) && same_tag(m->tag + 3, tag);
}

/* First what is named exactly, then what is meant by a shorter name. Returns how many there are. */
static size_t search(const struct listing *l, const struct pull_name *name, const char *tag,
                     const struct listing_model **out)
{
    size_t n = 0;
    for (int pass = 0; pass < 2 && !n; pass++)
        for (size_t i = 0; i < l->n_models; i++)
            if (is_meant(&l->models[i], name, tag, pass) && !n++) *out = &l->models[i];
    return n;
}

static void add_word(char *list, size_t capacity, const char *word)
{
    const size_t n = strlen(list);
    if (n + strlen(word) + 3 < capacity)
        snprintf(list + n, capacity - n, "%s%s", n ? ", " : "", word);
}

/* As many as fit into an error, which is cut at its middle. */
static pl_status tell_choices(const struct listing *l, const char *what, pl_err *err)
{
    char list[120] = "";
    for (size_t i = 0; i < l->n_models; i++)
        add_word(list, sizeof list, listing_suffix(l, &l->models[i]));
    return pl_fail(err, PL_E_PARAM, "%s; there is: %s", what, list);
}

pl_status listing_choose(const struct listing *l, const struct pull_name *name, bool is_guessing,
                         const struct listing_model **out, pl_err *err)
{
    char what[PULL_URL_MAX + 64];
    const bool is_said = *name->tag || *name->file;
    if (!l->n_models)
        return pl_fail(err, PL_E_PARAM, "%s: there is no GGUF model in it", name->folder);
    size_t n = is_said ? search(l, name, name->tag, out) : l->n_models;
    if (!is_said) {
        *out = &l->models[0];
        if (n > 1 && is_guessing) n = search(l, name, "Q4_K_M", out);
        if (n == 0) n = search(l, name, "Q8_0", out);
        snprintf(what, sizeof what, "%s: say which of its models: %s:TAG", name->folder,
                 name->folder);
    } else {
        snprintf(what, sizeof what, n ? "%s: more than one is called so" : "%s: there is none",
                 name->shown);
    }
    return n == 1 ? PL_OK : tell_choices(l, what, err);
}

const char *listing_suffix(const struct listing *l, const struct listing_model *m)
{
    if (!*m->tag) return m->first;
    for (size_t i = 0; i < l->n_models; i++)
        if (&l->models[i] != m && same_tag(l->models[i].tag, m->tag)) return m->first;
    return m->tag;
}

void listing_print(const struct listing *l, FILE *to)
{
    for (size_t i = 0; i < l->n_models; i++) {
        const struct listing_model *m = &l->models[i];
        fprintf(to, "  %-12s %8.2f GB  %s", *m->tag ? m->tag : "-", (double)m->n_bytes * 1e-9,
                m->first);
        fprintf(to, m->n_parts > 1 ? " (%u parts)\n" : "\n", m->n_parts);
    }
}

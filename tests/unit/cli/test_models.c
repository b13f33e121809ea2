/* The folder of models: what is found in it, and that nothing outside it is ever touched. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/models/models.h"
#include "unit/open_fds.h"

static char cache[64];
static struct models_dir dir;

static int set_up(void **state)
{
    pl_err err;
    (void)state;
    snprintf(cache, sizeof cache, "/tmp/paceline-models-XXXXXX");
    if (!mkdtemp(cache) || setenv("XDG_CACHE_HOME", cache, 1)) return -1;
    return models_dir_open(&dir, NULL, true, &err) ? -1 : 0;
}

static int tear_down(void **state)
{
    char command[100];
    (void)state;
    models_dir_close(&dir);
    snprintf(command, sizeof command, "rm -r %s", cache);
    return system(command);
}

static void put(const char *path, const char *text)
{
    char folder[PULL_PATH_MAX];
    pl_err err;
    int fd;
    const char *name = models_split_path(folder, path);
    if (models_dir_enter(&dir, folder, true, &fd, &err)) fail_msg("%s", err.text);
    const int file = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
    close(fd);
}

static bool is_there(const char *path)
{
    struct stat info;
    return fstatat(dir.fd, path, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

static void check_found(const char *name, const char *path)
{
    char found[MODELS_PATH_MAX], wanted[MODELS_PATH_MAX];
    pl_err err = { 0 };
    const pl_status st = models_find(name, NULL, found, &err);
    if (path && st) fail_msg("%s: %s", name, err.text);
    if (!path) {
        assert_int_equal(st, PL_E_PARAM);
        return;
    }
    snprintf(wanted, sizeof wanted, "%s/%s", dir.path, path);
    assert_string_equal(found, wanted);
}

static void test_found_by_name(void **state)
{
    (void)state;
    check_found("a/b:Q4_K_M", NULL);
    put("a/b/m-q4_k_m.gguf", "GGUF");
    put("a/b/m-q8_0-00001-of-00002.gguf", "GGUF");
    put("a/b/m-q8_0-00002-of-00002.gguf.part", "GG");
    put("@e.org/sub/m.gguf", "GGUF");
    check_found("a/b:Q4_K_M", "a/b/m-q4_k_m.gguf");
    check_found("a/b", "a/b/m-q4_k_m.gguf");
    check_found("hf.co/a/b:m-q4_k_m.gguf", "a/b/m-q4_k_m.gguf");
    check_found("https://e.org/sub/m.gguf?x=y", "@e.org/sub/m.gguf");
    check_found("a/b:Q8_0", NULL);                  /* half of it */
    check_found("a/c", NULL);
    check_found("model.gguf", NULL);
}

static void test_resolve(void **state)
{
    (void)state;
    pl_err err = { 0 };
    const char *model = "no/such.gguf";
    assert_int_equal(models_resolve(&model, NULL, &err), PL_OK);      /* a path that is not there */
    assert_string_equal(model, "no/such.gguf");
    model = "x.gguf";
    assert_int_equal(models_resolve(&model, NULL, &err), PL_OK);
    model = "a/b:Q8_0";
    assert_int_equal(models_resolve(&model, NULL, &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "paceline pull a/b:Q8_0"));
    put("a/b/m-q8_0.gguf", "GGUF");
    assert_int_equal(models_resolve(&model, NULL, &err), PL_OK);
    assert_non_null(strstr(model, "/paceline/models/a/b/m-q8_0.gguf"));
    model = "a/b:Q8_0";
    assert_int_equal(models_resolve(&model, "/nowhere", &err), PL_E_PARAM);
    assert_non_null(strstr(err.text, "paceline pull a/b:Q8_0 --dir /nowhere"));
    assert_int_equal(models_resolve(&model, dir.path, &err), PL_OK);
    assert_non_null(strstr(model, "/paceline/models/a/b/m-q8_0.gguf"));
    model = "/tmp";
    assert_int_equal(models_resolve(&model, NULL, &err), PL_OK);      /* what is there is a path */
    assert_string_equal(model, "/tmp");
}

static void test_list(void **state)
{
    (void)state;
    struct models models;
    pl_err err;
    const struct pull_note note = { .source = "a/b", .n_bytes = 4, .is_verified = true,
                                    .pulled = "2026-01-02T03:04:05Z", .sha256 = "x" };
    const struct pull_note part = { .source = "https://e.org/x.gguf", .n_bytes = 100 };
    int fd;
    put("a/b/m-q4_k_m.gguf", "GGUF");
    put("a/b/sub/m-q8_0-00002-of-00002.gguf", "GGUF");
    put("@e.org/x.gguf.part", "GGUF567");
    put("a/stray.txt", "");
    assert_int_equal(models_dir_enter(&dir, "a/b", false, &fd, &err), PL_OK);
    assert_int_equal(note_write(fd, "m-q4_k_m.gguf.json", &note, &err), PL_OK);
    close(fd);
    assert_int_equal(models_dir_enter(&dir, "@e.org", false, &fd, &err), PL_OK);
    assert_int_equal(note_write(fd, "x.gguf.part.json", &part, &err), PL_OK);
    close(fd);
    if (models_list(&dir, &models, &err)) fail_msg("%s", err.text);
    assert_int_equal(models.n, 3);
    const struct model *m = &models.list[0];
    assert_string_equal(m->name, "a/b:Q4_K_M");
    assert_string_equal(m->pulled, "2026-01-02T03:04:05Z");
    assert_true(m->is_verified);
    m = &models.list[1];
    assert_string_equal(m->name, "a/b:Q8_0");
    assert_false(m->is_verified);
    assert_int_equal(m->files.n_there, 1);
    m = &models.list[2];
    assert_string_equal(m->name, "https://e.org/x.gguf");
    assert_int_equal(m->files.n_there, 0);
    assert_true(m->files.n_have_bytes == 7 && m->files.n_bytes == 100);
    models_free(&models);
}

static void remove_named(const char *name, pl_status want)
{
    struct model m;
    pl_err err = { 0 };
    pl_status st = models_pick(&dir, name, &m, &err);
    if (!st) st = models_remove(&dir, &m, &err);
    if (st != want) fail_msg("%s: %d, not %d: %s", name, st, want, err.text);
}

static void test_remove(void **state)
{
    (void)state;
    put("a/b/d/m-q8_0-00001-of-00002.gguf", "GGUF");
    put("a/b/d/m-q8_0-00001-of-00002.gguf.json", "{}");
    put("a/b/d/m-q8_0-00002-of-00002.gguf.part", "GG");
    put("a/b/d/m-q8_0-00002-of-00002.gguf.part.json", "{}");
    put("a/b/m-q4_0.gguf", "GGUF");
    remove_named("a/b", PL_E_PARAM);                /* which? */
    remove_named("a/b:Q6_K", PL_E_PARAM);
    remove_named("a/b:Q8_0", PL_OK);
    assert_false(is_there("a/b/d"));
    assert_true(is_there("a/b/m-q4_0.gguf"));
    remove_named("a/b", PL_OK);
    assert_false(is_there("a"));
    assert_true(access(dir.path, F_OK) == 0);
}

static void test_what_is_being_pulled_stays(void **state)
{
    (void)state;
    pl_err err;
    int fd, lock, second;
    put("a/b/m-q4_0.gguf.part", "GG");
    assert_int_equal(models_dir_enter(&dir, "a/b", false, &fd, &err), PL_OK);
    assert_int_equal(models_lock_part(fd, "m-q4_0.gguf", &lock, &err), PL_OK);
    assert_int_equal(models_lock_part(fd, "m-q4_0.gguf", &second, &err), PL_E_BUSY);
    assert_int_equal(second, -1);
    remove_named("a/b:Q4_0", PL_E_BUSY);
    assert_true(is_there("a/b/m-q4_0.gguf.part"));
    close(lock);
    remove_named("a/b:Q4_0", PL_OK);
    assert_false(is_there("a"));
    close(fd);
}

/* Links inside the folder lead nowhere. */
static void test_links_are_not_followed(void **state)
{
    (void)state;
    char outside[100], link[MODELS_PATH_MAX + 20];
    pl_err err;
    int fd;
    snprintf(outside, sizeof outside, "%s/outside", cache);
    assert_int_equal(mkdir(outside, 0755), 0);
    snprintf(link, sizeof link, "%s/m-q4_0.gguf", outside);
    const int file = open(link, O_WRONLY | O_CREAT, 0644);
    close(file);
    put("a/c/m-q4_0.gguf", "GGUF");
    snprintf(link, sizeof link, "%s/a/b", dir.path);
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(models_dir_enter(&dir, "a/b", false, &fd, &err), PL_E_IO);
    assert_non_null(strstr(err.text, "links are not followed"));
    assert_int_equal(models_dir_enter(&dir, "a/b", true, &fd, &err), PL_E_IO);
    assert_int_equal(models_dir_enter(&dir, "a/../..", true, &fd, &err), PL_E_PARAM);
    assert_int_equal(models_dir_remove(&dir, "a/c", "../../x.gguf", &err), PL_E_PARAM);
    assert_int_equal(models_dir_remove(&dir, "a/b", "m-q4_0.gguf", &err), PL_E_IO);
    remove_named("a/b:Q4_0", PL_E_IO);
    snprintf(link, sizeof link, "%s/m-q4_0.gguf", outside);
    assert_int_equal(access(link, F_OK), 0);
    struct models models;
    assert_int_equal(models_list(&dir, &models, &err), PL_OK);
    assert_int_equal(models.n, 1);
    models_free(&models);
}

static void test_notes(void **state)
{
    (void)state;
    struct pull_note note = { .source = "a/b", .revision = "main", .endpoint = "https://h",
                              .etag = "\"e\"", .n_bytes = 5000000000, .is_verified = true };
    struct pull_note found;
    pl_err err;
    assert_int_equal(note_write(dir.fd, "x.json", &note, &err), PL_OK);
    note.n_bytes++;
    assert_int_equal(note_write(dir.fd, "x.json", &note, &err), PL_OK);
    assert_true(note_read(dir.fd, "x.json", &found));
    assert_string_equal(found.source, "a/b");
    assert_string_equal(found.endpoint, "https://h");
    assert_string_equal(found.revision, "main");
    assert_string_equal(found.etag, "\"e\"");
    assert_true(found.n_bytes == 5000000001 && found.is_verified);
    static const char *const damaged[] = { "", "{", "[]", "{\"source\":5}", "{\"source\":\"\"}",
                                           "{\"source\":\"a\",\"size\":-1}" };
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        put("y.json", damaged[i]);
        assert_false(note_read(dir.fd, "y.json", &found));
    }
    assert_false(note_read(dir.fd, "none.json", &found));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_found_by_name),
        TEST(test_resolve),
        TEST(test_list),
        TEST(test_remove),
        TEST(test_what_is_being_pulled_stays),
        TEST(test_links_are_not_followed),
        TEST(test_notes),
    };
    const int n_open = n_open_fds(), failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}

/* cache_dir: files appear whole or not at all, one writer at a time, and nothing is believed that
 * somebody else may have written. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cache_dir.h"
#include "unit/open_fds.h"

static char folder[64];
static struct cache_dir dir;

static int make_folder(void **state)
{
    pl_err err;
    char above[48] = "/tmp/paceline-cache-XXXXXX";
    (void)state;
    if (!mkdtemp(above)) return -1;
    snprintf(folder, sizeof folder, "%s/cache", above);
    return cache_dir_open(&dir, folder, &err) ? -1 : 0;
}

static int remove_folder(void **state)
{
    char command[96];
    (void)state;
    cache_dir_close(&dir);
    snprintf(command, sizeof command, "rm -r %.*s", (int)(strlen(folder) - 6), folder);
    return system(command);
}

/* "name": its path in the folder, until the next call. */
static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static bool exists(const char *name)
{
    struct stat info;
    return lstat(path_of(name), &info) == 0;
}

static void put(const char *name, const char *text)
{
    struct cache_writer w;
    pl_err err;
    if (cache_write_begin(&w, &dir, name, strlen(text), &err)) fail_msg("%s", err.text);
    assert_int_equal(pwrite(w.fd, text, strlen(text), 0), strlen(text));
    assert_false(exists(name));
    assert_int_equal(cache_write_commit(&w, &err), PL_OK);
}

static void check_content(const char *name, const char *text)
{
    char got[64] = "";
    int fd;
    pl_err err;
    if (cache_dir_find(&dir, name, &fd, &err)) fail_msg("%s", err.text);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, sizeof got), strlen(text));
    assert_string_equal(got, text);
    close(fd);
}

static void check_distrusted(const char *name, const char *why)
{
    int fd = 7;
    pl_err err;
    assert_int_equal(cache_dir_find(&dir, name, &fd, &err), PL_E_IO);
    assert_int_equal(fd, -1);
    if (!strstr(err.text, why)) fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void test_what_is_written_is_found(void **state)
{
    (void)state;
    struct stat info;
    int fd;
    pl_err err;

    assert_int_equal(cache_dir_find(&dir, "a", &fd, &err), PL_OK);
    assert_int_equal(fd, -1);
    put("a", "first");
    check_content("a", "first");
    assert_false(exists("a.tmp"));
    assert_int_equal(stat(path_of("a"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(stat(folder, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
}

static void test_a_writer_that_gives_up_leaves_the_old_file(void **state)
{
    (void)state;
    struct cache_writer w;
    pl_err err;
    put("b", "old");
    assert_int_equal(cache_write_begin(&w, &dir, "b", 3, &err), PL_OK);
    assert_int_equal(pwrite(w.fd, "half", 4, 0), 4);
    check_content("b", "old");
    cache_write_abandon(&w);
    check_content("b", "old");
    assert_false(exists("b.tmp"));
}

static void test_one_writer_at_a_time(void **state)
{
    (void)state;
    struct cache_writer first, second;
    pl_err err;
    assert_int_equal(cache_write_begin(&first, &dir, "c", 4, &err), PL_OK);
    assert_int_equal(cache_write_begin(&second, &dir, "c", 4, &err), PL_E_BUSY);
    assert_int_equal(pwrite(first.fd, "done", 4, 0), 4);
    assert_int_equal(cache_write_commit(&first, &err), PL_OK);
    check_content("c", "done");
    assert_int_equal(cache_write_begin(&second, &dir, "c", 4, &err), PL_OK);
    cache_write_abandon(&second);
}

/* A process that dies in the middle leaves its temporary file, which stops nobody. */
static void test_what_a_dead_writer_left_is_written_over(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        struct cache_writer w;
        const bool is_good = !cache_write_begin(&w, &dir, "d", 100, NULL) &&
                             pwrite(w.fd, "a long beginning", 16, 0) == 16;
        _exit(is_good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(exists("d.tmp"));
    assert_false(exists("d"));
    put("d", "short");
    check_content("d", "short");
    assert_false(exists("d.tmp"));
}

static void test_what_others_may_write_is_not_believed(void **state)
{
    (void)state;
    static const mode_t bad[] = { 0620, 0602, 0666 };
    put("e", "mine");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(chmod(path_of("e"), bad[i]), 0);
        check_distrusted("e", "others may write");
    }
    assert_int_equal(chmod(path_of("e"), 0644), 0);
    check_content("e", "mine");

    assert_int_equal(symlink("e", path_of("link")), 0);
    check_distrusted("link", "link");
    assert_int_equal(mkdir(path_of("sub"), 0700), 0);
    check_distrusted("sub", "not a regular file");
    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    check_distrusted("pipe", "not a regular file");

    if (geteuid() != 0) return;     /* only the superuser gives files away */
    assert_int_equal(chown(path_of("e"), 12345, (gid_t)-1), 0);
    check_distrusted("e", "another user");
}

static void test_what_cannot_be_stored_is_refused_before(void **state)
{
    (void)state;
    struct cache_writer w;
    struct rlimit before;
    pl_err err;

    assert_int_equal(cache_write_begin(&w, &dir, "f", (uint64_t)1 << 60, &err), PL_E_IO);
    assert_non_null(strstr(err.text, "free"));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = { 1000, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const pl_status st = cache_write_begin(&w, &dir, "f", 1001, &err);
    const bool says_why = strstr(err.text, "ulimit -f") != NULL;
    const pl_status fits = cache_write_begin(&w, &dir, "f", 1000, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(st, PL_E_IO);
    assert_true(says_why);
    assert_int_equal(fits, PL_OK);
    cache_write_abandon(&w);
    assert_false(exists("f") || exists("f.tmp"));
}

static void test_folders_that_cannot_be_had(void **state)
{
    (void)state;
    struct cache_dir d;
    pl_err err;
    put("file", "no folder");
    const char *bad[] = { path_of("file"), "/proc/paceline", "/nowhere/at/all", "" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cache_dir_open(&d, bad[i], &err), PL_E_IO);
        assert_false(d.is_open);
        cache_dir_close(&d);
    }
}

static void test_only_versions_are_removed(void **state)
{
    (void)state;
    static const char *const all[] = { "m-v1.1.pack", "m-v1.2.pack", "m-v20.3.pack", "m-v.pack",
                                       "m-v1.1.pack.tmp", "m-v1.x.pack", "n-v1.1.pack", "m-v1.1",
                                       "xm-v1.1.pack" };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) put(all[i], all[i]);
    assert_int_equal(cache_dir_remove_versions(&dir, "m-v", ".pack", "m-v1.2.pack"), 2);
    assert_false(exists("m-v1.1.pack") || exists("m-v20.3.pack"));
    check_content("m-v1.2.pack", "m-v1.2.pack");
    for (size_t i = 3; i < sizeof all / sizeof *all; i++) check_content(all[i], all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_found),
        cmocka_unit_test(test_a_writer_that_gives_up_leaves_the_old_file),
        cmocka_unit_test(test_one_writer_at_a_time),
        cmocka_unit_test(test_what_a_dead_writer_left_is_written_over),
        cmocka_unit_test(test_what_others_may_write_is_not_believed),
        cmocka_unit_test(test_what_cannot_be_stored_is_refused_before),
        cmocka_unit_test(test_folders_that_cannot_be_had),
        cmocka_unit_test(test_only_versions_are_removed),
    };
    const int n_open = n_open_fds();
    const int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}

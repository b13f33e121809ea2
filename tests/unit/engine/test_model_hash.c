/* model_hash: the content decides, an unchanged file is not read again, every change is noticed. A
 * model is any files here: only their maps are looked at. */
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

#include "engine/model_hash.h"

static char folder[64], cache[80];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/paceline-model-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    return 0;
}

static int remove_folder(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* Writes a file; its path is good until the next call but one. */
static const char *put(const char *name, const char *text)
{
    static char path[2][128];
    static int next;
    char *p = path[next++ % 2];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    FILE *f = fopen(p, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return p;
}

struct found {
    struct hash128 hash;
    bool was_known;
};

static struct found hash_of(uint32_t n_parts, const char *const *paths)
{
    struct file_map maps[2];
    const struct gguf g = { .part = maps, .n_parts = n_parts };
    struct cache_dir dir;
    struct found f;
    pl_err err;
    for (uint32_t i = 0; i < n_parts; i++)
        if (file_map_open(&maps[i], paths[i], &err)) fail_msg("%s", err.text);
    if (cache_dir_open(&dir, cache, &err)) fail_msg("%s", err.text);
    if (model_hash(&g, &dir, 2, &f.hash, &f.was_known, &err)) fail_msg("%s", err.text);
    cache_dir_close(&dir);
    for (uint32_t i = 0; i < n_parts; i++) file_map_close(&maps[i]);
    return f;
}

static struct found hash_one(const char *path)
{
    return hash_of(1, &path);
}

static void settle(void)
{
    usleep(2100000);
}

/* The one file in the cache folder. */
static const char *memo_path(void)
{
    static char path[160];
    char command[128];
    snprintf(command, sizeof command, "ls %s/model-*.id", cache);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_non_null(fgets(path, sizeof path, list));
    pclose(list);
    path[strcspn(path, "\n")] = 0;
    return path;
}

static void test_an_unchanged_file_is_known(void **state)
{
    (void)state;
    const char *path = put("m", "content");
    const struct found first = hash_one(path);
    assert_false(first.was_known);
    assert_false(hash_one(path).was_known);     /* too young to be remembered */
    settle();
    assert_false(hash_one(path).was_known);
    const struct found later = hash_one(path);
    assert_true(later.was_known && hash128_equal(later.hash, first.hash));

    /* a memory that is damaged, cut, too long or others may write to is none */
    struct stat info;
    assert_int_equal(stat(memo_path(), &info), 0);
    for (off_t at = 0; at < info.st_size; at++) {
        uint8_t byte;
        const int fd = open(memo_path(), O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        const struct found again = hash_one(path);
        if (again.was_known || !hash128_equal(again.hash, first.hash)) fail_msg("byte %d", (int)at);
        assert_true(hash_one(path).was_known);
    }
    assert_int_equal(truncate(memo_path(), info.st_size - 1), 0);
    assert_false(hash_one(path).was_known);
    assert_int_equal(truncate(memo_path(), info.st_size + 1), 0);
    assert_false(hash_one(path).was_known);
    assert_int_equal(chmod(memo_path(), 0606), 0);
    assert_false(hash_one(path).was_known);
    assert_true(hash_one(path).was_known);
}

static void test_changes_are_noticed(void **state)
{
    (void)state;
    const char *path = put("c", "one");
    settle();
    const struct found one = hash_one(path);
    assert_true(hash_one(path).was_known);

    put("c", "two");                          /* the same size and, as far as can be seen, times */
    assert_int_equal(utimensat(AT_FDCWD, path, (const struct timespec[2]){ { 5, 0 }, { 5, 0 } }, 0),
                     0);
    const struct found two = hash_one(path);
    assert_false(two.was_known || hash128_equal(one.hash, two.hash));

    const char *other = put("other", "one");    /* replaced, as a download does it */
    assert_int_equal(rename(other, path), 0);
    const struct found back = hash_one(path);
    assert_true(!back.was_known && hash128_equal(one.hash, back.hash));
}

static void test_parts_count_in_their_order(void **state)
{
    (void)state;
    const char *const ab[2] = { put("p1", "ab"), put("p2", "c") };
    const struct found whole = hash_of(2, ab);
    const char *const ba[2] = { ab[1], ab[0] };
    assert_false(hash128_equal(whole.hash, hash_of(2, ba).hash));
    assert_false(hash128_equal(whole.hash, hash_of(1, ab).hash));
    put("p1", "a");
    put("p2", "bc");
    assert_false(hash128_equal(whole.hash, hash_of(2, ab).hash));
}

static void test_a_file_that_changes_meanwhile_is_refused(void **state)
{
    (void)state;
    struct file_map map;
    const struct gguf g = { .part = &map, .n_parts = 1 };
    struct cache_dir dir;
    struct hash128 hash;
    bool was_known;
    pl_err err;
    const char *path = put("moving", "one");
    assert_int_equal(file_map_open(&map, path, &err), PL_OK);
    assert_int_equal(cache_dir_open(&dir, cache, &err), PL_OK);
    assert_int_equal(rename(put("new", "two"), path), 0);
    assert_int_equal(model_hash(&g, &dir, 1, &hash, &was_known, &err), PL_E_IO);
    assert_non_null(strstr(err.text, "changed while it was read"));
    cache_dir_close(&dir);
    file_map_close(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unchanged_file_is_known),
        cmocka_unit_test(test_changes_are_noticed),
        cmocka_unit_test(test_parts_count_in_their_order),
        cmocka_unit_test(test_a_file_that_changes_meanwhile_is_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

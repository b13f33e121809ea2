/* file_map: content, emptiness, and everything that is no file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file_map.h"
#include "unit/open_fds.h"

static char folder[64], path[96];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/paceline-map-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_file(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_content(void **state)
{
    (void)state;
    static uint8_t bytes[100003];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31 >> 3);
    write_file(bytes, sizeof bytes);

    struct file_map map;
    pl_err err = { 0 };
    assert_int_equal(file_map_open(&map, path, &err), PL_OK);
    assert_string_equal(map.path, path);
    assert_int_equal(map.n_bytes, sizeof bytes);
    assert_memory_equal(map.data, bytes, sizeof bytes);
    file_map_drop_pages(&map);
    assert_memory_equal(map.data, bytes, sizeof bytes);
    file_map_close(&map);
    assert_true(map.data == NULL && map.path == NULL && map.n_bytes == 0);
    file_map_close(&map);
}

static void test_an_empty_file(void **state)
{
    (void)state;
    struct file_map map;
    write_file("", 0);
    assert_int_equal(file_map_open(&map, path, NULL), PL_OK);
    assert_true(map.data == NULL && map.n_bytes == 0);
    file_map_drop_pages(&map);
    file_map_close(&map);
}

static void assert_refused(const char *what, const char *text)
{
    struct file_map map;
    pl_err err = { 0 };
    assert_int_equal(file_map_open(&map, what, &err), PL_E_IO);
    if (!strstr(err.text, what) || !strstr(err.text, text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    assert_true(map.data == NULL && map.path == NULL);
}

static void test_no_file(void **state)
{
    (void)state;
    unlink(path);
    assert_refused(path, "No such file");
    assert_refused(folder, "a folder; a regular file is wanted");
    assert_refused("/dev/null", "neither file nor folder");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(path, "neither file nor folder");    /* and does not wait for a writer */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_an_empty_file),
        cmocka_unit_test(test_no_file),
    };
    const int n_open = n_open_fds();
    const int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
    return failed || n_open_fds() != n_open;     /* what was opened was closed */
}

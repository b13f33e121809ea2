/* Opening a model file in parts with the Nth allocation failing, for every N: PL_E_MEMORY each
 * time, nothing kept (the leak sanitizer sees to that), and success once none fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/gguf/gguf_build.h"

static long n_until_failure = -1; /* -1: none fails */

static bool fails(void)
{
    return n_until_failure >= 0 && n_until_failure-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? NULL : __real_strdup(s);
}

static void write_part(const char *path, uint32_t number)
{
    struct gguf_build b = { 0 };
    build_u32(&b, "split.no", number);
    build_u32(&b, "split.count", 2);
    build_tensor(&b, number ? "a" : "b", QUANT_F32, 1, (uint64_t[]){ 4 }, 0);
    struct strbuf file = build_file(&b);
    assert_true(build_write(path, file.bytes, file.n));
    strbuf_free(&file);
    build_free(&b);
}

static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    char folder[] = "/tmp/paceline-memory-XXXXXX", first[64], second[64];
    assert_non_null(mkdtemp(folder));
    snprintf(first, sizeof first, "%s/m-00001-of-00002.gguf", folder);
    snprintf(second, sizeof second, "%s/m-00002-of-00002.gguf", folder);
    write_part(first, 0);
    write_part(second, 1);

    pl_status st = PL_E_MEMORY;
    long n = 0;
    for (; st && n < 1000; n++) {
        struct gguf g;
        pl_err err = { 0 };
        n_until_failure = n;
        st = gguf_open(&g, first, &err);
        n_until_failure = -1;
        if (st && (st != PL_E_MEMORY || !strstr(err.text, "no memory")))
            fail_msg("allocation %ld: %s \"%s\"", n, pl_status_name(st), err.text);
        if (st) assert_null(g.part);
        gguf_close(&g);
    }
    assert_int_equal(st, PL_OK);
    assert_in_range(n, 8, 100);     /* they were really counted */
    unlink(first);
    unlink(second);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_allocation_fails_once) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

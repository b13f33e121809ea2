/* Address space that is zero until it is written, and again after it was forgotten: whole pages
 * only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/lazy_memory.h"

static void whole_pages_are_forgotten(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t from[] = { 0, 1, page - 1, page, page + 1 };
    void *memory;
    pl_err err = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        for (size_t end = from[i]; end <= 4 * page; end += page / 2) {
            assert_int_equal(lazy_memory_open(&memory, 4 * page, &err), PL_OK);
            uint8_t *bytes = memory;
            for (size_t k = 0; k < 4 * page; k++) assert_int_equal(bytes[k], 0);
            memset(bytes, 1, 4 * page);
            lazy_memory_forget(bytes + from[i], end - from[i]);
#ifdef __linux__
            for (size_t k = 0; k < 4; k++) {
                const int is_whole = k * page >= from[i] && (k + 1) * page <= end;
                assert_int_equal(bytes[k * page], !is_whole);
                assert_int_equal(bytes[(k + 1) * page - 1], !is_whole);
            }
#endif
            lazy_memory_close(memory, 4 * page);
        }
    lazy_memory_close(NULL, page);
}

static void rounded_to_pages(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)state;
    assert_int_equal(lazy_memory_round(0), 0);
    assert_int_equal(lazy_memory_round(1), page);
    assert_int_equal(lazy_memory_round(page), page);
    assert_int_equal(lazy_memory_round(page + 1), 2 * page);
}

static void more_than_there_is(void **state)
{
    void *memory = &memory;
    pl_err err = { 0 };
    (void)state;
    assert_int_equal(lazy_memory_open(&memory, SIZE_MAX / 2, &err), PL_E_MEMORY);
    assert_null(memory);
    assert_non_null(strstr(err.text,
                           "cannot reserve 9223372036854775807 bytes of address space: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_pages_are_forgotten),
        cmocka_unit_test(rounded_to_pages),
        cmocka_unit_test(more_than_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

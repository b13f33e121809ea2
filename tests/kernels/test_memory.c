/* Arenas: the CPU backend's memory gives out what it counts, and in builds with AddressSanitizer a
 * byte beyond a part is reported. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/red_zone.h"

static uint8_t *take(struct memory *m, uint64_t n)
{
    pl_err err;
    uint8_t *part = memory_take(m, n, "a part", &err);
    assert_non_null(part);
    return part;
}

static void what_is_counted_is_what_parts_take(void **state)
{
    (void)state;
    struct memory m = { 0 };
    static const uint64_t sizes[] = { 1, 64, 65, 0, 4097, (uint64_t)65 << 20, 7 };
    uint64_t wanted = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *part = take(&m, sizes[i]);
        assert_int_equal((uintptr_t)part % MEMORY_ALIGN, 0);
        for (uint64_t k = 0; k < sizes[i]; k += 4096) assert_int_equal(part[k], 0);
        memset(part, 0xff, sizes[i]);
        wanted += (sizes[i] + 63) / 64 * 64;
    }
    assert_int_equal(m.given_bytes, wanted);
    memory_free(&m);
    assert_int_equal(m.given_bytes, 0);
}

#ifdef HAS_RED_ZONES
/* Whether writing that byte ends a process; what it says of it is not shown. */
static bool is_reported(volatile uint8_t *at)
{
    int status;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        *at = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_byte_beyond_a_part_is_reported(void **state)
{
    (void)state;
    struct memory m = { 0 };
    for (uint64_t n = 60; n <= 128; n += 4) {
        uint8_t *part = take(&m, n), *next = take(&m, 64);
        assert_false(is_reported(part));
        assert_false(is_reported(part + n - 1));
        assert_true(is_reported(part + n));         /* also within the rounding */
        assert_true(is_reported(next - 1));
        assert_true(is_reported(part - 1));
        assert_true(is_reported(next + 64));
    }
    memory_free(&m);
}

/* What was mapped there is another's: no zone stays behind. */
static void freed_memory_is_clean(void **state)
{
    (void)state;
    struct memory m = { 0 };
    uint8_t *part = take(&m, 100);
    memory_free(&m);
    assert_false(__asan_address_is_poisoned(part + 100));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_counted_is_what_parts_take),
#ifdef HAS_RED_ZONES
        cmocka_unit_test(a_byte_beyond_a_part_is_reported),
        cmocka_unit_test(freed_memory_is_clean),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

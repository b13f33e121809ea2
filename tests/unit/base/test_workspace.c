/* One list for planning and taking: what is counted is what is there, apart and zeroed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/red_zone.h"
#include "base/workspace.h"

enum { N_PARTS = WORKSPACE_MAX_PARTS };

static uint64_t size_of(uint32_t i)
{
    return i % 5 ? 7 * i : 0;
}

static void parts_are_what_was_counted(void **state)
{
    (void)state;
    unsigned char *part[N_PARTS] = { NULL };
    uint64_t n_bytes = 0;
    struct workspace w = { 0 };
    for (uint32_t i = 0; i < N_PARTS; i++) {
        workspace_want(&w, "a part", size_of(i), &part[i]);
        n_bytes += (size_of(i) + 15) / 16 * 16;
    }
    assert_int_equal(workspace_bytes(&w), n_bytes);
    unsigned char *block = workspace_take(&w);
    assert_non_null(block);
    for (uint32_t i = 0; i < N_PARTS; i++) {
        assert_true((uintptr_t)part[i] % 16 == 0);
        for (uint64_t k = 0; k < size_of(i); k++) assert_int_equal(part[i][k], 0);
        memset(part[i], (int)i + 1, size_of(i));
    }
    for (uint32_t i = 0; i < N_PARTS; i++) {
        for (uint64_t k = 0; k < size_of(i); k++) assert_int_equal(part[i][k], i + 1);
        if (i) assert_true(part[i] >= part[i - 1] + size_of(i - 1) + RED_ZONE_BYTES);
    }
    free(block);
}

static void what_no_machine_has_is_told(void **state)
{
    (void)state;
    if (RED_ZONE_BYTES) skip();         /* AddressSanitizer ends the program instead */
    void *part = NULL;
    struct workspace w = { 0 };
    workspace_want(&w, "too much", (uint64_t)1 << 60, &part);
    assert_null(workspace_take(&w));
    assert_null(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_what_was_counted),
        cmocka_unit_test(what_no_machine_has_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

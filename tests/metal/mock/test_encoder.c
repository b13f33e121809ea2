/* The mock's encoder, where the backend never asks it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mock/encoder.h"
#include "mock/mock.h"

static void the_last_bytes_of_an_index_count(void **state)
{
    (void)state;
    assert_int_equal(encoder_set_twice(3, 7), 7);
    assert_int_equal(mock_n_objects(), 0);      /* and none of them, nor their memory, is lost */
}

/* What a backend would compute that asks for safe arithmetic and not for precise functions. */
static void functions_are_fast_unless_asked_for(void **state)
{
    (void)state;
    assert_true(encoder_tanh(50, true) == 1);
    assert_true(isnan(encoder_tanh(50, false)));
    assert_true(encoder_tanh(-50, false) == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_bytes_of_an_index_count),
        cmocka_unit_test(functions_are_fast_unless_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The part of cmocka's face that the kernel tests use, for the build that neon.sh makes: there is
 * no cmocka for a foreign processor without packages of a foreign architecture. A failing check
 * ends the program. */
#ifndef TESTS_KERNELS_CMOCKA_MIN_H
#define TESTS_KERNELS_CMOCKA_MIN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define cmocka_unit_test(function) { #function, function }

static jmp_buf skip_to;

#define fail_msg(...)                                                                              \
    (printf("%s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), puts(""), exit(1))
#define skip() longjmp(skip_to, 1)

#define assert_true(claim) ((claim) ? (void)0 : fail_msg("not true: %s", #claim))
#define assert_false(claim) assert_true(!(claim))
#define assert_non_null(pointer) assert_true((pointer) != NULL)
#define assert_null(pointer) assert_true((pointer) == NULL)
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_ptr_not_equal(a, b) assert_true((const void *)(a) != (const void *)(b))
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)
#define assert_string_not_equal(a, b) assert_true(strcmp(a, b) != 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)
#define assert_memory_not_equal(a, b, n) assert_true(memcmp(a, b, n) != 0)
#define assert_int_equal(a, b)                                                                     \
    ((long long)(a) == (long long)(b)                                                              \
         ? (void)0                                                                                 \
         : fail_msg("%s is %lld, wanted %s, %lld", #a, (long long)(a), #b, (long long)(b)))

#define assert_in_range(x, least, most)                                                            \
    ((long long)(x) >= (long long)(least) && (long long)(x) <= (long long)(most)                   \
         ? (void)0                                                                                 \
         : fail_msg("%s is %lld, not in %s .. %s", #x, (long long)(x), #least, #most))

static inline void run_one(const struct CMUnitTest *test)
{
    void *state = NULL;
    if (setjmp(skip_to) == 0) test->run(&state);
    else printf("skipped: %s\n", test->name);
}

static inline int run_tests(const struct CMUnitTest *test, size_t n)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < n; i++) run_one(&test[i]);
    printf("%zu tests passed\n", n);
    return 0;
}

#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    ((void)(setup), (void)(teardown), run_tests(tests, sizeof(tests) / sizeof *(tests)))

#endif

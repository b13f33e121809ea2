/* The names that options take are those that the engine takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "base/strbuf.h"
#include "cli/names.h"
#include "quant/kv_type.h"

#define COMMA ,

static void backends_are_those_of_the_build(void **state)
{
    static const char *const names[] = { BACKEND_NAMES(COMMA) };
    struct strbuf found = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct backend_ops *ops = backend_find(names[i]);
        if (strcmp(names[i], "auto") && ops) {
            assert_string_equal(ops->name, names[i]);
            strbuf_addf(&found, "%s%s", found.n ? ", " : "", names[i]);
        }
    }
    assert_string_equal(found.bytes, backend_names());
    strbuf_free(&found);
}

static void instruction_sets_are_the_kernels(void **state)
{
    static const char *const names[] = { ISA_NAMES(COMMA) };
    struct cpu_kernels k;
    size_t n_known = 0;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        n_known += cpu_kernels_get(&k, names[i]);
#if defined(__x86_64__)
    assert_int_equal(n_known, 5);
#elif defined(__aarch64__)
    assert_in_range(n_known, 3, 4);     /* sme where the compiler knows it */
#else
    assert_int_equal(n_known, 1);
#endif
    assert_false(cpu_kernels_get(&k, "avx"));
    assert_true(cpu_kernels_get(&k, NULL));     /* the best there is has one of the names, too */
    size_t i = 0;
    while (i < sizeof names / sizeof *names && strcmp(names[i], k.isa)) i++;
    assert_true(i < sizeof names / sizeof *names);
}

static void kv_types_have_one_name_each(void **state)
{
    static const char *const names[] = { KV_TYPE_NAMES(COMMA) };
    enum kv_type type;
    (void)state;
    assert_int_equal(sizeof names / sizeof *names, N_KV_TYPES);
    for (int i = 0; i < N_KV_TYPES; i++) {
        assert_string_equal(kv_type_name((enum kv_type)i), names[i]);
        assert_true(kv_type_find(names[i], &type) && type == (enum kv_type)i);
    }
    assert_false(kv_type_find("q4_0", &type));
    assert_string_equal(KV_TYPE_NAMES(", "), "f16, bf16, q8_0, f8_e4m3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_are_those_of_the_build),
        cmocka_unit_test(instruction_sets_are_the_kernels),
        cmocka_unit_test(kv_types_have_one_name_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* mac_settings: what is proposed for which Mac, and nothing where all is well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/service/mac_settings.h"

static const uint64_t GIB = 1u << 30;

static void test_power_mode(void **state)
{
    struct mac_setting out[MAC_SETTINGS_MAX];
    struct mac_state mac = { .capabilities = " lowpowermode\n powermode\n", .memory_bytes = 24 * GIB };
    (void)state;
    assert_int_equal(mac_settings_wanted(&mac, 0, out), 1);
    assert_string_equal(out[0].words[1], "pmset");
    assert_string_equal(out[0].words[3], "powermode");
    assert_string_equal(out[0].words[4], "2");
    mac.power_mode = 2;
    assert_int_equal(mac_settings_wanted(&mac, 0, out), 0);
    mac = (struct mac_state){ .capabilities = " highpowermode\n", .memory_bytes = 24 * GIB };
    assert_int_equal(mac_settings_wanted(&mac, 0, out), 1);
    assert_string_equal(out[0].words[3], "highpowermode");
    assert_string_equal(out[0].words[4], "1");
    mac.capabilities = " lowpowermode\n";
    assert_int_equal(mac_settings_wanted(&mac, 0, out), 0);
}

static void test_wired_limit(void **state)
{
    struct mac_setting out[MAC_SETTINGS_MAX];
    struct mac_state mac = { .capabilities = "", .memory_bytes = 64 * GIB };
    (void)state;
    assert_int_equal(mac_settings_wanted(&mac, 40 * GIB, out), 0);      /* below its own 48 */
    assert_int_equal(mac_settings_wanted(&mac, 50 * GIB, out), 1);
    assert_string_equal(out[0].words[2], "iogpu.wired_limit_mb=52224"); /* and one GiB of room */
    assert_int_equal(mac_settings_wanted(&mac, 60 * GIB, out), 0);      /* macOS needs some itself */
    mac.wired_limit_mib = 52 << 10;
    assert_int_equal(mac_settings_wanted(&mac, 50 * GIB, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_power_mode),
                                        cmocka_unit_test(test_wired_limit) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

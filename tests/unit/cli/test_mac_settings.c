/* mac_settings: what is proposed for which Mac, and nothing where all is well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/service/mac_settings.h"
#include "unit/cli/captured.h"

static const uint64_t GIB = 1u << 30;

static void test_power_mode(void **state)
{
    struct mac_setting out[MAC_SETTINGS_MAX];
    struct mac_state mac =
        { .capabilities = " lowpowermode\n powermode\n", .memory_bytes = 24 * GIB };
    (void)state;
    assert_int_equal(mac_settings_wanted(&mac, 0, out), 1);
    assert_string_equal(out[0].words[1], "pmset");
    assert_string_equal(out[0].words[3], "powermode");
    assert_string_equal(out[0].words[4], "2");
    mac.power_mode = 2;
    assert_int_equal(mac_settings_wanted(&mac, 0, out), 0);
    mac = (struct mac_state){ .capabilities = " highpowermode\n", .memory_bytes = 24 * GIB };
    assert_int_equal(mac_settings_wanted(&mac, 0, out), 1);
    assert_string_equal(out[0].why, "High power mode keeps the clock up under lasting load.");
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
    assert_int_equal(mac_settings_wanted(&mac, 60 * GIB, out), 0);      /* macOS needs some
                                                                         * itself */
    mac.wired_limit_mib = 52 << 10;
    assert_int_equal(mac_settings_wanted(&mac, 50 * GIB, out), 0);
}

/* What is asked, and whether it is run: `answer` is typed. */
static bool is_run(const char *answer, const char *program, bool dry_run, const char *asked)
{
    static struct captured out, errors;
    struct mac_setting s = { "Why.", { "touch", "", "", "", "" } };
    char path[] = "/tmp/paceline_mac_XXXXXX", wanted[256];
    const int before = dup(STDIN_FILENO);
    int ends[2];
    assert_int_equal(close(mkstemp(path)) || unlink(path) || pipe(ends), 0);
    assert_int_equal(write(ends[1], answer, strlen(answer)), strlen(answer));
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    clearerr(stdin);
    snprintf(s.words[0], sizeof s.words[0], "%s", program);
    snprintf(s.words[1], sizeof s.words[1], "%s", path);
    captured_begin(&errors, STDERR_FILENO);
    captured_begin(&out, STDOUT_FILENO);
    mac_settings_ask(&s, dry_run);
    captured_end(&out);
    captured_end(&errors);
    while (getchar() != EOF) continue;          /* what was not read is not the next answer */
    dup2(before, STDIN_FILENO);
    close(before);
    snprintf(wanted, sizeof wanted, asked, program, path);
    assert_string_equal(out.text, wanted);
    assert_string_equal(errors.text, strcmp(program, "false") || *answer != 'y'
                        ? "" : "paceline: it was not changed\n");
    return !unlink(path);
}

static void test_asking(void **state)
{
    static const char asked[] = "Why.\nRun %s %s\nnow? [y/N] ";
    (void)state;
    assert_true(is_run("y\n", "touch", false, asked));
    assert_true(is_run("Yes\n", "touch", false, asked));
    assert_false(is_run("n\n", "touch", false, asked));
    assert_false(is_run("\n", "touch", false, asked));
    assert_false(is_run("", "touch", false, asked));
    assert_false(is_run("y\n", "false", false, asked));
    assert_false(is_run("y\n", "touch", true, "would ask, and run if agreed: %s %s\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_power_mode),
                                        cmocka_unit_test(test_wired_limit),
                                        cmocka_unit_test(test_asking) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Rules that are printed: the file that ships, and thresholds of a plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/plan/alerts.h"

/* Release with free. */
static char *printed(const struct alert_thresholds *t)
{
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    assert_non_null(to);
    alerts_print(to, t);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void the_file_that_ships_is_the_default(void **state)
{
    const struct alert_thresholds t = alert_thresholds_default();
    char *text = printed(&t), line[512];
    const char *at = text;
    int number = 0;
    FILE *f = fopen("deploy/prometheus/alerts.yml", "r");
    (void)state;
    assert_non_null(f);
    for (; fgets(line, sizeof line, f); at += strlen(line)) {
        number++;
        if (strncmp(at, line, strlen(line)))
            fail_msg("deploy/prometheus/alerts.yml:%d is \"%s\"; alerts_print says \"%.*s\"",
                     number, line, (int)strcspn(at, "\n"), at);
    }
    fclose(f);
    if (*at) fail_msg("deploy/prometheus/alerts.yml ends before \"%.80s\"", at);
    free(text);
}

static void thresholds_of_a_plan_are_filled_in(void **state)
{
    const struct alert_thresholds t = { .tokens_per_s = 71.25, .memory_gb = 27.5, .queued = 40,
                                        .ttft_p95_s = 3, .inter_token_p95_s = 0.125 };
    static const char *const wanted[] = {
        "llm_tokens_per_second[5m])\n            < 71.25\n", "llm_memory_usage_gb > 27.5\n",
        "paceline_streams_queued > 40\n", "first_token_seconds_bucket[5m]))) > 3\n",
        "token_latency_seconds_bucket[5m]))) > 0.125\n",
    };
    char *text = printed(&t);
    (void)state;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!strstr(text, wanted[i])) fail_msg("not there: %s", wanted[i]);
    assert_null(strstr(text, "max_over_time"));
    assert_null(strstr(text, "memory_planned"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_that_ships_is_the_default),
        cmocka_unit_test(thresholds_of_a_plan_are_filled_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

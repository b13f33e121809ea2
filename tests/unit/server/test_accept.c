/* Accept and Accept-Encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/accept.h"

static void what_is_named_is_taken(void **state)
{
    static const struct { const char *list, *name; bool has; } cases[] = {
        { "gzip, deflate, br", "br", true }, { "gzip", "gzip", true }, { "GZIP", "gzip", true },
        { "gzip;q=0.5,br", "gzip", true }, { "gzip ; q=1.0", "gzip", true },
        { "gzip;q=0", "gzip", false }, { "br, gzip; q=0.000, zstd", "gzip", false },
        { "gzip;q=0, br", "br", true }, { "gzip;level=9;q=0", "gzip", false },
        { "xgzip", "gzip", false }, { "gzipx", "gzip", false }, { "", "gzip", false },
        { "*", "gzip", false }, { ",,gzip", "gzip", true }, { ";q=0", "gzip", false },
        { "text/html,application/xhtml+xml,*/*;q=0.8", "text/html", true },
        { "*/*", "text/html", false }, { NULL, "gzip", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (accept_has(cases[i].list, cases[i].name) != cases[i].has)
            fail_msg("%s in %s", cases[i].name, cases[i].list);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_named_is_taken) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

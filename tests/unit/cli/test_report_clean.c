/* What a report leaves out: home, names, keys, paths; and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/self_test/clean.h"

static const struct owner jane = { "/Users/jane", "jane", "janes-mini" };

static void check(const struct owner *o, const char *text, const char *want)
{
    struct strbuf b = { 0 };
    clean_add(&b, o, text);
    assert_string_equal(b.bytes ? b.bytes : "", want);
    strbuf_free(&b);
}

static void paths_lose_their_folders(void **state)
{
    (void)state;
    check(&jane, "/Users/jane: no such file", "~: no such file");
    check(&jane, "/Users/jane/m.gguf: ends", "~/m.gguf: ends");
    check(&jane, "\"/Users/jane/Work/Secret/m.gguf\"", "\"~.../m.gguf\"");
    check(&jane, "open /Volumes/Acme Inc/m.gguf", "open .../Acme Inc/m.gguf");
    check(&jane, "/Users/janet/m.gguf", ".../m.gguf");
    check(&jane, "in /opt/models/jane", "in .../USER");
    check(&jane, "https://jane:pw@hub.example/a/b.gguf", "https://WHO@hub.example/a/b.gguf");
    check(&jane, "https://hub.example/a/b.gguf", "https://hub.example/a/b.gguf");
}

static void names_are_words_of_their_own(void **state)
{
    (void)state;
    check(&jane, "jane on janes-mini.local, Jane!", "USER on HOST.local, USER!");
    check(&jane, "janet, jane_2 and mary-jane", "janet, jane_2 and mary-jane");
    const struct owner brief = { "/", "me", "" };      /* too short to be looked for */
    check(&brief, "me / my model", "me / my model");
}

static void keys_are_no_ones_business(void **state)
{
    (void)state;
    check(&jane, "token hf_AbCdEfGhIjKl", "token KEY");
    check(&jane, "key=sk-live-0123456789", "key=KEY");
    check(&jane, "Authorization: Bearer abc.def", "Authorization: Bearer KEY");
    check(&jane, "0123456789abcdef0123456789abcdef", "KEY");
    check(&jane, "hf_x, sk-8", "hf_x, sk-8");
}

static void what_teaches_stays(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "| product_few_iq4_nl_1 | 128 | 32 | 4 | 0 |\n",
        "| experts_down_few_and_many_q4_k_32_columns_of_64 | 1024 |\n",
        "1.5 tok/s, 3 GB/s of 4/8/16\n",
        "ok      weights of Q4_K              error 0.38 % of the logits' size, at most 4 %\n",
        "program_source:9:12: warning: unused variable 'x'\n",
        "",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) check(&jane, lines[i], lines[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_lose_their_folders),
        cmocka_unit_test(names_are_words_of_their_own),
        cmocka_unit_test(keys_are_no_ones_business),
        cmocka_unit_test(what_teaches_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

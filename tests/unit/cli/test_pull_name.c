/* Names of models: what they mean, and that none leads out of the folder of models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/models/name.h"

static struct pull_name parse(const char *text, const char *endpoint)
{
    struct pull_name name;
    pl_err err;
    if (pull_name_parse(&name, text, endpoint, &err)) fail_msg("\"%s\": %s", text, err.text);
    return name;
}

static void check_hub(const char *text, const char *folder, const char *tag, const char *file,
                      const char *revision)
{
    const struct pull_name name = parse(text, NULL);
    assert_false(name.is_url);
    assert_string_equal(name.folder, folder);
    assert_string_equal(name.tag, tag);
    assert_string_equal(name.file, file);
    assert_string_equal(name.revision, revision);
}

static void test_names_of_a_hub(void **state)
{
    (void)state;
    check_hub("Qwen/Qwen2.5-7B-Instruct-GGUF", "Qwen/Qwen2.5-7B-Instruct-GGUF", "", "", "");
    check_hub("a/b:Q4_K_M", "a/b", "Q4_K_M", "", "");
    check_hub("a/b:q4_k_m", "a/b", "q4_k_m", "", "");
    check_hub("a/b:UD-Q4_K_XL", "a/b", "UD-Q4_K_XL", "", "");
    check_hub("a/b:x.gguf", "a/b", "", "x.gguf", "");
    check_hub("a/b:Q8_0/x-00001-of-00002.GGUF", "a/b", "", "Q8_0/x-00001-of-00002.GGUF", "");
    check_hub("hf.co/a/b:Q8_0", "a/b", "Q8_0", "", "");
    check_hub("https://huggingface.co/a/b", "a/b", "", "", "");
    check_hub("https://huggingface.co/a/b/", "a/b", "", "", "");
    check_hub("https://hf.co/a/b/blob/main/x.gguf", "a/b", "", "x.gguf", "main");
    check_hub("https://huggingface.co/a/b/resolve/refs%2Fpr%2F1/sub/x%20y.gguf?download=true",
              "a/b", "", "sub/x y.gguf", "refs/pr/1");
    const struct pull_name name = parse("http://127.0.0.1:9/a/b/resolve/v1/x.gguf",
                                        "http://127.0.0.1:9/");
    assert_false(name.is_url);
    assert_string_equal(name.shown, "a/b:x.gguf");
}

static void test_urls(void **state)
{
    (void)state;
    struct pull_name name = parse("https://Example.com/m/x.gguf?sig=SECRET#top", NULL);
    assert_true(name.is_url);
    assert_string_equal(name.folder, "@example.com");
    assert_string_equal(name.file, "m/x.gguf");
    assert_null(strstr(name.shown, "SECRET"));
    assert_non_null(strstr(name.url, "sig=SECRET"));
    assert_null(strstr(name.url, "top"));
    name = parse("http://[::1]:8080/x.gguf", NULL);
    assert_string_equal(name.folder, "@___1__8080");
    /* dot segments are gone before anybody sees them */
    name = parse("https://e.org/a/../../x.gguf", NULL);
    assert_string_equal(name.file, "x.gguf");
    /* another server's address is no name of this hub */
    assert_true(parse("https://huggingface.co.evil.org/a/b/resolve/main/x.gguf", NULL).is_url);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "/", "a", "a/", "/b", "a//b", "../b", "a/..", "./b", "a/.hidden", ".a/b", "a/b/c",
        "a b/c", "a/b:", "a/b:../x.gguf", "a/b:x/../y.gguf", "a/b:/x.gguf", "a/b:.x.gguf", "a/b:x\\y.gguf",
        "a/b:Q4/K", "a/b:Q4 K", "a/b?x=1", "a\\b/c", "-a/b", "a/-b", "a/b\n", "@host/x",
        "https://huggingface.co/a", "https://huggingface.co/a/b/resolve/main/",
        "https://huggingface.co/a/b/resolve/main/x.bin",
        "https://huggingface.co/a/b/resolve/../x.gguf",
        "https://huggingface.co/a/b/resolve/main/%2e%2e/x.gguf",
        "https://huggingface.co/a/b/resolve/main/..%2fx.gguf",
        "https://huggingface.co/a/b/resolve/main/x%00.gguf",
        "https://huggingface.co/a/b/resolve/main/x%0a.gguf",
        "https://huggingface.co/a/b/tree/main", "https://e.org/", "https://e.org/x.bin",
        "https://e.org/.x.gguf", "https://e.org/a b.gguf", "https://e.org/\xff.gguf",
        "https://e.org/a\\b.gguf", "ftp://e.org/x.gguf",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct pull_name name;
        pl_err err = { 0 };
        if (pull_name_parse(&name, texts[i], NULL, &err) != PL_E_PARAM)
            fail_msg("\"%s\" is accepted: \"%s\" \"%s\"", texts[i], name.folder, name.file);
        assert_true(strlen(err.text) > 20);
    }
}

static void test_a_password_is_not_repeated(void **state)
{
    (void)state;
    struct pull_name name;
    pl_err err = { 0 };
    const char *text = "https://me:hush@e.org/x.gguf";
    assert_int_equal(pull_name_parse(&name, text, NULL, &err), PL_E_PARAM);
    assert_null(strstr(err.text, "hush"));
    assert_non_null(strstr(err.text, "--token-file"));
}

static void test_long_names(void **state)
{
    (void)state;
    char text[3000];
    struct pull_name name;
    pl_err err;
    for (size_t n = 1; n < sizeof text - 20; n += 7) {
        memset(text, 'x', n);
        snprintf(text + n, 20, "/b:x.gguf");
        pull_name_parse(&name, text, NULL, &err);
        memcpy(text, n > 8 ? "https://" : "", n > 8 ? 8 : 0);
        pull_name_parse(&name, text, NULL, &err);
    }
    char path[PULL_PATH_MAX + 10];
    memset(path, 'x', sizeof path);
    for (size_t i = 100; i < sizeof path; i += 100) path[i] = '/';
    path[PULL_PATH_MAX] = 0;
    assert_false(pull_path_is_safe(path));
    path[PULL_PATH_MAX - 1] = 0;
    assert_true(pull_path_is_safe(path));
    path[0] = '.';
    assert_false(pull_path_is_safe(path));
}

static void test_revisions(void **state)
{
    (void)state;
    assert_true(pull_revision_is_safe("main"));
    assert_true(pull_revision_is_safe("refs/pr/12"));
    assert_true(pull_revision_is_safe("v1.0_a-b"));
    assert_false(pull_revision_is_safe(""));
    assert_false(pull_revision_is_safe("../main"));
    assert_false(pull_revision_is_safe("a//b"));
    assert_false(pull_revision_is_safe("a?b"));
    assert_false(pull_revision_is_safe("-x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_a_hub),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_password_is_not_repeated),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_revisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

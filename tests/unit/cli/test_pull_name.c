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
        "a b/c", "a/b:", "a/b:../x.gguf", "a/b:x/../y.gguf", "a/b:/x.gguf", "a/b:.x.gguf",
        "a/b:x\\y.gguf",
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

/* Each part at the most that its buffer holds is kept whole, and one more is refused, never cut. */
static void check_at_most(const char *before, size_t most, const char *after, size_t at)
{
    char text[2 * PULL_URL_MAX], part[PULL_URL_MAX];
    struct pull_name name;
    pl_err err = { 0 };
    for (size_t n = most; n <= most + 1; n++) {
        memset(part, 'x', n);
        part[n] = 0;
        strcpy(text, before);
        strcat(strcat(text, part), after);
        const pl_status st = pull_name_parse(&name, text, NULL, &err);
        if ((st == PL_OK) != (n == most)) fail_msg("%zu letters after \"%s\": %d", n, before, st);
        if (n == most && !strstr((const char *)&name + at, part))
            fail_msg("%zu letters after \"%s\" are not kept", n, before);
    }
}

static void test_parts_that_fill_their_buffers(void **state)
{
    (void)state;
    char folders[PULL_PATH_MAX];
    check_at_most("", 96, "/b", offsetof(struct pull_name, folder));
    check_at_most("a/", 96, "", offsetof(struct pull_name, folder));
    check_at_most("a/b:", sizeof ((struct pull_name *)0)->tag - 1, "",
                  offsetof(struct pull_name, tag));
    check_at_most("https://hf.co/a/b/resolve/", 96, "/x.gguf",
                  offsetof(struct pull_name, revision));
    /* revisions and paths of several parts, that together are as long as may be */
    char text[PULL_PATH_MAX + 64] = "https://hf.co/a/b/resolve/";
    memset(text + strlen(text), 'r', 60);
    check_at_most(strcat(text, "%2F"), sizeof ((struct pull_name *)0)->revision - 1 - 61, "/x.gguf",
                  offsetof(struct pull_name, revision));
    memset(folders, 'f', sizeof folders);
    for (size_t i = 1; i < 3; i++) folders[i * 170] = '/';
    folders[341] = 0;
    snprintf(text, sizeof text, "a/b:%s", folders);
    check_at_most(text, PULL_PATH_MAX - 1 - 341 - 5, ".gguf", offsetof(struct pull_name, file));
    snprintf(text, sizeof text, "https://hf.co/a/b/resolve/main/%s", folders);
    check_at_most(text, PULL_PATH_MAX - 1 - 341 - 5, ".gguf", offsetof(struct pull_name, file));
    snprintf(text, sizeof text, "https://e.org/%s", folders);
    check_at_most(text, PULL_PATH_MAX - 1 - 341 - 5, ".gguf", offsetof(struct pull_name, file));
    const size_t n_before = strlen("https://e.org/x.gguf?q=");
    check_at_most("https://e.org/x.gguf?q=", PULL_URL_MAX - 1 - n_before, "",
                  offsetof(struct pull_name, url));
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
        cmocka_unit_test(test_parts_that_fill_their_buffers),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_revisions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

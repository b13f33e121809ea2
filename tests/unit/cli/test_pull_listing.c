/* A hub's listing: what of it are models, and which one a name means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/models/listing.h"

static void test_tags(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "qwen2.5-7b-instruct-q4_k_m.gguf", "Q4_K_M" },
        { "qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf", "Q4_K_M" },
        { "Llama-3.2-1B-Instruct.Q8_0.gguf", "Q8_0" },
        { "gemma-3-1b-it-UD-Q4_K_XL.gguf", "UD-Q4_K_XL" },
        { "UD-IQ1_S/DeepSeek-UD-IQ1_S-00001-of-00003.gguf", "UD-IQ1_S" },
        { "BF16/model-00001-of-00002.gguf", "BF16" },
        { "llama_q5_k_s.gguf", "Q5_K_S" },
        { "model-iq2_xxs.gguf", "IQ2_XXS" },
        { "model-TQ1_0.gguf", "TQ1_0" },
        { "model-Q4_0_4_4.gguf", "Q4_0_4_4" },
        { "qwen2.5-0.5b-instruct-fp16.gguf", "FP16" },
        { "gpt-oss-20b-mxfp4.gguf", "MXFP4" },
        { "model-f32.gguf", "F32" },
        { "q8.gguf", "Q8" },
        { "Qwen2.5-7B.gguf", "" },
        { "model.gguf", "" },
        { "model-Q4_K_Muddled.gguf", "" },
        { "Q4_K_M/readme-less/model.gguf", "Q4_K_M" },
        { "-.gguf", "" },
        { ".gguf", "" },
        { "", "" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char tag[LISTING_TAG_MAX];
        listing_tag(tag, cases[i][0]);
        if (strcmp(tag, cases[i][1]) != 0)
            fail_msg("\"%s\": tag \"%s\", not \"%s\"", cases[i][0], tag, cases[i][1]);
    }
}

static void test_splits(void **state)
{
    (void)state;
    uint32_t part, n_parts;
    char path[PULL_PATH_MAX];
    assert_true(listing_split_of("d/m-00002-of-00003.gguf", &part, &n_parts));
    assert_int_equal(part, 2);
    assert_int_equal(n_parts, 3);
    assert_false(listing_split_of("m-00004-of-00003.gguf", &part, &n_parts));
    assert_false(listing_split_of("m-00000-of-00003.gguf", &part, &n_parts));
    assert_false(listing_split_of("m-0001-of-00003.gguf", &part, &n_parts));
    assert_false(listing_split_of("-00001-of-00003.gguf", &part, &n_parts));
    assert_false(listing_split_of("m-00001-of-99999.gguf", &part, &n_parts));
    listing_part_path(path, sizeof path, "d/m-00001-of-00012.gguf", 12);
    assert_string_equal(path, "d/m-00012-of-00012.gguf");
    listing_part_path(path, sizeof path, "m.gguf", 1);
    assert_string_equal(path, "m.gguf");
}

/* ---- choice --------------------------------------------------------------------------------- */

static struct listing listing_of(const char *const *paths)
{
    struct listing l = { 0 };
    pl_err err;
    for (; *paths; paths++) {
        const struct listing_file file = { .path = (char *)(uintptr_t)*paths, .n_bytes = 100 };
        assert_int_equal(listing_add(&l, &file, &err), PL_OK);
    }
    assert_int_equal(listing_group(&l, &err), PL_OK);
    return l;
}

/* `first` NULL: refused, and the message says `says`. */
static void check_choice(const struct listing *l, const char *text, bool is_guessing,
                         const char *first, const char *says)
{
    struct pull_name name;
    const struct listing_model *m = NULL;
    pl_err err = { 0 };
    assert_int_equal(pull_name_parse(&name, text, NULL, &err), PL_OK);
    const pl_status st = listing_choose(l, &name, is_guessing, &m, &err);
    if (first && st) fail_msg("%s: %s", text, err.text);
    if (first) assert_string_equal(m->first, first);
    if (!first && st != PL_E_PARAM) fail_msg("%s: chosen is %s", text, m->first);
    if (!first && !strstr(err.text, says))
        fail_msg("%s: \"%s\" does not say %s", text, err.text, says);
}

static void test_choice(void **state)
{
    (void)state;
    struct listing l = listing_of((const char *const[]){
        "m-q8_0.gguf", "m-q4_k_m-00002-of-00002.gguf", "m-q4_k_m-00001-of-00002.gguf",
        "m-fp16.gguf", "mmproj-m-f16.gguf", "m-Q8_0.imatrix.gguf", "README.md", "m-iq4_xs.gguf",
        "m-q4_k_s.gguf", NULL });
    assert_int_equal(l.n_models, 5);
    check_choice(&l, "a/b", true, "m-q4_k_m-00001-of-00002.gguf", NULL);
    check_choice(&l, "a/b", false, NULL, "Q4_K_M");
    check_choice(&l, "a/b:q4_K_m", true, "m-q4_k_m-00001-of-00002.gguf", NULL);
    check_choice(&l, "a/b:Q8_0", true, "m-q8_0.gguf", NULL);
    check_choice(&l, "a/b:F16", true, "m-fp16.gguf", NULL);
    check_choice(&l, "a/b:IQ4_XS", true, "m-iq4_xs.gguf", NULL);
    check_choice(&l, "a/b:Q4_XS", true, NULL, "there is none");
    check_choice(&l, "a/b:Q4_K", true, NULL, "IQ4_XS");
    check_choice(&l, "a/b:m-q8_0.gguf", true, "m-q8_0.gguf", NULL);
    check_choice(&l, "a/b:m-q4_k_m-00002-of-00002.gguf", true, "m-q4_k_m-00001-of-00002.gguf",
                 NULL);
    check_choice(&l, "a/b:mmproj-m-f16.gguf", true, NULL, "there is none");
    assert_string_equal(listing_suffix(&l, &l.models[0]), l.models[0].tag);
    listing_free(&l);
}

static void test_choice_without_a_tag(void **state)
{
    (void)state;
    struct listing l = listing_of((const char *const[]){ "m-q5_0.gguf", "m-q8_0.gguf", NULL });
    check_choice(&l, "a/b", true, "m-q8_0.gguf", NULL);
    listing_free(&l);
    l = listing_of((const char *const[]){ "m-q5_0.gguf", "m-q6_k.gguf", NULL });
    check_choice(&l, "a/b", true, NULL, "Q5_0, Q6_K");
    listing_free(&l);
    l = listing_of((const char *const[]){ "whatever.gguf", NULL });
    check_choice(&l, "a/b", true, "whatever.gguf", NULL);
    check_choice(&l, "a/b", false, "whatever.gguf", NULL);
    listing_free(&l);
    l = listing_of((const char *const[]){ "README.md", NULL });
    check_choice(&l, "a/b", true, NULL, "no GGUF");
    listing_free(&l);
}

static void test_ambiguous_tags(void **state)
{
    (void)state;
    struct listing l = listing_of((const char *const[]){
        "one-Q4_K_M.gguf", "sub/two-Q4_K_M.gguf", "one-UD-Q2_K_XL.gguf", "sub/x-Q8_0.gguf", NULL });
    check_choice(&l, "a/b:Q4_K_M", true, NULL, "more than one");
    check_choice(&l, "a/b", true, NULL, "one-Q4_K_M.gguf");
    check_choice(&l, "a/b:two-Q4_K_M.gguf", true, "sub/two-Q4_K_M.gguf", NULL);
    check_choice(&l, "a/b:Q2_K_XL", true, "one-UD-Q2_K_XL.gguf", NULL);
    for (size_t i = 0; i < l.n_models; i++)         /* each is called by a name of its own */
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(listing_suffix(&l, &l.models[i]),
                                    listing_suffix(&l, &l.models[j]));
    listing_free(&l);
}

/* ---- the hub's JSON ------------------------------------------------------------------------- */

static pl_status add(struct listing *l, const char *json, pl_err *err)
{
    return listing_add_page(l, json, strlen(json), err);
}

static void test_pages(void **state)
{
    (void)state;
    struct listing l = { 0 };
    pl_err err;
    assert_int_equal(add(&l, "[{\"type\":\"directory\",\"path\":\"x.gguf\",\"size\":0},"
        "{\"type\":\"file\",\"path\":\"d/b-Q8_0.gguf\",\"size\":135,\"oid\":\"f00\",\"lfs\":{"
        "\"oid\":\"0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\","
        "\"size\":5000000000}}]",
        &err), PL_OK);
    assert_int_equal(add(&l, "[{\"type\":\"file\",\"path\":\"a-Q4_0.gguf\",\"size\":7},"
        "{\"type\":\"file\",\"path\":\"../../etc/x.txt\",\"size\":7}]", &err), PL_OK);
    assert_int_equal(add(&l, "[]", &err), PL_OK);
    assert_int_equal(listing_group(&l, &err), PL_OK);
    assert_int_equal(l.n_models, 2);
    const struct listing_file *f = listing_find(&l, "d/b-Q8_0.gguf");
    assert_non_null(f);
    assert_true(f->n_bytes == 5000000000);
    assert_string_equal(f->sha256,
                        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    assert_string_equal(listing_find(&l, "a-Q4_0.gguf")->sha256, "");
    assert_null(listing_find(&l, "x.gguf"));
    listing_free(&l);
}

static void test_hostile_pages(void **state)
{
    (void)state;
    static const char *const pages[] = {
        "", "{}", "<html>", "[", "[{\"type\":\"file\"}]", "{\"error\":\"x\"}",
        "[{\"path\":\"../x.gguf\",\"size\":5}]", "[{\"path\":\"/etc/x.gguf\",\"size\":5}]",
        "[{\"path\":\"a/../../x.gguf\",\"size\":5}]", "[{\"path\":\"a//x.gguf\",\"size\":5}]",
        "[{\"path\":\".x.gguf\",\"size\":5}]", "[{\"path\":\"a\\\\x.gguf\",\"size\":5}]",
        "[{\"path\":\"a\\u001bx.gguf\",\"size\":5}]", "[{\"path\":\"x.gguf\"}]",
        "[{\"path\":\"x.gguf\",\"size\":-1}]", "[{\"path\":\"x.gguf\",\"size\":\"5\"}]",
        "[{\"path\":\"x.gguf\",\"size\":0}]", "[{\"path\":\"x.gguf\",\"size\":5,\"lfs\":{}}]",
    };
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        struct listing l = { 0 };
        pl_err err = { 0 };
        if (add(&l, pages[i], &err) != PL_E_FORMAT) fail_msg("accepted: %s", pages[i]);
        assert_true(strlen(err.text) > 10);
        listing_free(&l);
    }
}

static void test_doubles_and_missing_parts(void **state)
{
    (void)state;
    struct listing l = listing_of((const char *const[]){
        "m-Q4_0-00002-of-00003.gguf", "x.gguf", "x.gguf", "m-Q4_0-00003-of-00003.gguf", NULL });
    assert_int_equal(l.n_files, 3);
    assert_int_equal(l.n_models, 2);
    assert_string_equal(l.models[0].first, "m-Q4_0-00001-of-00003.gguf");
    assert_int_equal(l.models[0].n_parts, 3);
    assert_int_equal(l.models[0].n_there, 2);
    listing_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_choice_without_a_tag),
        cmocka_unit_test(test_ambiguous_tags),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_hostile_pages),
        cmocka_unit_test(test_doubles_and_missing_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

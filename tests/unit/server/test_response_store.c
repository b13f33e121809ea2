/* What is kept of responses: bounds, whose they are, and what is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/response_store.h"

enum { ANY_BYTES = 1 << 20 };

/* A response of one item in and one out, whose document has n bytes. */
static void put(struct response_store *s, uint32_t key, const char *id, size_t n)
{
    struct response_record r = { .key_number = key, .id = id, .n_input = 1 };
    char item[2][64];
    for (int i = 0; i < 2; i++) {
        snprintf(item[i], sizeof item[i], "{\"of\":\"%s\",\"n\":%d}", id, i);
        char name[32];
        snprintf(name, sizeof name, "%s_%d", id, i);
        item_list_add(&r.items, name, strlen(name), item[i], strlen(item[i]));
    }
    strbuf_add_str(&r.document, id);
    while (r.document.n < n) strbuf_add_str(&r.document, "x");
    response_store_put(s, &r);
    assert_null(r.document.bytes);
    assert_null(r.items.mark);
}

/* The part as text, or "none". */
static const char *got(struct response_store *s, uint32_t key, const char *id,
                       enum stored_part part)
{
    static char text[256];
    struct strbuf b = { 0 };
    const bool is_found = response_store_get(s, key, id, part, &b);
    snprintf(text, sizeof text, "%s", is_found ? b.bytes : "none");
    strbuf_free(&b);
    return text;
}

static const char *item_of(struct response_store *s, uint32_t key, const char *id)
{
    static char text[64];
    struct strbuf b = { 0 };
    const bool is_found = response_store_item(s, key, id, strlen(id), &b);
    snprintf(text, sizeof text, "%s", is_found ? b.bytes : "none");
    strbuf_free(&b);
    return text;
}

static void what_was_put_is_found(void **state)
{
    struct response_store s;
    (void)state;
    assert_true(response_store_open(&s, 4, ANY_BYTES));
    put(&s, 0, "a", 1);
    put(&s, 0, "b", 1);
    assert_string_equal(got(&s, 0, "a", STORED_DOCUMENT), "a");
    assert_string_equal(got(&s, 0, "b", STORED_INPUT), "[{\"of\":\"b\",\"n\":0}]");
    assert_string_equal(got(&s, 0, "b", STORED_CONVERSATION),
                        "[{\"of\":\"b\",\"n\":0},{\"of\":\"b\",\"n\":1}]");
    assert_string_equal(item_of(&s, 0, "a_1"), "{\"of\":\"a\",\"n\":1}");
    assert_string_equal(item_of(&s, 0, "a_2"), "none");
    assert_true(response_store_drop(&s, 0, "a"));
    assert_false(response_store_drop(&s, 0, "a"));
    assert_string_equal(got(&s, 0, "a", STORED_DOCUMENT), "none");
    assert_string_equal(item_of(&s, 0, "a_1"), "none");
    assert_string_equal(got(&s, 0, "b", STORED_DOCUMENT), "b");
    response_store_clear(&s);
    assert_int_equal(s.n + s.n_bytes, 0);
    assert_string_equal(got(&s, 0, "b", STORED_DOCUMENT), "none");
    put(&s, 0, "c", 1);
    response_store_close(&s);
}

/* I2 */
static void another_keys_are_not_there(void **state)
{
    struct response_store s;
    (void)state;
    assert_true(response_store_open(&s, 4, ANY_BYTES));
    put(&s, 1, "a", 1);
    for (uint32_t key = 0; key < 3; key++) {
        assert_string_equal(got(&s, key, "a", STORED_DOCUMENT), key == 1 ? "a" : "none");
        assert_string_equal(got(&s, key, "a", STORED_CONVERSATION),
                            key == 1 ? "[{\"of\":\"a\",\"n\":0},{\"of\":\"a\",\"n\":1}]" : "none");
        assert_string_equal(item_of(&s, key, "a_0"), key == 1 ? "{\"of\":\"a\",\"n\":0}" : "none");
    }
    assert_false(response_store_drop(&s, 2, "a"));
    assert_true(response_store_drop(&s, 1, "a"));
    response_store_close(&s);
}

/* I1: the oldest leave, whatever order things were asked for in. */
static void it_stays_within_its_bounds(void **state)
{
    struct response_store s;
    (void)state;
    assert_true(response_store_open(&s, 3, 10000));
    for (int i = 0; i < 50; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        put(&s, 0, id, i % 7 ? 100 : 5000);
        assert_true(s.n <= 3 && s.n >= 1 && s.n_bytes <= 10000 && s.n_bytes > 0);
        assert_string_not_equal(got(&s, 0, id, STORED_DOCUMENT), "none");
    }
    assert_string_equal(got(&s, 0, "r46", STORED_DOCUMENT), "none");
    const size_t n = s.n;
    put(&s, 0, "huge", 20000);
    assert_string_equal(got(&s, 0, "huge", STORED_DOCUMENT), "none");
    assert_int_equal(s.n, n);
    for (int i = 0; i < 50; i++) {
        char id[16];
        snprintf(id, sizeof id, "r%d", i);
        response_store_drop(&s, 0, id);
    }
    assert_int_equal(s.n + s.n_bytes, 0);
    assert_null(s.oldest);
    assert_null(s.newest);
    response_store_close(&s);
}

static void what_found_no_memory_is_not_kept(void **state)
{
    struct response_store s;
    (void)state;
    assert_true(response_store_open(&s, 3, ANY_BYTES));
    struct response_record r = { .id = "a", .document = { .failed = true } };
    response_store_put(&s, &r);
    r = (struct response_record){ .id = "b", .items = { .failed = true } };
    strbuf_add_str(&r.document, "b");
    response_store_put(&s, &r);
    assert_int_equal(s.n, 0);
    response_store_close(&s);
    response_store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found),
        cmocka_unit_test(another_keys_are_not_there),
        cmocka_unit_test(it_stays_within_its_bounds),
        cmocka_unit_test(what_found_no_memory_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

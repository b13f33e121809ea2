/* Stop strings: whatever pieces the text comes in, what comes out is the text up to the earliest
 * match, and nothing is kept longer than it could still become one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "engine/stop.h"

struct outcome {
    char text[4096];
    size_t n;
    int32_t index;
};

static struct stop_strings make(uint32_t n, const char *const *strings)
{
    struct stop_strings s = { .n = n };
    for (uint32_t i = 0; i < n; i++) {
        s.string[i] = strings[i];
        s.n_bytes[i] = (uint32_t)strlen(strings[i]);
    }
    return s;
}

static void add(struct outcome *o, const char *text, struct stop_result r)
{
    memcpy(o->text + o->n, text, r.n_released);
    o->n += r.n_released;
    o->index = r.stop_index;
}

/* Pushes pieces of random length; max_piece 0: all at once. */
static struct outcome run(struct stop_strings s, const char *text, struct rng *rng,
                          size_t max_piece)
{
    static char buffer[STOP_MAX_BYTES + 4096];
    struct outcome o = { .index = -1 };
    const size_t n = strlen(text);
    for (size_t i = 0, piece; i < n && o.index < 0; i += piece) {
        piece = max_piece ? rng_below(rng, max_piece + 1) : n;
        if (piece > n - i) piece = n - i;
        memcpy(buffer + STOP_MAX_BYTES, text + i, piece);
        const char *out;
        const struct stop_result r = stop_push(&s, buffer, piece, &out);
        add(&o, out, r);
    }
    if (o.index < 0) {
        const struct stop_result r = stop_finish(&s);
        add(&o, s.held, r);
    }
    return o;
}

/* The earliest match, the shortest of those that begin there. */
static struct outcome reference(const struct stop_strings *s, const char *text)
{
    struct outcome o = { .index = -1, .n = strlen(text) };
    for (size_t i = 0; text[i] && o.index < 0; i++)
        for (uint32_t j = 0; j < s->n; j++)
            if (!strncmp(text + i, s->string[j], s->n_bytes[j]) &&
                (o.index < 0 || s->n_bytes[j] < s->n_bytes[o.index])) {
                o.index = (int32_t)j;
                o.n = i;
            }
    memcpy(o.text, text, o.n);
    return o;
}

static void test_random_pieces(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 1);
    for (int round = 0; round < 20000; round++) {
        char text[64], strings[4][8];
        const char *list[4];
        const uint32_t n_text = (uint32_t)rng_below(&rng, 60), n = (uint32_t)rng_below(&rng, 5);
        for (uint32_t i = 0; i < n_text; i++) text[i] = (char)('a' + rng_below(&rng, 3));
        text[n_text] = 0;
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t length = 1 + (uint32_t)rng_below(&rng, 7);
            for (uint32_t j = 0; j < length; j++) strings[i][j] = (char)('a' + rng_below(&rng, 3));
            strings[i][length] = 0;
            list[i] = strings[i];
            for (uint32_t j = 0; j < i; j++)
                if (!strcmp(strings[j], strings[i])) strings[i][0] = 'z';   /* keep them apart */
        }
        const struct stop_strings s = make(n, list);
        const struct outcome want = reference(&s, text), got = run(s, text, &rng, round % 5);
        if (want.n != got.n || memcmp(want.text, got.text, got.n))
            fail_msg("round %d: \"%s\": %zu bytes released, %zu wanted", round, text, got.n,
                     want.n);
        if (want.index != got.index) fail_msg("round %d: index %d, want %d", round, got.index,
                                              want.index);
    }
}

static void test_releases_as_soon_as_it_can(void **state)
{
    (void)state;
    const char *list[] = { "</answer>", "\xe7\xbb\x93\xe6\x9d\x9f" };
    struct stop_strings s = make(2, list);
    char buffer[STOP_MAX_BYTES + 64];
    const char *out;
    memcpy(buffer + STOP_MAX_BYTES, "a < b", 5);
    struct stop_result r = stop_push(&s, buffer, 5, &out);
    assert_int_equal(r.n_released, 5);
    memcpy(buffer + STOP_MAX_BYTES, " </ans", 6);
    r = stop_push(&s, buffer, 6, &out);
    assert_int_equal(r.n_released, 1);
    memcpy(buffer + STOP_MAX_BYTES, "!", 1);    /* no match after all */
    r = stop_push(&s, buffer, 1, &out);
    assert_int_equal(r.n_released, 6);
    assert_memory_equal(out, "</ans!", 6);

    memcpy(buffer + STOP_MAX_BYTES, "x\xe7\xbb", 3); /* a character over two pieces */
    r = stop_push(&s, buffer, 3, &out);
    assert_int_equal(r.n_released, 1);
    memcpy(buffer + STOP_MAX_BYTES, "\x93\xe6\x9d\x9fmore", 8);
    r = stop_push(&s, buffer, 8, &out);
    assert_int_equal(r.n_released, 0);
    assert_int_equal(r.stop_index, 1);
}

static void test_longest_strings(void **state)
{
    (void)state;
    char longest[STOP_MAX_BYTES + 1], text[2 * STOP_MAX_BYTES + 1];
    memset(longest, 'x', STOP_MAX_BYTES);
    longest[STOP_MAX_BYTES] = 0;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    text[STOP_MAX_BYTES - 1] = 'y';
    const char *list[] = { longest };
    struct rng rng;
    rng_seed(&rng, 2);
    for (size_t piece = 0; piece < 9; piece++) {
        const struct outcome o = run(make(1, list), text, &rng, piece);
        assert_int_equal(o.index, 0);
        assert_int_equal(o.n, STOP_MAX_BYTES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_pieces),
        cmocka_unit_test(test_releases_as_soon_as_it_can),
        cmocka_unit_test(test_longest_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Opening a vocabulary and tokenizing, with the Nth allocation failing, for every N: the call says
 * PL_E_MEMORY, leaves nothing behind (the address sanitizer sees leaks) and no half result. The
 * linker puts the functions below in front of the allocator (--wrap). And what is still held of it
 * is what the vocabulary says to take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "check_tokens.h"

#define GUARD "\xef\xb7\x90"

/* What is allocated and not freed. */
enum { MAX_HELD = 4096 };
static struct {
    void *at;
    size_t n;
} held[MAX_HELD];

static long n_left; /* allocations up to the one that fails; 0: none does */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void __wrap_free(void *p);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool is_refused(void)
{
    return n_left > 0 && --n_left == 0;
}

static void *hold(void *p, size_t n)
{
    size_t i = 0;
    while (p && i < MAX_HELD && held[i].at) i++;
    if (p && i < MAX_HELD) {
        held[i].at = p;
        held[i].n = n;
    }
    return p;
}

static void let_go(const void *p)
{
    for (size_t i = 0; p && i < MAX_HELD; i++)
        if (held[i].at == p) held[i].at = NULL;
}

static size_t n_held(void)
{
    size_t n = 0;
    for (size_t i = 0; i < MAX_HELD; i++)
        if (held[i].at) n += held[i].n;
    return n;
}

void *__wrap_malloc(size_t n)
{
    return is_refused() ? NULL : hold(__real_malloc(n), n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_refused() ? NULL : hold(__real_calloc(n, size), n * size);
}

void *__wrap_realloc(void *p, size_t n)
{
    if (is_refused()) return NULL;
    let_go(p);
    return hold(__real_realloc(p, n), n);
}

void __wrap_free(void *p)
{
    let_go(p);
    __real_free(p);
}

typedef pl_status open_fn(const struct small_vocab *s, struct tokenizer **out, pl_err *err);

static pl_status open_and_encode(open_fn *open)
{
    const struct small_vocab s = {
        .pre = "qwen2",
        .adds_space = true,
        .token = { { "<e>", TOKEN_CONTROL, 0 },
                   { "ab", TOKEN_USER_DEFINED, -1 },
                   { "cd", TOKEN_NORMAL, -1 } },
        .merge = { "c d" },
    };
    char text[2000]; /* longer than what the lists hold at first */
    memset(text, 'c', sizeof text);
    memcpy(text, "<e>ab\xe2\x96\x81 " GUARD " cd", 15);

    pl_err err = { 0 };
    struct tokenizer *t = NULL;
    struct token_list list = { 0 };
    pl_status st = open(&s, &t, &err);
    if (!st) st = tokenizer_encode(t, text, sizeof text, true, GUARD, &list, &err);
    assert_true(st == PL_OK ? list.n > 1000 : list.n == 0);
    token_list_free(&list);
    tokenizer_close(t);
    return st;
}

/* The test's own writing of the file allocates too; what fails there is PL_E_IO. */
static void fail_each_allocation(open_fn *open)
{
    uint32_t n_memory = 0;
    for (long n = 1; n < 1000; n++) {
        n_left = n;
        const pl_status st = open_and_encode(open);
        n_left = 0;
        if (st == PL_OK) {
            assert_true(n_memory > 10);
            return;
        }
        assert_true(st == PL_E_MEMORY || st == PL_E_IO);
        n_memory += st == PL_E_MEMORY;
    }
    fail_msg("a thousand allocations and no end");
}

static void test_byte_level(void **state)
{
    (void)state;
    fail_each_allocation(open_byte_level);
}

static void test_sentencepiece(void **state)
{
    (void)state;
    fail_each_allocation(open_sentencepiece);
}

/* All but what the texts of the file take more room than their bytes. Of byte-level vocabularies
 * the patterns come on top, which PCRE2 allocates where nobody looks. */
static void test_what_is_said_is_taken(void **state)
{
    (void)state;
    static const struct small_vocab s = {
        .pre = "qwen2",
        .token = { { "<e>", TOKEN_CONTROL, 0 }, { "ab", TOKEN_USER_DEFINED, -1 },
                   { "cd", TOKEN_NORMAL, -1 } },
        .merge = { "c d" },
    };
    open_fn *const opens[] = { open_sentencepiece, open_byte_level };
    for (int i = 0; i < 2; i++) {
        struct tokenizer *t;
        pl_err err;
        const size_t before = n_held();
        assert_int_equal(opens[i](&s, &t, &err), PL_OK);
        const size_t taken = n_held() - before, said = tokenizer_n_bytes(t);
        if (i == 0) assert_in_range(said, taken - taken / 8, taken);
        else assert_true(said > taken - taken / 8);
        tokenizer_close(t);
        assert_int_equal(n_held(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_said_is_taken),
        cmocka_unit_test(test_byte_level),
        cmocka_unit_test(test_sentencepiece),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Memory of the engine: every allocation of pl_open may fail, and decoding allocates nothing. The
 * program puts itself in front of the C library's allocator, so it runs with glibc and without
 * sanitizers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "paceline.h"
#include "unit/engine/tiny_model.h"

#if defined __GLIBC__ && !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
#define HAS_OWN_ALLOCATOR 1

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

static _Atomic long n_allocations, fail_at = -1;

/* Counts; true: this one is to fail. */
static bool is_failing(void)
{
    return atomic_fetch_add(&n_allocations, 1) == atomic_load(&fail_at);
}

void *malloc(size_t n)
{
    return is_failing() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return is_failing() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return is_failing() ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return is_failing() ? NULL : __libc_memalign(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    void *p = is_failing() ? NULL : __libc_memalign(alignment, n);
    if (!p) return ENOMEM;
    *out = p;
    return 0;
}
#endif

static char model_path[64];
static const char *backend_name;    /* NULL: auto */

#ifdef HAS_OWN_ALLOCATOR
static pl_params params_of(void)
{
    return (pl_params){ .model_path = model_path, .backend = backend_name, .n_streams = 2,
                        .ctx_tokens = 2048, .n_threads = 2, .queue_requests = 8 };
}

static void every_allocation_may_fail(const char *pack_cache)
{
    pl_params params = params_of();
    params.pack_cache = pack_cache;
    long n_needed = 0;
    for (long i = 0;; i++) {
        pl_err err = { .text = "" };
        pl_engine *e = NULL;
        atomic_store(&n_allocations, 0);
        atomic_store(&fail_at, i);
        const pl_status st = pl_open(&e, &params, &err);
        const bool was_reached = atomic_load(&n_allocations) > i;
        atomic_store(&fail_at, -1);
        if (!st) {
            /* what is not needed may fail: the pre-tokenizer does without compiled patterns, and
             * the weights are packed in memory */
            pl_close(e);
            if (!was_reached) break;
            continue;
        }
        n_needed++;
        assert_null(e);
        if (st != PL_E_MEMORY) fail_msg("allocation %ld: status %d: %s", i, (int)st, err.text);
        assert_true(err.text[0] != 0);
    }
    if (n_needed < 30) fail_msg("only %ld allocations were needed", n_needed);
}
#endif

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
#ifdef HAS_OWN_ALLOCATOR
    every_allocation_may_fail(NULL);
#else
    skip();
#endif
}

/* With an empty pack cache, whose file is written at some time on the way, and with a full one. */
static void test_every_allocation_may_fail_with_a_pack_cache(void **state)
{
    (void)state;
#ifdef HAS_OWN_ALLOCATOR
    char folder[] = "/tmp/paceline-pack-XXXXXX", command[64];
    assert_non_null(mkdtemp(folder));
    every_allocation_may_fail(folder);
    every_allocation_may_fail(folder);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
#else
    skip();
#endif
}

static void test_decoding_allocates_nothing(void **state)
{
    (void)state;
#ifdef HAS_OWN_ALLOCATOR
    const pl_params params = params_of();
    pl_engine *e;
    pl_err err;
    if (pl_open(&e, &params, &err)) fail_msg("%s", err.text);
    const int32_t prompt[3] = { 1, 2, 3 };
    const char *stop = "surely never";
    pl_request r = { .tokens = prompt, .n_tokens = 3, .max_tokens = 600, .stop = &stop,
                     .n_stop = 1, .sampling = pl_sampling_default(), .ignore_eos = true,
                     .logprobs = true, .n_top_logprobs = 5 };
    r.sampling.top_p = 0.9f;
    r.sampling.typical_p = 0.9f;
    r.sampling.repetition_penalty = 1.1f;
    pl_event event = { .kind = PL_EVENT_ADMITTED };
    for (int round = 0; round < 2; round++) {
        pl_stream *s[3] = { NULL };
        const long before = atomic_load(&n_allocations);
        for (int i = 0; i < 3; i++)
            if (pl_submit(e, &r, &s[i], &err)) fail_msg("%s", err.text);
        for (int i = 0; i < 3; i++) {
            do {
                if (!pl_stream_next(s[i], &event)) pl_stream_wait(s[i], 1000);
            } while (event.kind != PL_EVENT_END);
            event.kind = PL_EVENT_ADMITTED;
            pl_stream_close(s[i]);
        }
        const long n = atomic_load(&n_allocations) - before;
        if (n) fail_msg("round %d: %ld allocations from submit to close", round, n);
    }
    pl_close(e);
#else
    skip();
#endif
}

static void test_the_exact_backend_does_the_same(void **state)
{
    backend_name = "exact";
    test_every_allocation_may_fail(state);
    test_decoding_allocates_nothing(state);
    backend_name = NULL;
}

static int write_model(void **state)
{
    (void)state;
    return !tiny_model_write(model_path, false);    /* Rust ends the process without memory */
}

static int remove_model(void **state)
{
    (void)state;
    return unlink(model_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_every_allocation_may_fail_with_a_pack_cache),
        cmocka_unit_test(test_decoding_allocates_nothing),
        cmocka_unit_test(test_the_exact_backend_does_the_same),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}

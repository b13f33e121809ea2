/* The self-test passes on the CPU backend with each instruction set's choice, and does not pass on
 * one with a planted fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu/backend_cpu.h"
#include "backend/self_model.h"
#include "backend/self_test.h"

struct seen {
    uint32_t n, n_failed;
    char failed[64];            /* the first that did */
};

static void see(void *arg, const char *what, bool is_ok, const char *text)
{
    struct seen *s = arg;
    s->n++;
    if (is_ok) return;
    if (!s->n_failed++) strncpy(s->failed, what, sizeof s->failed - 1);
    assert_true(strlen(text) > 0);
}

static void the_cpu_passes(void **state)
{
    (void)state;
    struct seen s = { 0 };
    pl_err err;
    if (backend_self_test(&backend_cpu, see, &s, &err)) fail_msg("%s: %s", err.text, s.failed);
    assert_true(s.n >= 29);
    assert_int_equal(s.n_failed, 0);
}

/* Queries three tenths too large. */
static void qkv_off_scale(struct backend *b, const struct qkv_weights *w,
                          const struct attention_params *a)
{
    static struct attention_params off[SELF_LAYERS];    /* lives until the step was submitted */
    static uint32_t n;
    struct attention_params *to = &off[n++ % SELF_LAYERS];
    *to = *a;
    to->q_scale *= 1.3f;
    backend_cpu.qkv(b, w, to);
}

/* A column's result depends on how many there are. */
static uint32_t n_cols;

static void begin_counting(struct backend *b, const struct batch *batch)
{
    n_cols = batch->n_cols;
    backend_cpu.begin(b, batch);
}

static void norm_by_count(struct backend *b, const struct norm *norm)
{
    static struct norm off;
    off = (struct norm){ norm->weight, norm->eps * 1.5f, norm->is_centred };
    backend_cpu.norm(b, n_cols == 17 ? &off : norm);
}

/* The machine fails a step. */
static pl_status submit_failing(struct backend *b, pl_err *err)
{
    backend_cpu.submit(b, err);
    return pl_fail(err, PL_E_INTERNAL, "planted");
}

static void a_fault_is_found(void **state)
{
    (void)state;
    struct backend_ops off_scale = backend_cpu, by_count = backend_cpu, failing = backend_cpu;
    struct seen s = { 0 };
    pl_err err;

    off_scale.qkv = qkv_off_scale;
    assert_int_equal(backend_self_test(&off_scale, see, &s, &err), PL_E_INTERNAL);
    assert_true(s.n_failed > 0);
    assert_non_null(strstr(err.text, "checks failed"));

    memset(&s, 0, sizeof s);
    by_count.begin = begin_counting;
    by_count.norm = norm_by_count;
    assert_int_equal(backend_self_test(&by_count, see, &s, &err), PL_E_INTERNAL);
    assert_string_equal(s.failed, "17 columns a step");

    memset(&s, 0, sizeof s);
    failing.submit = submit_failing;
    assert_int_equal(backend_self_test(&failing, see, &s, &err), PL_E_INTERNAL);
    assert_string_equal(err.text, "planted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cpu_passes),
        cmocka_unit_test(a_fault_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

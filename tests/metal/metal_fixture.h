/* An open Metal backend for tests of its parts, small enough for an emulated GPU. */
#ifndef TESTS_METAL_METAL_FIXTURE_H
#define TESTS_METAL_METAL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/metal/backend_metal.h"
#include "backend/metal/metal_internal.h"

/* The backend under test. */
static const struct backend_ops *fixture_ops = &backend_metal;

/* Which of a list of setups a run takes: all; of the emulated GPU's other orders of threads each
 * every second. */
static size_t fixture_first, fixture_step = 1;

#ifdef PACELINE_METAL_EMULATED
#include "mock/mock.h"
enum { FIXTURE_LAYOUTS = 2 };

/* How the emulated GPU goes about it, as the test's one argument says: "descending" or
 * "shuffled" order of threads; "tensors": an M5 by its tensor operations;
 * "fast-math", with which sums are near but not the same, so that
 * only tests of nearness run. */
static inline void fixture_choose(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "descending")) emu_set_order(EMU_DESCENDING, 0);
    if (!strcmp(how, "shuffled")) emu_set_order(EMU_SHUFFLED, 7);
    fixture_first = !strcmp(how, "shuffled");
    fixture_step = fixture_first || !strcmp(how, "descending") ? 2 : 1;
    if (!strcmp(how, "tensors")) {
        mock_set_tensors(true);
        fixture_ops = &backend_metal_tensors;
    }
    if (strcmp(how, "fast-math")) return;
    mock_set_build(EMU_FAST_MATH);
    cmocka_set_test_filter("*near_exact*");
}

/* Which elements a lane holds of a fragment: the GPU's own way, or another. */
static inline void fixture_set_layout(int layout)
{
    emu_set_layout(layout ? EMU_LAYOUT_OTHER : EMU_LAYOUT_APPLE);
}
#else
#include <stdio.h>
enum { FIXTURE_LAYOUTS = 1, EXIT_SKIPPED = 77 };

/* On a machine without a GPU that the kernels run on, as a virtual one, the test is skipped. */
static inline void fixture_choose(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    char name[64];
    pl_err err;
    if (!metal_device_reach(name, sizeof name, &err)) return;
    printf("skipped: %s\n", err.text);
    exit(EXIT_SKIPPED);
}
static inline void fixture_set_layout(int layout)
{
    (void)layout;
}
#endif

static inline struct metal_backend *fixture_open_as(const struct backend_params *params)
{
    struct backend *b;
    pl_err err;
    if (fixture_ops->open(&b, params, &err)) fail_msg("%s", err.text);
    assert_int_equal(((struct metal_backend *)b)->has_tensors, fixture_ops != &backend_metal);
    return (struct metal_backend *)b;
}

static inline struct metal_backend *fixture_open(void)
{
    const struct backend_params params = {
        .dims = { .d_model = 64, .d_head = 32, .d_ff = 64, .n_heads = 2, .n_kv_heads = 1,
                  .n_layers = 1, .n_vocab = 64 },
        .max_cols = 104, .max_outs = 8,
        .kv = { .n = 1, .group = { { .n_layers = 1, .n_pages = 4 } } }, .n_threads = 1,
    };
    return fixture_open_as(&params);
}

static inline void fixture_finish(struct metal_backend *b)
{
    pl_err err;
    metal_commit(b->device);
    if (metal_wait(b->device, NULL, &err)) fail_msg("%s", err.text);
}

static inline void fixture_close(struct metal_backend *b)
{
    backend_metal.close(&b->base);
}

#endif

/* The emulator's own tests: sound kernels give what plain C gives, in every order, both layouts and
 * all builds, without a report; each planted mistake is found, by the builds that can. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emulator.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define KERNELS "tests/metal/emulator/kernels/"

static const enum emu_build builds[] = { EMU_RUN, EMU_CHECKED, EMU_FAST_MATH,
                                        EMU_FAST_FUNCTIONS };
static const char *const build_names[] = { "run", "checked", "fast" };

/* ---- helpers -------------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s cannot be read", path);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

static struct emu_library *compile(const char *path, enum emu_build build)
{
    char *text = read_file(path), *log = NULL;
    struct emu_library *l = emu_compile(text, build, &log);
    if (!l) fail_msg("%s, %s: %s", path, build_names[build], log);
    free(text);
    return l;
}

static struct emu_dispatch dispatch_of(const struct emu_library *l, const char *name,
                                       uint32_t n_groups, uint32_t n_threads)
{
    struct emu_dispatch d = { .n_groups = { n_groups, 1, 1 }, .n_threads = { n_threads, 1, 1 } };
    d.kernel = emu_kernel_find(l, name);
    if (!d.kernel) fail_msg("no kernel %s", name);
    return d;
}

static void *bind(struct emu_dispatch *d, int index, uint64_t n_bytes)
{
    d->buffer[index].at = emu_memory_take(n_bytes);
    d->buffer[index].n_bytes = n_bytes;
    assert_non_null(d->buffer[index].at);
    return d->buffer[index].at;
}

static void release(struct emu_dispatch *d)
{
    for (int i = 0; i < EMU_MAX_BUFFERS; i++) emu_memory_give(d->buffer[i].at);
}

static void run(const struct emu_dispatch *d, const char *how)
{
    char text[1024] = "";
    if (!emu_run(d, text, sizeof text)) fail_msg("%s: %s", how, text);
}

static float number(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return (float)(*state >> 8) / (1 << 23) - 1;
}

static void near_to(const char *what, size_t i, double got, double wanted, double most)
{
    if (!(fabs(got - wanted) <= most))
        fail_msg("%s, element %zu: %.9g, wanted %.9g", what, i, got, wanted);
}

/* ---- sound kernels -------------------------------------------------------------------------- */

static void check_norm(const struct emu_library *l, const char *how)
{
    enum { N = 576, ROWS = 3 };
    struct emu_dispatch d = dispatch_of(l, "rms_norm", ROWS, 96);
    float *x = bind(&d, 0, ROWS * N * 4), *w = bind(&d, 1, N * 4), *out = bind(&d, 2, ROWS * N * 4);
    uint32_t state = 1;
    *(uint32_t *)bind(&d, 3, 4) = N;
    for (int i = 0; i < ROWS * N; i++) x[i] = number(&state);
    for (int i = 0; i < N; i++) w[i] = number(&state);
    run(&d, how);
    for (int row = 0; row < ROWS; row++) {
        double sum = 0;
        for (int i = 0; i < N; i++) sum += (double)x[row * N + i] * x[row * N + i];
        const double scale = 1 / sqrt(sum / N + 1e-5);
        for (int i = 0; i < N; i++)
            near_to(how, (size_t)i, out[row * N + i], x[row * N + i] * scale * w[i], 1e-6);
    }
    release(&d);
}

static void check_mat_vec(const struct emu_library *l, const char *how)
{
    enum { BLOCKS = 6, ROWS = 8, BLOCK_BYTES = 34 };
    for (int nr = 1; nr <= 4; nr += 3) {
        struct emu_dispatch d = dispatch_of(l, nr == 1 ? "mat_vec_1" : "mat_vec_4", ROWS / nr, 32);
        uint8_t *w = bind(&d, 0, ROWS * BLOCKS * BLOCK_BYTES);
        float *x = bind(&d, 1, BLOCKS * 32 * 4), *out = bind(&d, 2, ROWS * 4);
        uint32_t state = 2;
        *(uint32_t *)bind(&d, 3, 4) = BLOCKS;
        for (int b = 0; b < ROWS * BLOCKS; b++) {
            const _Float16 scale = (_Float16)(number(&state) / 64);
            memcpy(w + b * BLOCK_BYTES, &scale, 2);
            for (int i = 0; i < 32; i++)
                w[b * BLOCK_BYTES + 2 + i] = (uint8_t)(int8_t)(127 * number(&state));
        }
        for (int i = 0; i < BLOCKS * 32; i++) x[i] = number(&state);
        run(&d, how);
        for (int row = 0; row < ROWS; row++) {
            double sum = 0;
            for (int i = 0; i < BLOCKS * 32; i++) {
                const uint8_t *at = w + (row * BLOCKS + i / 32) * BLOCK_BYTES;
                _Float16 scale;
                memcpy(&scale, at, 2);
                sum += (double)scale * (int8_t)at[2 + i % 32] * x[i];
            }
            near_to(how, (size_t)row, out[row], sum, 1e-5);
        }
        release(&d);
    }
}

static void check_matmul(const struct emu_library *l, const char *how)
{
    enum { M = 45, N = 70, K = 76 };
    struct emu_dispatch d = dispatch_of(l, "matmul", (N + 31) / 32, 128);
    d.n_groups[1] = (M + 31) / 32;
    d.shared_bytes[0] = 1024;
    d.shared_bytes[1] = 4096;
    d.constants_set = 1 << 2;
    d.constant[2] = 1;
    _Float16 *a = bind(&d, 0, M * K * 2), *b = bind(&d, 1, K * N * 2);
    float *c = bind(&d, 2, M * N * 4);
    uint32_t state = 3;
    memcpy(bind(&d, 3, 12), (uint32_t[]){ M, N, K }, 12);
    for (int i = 0; i < M * K; i++) a[i] = (_Float16)number(&state);
    for (int i = 0; i < K * N; i++) b[i] = (_Float16)number(&state);
    run(&d, how);
    for (int i = 0; i < M * N; i++) {
        double sum = 0;
        for (int k = 0; k < K; k++) sum += (double)a[i / N * K + k] * (double)b[k * N + i % N];
        near_to(how, (size_t)i, c[i], 2 * sum, 2e-5);
    }
    release(&d);
}

static void check_lanes(const struct emu_library *l, const char *how)
{
    struct emu_dispatch d = dispatch_of(l, "lanes", 1, 32);
    float *x = bind(&d, 0, 128), *out = bind(&d, 1, 1024);
    uint32_t state = 4;
    double most = -2, before = 0, positive = 0;
    for (int i = 0; i < 32; i++) x[i] = number(&state);
    for (int i = 0; i < 32; i++) {
        most = fmax(most, x[i]);
        positive += x[i] > 0;
    }
    run(&d, how);
    for (int i = 0; i < 32; i++) {
        const float *quad = x + i / 4 * 4;
        const double wanted[] = { most, x[i ^ 5], x[i + 3 < 32 ? i + 3 : i], before, x[7], positive,
                                  quad[0] + quad[1] + quad[2] + quad[3], 0 };
        for (size_t f = 0; f < COUNT(wanted); f++)
            near_to(how, f * 32 + (size_t)i, out[f * 32 + (size_t)i], wanted[f], 1e-5);
        before += x[i];
    }
    release(&d);
}

static void check_functions(const struct emu_library *l, enum emu_build build, const char *how)
{
    struct emu_dispatch d = dispatch_of(l, "functions", 1, 32);
    float *x = bind(&d, 0, 128), *out = bind(&d, 1, 1024);
    for (int i = 0; i < 32; i++) x[i] = (float)(i - 16) * 0.3125f + 0.0625f;
    run(&d, how);
    for (int i = 0; i < 32; i++) {
        const float v = x[i];
        const double wanted[] = { exp2(v), tanh(v), fmin(fmax(rint(v), -2), 2),
                                  (double)v * v + v + 3 + 6,
                                  fabsf(v), ilogbf(v) + 127, 1, 1 + (v > 0 ? 1 : -1) };
        for (size_t f = 0; f < COUNT(wanted); f++)
            if (f != 6 || build != EMU_FAST_MATH)       /* there is no NaN in fast arithmetic */
                near_to(how, f * 32 + (size_t)i, out[f * 32 + (size_t)i], wanted[f],
                        1e-5 * fabs(wanted[f]) + 2e-3 * (f == 3));
    }
    release(&d);
}

static void check_shared_work(const struct emu_library *l, const char *how)
{
    struct emu_dispatch d = dispatch_of(l, "count", 40, 64);
    uint32_t *n = bind(&d, 0, 8), wanted = 0;
    for (uint32_t i = 0; i < 40 * 64; i++) wanted += i % 3;
    run(&d, how);
    assert_int_equal(n[0], wanted);
    assert_int_equal(n[1], 40 * 64 - 1);
    release(&d);

    d = dispatch_of(l, "pass_on", 1, 64);
    float *x = bind(&d, 0, 256);
    run(&d, how);
    for (int i = 0; i < 64; i++) assert_true(x[i] == (float)(63 - i));
    d.kernel = emu_kernel_find(l, "pass_on_in_simdgroup");
    run(&d, how);
    for (int i = 0; i < 64; i++) assert_true(x[i] == (float)(i ^ 31));
    release(&d);
}

static void sound_kernels_are_right_in_every_order_and_layout(void **state)
{
    (void)state;
    for (size_t b = 0; b < COUNT(builds); b++) {
        struct emu_library *l = compile(KERNELS "sound.metal", builds[b]);
        for (int order = EMU_ASCENDING; order <= EMU_SHUFFLED; order++)
            for (int layout = EMU_LAYOUT_APPLE; layout <= EMU_LAYOUT_OTHER; layout++) {
                char how[64];
                snprintf(how, sizeof how, "%s build, order %d, layout %d", build_names[b], order,
                         layout);
                emu_set_order((enum emu_order)order, 7);
                emu_set_layout((enum emu_layout)layout);
                emu_set_threads(layout ? 2 : 1);
                check_norm(l, how);
                check_mat_vec(l, how);
                check_matmul(l, how);
                check_lanes(l, how);
                check_functions(l, builds[b], how);
                check_shared_work(l, how);
            }
        emu_library_close(l);
    }
    emu_set_order(EMU_ASCENDING, 0);
    emu_set_layout(EMU_LAYOUT_APPLE);
    emu_set_threads(1);
}

/* ---- planted mistakes ----------------------------------------------------------------------- */

/* What the text of a build's report has; NULL: this build has none to give. */
static const struct plant {
    const char *kernel, *run, *checked, *also;
    uint32_t n_groups;
} plants[] = {
    { "missing_barrier", NULL, "race", "missing_barrier, line 1", 1 },
    { "missing_barrier_at_loop_end", NULL, "race", "line 2", 1 },
    { "reads_past_the_end", "past the end of buffer", "past the end of buffer", "line 32", 1 },
    { "writes_past_the_end", "out of bounds", "out of bounds", "line 40", 1 },
    { "writes_past_threadgroup_memory", "out of bounds", "past the end of threadgroup memory",
      "line 4", 1 },
    { "divergent_barrier", "24 returned", "24 returned", "threadgroup_barrier", 1 },
    { "divergent_sum", "16 returned", "16 returned", "simd_sum", 1 },
    { "different_functions", "divergent", "divergent", "simd_max", 1 },
    { "wrong_barrier", NULL, "no barrier for device memory", "wrote", 1 },
    { "barrier_of_the_simdgroup_only", NULL, "no barrier for threadgroup memory", "line 86", 1 },
    { "two_groups_write", NULL, "race", "of group 0", 2 },
    { "reads_what_a_group_writes", NULL, "race", "of group 0", 2 },
    { "atomic_and_plain", NULL, "race", "thread 5", 1 },
    { "unbound", "buffer(1) is not bound", "buffer(1) is not bound", "line", 1 },
    { "divides_by_zero", "divided by zero", "divided by zero", "line", 1 },
    { "declares_too_much", "32000 bytes are declared", "32000 bytes are declared", "more than", 1 },
};

static void check_plant(const struct emu_library *l, const struct plant *p, enum emu_build build)
{
    struct emu_dispatch d = dispatch_of(l, p->kernel, p->n_groups, 64);
    const char *wanted = build == EMU_CHECKED ? p->checked : p->run;
    char text[1024] = "";
    bind(&d, 0, p->n_groups * 64 * 4 - (strcmp(p->kernel, "two_groups_write") ? 0 : 256));
    if (emu_kernel_shared(d.kernel)) d.shared_bytes[0] = strstr(p->kernel, "past") ? 256 : 2048;
    const bool is_done = emu_run(&d, text, sizeof text);
    if (wanted && (is_done || !strstr(text, wanted) || !strstr(text, p->also)))
        fail_msg("%s, %s build: '%s' and '%s' are not in '%s'", p->kernel, build_names[build],
                 wanted, p->also, text);
    if (!wanted && !is_done) fail_msg("%s, %s build: %s", p->kernel, build_names[build], text);
    release(&d);
}

static void planted_mistakes_are_found(void **state)
{
    (void)state;
    for (size_t b = 0; b < 2; b++) {
        struct emu_library *l = compile(KERNELS "planted.metal", builds[b]);
        for (int order = EMU_ASCENDING; order <= EMU_SHUFFLED; order++) {
            emu_set_order((enum emu_order)order, 11);
            for (size_t i = 0; i < COUNT(plants); i++) check_plant(l, &plants[i], builds[b]);
        }
        emu_library_close(l);
    }
    emu_set_order(EMU_ASCENDING, 0);
}

/* What gives no report without the checker gives a wrong result in one order or another. */
static void a_missing_barrier_shows_in_the_result(void **state)
{
    (void)state;
    struct emu_library *l = compile(KERNELS "planted.metal", EMU_RUN);
    static const char *const names[] = { "missing_barrier", "reads_what_nobody_wrote" };
    for (size_t i = 0; i < COUNT(names); i++) {
        struct emu_dispatch d = dispatch_of(l, names[i], 1, 64);
        float *out = bind(&d, 0, 256);
        d.shared_bytes[0] = emu_kernel_shared(d.kernel) ? 256 : 0;
        run(&d, names[i]);
        assert_true(isnan(out[0]));
        release(&d);
    }
    emu_library_close(l);
}

/* More threads than the kernel says that it runs in. */
static void a_declared_limit_holds(void **state)
{
    (void)state;
    struct emu_library *l = compile(KERNELS "planted.metal", EMU_RUN);
    for (uint32_t n = 64; n <= 96; n += 32) {
        struct emu_dispatch d = dispatch_of(l, "has_a_limit", 1, n);
        char text[256];
        bind(&d, 0, 96 * sizeof(float));
        assert_int_equal(emu_kernel_max_threads(d.kernel), 64);
        assert_int_equal(emu_run(&d, text, sizeof text), n == 64);
        if (n > 64) assert_non_null(strstr(text, "96 threads in a threadgroup, 64 are possible"));
        release(&d);
    }
    emu_library_close(l);
}

static void dispatches_beyond_the_limits_are_refused(void **state)
{
    (void)state;
    struct emu_library *l = compile(KERNELS "sound.metal", EMU_RUN);
    struct emu_dispatch d = dispatch_of(l, "matmul", 1, 128);
    char text[256];
    assert_int_equal(emu_kernel_buffers(d.kernel), 15);
    assert_int_equal(emu_kernel_shared(d.kernel), 3);
    assert_false(emu_run(&d, text, sizeof text));
    assert_non_null(strstr(text, "threadgroup(0) is taken and has no length"));
    d.shared_bytes[0] = 32768;
    d.shared_bytes[1] = 16;
    assert_false(emu_run(&d, text, sizeof text));
    assert_non_null(strstr(text, "32784 bytes of threadgroup memory"));
    d.shared_bytes[0] = 40;
    assert_false(emu_run(&d, text, sizeof text));
    assert_non_null(strstr(text, "multiple of 16"));
    d.shared_bytes[0] = 1024;
    d.n_threads[1] = 9;
    assert_false(emu_run(&d, text, sizeof text));
    assert_non_null(strstr(text, "1152 threads"));
    d.n_threads[1] = 1;
    d.constants_set = 1;
    assert_false(emu_run(&d, text, sizeof text));
    assert_non_null(strstr(text, "function constant 0"));
    emu_library_close(l);
}

/* ---- what does not compile ------------------------------------------------------------------ */

#define START "#include <metal_stdlib>\nusing namespace metal;\n"
#define KERNEL(body) START "kernel void k(device float *x [[buffer(0)]],\n" \
                           "threadgroup float *y [[threadgroup(0)]],\n" \
                           "uint i [[thread_position_in_grid]])\n{\n" body "\n}\n"

static const struct {
    const char *source, *wanted;
} refused[] = {
    { START "kernel void k(device float *x [[buffer(0)]], uint i)\n{\n}\n", "needs an attribute" },
    { START "kernel void k(float *x [[buffer(0)]])\n{\n}\n", "kernels.metal:3: 'float *x'" },
    { START "static inline float f(\nconst float &x)\n{\nreturn x;\n}\n",
      "kernels.metal:4: 'const float &x'" },
    { KERNEL("float *p = 0;"), "kernels.metal:7: 'float *p" },
    { KERNEL("x[i] = *(float *)y;"), "kernels.metal:7: cast" },
    { KERNEL("device float *p = y;"), "kernels.metal:7:" },
    { KERNEL("x[i] = sinf(x[i]);"), "kernels.metal:7:" },
    { KERNEL("double d = 1;"), "'double': not in Metal" },
    { KERNEL("x[i] = float4(1, 2, 3).x;"), "more or fewer elements" },
    { KERNEL("x[i] = min(i, 3);"), "kernels.metal:7:" },
    { START "static const float t[2] = { 1, 2 };\nkernel void k(device float *x [[buffer(0)]])\n{\n"
      "x[0] = t[1];\n}\n", "must be in constant memory" },
    { START "kernel void k(device float *x [[buffer(0)]], device float *y [[buffer(0)]])\n{\n}\n",
      "taken twice" },
    { START "kernel void k(device float *x [[buffer(0)]], uint i [[position]])\n{\n}\n",
      "no attribute" },
};

static void what_metal_refuses_does_not_compile(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        char *log = NULL;
        struct emu_library *l = emu_compile(refused[i].source, EMU_RUN, &log);
        if (l || !log || !strstr(log, refused[i].wanted))
            fail_msg("source %zu: '%s' is not in '%s'", i, refused[i].wanted,
                     log ? log : "(compiled)");
        free(log);
    }
}

static void casts_between_spaces_are_found(void **state)
{
    (void)state;
    char *log = NULL;
    assert_false(emu_lint(KERNEL("y[i] = x[i];\nx[i] = *(device float *)y;"), &log));
    assert_non_null(strstr(log, "kernels.metal:8: a cast between address spaces"));
    free(log);
    assert_true(emu_lint(KERNEL("y[i] = x[i];\nx[i] = *(device const int *)x + y[i];"), &log));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_kernels_are_right_in_every_order_and_layout),
        cmocka_unit_test(planted_mistakes_are_found),
        cmocka_unit_test(a_declared_limit_holds),
        cmocka_unit_test(a_missing_barrier_shows_in_the_result),
        cmocka_unit_test(dispatches_beyond_the_limits_are_refused),
        cmocka_unit_test(what_metal_refuses_does_not_compile),
        cmocka_unit_test(casts_between_spaces_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

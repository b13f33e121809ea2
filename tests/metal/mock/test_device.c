/* device.m and commands.m on the mock: memory, kernels, order, errors, the kernels kept on disk;
 * and that the mock would have told of its misuse. */
#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../metal_fixture.h"

#include "backend/metal/keep_alive.h"
#include "base/clock.h"
#include "mock/mock.h"

static const char source[] =
    "#include <metal_stdlib>\n"
    "using namespace metal;\n"
    "constant int step [[function_constant(0)]];\n"
    "struct args { uint n; uint shift; };\n"
    "kernel void add(device int *x [[buffer(0)]], constant args &a [[buffer(1)]],\n"
    "                uint i [[thread_position_in_grid]])\n"
    "{\n"
    "    if (i < a.n) x[i] += step << a.shift;\n"
    "}\n"
    "kernel void twice(device int *x [[buffer(0)]], constant args &a [[buffer(1)]],\n"
    "                  uint i [[thread_position_in_grid]])\n"
    "{\n"
    "    if (i < a.n) x[i] *= 2;\n"
    "}\n"
    "kernel void of_dispatch(device int *x [[buffer(0)]], constant args &a [[buffer(1)]],\n"
    "                        threadgroup int *t [[threadgroup(0)]],\n"
    "                        uint i [[thread_position_in_grid]])\n"
    "{\n"
    "    t[i % 32] = x[i];\n"
    "    if (i < a.n) x[i] = t[i % 32] + 1;\n"
    "}\n"
    "kernel void of_kernel(device int *x [[buffer(0)]], constant args &a [[buffer(1)]],\n"
    "                      uint i [[thread_position_in_grid]])\n"
    "{\n"
    "    threadgroup int t[5000];\n"
    "    t[i % 32] = x[i];\n"
    "    if (i < a.n) x[i] = t[i % 32] + 1;\n"
    "}\n";

enum { N = 100 };

/* What a kernel's functions give: tanh where its fast form has none, exp where it has less. */
static const char functions[] =
    "#include <metal_stdlib>\n"
    "using namespace metal;\n"
    "kernel void f(device float *x [[buffer(0)]], constant uint &n [[buffer(1)]],\n"
    "              uint i [[thread_position_in_grid]])\n"
    "{\n"
    "    if (i < n) x[i] = tanh(x[i]);\n"
    "}\n";

struct args {
    uint32_t n, shift;
};

static struct metal_device *open_device(const char *dir)
{
    struct metal_device *d;
    pl_err err;
    if (metal_device_open(&d, source, dir, NULL, &err)) fail_msg("%s", err.text);
    return d;
}

static struct metal_buffer take(struct metal_device *d, uint64_t n_bytes)
{
    struct metal_buffer b;
    pl_err err;
    if (metal_buffer_take(d, n_bytes, "a test", &b, &err)) fail_msg("%s", err.text);
    if (metal_device_settle(d, &err)) fail_msg("%s", err.text);
    return b;
}

static struct metal_pipeline *get(struct metal_device *d, const char *name, int32_t constant)
{
    struct metal_pipeline *p;
    pl_err err;
    if (metal_pipeline_get(d, name, &constant, 1, &p, &err)) fail_msg("%s", err.text);
    return p;
}

static void dispatch(struct metal_device *d, const struct metal_pipeline *p,
                     const struct metal_buffer *x, uint32_t shift)
{
    const struct args args = { N, shift };
    const struct metal_dispatch what = {
        .pipeline = p, .buffer = { { x, 0 } }, .n_buffers = 1, .args = &args,
        .args_bytes = sizeof args, .n_groups = { (N + 31) / 32, 1, 1 }, .n_threads = 32,
    };
    metal_dispatch(d, &what);
}

static pl_status finish(struct metal_device *d, pl_err *err)
{
    uint64_t ns = 0;
    metal_commit(d);
    const pl_status st = metal_wait(d, &ns, err);
    if (!st) assert_true(ns > 0);
    return st;
}

static void work_is_done_in_order_when_waited_for(void **state)
{
    (void)state;
    pl_err err;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    const int32_t *values = x.bytes;

    assert_true(metal_device_facts(d)->is_emulated);
    metal_begin(d);
    for (int i = 0; i < 5; i++) {       /* (((0 + 3) * 2 + 3) * 2 ...: only in this order 186 */
        dispatch(d, get(d, "add", 3), &x, 0);
        metal_barrier(d);
        dispatch(d, get(d, "twice", 3), &x, 0);
        metal_barrier(d);
    }
    metal_commit(d);
    assert_int_equal(values[0], 0);     /* not before it is waited for */
    assert_int_equal(metal_wait(d, NULL, &err), PL_OK);
    for (int i = 0; i < N; i++) assert_int_equal(values[i], 186);
    assert_ptr_equal(get(d, "add", 3), get(d, "add", 3));
    assert_ptr_not_equal(get(d, "add", 3), get(d, "add", 4));
    metal_device_close(d);
    assert_int_equal(mock_n_objects(), 0);
}

/* Without the barrier some seed gives another result: it is the barriers that make the order. */
static void what_no_barrier_orders_is_shuffled(void **state)
{
    (void)state;
    bool differs = false;
    pl_err err;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    for (uint64_t seed = 1; seed < 20; seed++) {
        mock_set_shuffle(seed);
        memset(x.bytes, 0, x.n_bytes);
        metal_begin(d);
        dispatch(d, get(d, "add", 3), &x, 0);
        dispatch(d, get(d, "twice", 3), &x, 0);
        assert_int_equal(finish(d, &err), PL_OK);
        differs |= ((const int32_t *)x.bytes)[0] != 6;
    }
    assert_true(differs);
    metal_device_close(d);
}

static void a_failure_is_told_and_the_next_step_works(void **state)
{
    (void)state;
    pl_err err;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    for (uint32_t times = 1; times <= 2 * METAL_MAX_FAILURES;
         times++) { /* a new queue among them */
        const uint32_t n_queues = mock_n_queues();
        mock_fail_command(1, times);
        for (uint32_t i = 0; i < times; i++) {
            metal_begin(d);
            dispatch(d, get(d, "add", 1), &x, 0);
            metal_commit(d);
            assert_int_equal(metal_wait(d, NULL, &err), PL_E_INTERNAL);
            assert_non_null(strstr(err.text, "planted failure"));
        }
        assert_int_equal(mock_n_queues(), n_queues + times / METAL_MAX_FAILURES);
        memset(x.bytes, 0, x.n_bytes);
        metal_begin(d);
        dispatch(d, get(d, "add", 1), &x, 4);
        assert_int_equal(finish(d, &err), PL_OK);
        assert_int_equal(((const int32_t *)x.bytes)[N - 1], 16);
    }
    metal_device_close(d);
    assert_int_equal(mock_n_objects(), 0);
}

/* 16 KiB that one dispatch asks for do not count against the 20 KB that the next kernel declares.
 */
static void threadgroup_memory_is_each_dispatchs_own(void **state)
{
    (void)state;
    pl_err err;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, 128 * sizeof(int32_t));
    const struct args args = { N, 0 };
    struct metal_dispatch what = {
        .buffer = { { &x, 0 } }, .n_buffers = 1, .args = &args, .args_bytes = sizeof args,
        .n_groups = { 4, 1, 1 }, .n_threads = 32,
    };
    metal_begin(d);
    for (int i = 0; i < 4; i++) {
        what.pipeline = get(d, i % 2 ? "of_kernel" : "of_dispatch", 0);
        what.shared_bytes = i % 2 ? 0 : 16 << 10;
        metal_dispatch(d, &what);
        metal_barrier(d);
    }
    if (finish(d, &err)) fail_msg("%s", err.text);
    assert_int_equal(((const int32_t *)x.bytes)[N - 1], 4);
    metal_device_close(d);
}

/* ((x + 3) * 2 + 3) * 2 ..., a command buffer each, the next recorded while one is in flight. */
static bool is_right_when_two_are_in_flight(struct metal_device *d, const struct metal_buffer *x)
{
    enum { N_COMMANDS = 10 };
    const int32_t *values = x->bytes;
    pl_err err;
    memset(x->bytes, 0, x->n_bytes);
    for (int i = 0; i < N_COMMANDS; i++) {
        metal_begin(d);
        dispatch(d, get(d, i % 2 ? "twice" : "add", 3), x, 0);
        metal_commit(d);
        if (i) assert_int_equal(metal_wait(d, NULL, &err), PL_OK);
    }
    assert_int_equal(metal_wait(d, NULL, &err), PL_OK);
    for (int i = 0; i < N; i++)
        if (values[i] != 186) return false;
    return true;
}

static void what_is_in_flight_keeps_its_order(void **state)
{
    (void)state;
    bool differs = false;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    for (uint64_t seed = 1; seed < 20; seed++) {
        mock_set_shuffle(seed);
        assert_true(is_right_when_two_are_in_flight(d, &x));
        mock_set_deaf(true);        /* without waiting for events some seed gives another result */
        differs |= !is_right_when_two_are_in_flight(d, &x);
        mock_set_deaf(false);
    }
    assert_true(differs);
    metal_device_close(d);
    assert_int_equal(mock_n_objects(), 0);
}

/* Command buffer `failing` of two in flight; failed ones signal their events or do not. */
static void fail_one_of_two(struct metal_device *d, const struct metal_buffer *x, uint32_t failing)
{
    pl_err err;
    memset(x->bytes, 0, x->n_bytes);
    mock_fail_command(failing, 1);
    for (int i = 0; i < 2; i++) {
        metal_begin(d);
        dispatch(d, get(d, "add", 1), x, 0);
        metal_commit(d);
    }
    for (uint32_t i = 1; i <= 2; i++) {
        const pl_status st = metal_wait(d, NULL, &err);
        assert_int_equal(st, i < failing ? PL_OK : PL_E_INTERNAL);
        if (i == failing) assert_non_null(strstr(err.text, "planted failure"));
        if (i > failing) assert_non_null(strstr(err.text, "the step before"));
    }
    memset(x->bytes, 0, x->n_bytes);
    metal_begin(d);
    dispatch(d, get(d, "add", 5), x, 0);
    assert_int_equal(finish(d, &err), PL_OK);
    assert_int_equal(((const int32_t *)x->bytes)[N - 1], 5);
}

static void a_failure_spoils_what_is_in_flight_behind_it(void **state)
{
    (void)state;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    for (uint64_t seed = 1; seed < 20; seed++) {
        mock_set_shuffle(seed);
        mock_set_failed_signal(seed % 2);
        fail_one_of_two(d, &x, 1 + seed / 2 % 2);
    }
    mock_set_failed_signal(false);
    metal_begin(d);
    dispatch(d, get(d, "add", 5), &x, 0);
    metal_commit(d);
    metal_device_close(d);          /* waits for it */
    assert_int_equal(mock_n_objects(), 0);
}

/* More than a budget's worth of work of n dispatches, each of which counts as `n_macs`. */
static void dispatch_much(struct metal_device *d, const struct metal_buffer *x, int n,
                          uint64_t n_macs)
{
    const struct args args = { N, 0 };
    struct metal_dispatch what = {
        .buffer = { { x, 0 } }, .n_buffers = 1, .args = &args, .args_bytes = sizeof args,
        .n_groups = { (N + 31) / 32, 1, 1 }, .n_threads = 32, .n_macs = n_macs,
    };
    for (int i = 0; i < n; i++) {
        what.pipeline = get(d, i % 2 ? "twice" : "add", 3);
        metal_dispatch(d, &what);       /* no barrier: command buffers order them */
    }
}

static const uint64_t half_a_budget = 80000000000;     /* multiply-adds: 80 ms as is expected */

/* ((x + 3) * 2 + 3) * 2 ..., a command buffer each, though nobody asked for any. */
static void work_is_cut_where_it_would_take_too_long(void **state)
{
    (void)state;
    bool differs = false;
    pl_err err;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    const int32_t *values = x.bytes;
    for (uint64_t seed = 1; seed < 10; seed++) {
        mock_set_shuffle(seed);
        for (int is_deaf = 0; is_deaf < 2; is_deaf++) {
            const uint32_t n = mock_n_commands();
            mock_set_deaf(is_deaf);
            memset(x.bytes, 0, x.n_bytes);
            metal_begin(d);
            dispatch_much(d, &x, 10, half_a_budget);
            assert_int_equal(finish(d, &err), PL_OK);
            assert_int_equal(mock_n_commands() - n, 10);
            if (is_deaf) differs |= values[0] != 186;
            else assert_int_equal(values[0], 186);
        }
        mock_set_deaf(false);
    }
    assert_true(differs);
    const uint32_t n = mock_n_commands();
    metal_begin(d);
    dispatch_much(d, &x, 10, 1000);
    assert_int_equal(finish(d, &err), PL_OK);
    assert_int_equal(mock_n_commands() - n, 1);
    metal_device_close(d);
    assert_int_equal(mock_n_objects(), 0);
}

/* More command buffers than are kept at once, of two works in flight, one of which fails. */
static void one_part_of_many_fails(void **state)
{
    (void)state;
    enum { N_DISPATCHES = 100 };
    pl_err err;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    static const uint32_t failing[] = { 1, 60, 100, 101, 150, 200 };
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        mock_set_failed_signal(i % 2);
        mock_fail_command(failing[i], 1);
        for (int work = 0; work < 2; work++) {
            metal_begin(d);
            dispatch_much(d, &x, N_DISPATCHES, half_a_budget);
            metal_commit(d);
        }
        const bool is_first = failing[i] <= N_DISPATCHES;
        assert_int_equal(metal_wait(d, NULL, &err), is_first ? PL_E_INTERNAL : PL_OK);
        if (is_first) assert_non_null(strstr(err.text, "planted failure"));
        assert_int_equal(metal_wait(d, NULL, &err), PL_E_INTERNAL);
        assert_non_null(strstr(err.text, is_first ? "the step before" : "planted failure"));
        metal_begin(d);
        dispatch_much(d, &x, N_DISPATCHES, half_a_budget);
        assert_int_equal(finish(d, &err), PL_OK);
    }
    mock_set_failed_signal(false);
    metal_device_close(d);
    assert_int_equal(mock_n_objects(), 0);
}

/* What the system kills is told apart, and what comes after is cut finer. */
static void a_killed_command_buffer_halves_the_budget(void **state)
{
    (void)state;
    pl_err err;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    for (uint32_t n_kills = 0; n_kills < 3; n_kills++) {
        const uint32_t n = mock_n_commands();
        metal_begin(d);
        dispatch_much(d, &x, 16, half_a_budget / 8);
        assert_int_equal(finish(d, &err), PL_OK);
        assert_int_equal(mock_n_commands() - n, n_kills == 0 ? 2 : n_kills == 1 ? 3 : 6);
        mock_kill_command(1, 1);
        metal_begin(d);
        dispatch(d, get(d, "add", 1), &x, 0);
        metal_commit(d);
        assert_int_equal(metal_wait(d, NULL, &err), PL_E_INTERRUPTED);
        assert_non_null(strstr(err.text, "Impacting Interactivity"));
    }
    metal_device_close(d);
}

/* Asked for when it was settled, before work that comes after a pause, and while it is kept; on a
 * system without residency it is locked. */
static void work_finds_its_memory_resident(void **state)
{
    (void)state;
    pl_err err;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    const uint32_t n_waited = mock_n_waited();
    metal_begin(d);
    dispatch(d, get(d, "add", 1), &x, 0);
    assert_int_equal(finish(d, &err), PL_OK);
    assert_int_equal(mock_n_waited(), n_waited);
    mock_let_go();                      /* a device that nobody told to keep it */
    metal_begin(d);
    dispatch(d, get(d, "add", 1), &x, 0);
    assert_int_equal(finish(d, &err), PL_OK);
    assert_int_equal(mock_n_waited(), n_waited + 1);

    assert_int_equal(metal_device_keep(d, 0, &err), PL_OK);
    for (int i = 0; i < 2; i++) {       /* nobody asks meanwhile: the next work does */
        mock_let_go();
        const uint32_t n_asked = mock_n_asked();
        clock_sleep_ms(i ? KEEP_ALIVE_PERIOD_NS / 1000000 + 1 : 0);
        assert_int_equal(mock_n_asked(), n_asked);
        metal_begin(d);
        assert_int_equal(mock_n_asked(), n_asked + 1);
        dispatch(d, get(d, "add", 1), &x, 0);
        assert_int_equal(finish(d, &err), PL_OK);
        assert_int_equal(mock_n_waited(), n_waited + 1);
    }
    metal_device_close(d);
    assert_int_equal(mock_n_objects(), 0);
}

static void memory_is_asked_for_again_while_it_is_kept(void **state)
{
    (void)state;
    pl_err err;
    struct metal_device *d = open_device(NULL);
    take(d, N * sizeof(int32_t));
    assert_int_equal(metal_device_keep(d, 3600, &err), PL_OK);
    const uint32_t n_asked = mock_n_asked();
    while (mock_n_asked() < n_asked + 2) clock_sleep_ms(1);
    metal_device_close(d);
    assert_int_equal(mock_n_objects(), 0);
}

static uint64_t locked_kib(void)
{
    char line[128];
    unsigned long long n = 0;
    FILE *f = fopen("/proc/self/status", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) sscanf(line, "VmLck: %llu", &n);
    fclose(f);
    return n;
}

static void without_residency_memory_is_locked(void **state)
{
    (void)state;
    pl_err err;
    mock_set_macos_14(true);
    const uint64_t before = locked_kib();
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, 40 << 10);
    assert_true(locked_kib() >= before + 40);
    assert_int_equal(metal_device_keep(d, 3600, &err), PL_OK);
    metal_begin(d);
    dispatch(d, get(d, "add", 3), &x, 0);
    assert_int_equal(finish(d, &err), PL_OK);
    assert_int_equal(((const int32_t *)x.bytes)[N - 1], 3);
    metal_device_close(d);
    assert_int_equal(locked_kib(), before);
    mock_set_macos_14(false);
    assert_int_equal(mock_n_objects(), 0);
}

static void memory_beyond_the_gpus_is_refused(void **state)
{
    (void)state;
    struct metal_buffer b;
    pl_err err;
    mock_set_working_set(1 << 20);
    struct metal_device *d = open_device(NULL);
    take(d, 1 << 19);
    assert_int_equal(metal_buffer_take(d, (1 << 19) + 16, "KV pages", &b, &err), PL_E_MEMORY);
    assert_non_null(strstr(err.text, "iogpu.wired_limit_mb"));
    assert_non_null(strstr(err.text, "KV pages"));
    mock_set_working_set(0);
    metal_device_close(d);
    d = open_device(NULL);
    assert_int_equal(metal_buffer_take(d, 5ull << 30, "KV pages", &b, &err), PL_E_MEMORY);
    assert_non_null(strstr(err.text, "--ctx-size"));
    metal_device_close(d);
    assert_int_equal(mock_n_objects(), 0);
}

/* On every macOS; the fast tanh of 50 is not a number, as test_encoder.c shows. */
static void functions_are_the_precise_ones(void **state)
{
    (void)state;
    static const float from[] = { -88, -20, 0, 20, 50, 88 };
    enum { N_FROM = sizeof from / sizeof *from };
    for (int is_14 = 0; is_14 < 2; is_14++) {
        const uint32_t n = N_FROM;
        struct metal_device *d;
        struct metal_pipeline *p;
        pl_err err;
        mock_set_macos_14(is_14);
        if (metal_device_open(&d, functions, NULL, NULL, &err)) fail_msg("%s", err.text);
        const struct metal_buffer x = take(d, 32 * sizeof(float));
        if (metal_pipeline_get(d, "f", NULL, 0, &p, &err)) fail_msg("%s", err.text);
        memcpy(x.bytes, from, sizeof from);
        metal_begin(d);
        metal_dispatch(d, &(struct metal_dispatch){
            .pipeline = p, .buffer = { { &x, 0 } }, .n_buffers = 1, .args = &n,
            .args_bytes = sizeof n, .n_groups = { 1, 1, 1 }, .n_threads = 32 });
        if (finish(d, &err)) fail_msg("%s", err.text);
        for (int i = 0; i < N_FROM; i++)
            assert_true(((const float *)x.bytes)[i] == tanhf(from[i]));
        metal_device_close(d);
    }
    mock_set_macos_14(false);
    assert_int_equal(mock_n_objects(), 0);
}

/* In the list, by default, in both; and an M1 beside what a virtual machine has. */
static void a_gpu_is_reached_whichever_way_there_is(void **state)
{
    (void)state;
    char name[64];
    pl_err err;
    for (int ways = 1; ways < 4; ways++) {
        mock_set_devices(ways & 1, ways & 2, false);
        assert_int_equal(metal_device_reach(name, sizeof name, &err), PL_OK);
        assert_string_equal(name, "emulated GPU");
        metal_device_close(open_device(NULL));
        assert_int_equal(mock_n_objects(), 0);
    }
    mock_set_devices(true, true, false);
}

static void a_gpu_that_is_not_there_is_told(void **state)
{
    (void)state;
    static const struct {
        bool has_default, has_list;
        const char *text;
    } cases[] = { { false, false, "lists no GPU" }, { true, false, "Paravirtual" },
                  { false, true, "Paravirtual" }, { true, true, "M1 or later" } };
    struct metal_device *d;
    char name[64];
    pl_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mock_set_devices(cases[i].has_default, cases[i].has_list, true);
        assert_int_equal(metal_device_reach(name, sizeof name, &err), PL_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_int_equal(metal_device_open(&d, source, NULL, NULL, &err), PL_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_non_null(strstr(err.text, "use --backend cpu"));
        assert_int_equal(mock_n_objects(), 0);
    }
    mock_set_devices(true, true, false);
}

static void what_does_not_compile_is_told_in_full(void **state)
{
    (void)state;
    struct metal_device *d;
    struct metal_pipeline *p;
    char *log;
    pl_err err;
    static const char broken[] =
        "#include <metal_stdlib>\nkernel void f(device int *x [[buffer(0)]])\n"
        "{\n    x[0] = no_such_thing;\n    x[1] = nor_this;\n}\n";
    assert_int_equal(metal_device_open(&d, broken, NULL, &log, &err), PL_E_UNSUPPORTED);
    assert_null(d);
    assert_non_null(strstr(log, "no_such_thing"));
    assert_non_null(strstr(log, "nor_this"));
    free(log);
    d = open_device(NULL);
    assert_int_equal(metal_pipeline_get(d, "no_such_kernel", NULL, 0, &p, &err), PL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no_such_kernel"));
    metal_device_close(d);
    assert_int_equal(mock_n_objects(), 0);
}

struct said {
    char text[1024];
};

static void hear(void *arg, pl_log_level level, const char *subsystem, const char *line)
{
    struct said *s = arg;
    if (level != PL_LOG_DEBUG || strcmp(subsystem, "metal")) return;
    snprintf(s->text + strlen(s->text), sizeof s->text - strlen(s->text), "%s\n", line);
}

/* What a report has of kernels that compile: each line of the compiler's, and their limits. */
static void warnings_and_limits_are_logged(void **state)
{
    (void)state;
    struct said said = { "" };
    struct metal_pipeline *p;
    pl_err err;
    mock_set_warnings("program_source:3: warning: one\nprogram_source:9: warning: two");
    pl_set_log(hear, &said, PL_LOG_DEBUG);
    struct metal_device *d = open_device(NULL);
    assert_int_equal(metal_pipeline_get(d, "add", NULL, 0, &p, &err), PL_OK);
    assert_int_equal(metal_pipeline_get(d, "add", NULL, 0, &p, &err), PL_OK);
    metal_device_close(d);
    pl_set_log(NULL, NULL, PL_LOG_ERROR);
    mock_set_warnings(NULL);
    assert_string_equal(said.text, "compiler: program_source:3: warning: one\n"
                                   "compiler: program_source:9: warning: two\n"
                                   "kernel add threads=1024 width=32 static_bytes=0\n");
    assert_int_equal(mock_n_objects(), 0);
}

/* Beside each other: those that are there once, those that are not left to metal_pipeline_get. */
static void kernels_are_made_on_threads(void **state)
{
    (void)state;
    static const char names[][METAL_MAX_NAME] = { "add", "no_such_kernel", "add", "twice" };
    struct thread_pool *pool;
    struct metal_pipeline *first, *again;
    struct said said = { "" };
    pl_err err;
    if (thread_pool_open(&pool, 3, &err)) fail_msg("%s", err.text);
    struct metal_device *d = open_device(NULL);
    assert_int_equal(metal_pipeline_get(d, "add", NULL, 0, &first, &err), PL_OK);
    pl_set_log(hear, &said, PL_LOG_DEBUG);
    metal_pipelines_make(d, pool, names, 4);
    assert_int_equal(metal_pipeline_get(d, "add", NULL, 0, &again, &err), PL_OK);
    assert_ptr_equal(again, first);
    assert_int_equal(metal_pipeline_get(d, "no_such_kernel", NULL, 0, &again, &err),
                     PL_E_UNSUPPORTED);
    pl_set_log(NULL, NULL, PL_LOG_ERROR);
    assert_null(strstr(said.text, "kernel add"));
    assert_non_null(strstr(said.text, "kernel twice threads="));
    metal_device_close(d);
    thread_pool_close(pool);
    assert_int_equal(mock_n_objects(), 0);
}

static void compiled_kernels_are_kept_and_damage_is_survived(void **state)
{
    (void)state;
    char dir[] = "/tmp/paceline-metal-XXXXXX", command[128], path[256] = "";
    assert_non_null(mkdtemp(dir));
    for (int round = 0; round < 3; round++) {
        struct metal_device *d = open_device(dir);
        get(d, "add", 2);
        take(d, 16);
        metal_device_close(d);
        snprintf(command, sizeof command, "ls %s/*", dir);
        FILE *list = popen(command, "r");
        assert_non_null(fgets(path, sizeof path, list));
        path[strcspn(path, "\n")] = 0;
        char more[256];
        assert_null(fgets(more, sizeof more, list));    /* one file, and no half of one */
        pclose(list);
        FILE *f = fopen(path, "r+");
        char head[13] = "";
        assert_int_equal(fread(head, 1, 12, f), 12);
        assert_string_equal(head, "mock archive");
        rewind(f);
        if (round == 1) fputs("damaged", f);
        fclose(f);
    }
    unlink(path);
    rmdir(dir);
    assert_int_equal(mock_n_objects(), 0);
}

/* A start that finds all its kernels leaves the file as it is; one with another kernel adds it. */
static void only_kernels_that_were_missing_are_written(void **state)
{
    (void)state;
    char dir[] = "/tmp/paceline-metal-XXXXXX", command[128];
    struct stat now;
    assert_non_null(mkdtemp(dir));
    ino_t before = 0;
    for (int round = 0; round < 4; round++) {
        struct metal_device *d = open_device(dir);
        get(d, "add", round / 2);               /* 0, 0, 1, 1 */
        take(d, 16);
        metal_device_close(d);
        glob_t found;
        snprintf(command, sizeof command, "%s/*", dir);
        assert_int_equal(glob(command, 0, NULL, &found), 0);
        assert_int_equal(found.gl_pathc, 1);
        assert_int_equal(stat(found.gl_pathv[0], &now), 0);
        assert_int_equal(now.st_ino == before, round % 2);
        before = now.st_ino;
        if (round == 3) unlink(found.gl_pathv[0]);
        globfree(&found);
    }
    rmdir(dir);
    assert_int_equal(mock_n_objects(), 0);
}

/* ---- the mock's own: each misuse is found --------------------------------------------------- */

static void check_refused(struct metal_device *d, const struct metal_dispatch *what,
                          const char *text)
{
    pl_err err;
    metal_begin(d);
    metal_dispatch(d, what);
    metal_commit(d);
    assert_int_equal(metal_wait(d, NULL, &err), PL_E_INTERNAL);
    if (!strstr(err.text, text)) fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

static void misuse_is_found(void **state)
{
    (void)state;
    pl_err err;
    struct metal_device *d = open_device(NULL);
    const struct metal_buffer x = take(d, N * sizeof(int32_t));
    struct metal_buffer unsettled;
    const struct args args = { N, 0 };
    const struct metal_dispatch right = {
        .pipeline = get(d, "add", 1), .buffer = { { &x, 0 } }, .n_buffers = 1, .args = &args,
        .args_bytes = sizeof args, .n_groups = { 4, 1, 1 }, .n_threads = 32,
    };
    struct metal_dispatch wrong = right;
    wrong.buffer[0].offset = 2;
    check_refused(d, &wrong, "multiple of 4");
    wrong = right;
    wrong.buffer[0].offset = x.n_bytes;
    check_refused(d, &wrong, "beyond its buffer");
    wrong = right;
    wrong.n_groups[1] = 0;
    check_refused(d, &wrong, "empty grid");
    wrong = right;
    wrong.n_threads = 2048;
    check_refused(d, &wrong, "more threads");
    wrong = right;
    wrong.n_threads = 40;
    check_refused(d, &wrong, "multiple of a simdgroup");
    wrong = right;
    wrong.shared_bytes = 24;
    check_refused(d, &wrong, "multiple of 16");
    assert_int_equal(metal_buffer_take(d, 64, "a test", &unsettled, &err), PL_OK);
    wrong = right;
    wrong.buffer[0].buffer = &unsettled;
    check_refused(d, &wrong, "residency set");
    metal_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_done_in_order_when_waited_for),
        cmocka_unit_test(what_no_barrier_orders_is_shuffled),
        cmocka_unit_test(a_failure_is_told_and_the_next_step_works),
        cmocka_unit_test(threadgroup_memory_is_each_dispatchs_own),
        cmocka_unit_test(what_is_in_flight_keeps_its_order),
        cmocka_unit_test(a_failure_spoils_what_is_in_flight_behind_it),
        cmocka_unit_test(work_is_cut_where_it_would_take_too_long),
        cmocka_unit_test(one_part_of_many_fails),
        cmocka_unit_test(a_killed_command_buffer_halves_the_budget),
        cmocka_unit_test(work_finds_its_memory_resident),
        cmocka_unit_test(memory_is_asked_for_again_while_it_is_kept),
        cmocka_unit_test(without_residency_memory_is_locked),
        cmocka_unit_test(memory_beyond_the_gpus_is_refused),
        cmocka_unit_test(functions_are_the_precise_ones),
        cmocka_unit_test(a_gpu_is_reached_whichever_way_there_is),
        cmocka_unit_test(a_gpu_that_is_not_there_is_told),
        cmocka_unit_test(what_does_not_compile_is_told_in_full),
        cmocka_unit_test(warnings_and_limits_are_logged),
        cmocka_unit_test(kernels_are_made_on_threads),
        cmocka_unit_test(compiled_kernels_are_kept_and_damage_is_survived),
        cmocka_unit_test(only_kernels_that_were_missing_are_written),
        cmocka_unit_test(misuse_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

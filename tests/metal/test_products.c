/* Products of the Metal backend on the GPU that the build has: every file type and column count
 * against sums in double precision, and a column's bytes against those it gets alone. */
#include "../kernels/file_types.h"

#include "metal_fixture.h"

enum { MAX_COLS = 128, N_ROWS = 40, LD_OUT = 64 };

struct bench {
    struct metal_backend *b;
    struct metal_buffer in, out, act, gate_rows;
    uint32_t n_k;
    float x[MAX_COLS][512];     /* as the kernels see it: halves */
};

static const uint32_t column_counts[] = { 1,  2,  3,  7,  8,  9,  16, 17, 20, 24, 25,
                                          33, 40, 41, 48, 57, 64, 65, 100 };

/* Column c's values in place `at`. */
static void put_column(struct bench *t, uint32_t at, uint32_t c)
{
    for (uint32_t k = 0; k < t->n_k; k++)
        ((uint16_t *)t->in.bytes)[fragment_half_at(at, k, t->n_k)] = f16_of_f32(t->x[c][k]);
}

static void open_bench(struct bench *t, uint32_t n_k, struct rng *r)
{
    pl_err err;
    t->n_k = n_k;
    t->b = fixture_open();
    if (metal_buffer_take(t->b->device, (uint64_t)MAX_COLS * n_k * 2, "in", &t->in, &err) ||
        metal_buffer_take(t->b->device, MAX_COLS * LD_OUT * 4, "out", &t->out, &err) ||
        metal_buffer_take(t->b->device, MAX_COLS * LD_OUT * 2, "act", &t->act, &err) ||
        metal_buffer_take(t->b->device, MAX_COLS * LD_OUT * 4, "gate", &t->gate_rows, &err))
        fail_msg("%s", err.text);
    for (uint32_t c = 0; c < MAX_COLS; c++) {
        for (uint32_t k = 0; k < n_k; k++) t->x[c][k] = f32_of_f16(f16_of_f32(random_normal(r)));
        put_column(t, c, c);
    }
}

static struct matrix *load(struct bench *t, const struct file_type *type, const uint8_t *rows)
{
    const struct weight_view view = { "weight", type->type, N_ROWS, t->n_k, rows };
    struct matrix *m = NULL;
    pl_err err;
    if (backend_metal.load_matrix(&t->b->base, &view, &m, &err) ||
        metal_device_settle(t->b->device, &err))
        fail_msg("%s: %s", type->name, err.text);
    return m;
}

static void run(struct bench *t, struct product p)
{
    p.in = &t->in;
    p.ld_in = t->n_k;
    p.ld_out = LD_OUT;
    metal_begin(t->b->device);
    metal_product(t->b, &p);
    fixture_finish(t->b);
}

/* Sum of weight times column, and of their sizes. */
static void exact(const struct bench *t, const struct file_type *type, const uint8_t *rows,
                  uint32_t row, uint32_t col, double *sum, double *size)
{
    float w[512];
    quant_dequantise(type->type, rows + row * quant_row_bytes(type->type, t->n_k), w, t->n_k);
    *sum = *size = 0;
    for (uint32_t k = 0; k < t->n_k; k++) {
        *sum += (double)w[k] * t->x[col][k];
        *size += fabs((double)w[k] * t->x[col][k]);
    }
}

/* A weight is rounded to a half: 2^-11 of it at most, and with a minimum of what it is the
 * difference of; sums of halves are exact to a few 2^-24. */
static const double max_error = 1.0 / 2048;

/* are_compared: bits among others with those alone; else with sums in double precision. */
static void check_type(struct bench *t, const struct file_type *type, struct rng *r,
                       bool are_compared)
{
    uint8_t *rows = random_rows(r, type, N_ROWS, t->n_k, FILL_RANDOM);
    const struct matrix *m = load(t, type, rows);
    float alone[MAX_COLS][N_ROWS];

    for (uint32_t c = 0; c < MAX_COLS; c++) {       /* column c in place 0, alone */
        put_column(t, 0, c);
        run(t, (struct product){ .matrix = m, .out = &t->out, .n_cols = 1, .scale = 1 });
        put_column(t, 0, 0);
        memcpy(alone[c], t->out.bytes, sizeof alone[c]);
        for (uint32_t row = 0; row < N_ROWS && !are_compared; row++) {
            double sum, size;
            exact(t, type, rows, row, c, &sum, &size);
            if (!(fabs(alone[c][row] - sum) <= max_error * size))
                fail_msg("%s n_k=%u row %u column %u: %.9g, exact %.9g, size %.9g", type->name,
                         t->n_k, row, c, (double)alone[c][row], sum, size);
        }
        if (c == 3) c = 96;     /* a few of the first, and of the last block */
    }
    for (size_t i = 0; i < COUNT(column_counts); i++) {
        const uint32_t n = column_counts[i];
        memset(t->out.bytes, 0xff, t->out.n_bytes);
        run(t, (struct product){ .matrix = m, .out = &t->out, .n_cols = n, .scale = 1 });
        for (uint32_t c = 0; c < n; c++) {
            const float *got = (const float *)t->out.bytes + c * LD_OUT;
            for (uint32_t row = 0; row < N_ROWS && are_compared && (c < 4 || c >= 97); row++)
                if (memcmp(&got[row], &alone[c][row], sizeof *got))
                    fail_msg("%s n_k=%u: row %u column %u is %.9g among %u, %.9g alone", type->name,
                             t->n_k, row, c, (double)got[row], n, (double)alone[c][row]);
            for (uint32_t row = 0; row < N_ROWS && !are_compared; row += 13) {
                double sum, size;
                exact(t, type, rows, row, c, &sum, &size);
                if (!(fabs(got[row] - sum) <= max_error * size))
                    fail_msg("%s n_k=%u row %u column %u of %u: %.9g, exact %.9g", type->name,
                             t->n_k, row, c, n, (double)got[row], sum);
            }
            for (uint32_t row = N_ROWS; row < LD_OUT; row++)    /* rows that do not exist */
                assert_true(got[row] == 0);
        }
    }
    free(rows);
}

static void check_types(bool are_compared)
{
    static const uint32_t n_k[] = { 32, 96, 512 };

    for (int layout = 0; layout < FIXTURE_LAYOUTS; layout++)
        for (size_t i = 0; i < COUNT(n_k); i++) {
            struct bench *t = malloc(sizeof *t);
            struct rng r;
            assert_non_null(t);
            rng_seed(&r, 5 + i);
            fixture_set_layout(layout);
            open_bench(t, n_k[i], &r);
            for (size_t k = 0; k < COUNT(file_types); k++)
                if (n_k[i] % file_types[k].block_weights == 0)
                    check_type(t, &file_types[k], &r, are_compared);
            fixture_close(t->b);
            free(t);
        }
    fixture_set_layout(0);
}

static void products_are_near_exact(void **state)
{
    (void)state;
    check_types(false);
}

static void a_column_gets_the_same_bits_as_alone(void **state)
{
    (void)state;
    check_types(true);
}

static double activated(enum activation activation, double x)
{
    if (activation == ACTIVATION_SILU) return x / (1 + exp(-x));
    return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

static void check_gated(struct bench *t, const struct product *p, enum activation activation,
                        const float *gate, const float *up)
{
    run(t, *p);
    for (uint32_t c = 0; c < p->n_cols; c++)
        for (uint32_t row = 0; row < N_ROWS; row++) {
            const double want = activated(activation, gate[c * LD_OUT + row]) *
                                up[c * LD_OUT + row] * ACT_SCALE;
            const uint16_t *act = t->act.bytes;
            const float got = f32_of_f16(act[fragment_half_at(c, row, LD_OUT)]);
            if (!(fabs(got - want) <= fabs(want) / 1024 + 1e-7))
                fail_msg("epilogue %u, activation %d, row %u column %u: %.9g, wanted %.9g",
                         p->epilogue, activation, row, c, (double)got, want);
        }
}

/* What is added, scaled and gated, from the plain products of the same matrices. */
static void epilogues_do_what_they_say(void **state)
{
    (void)state;
    enum { N_COLS = 21 };
    struct bench *t = malloc(sizeof *t);
    struct rng r;
    float gate[N_COLS * LD_OUT], up[N_COLS * LD_OUT], old[N_COLS * LD_OUT];

    assert_non_null(t);
    rng_seed(&r, 3);
    open_bench(t, 256, &r);
    uint8_t *gate_weights = random_rows(&r, &file_types[0], N_ROWS, 256, FILL_RANDOM);
    uint8_t *up_weights = random_rows(&r, &file_types[0], N_ROWS, 256, FILL_RANDOM);
    const struct matrix *g = load(t, &file_types[0], gate_weights);
    const struct matrix *u = load(t, &file_types[0], up_weights);
    struct product p = { .matrix = g, .out = &t->out, .n_cols = N_COLS, .scale = 1 };

    run(t, p);
    memcpy(gate, t->out.bytes, sizeof gate);
    p.matrix = u;
    run(t, p);
    memcpy(up, t->out.bytes, sizeof up);

    for (uint32_t i = 0; i < N_COLS * LD_OUT; i++) old[i] = random_normal(&r);
    memcpy(t->out.bytes, old, sizeof old);
    p.epilogue = EPILOGUE_ADD;
    p.scale = 4;
    run(t, p);
    for (uint32_t i = 0; i < N_COLS * LD_OUT; i++)
        assert_true(((const float *)t->out.bytes)[i] == old[i] + 4 * up[i]);

    for (int activation = 0; activation < 2; activation++) {
        struct product gated = {
            .matrix = u, .gate = g, .out = &t->act, .n_cols = N_COLS, .scale = ACT_SCALE,
            .epilogue = EPILOGUE_GATED, .activation = (uint32_t)activation,
        };
        check_gated(t, &gated, (enum activation)activation, gate, up);
        memcpy(t->gate_rows.bytes, gate, sizeof gate);
        gated.gate = NULL;
        gated.gate_rows = &t->gate_rows;
        gated.epilogue = EPILOGUE_TIMES_GATE;
        memset(t->act.bytes, 0, t->act.n_bytes);
        check_gated(t, &gated, (enum activation)activation, gate, up);
    }
    free(gate_weights);
    free(up_weights);
    fixture_close(t->b);
    free(t);
}

/* Where e^x and e^-x leave a float, and where a tanh by way of them does. */
static void gates_of_every_size_are_near_exact(void **state)
{
    (void)state;
    static const float size[] = { 0, 0.1f, 3, 10.1f, 20, 44, 45, 88, 89, 1000 };
    enum { N_COLS = 2 * COUNT(size) };
    struct bench *t = malloc(sizeof *t);
    struct rng r;
    float gate[N_COLS * LD_OUT], up[N_COLS * LD_OUT];

    assert_non_null(t);
    rng_seed(&r, 4);
    open_bench(t, 256, &r);
    uint8_t *weights = random_rows(&r, &file_types[0], N_ROWS, 256, FILL_RANDOM);
    struct product p = { .matrix = load(t, &file_types[0], weights), .out = &t->out,
                         .n_cols = N_COLS, .scale = 1 };
    run(t, p);
    memcpy(up, t->out.bytes, sizeof up);
    for (uint32_t i = 0; i < N_COLS * LD_OUT; i++)
        gate[i] = (i / LD_OUT % 2 ? -1 : 1) * size[i / LD_OUT / 2];
    memcpy(t->gate_rows.bytes, gate, sizeof gate);
    p.out = &t->act;
    p.scale = ACT_SCALE;
    p.gate_rows = &t->gate_rows;
    p.epilogue = EPILOGUE_TIMES_GATE;
    for (int activation = 0; activation < 2; activation++) {
        p.activation = (uint32_t)activation;
        check_gated(t, &p, (enum activation)activation, gate, up);
    }
    free(weights);
    fixture_close(t->b);
    free(t);
}

int main(int argc, char **argv)
{
    fixture_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_near_exact),
        cmocka_unit_test(a_column_gets_the_same_bits_as_alone),
        cmocka_unit_test(epilogues_do_what_they_say),
        cmocka_unit_test(gates_of_every_size_are_near_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

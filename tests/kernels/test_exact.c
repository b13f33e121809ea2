/* The exact backend: the law of backend.h, its memory against its plan, every weight type by its
 * meaning, what it refuses. What a whole model computes is held against numpy by
 * tests/test_exact.py. */
#include "tiny_schedules.h"

#include "backend/exact/exact_internal.h"

static void fill_kv(struct backend *base, int byte)
{
    struct exact_backend *b = (struct exact_backend *)base;
    const struct backend_bytes plan = backend_exact.plan(&b->params);
    memset(b->kv, byte, plan.kv);
}

static struct tiny *make(const struct tiny_shape *shape)
{
    return tiny_make(shape, &backend_exact, fill_kv);
}

/* ---- the law -------------------------------------------------------------------------------- */

static void a_column_gets_the_same_bytes(void **state)
{
    (void)state;
    /* between them all operations; the others only take longer */
    const struct tiny_shape *shapes[] = { &tiny_shapes[1], &tiny_shapes[2], &tiny_tracks,
                                          &tiny_latents[1] };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct tiny *t = make(shapes[i]);
        check_model(t, 2);
        tiny_free(t);
    }
}

static void rows_of_logits_held_at_once_do_not_matter(void **state)
{
    (void)state;
    static const uint32_t max_outs[] = { 128, 50, 49, 7, 1 };
    struct tiny *t = make(&tiny_shapes[1]);
    float *want = NULL;
    for (size_t i = 0; i < COUNT(max_outs); i++) {
        t->params.max_outs = max_outs[i];
        tiny_open(t);
        tiny_start(t, 1, 0xff);
        tiny_step(t, &(struct piece){ 3, 0, 50 }, 1, 1);
        if (!want) want = copy_logits(t);
        assert_memory_equal(tiny_logits(t, 3, 0), want + (tiny_logits(t, 3, 0) - t->logits),
                            50 * t->shape->n_vocab * sizeof *want);
        tiny_close(t);
    }
    free(want);
    tiny_free(t);
}

static void a_copied_page_serves_as_well(void **state)
{
    (void)state;
    enum { N_PROMPT = 41 };
    struct tiny *t = make(&tiny_shapes[0]);
    const size_t n_bytes = (size_t)TINY_POSITIONS * t->shape->n_vocab * sizeof(float);

    tiny_open(t);
    const size_t page_bytes = ((struct exact_backend *)t->b)->places.page_bytes[0];
    tiny_start(t, 1, 0xff);
    tiny_step(t, &(struct piece){ 0, 0, TINY_POSITIONS }, 1, 1);
    float *want = copy_logits(t);
    tiny_start(t, 2, 0xff);
    tiny_step(t, &(struct piece){ 0, 0, N_PROMPT }, 1, 1);
    for (uint32_t i = 0; i < TINY_PAGES; i++) {
        uint8_t *kv = (uint8_t *)((struct exact_backend *)t->b)->kv;
        backend_exact.copy_page(t->b, 0, t->page[0][7][i], t->page[0][0][i]);
        memset(kv + t->page[0][0][i] * page_bytes, 0xff, page_bytes);
        t->page[0][0][i] = t->page[0][7][i];
    }
    tiny_step(t, &(struct piece){ 0, N_PROMPT, TINY_POSITIONS - N_PROMPT }, 1, 1);
    assert_memory_equal(t->logits, want, n_bytes);
    free(want);
    tiny_close(t);
    tiny_free(t);
}

static void rows_without_a_token_are_not_measured(void **state)
{
    (void)state;
    tiny_check_padded(&backend_exact);
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Floats that a token's keys and values are, of all layers that have some. */
static uint64_t kv_floats(const struct tiny_shape *s)
{
    uint64_t n = 0;
    for (int i = 0; i < TINY_LAYERS; i++) {
        const struct heads heads = tiny_heads(s, i == 0);
        if (i == 0 || !s->shares_kv) n += (uint64_t)2 * heads.n_kv_heads * heads.d_head;
    }
    return n;
}

static void the_plan_is_what_is_taken(void **state)
{
    (void)state;
    static const uint32_t n_cols[] = { 1, 20, 128 }, n_outs[] = { 1, 30, 7 };

    for (size_t s = 0; s < TINY_N_SHAPES; s++)
        for (uint32_t i = 0; i < COUNT(n_cols); i++) {
            struct tiny *t = make(&tiny_shapes[s]);
            t->params.max_cols = n_cols[i];
            t->params.max_outs = n_outs[i];
            t->params.n_threads = 1 + i;
            t->params.kv = tiny_kv_groups(&tiny_shapes[s], 3 + 50 * i);
            const struct backend_bytes plan = backend_exact.plan(&t->params);
            tiny_open(t);
            const struct exact_backend *b = (const struct exact_backend *)t->b;
            const uint64_t planned = plan.kv + plan.scratch + tiny_weights_bytes(t);
            assert_int_equal(plan.kv, (3 + 50 * i) * PAGE_TOKENS * kv_floats(t->shape) *
                                          sizeof(float));
            assert_int_equal(b->memory.given_bytes, planned);
            tiny_step(t, &(struct piece){ 0, 0, 1 }, 1, 1);     /* a step takes none */
            assert_int_equal(b->memory.given_bytes, planned);
            tiny_close(t);
            tiny_free(t);
        }
}

/* ---- weights -------------------------------------------------------------------------------- */

/* A product with every type, and rows of other lengths than whole pieces, against plain sums of
 * what quant_dequantise says. */
static void check_product(struct exact_backend *b, const struct file_type *type, uint32_t n_k)
{
    enum { N_ROWS = 5, N_COLS = 35 };
    static float x[N_COLS * 1024], out[N_COLS * 3], row[1024];
    struct rng r;
    struct matrix *m;
    pl_err err;

    rng_seed(&r, n_k + type->type);
    uint8_t *rows = random_rows(&r, type, N_ROWS, n_k, FILL_RANDOM);
    for (uint32_t i = 0; i < N_COLS * n_k; i++) x[i] = random_normal(&r);
    const struct weight_view view = { "weight", type->type, N_ROWS, n_k, rows };
    assert_int_equal(backend_exact.load_matrix(&b->base, &view, &m, &err), PL_OK);
    exact_product(b, "product", (struct rows){ m, NULL, 1, 3 }, x, N_COLS, out);
    for (uint32_t i = 0; i < 3; i++) {
        quant_dequantise(type->type, rows + (1 + i) * quant_row_bytes(type->type, n_k), row, n_k);
        for (uint32_t c = 0; c < N_COLS; c++) {
            double want = 0, size = 0;
            for (uint32_t k = 0; k < n_k; k++) {
                want += (double)row[k] * (double)x[c * n_k + k];
                size += fabs((double)row[k] * (double)x[c * n_k + k]);
            }
            if (!(fabs((double)out[c * 3 + i] - want) <= 1e-7 * size))
                fail_msg("%s, rows of %u, row %u column %u: %.9g instead of %.9g", type->name, n_k,
                         i, c, (double)out[c * 3 + i], want);
        }
    }
    free(rows);
}

static void every_type_means_what_quant_says(void **state)
{
    (void)state;
    static const uint32_t n_k[] = { 32, 96, 256, 288, 768, 1024 };
    struct tiny *t = make(&tiny_shapes[0]);
    t->params.n_threads = 2;
    tiny_open(t);
    for (size_t i = 0; i < COUNT(file_types); i++)
        for (size_t k = 0; k < COUNT(n_k); k++)
            if (n_k[k] % file_types[i].block_weights == 0)
                check_product((struct exact_backend *)t->b, &file_types[i], n_k[k]);
    tiny_close(t);
    tiny_free(t);
}

static void what_cannot_run_is_refused(void **state)
{
    (void)state;
    struct tiny *t = make(&tiny_shapes[0]);
    struct backend_params p = t->params;
    struct backend *b = (struct backend *)&p;
    struct matrix *m = NULL;
    pl_err err;

    p.dims.d_head = 80;
    assert_int_equal(backend_exact.open(&b, &p, &err), PL_E_UNSUPPORTED);
    assert_null(b);
    p = t->params;
    p.dims.n_layers = 1024;
    p.kv = (struct kv_groups){ .n = 1, .group = { { .n_layers = 1024, .n_pages = UINT32_MAX } } };
    assert_int_equal(backend_exact.open(&b, &p, &err), PL_E_MEMORY);
    assert_non_null(strstr(err.text, "KV pages"));
    tiny_open(t);
    const struct weight_view views[] = {
        { "blk.0.odd", QUANT_Q4_K, 16, 128, t->head.rows },
        { "blk.0.odd", 9999, 16, 256, t->head.rows },
    };
    for (size_t i = 0; i < COUNT(views); i++) {
        assert_int_equal(backend_exact.load_matrix(t->b, &views[i], &m, &err), PL_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, "blk.0.odd"));
        assert_null(m);
    }
    tiny_close(t);
    tiny_free(t);
}

/* It is there by name alone. */
static void it_is_never_the_first_choice(void **state)
{
    (void)state;
    assert_ptr_equal(backend_find("exact"), &backend_exact);
    assert_ptr_not_equal(backend_find("auto"), &backend_exact);
    assert_ptr_not_equal(backend_find(NULL), &backend_exact);
    assert_non_null(strstr(backend_names(), "exact"));
}

static void layers_may_live_on_two_backends(void **state)
{
    (void)state;
    struct tiny *t = make(&tiny_shapes[1]), *heir = make(&tiny_shapes[1]);
    check_two_homes(t, heir);
    tiny_free(heir);
    tiny_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_column_gets_the_same_bytes),
        cmocka_unit_test(rows_of_logits_held_at_once_do_not_matter),
        cmocka_unit_test(a_copied_page_serves_as_well),
        cmocka_unit_test(rows_without_a_token_are_not_measured),
        cmocka_unit_test(the_plan_is_what_is_taken),
        cmocka_unit_test(every_type_means_what_quant_says),
        cmocka_unit_test(what_cannot_run_is_refused),
        cmocka_unit_test(it_is_never_the_first_choice),
        cmocka_unit_test(layers_may_live_on_two_backends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

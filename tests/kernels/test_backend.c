/* The CPU backend through its face: what a column gets is the same bytes alone or among others,
 * however the prompt was cut, whichever pages hold it, and however many threads there are; and its
 * memory is what was planned. */
#include "small_model.h"

static struct logits got, want;

static void random_tokens(struct rng *r, struct sequence *s, uint32_t n_vocab)
{
    for (int i = 0; i < MAX_CONTEXT; i++) s->token[i] = (int32_t)rng_below(r, n_vocab);
}

/* Pages of n sequences from all over the pool, no page twice. */
static void place(struct rng *r, struct sequence *s, uint32_t n)
{
    uint32_t order[N_PAGES];

    assert_true(n * STREAM_PAGES <= N_PAGES);
    for (uint32_t i = 0; i < N_PAGES; i++) {
        const uint32_t at = (uint32_t)rng_below(r, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (uint32_t i = 0; i < n * STREAM_PAGES; i++)
        s[i / STREAM_PAGES].page[i % STREAM_PAGES] = order[i];
}

/* Fills every page with what other requests left. */
static void use_all_pages(const struct model *m, struct rng *r)
{
    struct sequence junk;

    random_tokens(r, &junk, m->shape->dims.n_vocab);
    for (uint32_t first = 0; first < N_PAGES; first += STREAM_PAGES) {
        for (uint32_t i = 0; i < STREAM_PAGES; i++) junk.page[i] = (first + i) % N_PAGES;
        for (uint32_t pos = 0; pos < MAX_CONTEXT; pos += MAX_COLS) {
            const uint32_t left = MAX_CONTEXT - pos;
            struct step s = { 0 };
            add_columns(&s, &junk, pos, left < MAX_COLS ? left : MAX_COLS, false);
            run_step(m, &s, &got);
        }
    }
}

static void prefill(const struct model *m, const struct sequence *q, uint32_t n)
{
    for (uint32_t pos = 0; pos < n; pos += MAX_COLS) {
        struct step s = { 0 };
        add_columns(&s, q, pos, n - pos < MAX_COLS ? n - pos : MAX_COLS, false);
        run_step(m, &s, &got);
    }
}

static void check_row(const struct model *m, const float *row, const float *expected,
                      const char *what, uint32_t col)
{
    const uint32_t n_vocab = m->shape->dims.n_vocab;
    double size = 0;

    for (uint32_t i = 0; i < n_vocab; i++) size += fabs(expected[i]);
    if (!(size > 0)) fail_msg("%s: logits of column %u are nothing", m->shape->name, col);
    for (uint32_t i = 0; i < n_vocab; i++)
        if (memcmp(&row[i], &expected[i], sizeof *row))
            fail_msg("%s: %s: column %u, logit %u: %a, wanted %a", m->shape->name, what, col, i,
                     (double)row[i], (double)expected[i]);
}

/* ---- alone or among others ------------------------------------------------------------------ */

enum { N_STREAMS = 20 };

/* 20 streams at places of their own decode together; then each does so alone. */
static void check_batch(const struct model *m, struct rng *r)
{
    static struct sequence q[N_STREAMS];
    uint32_t n_tokens[N_STREAMS];
    struct step together = { 0 };

    use_all_pages(m, r);
    place(r, q, N_STREAMS);
    for (int i = 0; i < N_STREAMS; i++) {
        random_tokens(r, &q[i], m->shape->dims.n_vocab);
        n_tokens[i] = (uint32_t)rng_below(r, MAX_CONTEXT);
        prefill(m, &q[i], n_tokens[i]);
        add_columns(&together, &q[i], n_tokens[i], 1, true);
    }
    run_step(m, &together, &want);
    for (uint32_t i = 0; i < N_STREAMS; i++) {
        struct step alone = { 0 };
        add_columns(&alone, &q[i], n_tokens[i], 1, true);
        run_step(m, &alone, &got);
        check_row(m, got.row[0], want.row[i], "decoded alone", i);
    }
}

static void columns_are_the_same_alone_and_among_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct backend_params params = params_of(&shapes[i]);
        struct rng r;
        rng_seed(&r, 21 + i);
        params.max_outs = i % 2 ? MAX_COLS : 7;     /* 20 outputs in turns of at most 7 */
        const struct model m = open_model(&shapes[i], &params);
        check_batch(&m, &r);
        m.ops->close(m.b);
    }
}

/* ---- however a prompt is cut ---------------------------------------------------------------- */

/* The sequence in pieces of 1 .. max columns in pages of its own, each beside columns of another. */
static void check_cut(const struct model *m, struct rng *r, const struct sequence *whole,
                      uint32_t n_tokens, uint32_t max)
{
    struct sequence q[2];
    uint32_t n_others = 0;

    q[0] = *whole;
    random_tokens(r, &q[1], m->shape->dims.n_vocab);
    place(r, q, 2);
    for (uint32_t pos = 0; pos < n_tokens;) {
        const uint32_t left = n_tokens - pos, n = 1 + (uint32_t)rng_below(r, max < left ? max : left);
        const uint32_t n_beside = n_others < 80 ? (uint32_t)rng_below(r, 12) : 0;
        const bool is_after = rng_below(r, 2);
        struct step s = { 0 };
        if (n_beside && !is_after) add_columns(&s, &q[1], n_others, n_beside, false);
        add_columns(&s, &q[0], pos, n, true);
        if (n_beside && is_after) add_columns(&s, &q[1], n_others, n_beside, false);
        run_step(m, &s, &got);
        for (uint32_t i = 0; i < n; i++)
            check_row(m, got.row[i], want.row[pos + i], "prompt in pieces", pos + i);
        pos += n;
        n_others += n_beside;
    }
}

static void check_cuts(const struct model *m, struct rng *r)
{
    const uint32_t n_tokens = 50;
    struct sequence q;
    struct step whole = { 0 };

    use_all_pages(m, r);
    random_tokens(r, &q, m->shape->dims.n_vocab);
    place(r, &q, 1);
    add_columns(&whole, &q, 0, n_tokens, true);
    run_step(m, &whole, &want);
    check_cut(m, r, &q, n_tokens, 1);
    for (int trial = 0; trial < 4; trial++) check_cut(m, r, &q, n_tokens, 24);
}

static void prompts_are_the_same_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        const struct backend_params params = params_of(&shapes[i]);
        struct rng r;
        rng_seed(&r, 31 + i);
        const struct model m = open_model(&shapes[i], &params);
        check_cuts(&m, &r);
        m.ops->close(m.b);
    }
}

/* ---- threads, turns, instruction sets ------------------------------------------------------- */

/* One step of everything: a prompt's piece, two decoding columns, all of them outputs. */
static void run_mixed(const struct model *m, struct logits *to)
{
    struct sequence q[3];
    struct step s = { 0 };
    struct rng r;

    rng_seed(&r, 41);
    place(&r, q, 3);
    for (int i = 0; i < 3; i++) random_tokens(&r, &q[i], m->shape->dims.n_vocab);
    prefill(m, &q[1], 70);
    prefill(m, &q[2], 15);
    add_columns(&s, &q[1], 70, 1, true);
    add_columns(&s, &q[0], 0, 37, true);
    add_columns(&s, &q[2], 15, 1, true);
    run_step(m, &s, to);
}

enum { N_MIXED = 39 };

static void threads_and_turns_do_not_matter(void **state)
{
    static const uint32_t max_outs[] = { 64, 39, 38, 8, 1 };

    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (uint32_t n_threads = 1; n_threads <= 3; n_threads++)
            for (size_t t = 0; t < COUNT(max_outs); t++) {
                struct backend_params params = params_of(&shapes[i]);
                if (n_threads > 1 && t > 0 && t != n_threads) continue;
                params.n_threads = n_threads;
                params.max_outs = max_outs[t];
                const struct model m = open_model(&shapes[i], &params);
                assert_int_equal(m.ops->n_threads(m.b), n_threads);
                run_mixed(&m, &got);
                if (n_threads == 1 && t == 0) want = got;
                for (uint32_t col = 0; col < N_MIXED; col++)
                    check_row(&m, got.row[col], want.row[col], "threads and turns", col);
                m.ops->close(m.b);
            }
}

/* Norms and attention differ in their last bits, which may move a quantised activation by one step
 * of 1/127 of its block: the logits stay within 2 % of their size. */
static void instruction_sets_agree(void **state)
{
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, COUNT(names));

    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (uint32_t isa = 0; isa < n; isa++) {
            struct backend_params params = params_of(&shapes[i]);
            double difference = 0, size = 0;
            params.isa = names[isa];
            const struct model m = open_model(&shapes[i], &params);
            assert_string_equal(m.ops->isa(m.b), names[isa]);
            run_mixed(&m, &got);
            if (isa == 0) want = got;
            for (uint32_t col = 0; col < N_MIXED; col++)
                for (uint32_t v = 0; v < shapes[i].dims.n_vocab; v++) {
                    difference += pow((double)got.row[col][v] - want.row[col][v], 2);
                    size += pow(want.row[col][v], 2);
                }
            m.ops->close(m.b);
            if (!(sqrt(difference) <= 0.02 * sqrt(size)))
                fail_msg("%s isa=%s: logits differ from scalar by %.3g of their size",
                         shapes[i].name, names[isa], sqrt(difference / size));
        }
}

/* ---- pages ---------------------------------------------------------------------------------- */

/* A sequence goes on in copies of its pages as it would have in them, and the originals keep what
 * they hold when the copies are written to. */
static void check_copies(const struct model *m, struct rng *r)
{
    const uint32_t n_tokens = 40;
    struct sequence q[2];
    struct step first = { 0 }, copied = { 0 }, again = { 0 };

    random_tokens(r, &q[0], m->shape->dims.n_vocab);
    place(r, q, 2);
    memcpy(q[1].token, q[0].token, sizeof q[0].token);
    prefill(m, &q[0], n_tokens);
    for (uint32_t i = 0; i < STREAM_PAGES; i++) m->ops->copy_page(m->b, q[1].page[i], q[0].page[i]);
    add_columns(&first, &q[0], n_tokens, 1, true);
    run_step(m, &first, &want);
    add_columns(&copied, &q[1], n_tokens, 1, true);
    run_step(m, &copied, &got);
    check_row(m, got.row[0], want.row[0], "in copied pages", n_tokens);

    random_tokens(r, &q[1], m->shape->dims.n_vocab);
    prefill(m, &q[1], n_tokens);
    add_columns(&again, &q[0], n_tokens, 1, true);
    run_step(m, &again, &got);
    check_row(m, got.row[0], want.row[0], "after the copies were written to", n_tokens);
}

static void pages_are_copied(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        const struct backend_params params = params_of(&shapes[i]);
        struct rng r;
        rng_seed(&r, 51 + i);
        const struct model m = open_model(&shapes[i], &params);
        check_copies(&m, &r);
        m.ops->close(m.b);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

static void memory_is_what_was_planned(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (uint32_t n = 1; n <= 64; n += 21) {
            struct backend_params params = params_of(&shapes[i]);
            params.max_outs = n;
            params.n_pages = N_PAGES + n;
            params.n_threads = 1 + n % 3;
            const struct model m = open_model(&shapes[i], &params);
            const struct memory *memory = &((struct cpu_backend *)m.b)->memory;
            const struct backend_bytes planned = m.ops->plan(&params);
            const uint64_t all = planned.kv + planned.scratch + m.weight_bytes;
            assert_int_equal(memory->given_bytes, all);
            const size_t page = 2 * 2 * (size_t)shapes[i].dims.d_head * shapes[i].dims.n_kv_heads *
                                N_LAYERS * PAGE_TOKENS;
            assert_int_equal(planned.kv, page * params.n_pages);
            run_mixed(&m, &got);            /* a step takes none */
            assert_int_equal(memory->given_bytes, all);
            m.ops->close(m.b);
        }
}

/* What cannot be run is refused by name, and nothing stays behind. */
static void impossible_parameters_are_refused(void **state)
{
    const struct backend_ops *ops = backend_find("cpu");
    struct backend_params params = params_of(&shapes[0]);
    struct backend *b;
    struct matrix *matrix;
    pl_err err;

    (void)state;
    params.isa = "abacus";
    assert_int_equal(ops->open(&b, &params, &err), PL_E_PARAM);
    assert_null(b);
    assert_non_null(strstr(err.text, "abacus"));

    params = params_of(&shapes[0]);
    params.dims.d_head = 80;
    assert_int_equal(ops->open(&b, &params, &err), PL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "80"));

    params = params_of(&shapes[0]);
    assert_int_equal(ops->open(&b, &params, &err), PL_OK);
    const struct weight_view odd = { "blk.0.odd", QUANT_Q4_K, 16, 288, shapes };
    assert_int_equal(ops->load_matrix(b, &odd, &matrix, &err), PL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "blk.0.odd"));
    assert_int_equal(ops->matrix_bytes(QUANT_Q4_K, 16, 288), 0);
    ops->close(b);
    ops->close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_the_same_alone_and_among_others),
        cmocka_unit_test(prompts_are_the_same_however_cut),
        cmocka_unit_test(threads_and_turns_do_not_matter),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(pages_are_copied),
        cmocka_unit_test(memory_is_what_was_planned),
        cmocka_unit_test(impossible_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

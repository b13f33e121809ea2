/* Sizes of known files, from the shapes and recipes alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "estimate/recipe.h"

static void assert_near(double found, double wanted, double share)
{
    if (fabs(found / wanted - 1) > share)
        fail_msg("%g is not within %g of %g", found, share, wanted);
}

/* Sizes of files as they are published; a few MB of each are metadata and vocabulary. */
static void test_sizes_of_published_files(void **state)
{
    static const struct {
        const char *shape;
        enum recipe recipe;
        double parameters, gb;
    } files[] = {
        { "qwen2.5-32b", RECIPE_Q4_K_M, 32.76e9, 19.85 },
        { "qwen2.5-7b", RECIPE_Q4_K_M, 7.616e9, 4.68 },
        { "qwen3-30b-a3b", RECIPE_Q4_K_M, 30.53e9, 18.55 },
        { "llama-3.1-8b", RECIPE_Q4_K_M, 8.03e9, 4.92 },
        { "llama-3.1-8b", RECIPE_Q8_0, 8.03e9, 8.54 },
        { "llama-2-7b", RECIPE_Q4_0, 6.74e9, 3.83 },
        { "llama-2-7b", RECIPE_Q4_K_M, 6.74e9, 4.08 },
        { "llama-2-7b", RECIPE_Q5_K_M, 6.74e9, 4.78 },
        { "llama-2-7b", RECIPE_Q6_K, 6.74e9, 5.53 },
        { "llama-2-7b", RECIPE_F16, 6.74e9, 13.48 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct weights w;
        recipe_weights(shape_find(files[i].shape), files[i].recipe, &w);
        assert_near((double)w.n_parameters, files[i].parameters, 0.002);
        assert_near((double)w.bytes * 1e-9, files[i].gb, 0.005);
    }
}

/* What a step reads: of Qwen3-30B-A3B Q4_K_M, 0.82 GB and its share of 17.55 GB of experts. */
static void test_what_a_step_reads(void **state)
{
    struct weights w;
    (void)state;
    recipe_weights(shape_find("qwen3-30b-a3b"), RECIPE_Q4_K_M, &w);
    assert_near((double)w.step_bytes * 1e-9, 0.82, 0.02);
    assert_near((double)w.expert_bytes * 1e-9, 17.55, 0.002);
    assert_near((double)w.macs_per_token, 3.03e9, 0.02);
    recipe_weights(shape_find("qwen2.5-32b"), RECIPE_Q4_K_M, &w);
    assert_near((double)w.step_bytes * 1e-9, 19.41, 0.002);
    assert_int_equal(w.expert_bytes, 0);
    assert_near(2 * (double)w.macs_per_token, 64e9, 0.02);
    assert_int_equal(w.head_macs, 152064ull * 5120);
}

/* Weights by type add up to what the sums say, and packed ones to what backends keep of them. */
static void test_weights_by_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_shapes; i++)
        for (int r = 0; r < N_RECIPES; r++) {
            struct weights w;
            uint64_t n, macs = 0;
            recipe_weights(&shapes[i], (enum recipe)r, &w);
            n = w.n_floats;
            for (uint32_t p = 0; p < w.n_parts; p++) {
                const struct type_weights *part = &w.part[p];
                n += part->dense + part->head + part->experts + part->looked_up;
                macs += part->dense + part->head;
                if (shapes[i].n_experts)
                    macs += part->experts / shapes[i].n_experts * shapes[i].n_experts_used;
            }
            assert_int_equal(n, w.n_parameters);
            assert_int_equal(macs, w.macs_per_token);
            const struct packed_bytes file = weights_packed(&w, ESTIMATE_CUDA);
            assert_near(file.all, (double)w.bytes, 1e-9);
            assert_near(file.step, (double)w.step_bytes, 1e-9);
            assert_true(file.experts == (double)w.expert_bytes);
        }
}

/* Q4_K's scales are unpacked: 4.625 bits instead of 4.5, on CPUs and Apple's GPUs alike. */
static void test_packed_bytes(void **state)
{
    struct weights w;
    (void)state;
    recipe_weights(shape_find("llama-3.1-8b"), RECIPE_Q4_K_M, &w);
    const double file = weights_packed(&w, ESTIMATE_CUDA).step;
    assert_near(weights_packed(&w, ESTIMATE_METAL).step / file, 1.02, 0.002);
    assert_near(weights_packed(&w, ESTIMATE_CPU).step / file, 1.028, 0.002);
    assert_true(weights_packed(&w, ESTIMATE_METAL).all > weights_packed(&w, ESTIMATE_METAL).step);
}

/* A tied embedding is one tensor, read whole for the head. */
static void test_tied_embeddings(void **state)
{
    struct weights w;
    (void)state;
    recipe_weights(shape_find("qwen2.5-1.5b"), RECIPE_Q4_K_M, &w);
    assert_near((double)w.n_parameters, 1.5437e9, 0.001);
    assert_int_equal(w.bytes, w.step_bytes);
}

/* Rows of 896 weights are no multiple of 256: such tensors get other types, and more bytes. */
static void test_rows_that_do_not_fit(void **state)
{
    struct weights w;
    (void)state;
    recipe_weights(shape_find("qwen2.5-0.5b"), RECIPE_Q4_K_M, &w);
    assert_near((double)w.bytes * 8 / (double)w.n_parameters, 6.35, 0.02);
}

static void test_every_shape_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_shapes; i++) {
        const struct shape *m = &shapes[i];
        assert_ptr_equal(shape_find(m->name), m);
        assert_int_equal(m->n_heads % m->n_kv_heads, 0);
        assert_true(m->ctx_tokens >= 4096 && m->d_model && m->d_head);
        assert_true(m->d_ff || m->n_experts);
        assert_int_equal(!m->n_state_layers, !m->state_bytes);
        assert_int_equal(!m->window, !m->n_window_layers);
    }
    assert_null(shape_find("qwen2.5-33b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_of_published_files),
        cmocka_unit_test(test_what_a_step_reads),
        cmocka_unit_test(test_weights_by_type),
        cmocka_unit_test(test_packed_bytes),
        cmocka_unit_test(test_tied_embeddings),
        cmocka_unit_test(test_rows_that_do_not_fit),
        cmocka_unit_test(test_every_shape_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

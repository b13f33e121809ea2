/* The CUDA backend's host side, which needs no GPU: what tiles hold is what the file said, where
 * columns lie, and what is said where the library of kernels is missing or another. */
#include <stdio.h>
#include <unistd.h>

#include "file_types.h"

#include "backend/backend.h"
#include "backend/cuda/library.h"
#include "backend/cuda/pack.h"
#include "backend/cuda/tile_weight.h"

static void formats_and_sizes(void **state)
{
    (void)state;
    assert_int_equal(tile_format_of(QUANT_Q4_K, 512), TILE_Q4_K);
    assert_int_equal(tile_format_of(QUANT_Q6_K, 256), TILE_Q6_K);
    assert_int_equal(tile_format_of(QUANT_Q3_K, 256), TILE_Q6_K);
    assert_int_equal(tile_format_of(QUANT_Q8_0, 96), TILE_Q8);
    assert_int_equal(tile_format_of(QUANT_Q5_0, 32), TILE_Q8);
    assert_int_equal(tile_format_of(QUANT_Q5_K, 256), TILE_F16);
    assert_int_equal(tile_format_of(QUANT_Q4_K, 288), -1);      /* not whole blocks */
    assert_int_equal(tile_format_of(QUANT_Q8_0, 0), -1);
    assert_int_equal(tile_format_of(4711, 256), -1);            /* types nobody reads */
    /* as many bytes as the file has, where rows and k are whole */
    assert_int_equal(tile_matrix_bytes(TILE_Q4_K, 128, 512, 128), 128 * 2 * 144);
    assert_int_equal(tile_matrix_bytes(TILE_Q6_K, 256, 256, 256), 256 * 210);
    assert_int_equal(tile_matrix_bytes(TILE_Q8, 100, 96, 128), 128 * 8 * 34);
    assert_int_equal(tile_matrix_bytes(TILE_F16, 1, 32, 128), 128 * 256 * 2);
}

/* What a half of a scale times 16 or 64 loses where it is too large, and halves of all weights. */
static float allowed_error(const struct file_type *t, float w)
{
    return tile_format_of(t->type, 256) == TILE_F16 ? fabsf(w) * 0x1p-11f + 0x1p-25f
                                                     : fabsf(w) * 0x1p-22f;
}

static void tiles_hold_what_the_file_says(void **state)
{
    enum { N_ROWS = 50, N_K = 768 };
    static float w[N_K];
    (void)state;
    for (const struct file_type *t = file_types; t < file_types + COUNT(file_types); t++)
        for (uint32_t n_k = t->block_weights == 256 ? 256 : 96; n_k <= N_K; n_k *= 3) {
            const enum tile_format format = (enum tile_format)tile_format_of(t->type, n_k);
            const size_t row_bytes = quant_row_bytes(t->type, n_k);
            const uint32_t n_blocks = (n_k + TILE_K - 1) / TILE_K;
            const size_t n_bytes = (size_t)n_blocks * TILE_GROUP * tile_bytes(format);
            struct rng r;
            rng_seed(&r, 7);
            uint8_t *rows = random_rows(&r, t, N_ROWS, n_k, FILL_RANDOM);
            uint8_t *tiles = malloc(n_bytes + 1);
            assert_non_null(tiles);
            memset(tiles, 0xa5, n_bytes + 1);
            tile_pack_group(format, tiles, t->type, rows, row_bytes, N_ROWS, n_k);
            assert_int_equal(tiles[n_bytes], 0xa5);
            for (uint32_t row = 0; row < 64; row++) {
                if (row < N_ROWS) quant_dequantise(t->type, rows + row * row_bytes, w, n_k);
                for (uint32_t k = 0; k < n_blocks * TILE_K; k++) {
                    const float want = row < N_ROWS && k < n_k ? w[k] : 0;
                    const float got = tile_weight(format, tiles, n_blocks, row, k);
                    if (!(fabsf(got - want) <= allowed_error(t, want)))
                        fail_msg("%s n_k=%u row=%u k=%u: the tile holds %.9g, the file %.9g",
                                 t->name, n_k, row, k, (double)got, (double)want);
                }
            }
            free(rows);
            free(tiles);
        }
}

/* Every element of every column has a place of its own, in whole blocks. */
static void columns_have_places_of_their_own(void **state)
{
    static const uint32_t n_cols[] = { 1, 8, 9, 20, 32, 33, 64, 65, 130 };
    enum { LD = 512 };
    (void)state;
    for (size_t i = 0; i < COUNT(n_cols); i++) {
        const uint32_t n = n_cols[i];
        const size_t room = (size_t)whole(n, BLOCK_COLS) * LD;
        uint8_t *is_taken = calloc(room, 1);
        assert_non_null(is_taken);
        for (uint32_t col = 0; col < n; col++)
            for (uint32_t k = 0; k < LD; k++) {
                const uint64_t at = column_place(LD, n, col, k);
                assert_true(at < room);
                assert_false(is_taken[at]);
                is_taken[at] = 1;
            }
        free(is_taken);
    }
    /* spots of a step are the k that tiles have there */
    for (uint32_t p = 0; p < 16; p++)
        assert_int_equal(column_place(LD, 8, 3, tile_spot_k(1, 2, p)),
                         (1 * 4 + 2) * 128 + p / 8 * 64 + 3 * 8 + p % 8);
}

static void a_missing_library_is_told(void **state)
{
    const struct cuda_plugin *plugin;
    pl_err err;
    (void)state;
    assert_int_equal(cuda_library_open(&plugin, "/nowhere/libpaceline_cuda.so", &err),
                     PL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "/nowhere/libpaceline_cuda.so"));
    assert_int_equal(cuda_library_open(&plugin, "libm.so.6", &err), PL_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "another library"));
    assert_null(plugin);
}

/* Where there is neither library nor GPU, the backend says so when it is asked for by name. */
static void a_missing_gpu_is_told(void **state)
{
    const struct backend_ops *ops = backend_find("cuda");
    const struct backend_params params = {
        .dims = { .d_model = 64, .d_head = 32, .d_ff = 64, .n_heads = 2, .n_kv_heads = 2,
                  .n_layers = 1, .n_vocab = 10 },
        .max_cols = 1, .max_outs = 1, .n_threads = 1,
        .kv = { .n = 1, .group = { { .n_layers = 1, .n_pages = 1 } } },
    };
    struct backend_params of_experts = params;
    struct backend *b;
    char name[64];
    pl_err err;
    (void)state;
    of_experts.dims.n_experts = 4;
    assert_non_null(ops);
    assert_int_equal(ops->open(&b, &of_experts, &err), PL_E_UNSUPPORTED);
    assert_null(b);
    assert_non_null(strstr(err.text, "experts"));
    if (!ops->reach(name, sizeof name, &err)) {
        assert_true(strlen(name) > 0);      /* this machine has one */
        return;
    }
    assert_true(strlen(err.text) > 0);
    assert_int_equal(ops->open(&b, &params, &err), PL_E_UNSUPPORTED);
    assert_null(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_and_sizes),
        cmocka_unit_test(tiles_hold_what_the_file_says),
        cmocka_unit_test(columns_have_places_of_their_own),
        cmocka_unit_test(a_missing_library_is_told),
        cmocka_unit_test(a_missing_gpu_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

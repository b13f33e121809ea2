/* The GPU picks the tokens that the engine's own sampler does: the same rows, parameters and seeds,
 * through the pick that the sampler delegates. */
#include "../../kernels/file_types.h"
#include "../metal_fixture.h"

#include "backend/metal/sampling.h"
#include "engine/row.h"
#include "engine/sampler.h"

enum { N_VOCAB = 2003, N_ROWS = 64, N_STEPS = 8 };

/* Where filters leave more than 512, the CPU's order of candidates is another. */
static pl_sampling random_sampling(struct rng *r, uint64_t seed)
{
    static const float temperatures[] = { 0, 0.3f, 0.8f, 1, 1.3f };
    static const uint32_t top_ks[] = { 0, 1, 5, 40, 512 };
    static const float top_ps[] = { 1, 0.5f, 0.9f, 0.95f }, min_ps[] = { 0, 0, 0.05f };
    return (pl_sampling){
        .temperature = temperatures[rng_below(r, COUNT(temperatures))],
        .top_k = top_ks[rng_below(r, COUNT(top_ks))],
        .top_p = top_ps[rng_below(r, COUNT(top_ps))],
        .min_p = min_ps[rng_below(r, COUNT(min_ps))],
        .typical_p = 1,
        .seed = seed,
    };
}

static float *row_of(const struct metal_backend *b, uint32_t i)
{
    return (float *)b->logit_rows.bytes + (size_t)i * b->ld_vocab;
}

static void fill_rows(const struct metal_backend *b, struct rng *r)
{
    for (uint32_t i = 0; i < N_ROWS; i++) {
        const struct row row = { row_of(b, i), (float *)b->largest.bytes + i * b->n_logit_blocks,
                                 N_VOCAB };
        for (uint32_t c = 0; c < N_VOCAB; c++) row.x[c] = 4 * random_normal(r);
        for (uint32_t k = 0; k < row_n_blocks(N_VOCAB); k++) row_measure_block(&row, k);
    }
}

static void tokens_are_the_samplers(void **state)
{
    (void)state;
    const struct backend_params params = {
        .dims = { .d_model = 64, .d_head = 32, .d_ff = 64, .n_heads = 2, .n_kv_heads = 1,
                  .n_layers = 1, .n_vocab = N_VOCAB },
        .max_cols = 8, .max_outs = N_ROWS, .n_pages = 4, .n_threads = 1,
    };
    struct metal_backend *b = fixture_open_as(&params);
    struct candidate *scratch = calloc(sampler_scratch_n(N_VOCAB), sizeof *scratch);
    struct sampler mine[N_ROWS], theirs[N_ROWS];
    struct pick pick[N_ROWS];
    struct rng r;
    pl_err err;
    uint32_t n_other = 0;

    assert_non_null(scratch);
    if (backend_metal.load_done(&b->base, &err)) fail_msg("%s", err.text);
    rng_seed(&r, 31);
    for (uint32_t i = 0; i < N_ROWS; i++) {
        const pl_sampling s = random_sampling(&r, 100 + i);
        sampler_init(&mine[i], &s, N_VOCAB);
        sampler_init(&theirs[i], &s, N_VOCAB);
    }
    for (uint32_t step = 0; step < N_STEPS; step++) {
        fill_rows(b, &r);
        for (uint32_t i = 0; i < N_ROWS; i++) {
            pick[i] = sampler_delegate(&theirs[i]);
            assert_true(pick[i].is_by_backend);
        }
        metal_begin(b->device);
        metal_sampling_record(b, pick, N_ROWS, step % 2);
        fixture_finish(b);
        const int32_t *token = metal_sampling_tokens(b, step % 2)->bytes;
        for (uint32_t i = 0; i < N_ROWS; i++) {
            const struct row row = { row_of(b, i),
                                     (float *)b->largest.bytes + i * b->n_logit_blocks, N_VOCAB };
            struct sampled want;
            sampler_pick(&mine[i], &row, NULL, 0, false, 0, scratch, &want);
            n_other += token[i] != want.token;
        }
    }
    print_message("%u of %d tokens are others\n", n_other, N_STEPS * N_ROWS);
    assert_true(n_other <= 1);          /* a number may lie within rounding of a border */
    free(scratch);
    fixture_close(b);
}

int main(int argc, char **argv)
{
    fixture_choose(argc, argv);
    const struct CMUnitTest tests[] = { cmocka_unit_test(tokens_are_the_samplers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

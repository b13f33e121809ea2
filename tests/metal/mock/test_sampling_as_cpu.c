/* The GPU picks the tokens that the engine's own sampler does: the same rows, parameters and seeds,
 * through the pick that the sampler delegates. */
#include "../../kernels/file_types.h"
#include "../metal_fixture.h"

#include "backend/metal/sampling.h"
#include "engine/pick.h"
#include "engine/row.h"
#include "engine/sampler.h"

enum { N_VOCAB = 2003, N_ROWS = 64, N_STEPS = 8, N_HISTORY = 200, MAX_BIAS = 12, N_LIKELY = 80 };

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
        for (uint32_t c = 0; c < N_VOCAB; c++)
            row.x[c] = 4 * random_normal(r) + (c < N_LIKELY ? 8 : 0);
        for (uint32_t k = 0; k < row_n_blocks(N_VOCAB); k++) row_measure_block(&row, k);
    }
}

/* Penalties over tokens of which some are likely, so that they and biases change what is picked. */
static void add_touches(pl_sampling *s, struct rng *r, pl_logit_bias bias[MAX_BIAS])
{
    static const float repetitions[] = { 1, 1, 1.3f, 0.7f }, others[] = { 0, 0, 0.8f, -0.5f };
    static const uint32_t windows[] = { 0, 1, 2, 64, N_HISTORY };
    s->repetition_penalty = repetitions[rng_below(r, COUNT(repetitions))];
    s->frequency_penalty = others[rng_below(r, COUNT(others))];
    s->presence_penalty = others[rng_below(r, COUNT(others))];
    s->penalty_last_n = windows[rng_below(r, COUNT(windows))];
    s->bias = bias;
    s->n_bias = rng_below(r, 2) ? rng_below(r, MAX_BIAS + 1) : 0;
    for (size_t i = 0; i < s->n_bias; i++)
        bias[i] = (pl_logit_bias){ (int32_t)rng_below(r, N_LIKELY),
                                   rng_below(r, 5) ? 4 * random_normal(r) : -INFINITY };
}

static struct metal_backend *open_backend(void)
{
    const struct backend_params params = {
        .dims = { .d_model = 64, .d_head = 32, .d_ff = 64, .n_heads = 2, .n_kv_heads = 1,
                  .n_layers = 1, .n_vocab = N_VOCAB },
        .max_cols = 8, .max_outs = N_ROWS,
        .kv = { .n = 1, .group = { { .n_layers = 1, .n_pages = 4 } } },
        .n_threads = 1,
    };
    pl_err err;
    struct metal_backend *b = fixture_open_as(&params);
    if (backend_metal.load_done(&b->base, &err)) fail_msg("%s", err.text);
    return b;
}

/* As the sampler picks from copies of the rows. */
static void pick_by_sampler(const struct metal_backend *b, const struct pick *pick,
                            const int32_t *last, struct picked *to)
{
    static float x[N_VOCAB], largest[N_VOCAB / ROW_BLOCK + 1];
    static struct candidate scratch[N_VOCAB];
    for (uint32_t i = 0; i < N_ROWS; i++) {
        const struct row row = { x, largest, N_VOCAB };
        struct pick p = pick[i];
        if (p.last != NO_LAST) p.last = last[i];
        memcpy(x, row_of(b, i), sizeof x);
        memcpy(largest, (float *)b->largest.bytes + i * b->n_logit_blocks, sizeof largest);
        sampler_pick(&p, &row, scratch, &to[i]);
    }
}

static bool is_near(float a, float b)
{
    return fabsf(a - b) <= 2e-6f * fmaxf(1, fabsf(a));
}

static bool has_same_probs(const struct picked *a, const struct picked *b)
{
    if (a->n_top != b->n_top || !is_near(a->logprob, b->logprob)) return false;
    for (uint32_t i = 0; i < a->n_top; i++)
        if (a->top[i].token != b->top[i].token || !is_near(a->top[i].logprob, b->top[i].logprob))
            return false;
    return true;
}

static void samplers_picks_to_near_exact_sums(void **state)
{
    (void)state;
    static struct touch touch[N_ROWS][N_HISTORY + MAX_BIAS];
    static pl_logit_bias bias[N_ROWS][MAX_BIAS];
    static int32_t history[N_ROWS][N_HISTORY + N_STEPS];
    static uint32_t seat[N_VOCAB];
    struct metal_backend *b = open_backend();
    pl_sampling sampling[N_ROWS];
    struct pick pick[N_ROWS];
    struct picked want[N_ROWS];
    struct rng r;
    uint32_t n_other = 0;

    rng_seed(&r, 31);
    for (uint32_t i = 0; i < N_ROWS; i++) {
        sampling[i] = random_sampling(&r, 100 + i);
        if (i % 4) add_touches(&sampling[i], &r, bias[i]);
        for (uint32_t k = 0; k < N_HISTORY; k++) history[i][k] = (int32_t)rng_below(&r, N_LIKELY);
    }
    for (uint32_t step = 0; step < N_STEPS; step++) {
        const uint32_t position = N_HISTORY + step;
        int32_t last[N_ROWS];
        fill_rows(b, &r);
        for (uint32_t i = 0; i < N_ROWS; i++) {
            const struct pick_room room = { seat, touch[i], N_HISTORY + MAX_BIAS };
            last[i] = history[i][position - 1];
            pick[i] = pick_make(&sampling[i], N_VOCAB, history[i], position,
                                step % 3 ? -1 - (int32_t)i : last[i], &room);
            assert_true(pick[i].n_touched <= room.max_touched);
            pick[i].is_by_backend = true;
            pick[i].wants_logprob = i % 3 == 0;
            pick[i].n_top = i % 5 ? 0 : i % PICK_MAX_TOP + 1;
        }
        pick_by_sampler(b, pick, last, want);
        metal_begin(b->device);
        metal_sampling_record(b, pick, N_ROWS, step % 2);
        fixture_finish(b);
        for (uint32_t i = 0; i < N_ROWS; i++) {
            const struct picked got = metal_sampling_picked(b, step % 2, i);
            n_other += got.token != want[i].token;
            history[i][position] = want[i].token;
            /* what the next step finds where this one left its token */
            ((int32_t *)metal_sampling_tokens(b, step % 2)->bytes)[i] = want[i].token;
            if (got.token == want[i].token && !has_same_probs(&got, &want[i]))
                fail_msg("row %u: other log-probabilities", i);
        }
    }
    print_message("%u of %d tokens are others\n", n_other, N_STEPS * N_ROWS);
    assert_true(n_other <= 1);          /* a number may lie within rounding of a border */
    fixture_close(b);
}

int main(int argc, char **argv)
{
    fixture_choose(argc, argv);
    const struct CMUnitTest tests[] = { cmocka_unit_test(samplers_picks_to_near_exact_sums) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

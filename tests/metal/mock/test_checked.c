/* Our kernels under the emulator's checks: the lint, and a small model in the checked build, in
 * which every access is within bounds and no two threads race. */
#include "../metal_fixture.h"

#include "backend/metal/source.h"
#include "backend/self_model.h"
#include "quant/quant.h"

static void the_source_passes_the_lint(void **state)
{
    (void)state;
    char *log = NULL;
    if (!emu_lint(metal_source, &log)) fail_msg("%s", log);
    if (!emu_lint(metal_tensor_source, &log)) fail_msg("%s", log);
}

/* Products with and without the matrix unit, prompts and decoding, pages shared and not. */
static void check_model(const struct backend_ops *ops, struct self_params p)
{
    struct self_model *m;
    pl_err err;
    struct self_piece piece[9];
    if (self_model_open(&m, ops, &p, &err)) fail_msg("%s", err.text);
    for (uint32_t i = 0; i < 3; i++) piece[i] = (struct self_piece){ i, 0, i ? 3 : 9 };
    if (self_model_step(m, piece, 3, &err)) fail_msg("a prompt: %s", err.text);
    for (uint32_t i = 0; i < 3; i++) piece[i] = (struct self_piece){ i, i ? 3 : 9, 1 };
    if (self_model_step(m, piece, 3, &err)) fail_msg("few columns: %s", err.text);
    for (uint32_t i = 0; i < 9; i++) piece[i] = (struct self_piece){ 10 + i, 0, 1 };
    if (self_model_step(m, piece, 9, &err)) fail_msg("many streams: %s", err.text);
    self_model_close(m);
}

static void a_small_model_runs_without_a_report(void **state)
{
    (void)state;
    mock_set_build(EMU_CHECKED);
    const struct self_params small = { .type = QUANT_Q4_K, .has_biases = true };
    const struct self_params windowed = { .type = QUANT_Q5_1, .k_type = KV_Q8_0,
                                          .v_type = KV_BF16, .has_biases = true, .window = 5 };
    const struct self_params eight_bit = { .type = QUANT_Q6_K, .k_type = KV_F8_E4M3,
                                           .v_type = KV_Q8_0 };
    check_model(&backend_metal, small);
    check_model(&backend_metal, windowed);
    check_model(&backend_metal, eight_bit);
    mock_set_tensors(true);
    check_model(&backend_metal_tensors, small);
    mock_set_tensors(false);
    mock_set_build(EMU_RUN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_source_passes_the_lint),
        cmocka_unit_test(a_small_model_runs_without_a_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Each shape against its publisher's model, typed once more: the weights of all its tensors
 * counted, KV values of a token, the limit and the window of its config.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "estimate/recipe.h"
#include "estimate/shape.h"

static const struct {
    const char *name;
    uint64_t n_weights;
    uint32_t kv_values, ctx_tokens, window;
} wanted[] = {
    { "qwen2.5-0.5b", 494032768, 6144, 32768, 0 },
    { "qwen2.5-1.5b", 1543714304, 14336, 32768, 0 },
    { "qwen2.5-3b", 3085938688, 18432, 32768, 0 },
    { "qwen2.5-7b", 7615616512, 28672, 32768, 0 },
    { "qwen2.5-14b", 14770033664, 98304, 32768, 0 },
    { "qwen2.5-32b", 32763876352, 131072, 32768, 0 },
    { "qwen2.5-72b", 72706203648, 163840, 32768, 0 },
    { "qwen3-0.6b", 596049920, 57344, 40960, 0 },
    { "qwen3-1.7b", 1720574976, 57344, 40960, 0 },
    { "qwen3-4b", 4022468096, 73728, 40960, 0 },
    { "qwen3-8b", 8190735360, 73728, 40960, 0 },
    { "qwen3-14b", 14768307200, 81920, 40960, 0 },
    { "qwen3-32b", 32762123264, 131072, 40960, 0 },
    { "qwen3-30b-a3b", 30532122624, 49152, 40960, 0 },
    { "qwen3-235b-a22b", 235093634560, 96256, 40960, 0 },
    /* its text part, without the layer for the token after the next */
    { "qwen3.6-35b-a3b", 34660610688, 10240, 262144, 0 },
    { "qwen3-next-80b-a3b", 79674391296, 12288, 262144, 0 },    /* likewise */
    { "llama-3.2-1b", 1235814400, 16384, 131072, 0 },
    { "llama-3.2-3b", 3212749824, 57344, 131072, 0 },
    { "llama-3.1-8b", 8030261248, 65536, 131072, 0 },
    { "llama-3.1-70b", 70553706496, 163840, 131072, 0 },
    { "llama-2-7b", 6738415616, 262144, 4096, 0 },
    { "mistral-7b", 7248023552, 65536, 32768, 0 },
    { "mistral-small-24b", 23572403200, 81920, 131072, 0 },
    { "phi-4", 14659507200, 102400, 16384, 0 },
    { "ernie-4.5-21b-a3b", 21825437888, 28672, 131072, 0 },
    { "gemma-3-270m", 268098176, 9216, 131072, 512 },
    { "gemma-3-1b", 999885952, 13312, 131072, 512 },
    { "gemma-3-4b", 3880263168, 69632, 131072, 1024 },
    { "gemma-3-12b", 11766034176, 196608, 131072, 1024 },
    { "gemma-3-27b", 27009346304, 253952, 131072, 1024 },
    { "gpt-oss-20b", 20914757184, 24576, 131072, 128 },
    { "gpt-oss-120b", 116829156672, 36864, 131072, 128 },
    /* 110468824832 less its 47th block, which has an embedding and a head of its own */
    { "glm-4.5-air", 106852251264, 94208, 131072, 0 },
    { "smollm2-135m", 134515008, 11520, 8192, 0 },
    { "smollm2-360m", 361821120, 20480, 8192, 0 },
    { "smollm2-1.7b", 1711376384, 98304, 8192, 0 },
};

static void every_shape(void **state)
{
    struct weights w;
    (void)state;
    assert_int_equal(n_shapes, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < n_shapes; i++) {
        const struct shape *s = shape_find(wanted[i].name);
        if (!s) fail_msg("%s is not there", wanted[i].name);
        for (int r = 0; r < N_RECIPES; r++) {           /* a recipe changes bytes, not the number */
            recipe_weights(s, (enum recipe)r, &w);
            if (w.n_parameters != wanted[i].n_weights)
                fail_msg("%s has %llu weights", s->name, (unsigned long long)w.n_parameters);
        }
        assert_int_equal(2 * shape_kv_layers(s) * s->n_kv_heads * s->d_head, wanted[i].kv_values);
        assert_int_equal(s->ctx_tokens, wanted[i].ctx_tokens);
        assert_int_equal(s->window, wanted[i].window);
        const uint32_t period = s->has_all_biases ? 2 : 6;      /* gpt-oss and Gemma 3 */
        assert_int_equal(s->n_window_layers,
                         wanted[i].window ? s->n_layers - s->n_layers / period : 0);
    }
}

/* Names in any case, and the experts of mixtures. */
static void names_and_experts(void **state)
{
    (void)state;
    const struct shape *mixture = shape_find("qwen3-30b-a3b"), *none = shape_find("qwen3-30b"),
                       *any_case = shape_find("QWEN3-30B-A3B");
    assert_ptr_equal(mixture, any_case);
    assert_null(none);
    assert_int_equal(mixture->n_experts, 128);
    assert_int_equal(mixture->n_experts_used, 8);
    assert_int_equal(mixture->d_expert, 768);
    assert_int_equal(shape_find("qwen3-235b-a22b")->n_experts_used, 8);
    assert_int_equal(shape_find("qwen3-235b-a22b")->n_experts, 128);
    assert_int_equal(shape_find("glm-4.5-air")->n_experts_used, 8);
    assert_int_equal(shape_find("gpt-oss-20b")->n_experts_used, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape),
        cmocka_unit_test(names_and_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

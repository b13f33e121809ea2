/* Packed weights that are kept on disk: a second start maps what the first one packed, the GPU
 * reads it from there without a copy, and what is damaged or for another GPU is not believed. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../kernels/file_types.h"
#include "metal_fixture.h"

#include "base/hash.h"
#include "quant/quant.h"

enum { N_MATRICES = 3, N_K = 64 };

static const struct {
    const char *name;
    size_t type;            /* of file_types */
    uint32_t n_rows;
} shapes[N_MATRICES] = { { "embedding", 4, 100 }, { "up", 6, 33 }, { "down", 4, 640 } };

static uint8_t *rows[N_MATRICES];
static char folder[64];

struct loaded {
    struct metal_backend *b;
    struct matrix *m[N_MATRICES];
};

static void load(struct loaded *l, const char *dir)
{
    const struct backend_params params = {
        .dims = { .d_model = N_K, .d_head = 32, .d_ff = 64, .n_heads = 2, .n_kv_heads = 1,
                  .n_layers = 1, .n_vocab = 64 },
        .max_cols = 8, .max_outs = 8,
        .kv = { .n = 1, .group = { { .n_layers = 1, .n_pages = 4 } } },
        .n_threads = 2, .pack_dir = dir,
        .model_hash = { 1, 2 },
    };
    pl_err err;
    l->b = fixture_open_as(&params);
    for (int i = 0; i < N_MATRICES; i++) {
        const struct weight_view view = { shapes[i].name, file_types[shapes[i].type].type,
                                          shapes[i].n_rows, N_K, rows[i] };
        if (backend_metal.load_matrix(&l->b->base, &view, &l->m[i], &err)) fail_msg("%s", err.text);
    }
    if (backend_metal.load_done(&l->b->base, &err)) fail_msg("%s", err.text);
}

static uint64_t shared_bytes(const struct loaded *l)
{
    return backend_metal.shared_bytes(&l->b->base);
}

/* Column c begins with token 13 c. */
static void embed(const struct loaded *l, float x[8][N_K])
{
    struct metal_backend *b = l->b;
    int32_t *token = b->step[b->at].token.bytes;
    for (int c = 0; c < 8; c++) token[c] = 13 * c;
    b->batch = (struct batch){ .n_cols = 8 };
    metal_begin(b->device);
    backend_metal.embed(&b->base, l->m[0], 1);
    fixture_finish(b);
    for (int c = 0; c < 8; c++)
        memcpy(x[c], (float *)b->x.bytes + (size_t)c * b->ld_model, sizeof x[c]);
}

/* As a load without a folder has it. */
static void check(const struct loaded *l)
{
    static float want[8][N_K], got[8][N_K];
    struct loaded plain;
    load(&plain, NULL);
    for (int i = 0; i < N_MATRICES; i++) {
        assert_int_equal(l->m[i]->tiles.n_bytes, plain.m[i]->tiles.n_bytes);
        assert_memory_equal(l->m[i]->tiles.bytes, plain.m[i]->tiles.bytes,
                            plain.m[i]->tiles.n_bytes);
    }
    embed(&plain, want);
    embed(l, got);
    assert_memory_equal(got, want, sizeof want);
    fixture_close(plain.b);
}

/* Loads and checks; true: from the file. */
static bool load_once(void)
{
    struct loaded l;
    load(&l, folder);
    check(&l);
    uint64_t n_bytes = 0;
    for (int i = 0; i < N_MATRICES; i++) n_bytes += l.m[i]->tiles.n_bytes;
    const uint64_t n_shared = shared_bytes(&l);
    assert_true(n_shared == 0 || n_shared >= n_bytes);
    fixture_close(l.b);
    return n_shared > 0;
}

static void path_of_pack(char *path, size_t n)
{
    char command[128];
    snprintf(command, sizeof command, "ls %s/*-metal-*.pack", folder);
    FILE *list = popen(command, "r");
    assert_non_null(fgets(path, (int)n, list));
    path[strcspn(path, "\n")] = 0;
    pclose(list);
}

static void the_second_start_maps_what_the_first_packed(void **state)
{
    (void)state;
    uint8_t *kept[N_MATRICES];
    struct loaded l;
    assert_false(load_once());
    assert_true(load_once());

    memcpy(kept, rows, sizeof kept);        /* the model file is not read then */
    memset(rows, 0, sizeof rows);
    load(&l, folder);
    memcpy(rows, kept, sizeof rows);
    check(&l);
    assert_true(l.m[1]->tiles.object_offset > 0);
    fixture_close(l.b);
}

static void damage_is_noticed_and_mended(void **state)
{
    (void)state;
    char path[256];
    load_once();
    path_of_pack(path, sizeof path);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, -5, SEEK_END);
    fputc('x', f);
    fclose(f);
    assert_false(load_once());
    assert_true(load_once());
}

#ifdef PACELINE_METAL_EMULATED
static void another_gpu_has_a_file_of_its_own(void **state)
{
    (void)state;
    load_once();
    fixture_set_layout(1);
    assert_false(load_once());
    assert_true(load_once());
    fixture_set_layout(0);
    assert_true(load_once());
}
#endif

/* What fragment_pack makes of a fixed input, for each type, as one number. */
static void a_changed_layout_has_a_new_version(void **state)
{
    (void)state;
    static const uint64_t fingerprints[] = { [1] = 0xe2a98080bbc20acf,
                                             [2] = 0x26184b4970bce3a9 };
    uint64_t all[COUNT(file_types)];
    struct rng r;
    rng_seed(&r, 1);
    for (size_t i = 0; i < COUNT(file_types); i++) {
        const uint32_t n_k = 512, n_rows = 13;
        const int format = fragment_format_of(file_types[i].type, n_k);
        const size_t n_bytes = format < 0 ? 0 : fragment_tile_bytes(format, n_k);
        uint8_t *from = random_rows(&r, &file_types[i], n_rows, n_k, FILL_RANDOM);
        uint8_t *tile = calloc(1, n_bytes + 1);
        if (format >= 0)
            fragment_pack(format, &fragment_layout_apple, tile, file_types[i].type, from, n_rows,
                          n_k);
        all[i] = hash64(tile, n_bytes) + (uint64_t)format;
        free(tile);
        free(from);
    }
    const uint64_t found = hash64(all, sizeof all);
    if (FRAGMENT_PACK_VERSION >= COUNT(fingerprints) ||
        fingerprints[FRAGMENT_PACK_VERSION] != found)
        fail_msg("tiles have the fingerprint 0x%llx, not that of FRAGMENT_PACK_VERSION %d: raise "
                 "it (fragment.h) and add the fingerprint here",
                 (unsigned long long)found, FRAGMENT_PACK_VERSION);
}

static int set_up(void **state)
{
    (void)state;
    struct rng r;
    rng_seed(&r, 8);
    for (int i = 0; i < N_MATRICES; i++)
        rows[i] = random_rows(&r, &file_types[shapes[i].type], shapes[i].n_rows, N_K, FILL_RANDOM);
    snprintf(folder, sizeof folder, "/tmp/paceline-weights-XXXXXX");
    return !mkdtemp(folder);
}

static int clean_up(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    fixture_choose(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_start_maps_what_the_first_packed),
        cmocka_unit_test(damage_is_noticed_and_mended),
#ifdef PACELINE_METAL_EMULATED
        cmocka_unit_test(another_gpu_has_a_file_of_its_own),
#endif
        cmocka_unit_test(a_changed_layout_has_a_new_version),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}

/* The pack cache through the backend: first and later loads hold the same panels, whatever is wrong
 * with the file it is written anew, and whatever is wrong with the folder the load goes on. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "product_fixture.h"

#include "backend/cpu/cpu_internal.h"
#include "backend/pack/pack_write.h"

enum { N_MATRICES = 4, D_MODEL = 512 };

static char folder[64];
static _Atomic int n_warnings;
static char last_warning[512];

/* ---- models --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint32_t type, n_rows, n_k;
} shapes[N_MATRICES] = {
    { "embedding", 0, 1000, D_MODEL },      /* types of file_types */
    { "up", 4, 2049, D_MODEL },
    { "down", 2, 33, D_MODEL },
    { "down", 5, 4000, D_MODEL },           /* names need not differ */
};

static uint8_t *rows[N_MATRICES];

static void make_rows(uint64_t seed)
{
    struct rng r;
    rng_seed(&r, seed);
    for (int i = 0; i < N_MATRICES; i++) {
        free(rows[i]);
        rows[i] = random_rows(&r, &file_types[shapes[i].type], shapes[i].n_rows, shapes[i].n_k,
                              FILL_RANDOM);
    }
}

struct loaded {
    struct backend *b;
    struct matrix *m[N_MATRICES];
};

/* n_matrices: the model's first ones. */
static void load(struct loaded *l, const char *dir, uint64_t model, const char *isa, int n_matrices)
{
    const struct backend_params params = {
        .dims = { .d_model = D_MODEL, .d_head = 64, .d_ff = D_MODEL, .n_heads = 8, .n_kv_heads = 1,
                  .n_layers = 1, .n_vocab = 64 },
        .max_cols = 1, .max_outs = 1,
        .kv = { .n = 1, .group = { { .n_layers = 1, .n_pages = 1 } } },
        .has_float_weights = true, .n_threads = 2, .isa = isa,
        .pack_dir = dir,
        .model_hash = { model, 77 },
    };
    pl_err err;
    n_warnings = 0;
    if (backend_cpu.open(&l->b, &params, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < n_matrices; i++) {
        const struct weight_view view = { shapes[i].name, file_types[shapes[i].type].type,
                                          shapes[i].n_rows, shapes[i].n_k, rows[i] };
        if (backend_cpu.load_matrix(l->b, &view, &l->m[i], &err)) fail_msg("%s", err.text);
    }
    if (backend_cpu.load_done(l->b, &err)) fail_msg("%s", err.text);
}

/* The panels are those that packing gives. */
static void check_panels(const struct loaded *l, int n_matrices)
{
    for (int i = 0; i < n_matrices; i++) {
        const struct matrix *m = l->m[i];
        const uint32_t type = file_types[shapes[i].type].type;
        const size_t row_bytes = quant_row_bytes(type, m->n_k);
        uint8_t *panel = aligned_alloc(64, m->panel_bytes);
        assert_non_null(panel);
        for (uint32_t p = 0; p < m->n_panels; p++) {
            const uint32_t left = m->n_rows - p * PANEL_ROWS;
            panel_pack(m->format, panel, type, rows[i] + p * PANEL_ROWS * row_bytes,
                       left < PANEL_ROWS ? left : PANEL_ROWS, m->n_k);
            if (memcmp(panel, m->panel + p * m->panel_bytes, m->panel_bytes) != 0)
                fail_msg("matrix %d panel %u is not what packing gives", i, p);
        }
        assert_int_equal((uintptr_t)m->panel % 64, 0);
        free(panel);
    }
}

static uint64_t weight_bytes(int n_matrices)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < n_matrices; i++)
        n_bytes += backend_cpu.matrix_bytes(file_types[shapes[i].type].type, shapes[i].n_rows,
                                            shapes[i].n_k);
    return n_bytes;
}

/* Loads, checks, closes; true: all weights were mapped from the file in the end. */
static bool load_once(const char *dir, uint64_t model, const char *isa, int n_matrices)
{
    struct loaded l;
    load(&l, dir, model, isa, n_matrices);
    check_panels(&l, n_matrices);
    const uint64_t shared = backend_cpu.shared_bytes(l.b);
    if (shared) assert_int_equal(shared, weight_bytes(n_matrices));
    backend_cpu.close(l.b);
    return shared != 0;
}

/* ---- the folder ----------------------------------------------------------------------------- */

static const char *path_in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *pack_path(uint64_t model)
{
    char name[128];
    snprintf(name, sizeof name, "000000000000004d%016llx-cpu-scalar-v%d.%d.pack",
             (unsigned long long)model, PACK_FILE_VERSION, PANEL_LAYOUT_VERSION);
    return path_in_folder(name);
}

static ino_t inode_of(const char *path)
{
    struct stat info;
    return stat(path, &info) ? 0 : info.st_ino;
}

static void flip(const char *path, off_t at)
{
    uint8_t byte;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void on_log(void *arg, pl_log_level level, const char *subsystem, const char *line)
{
    (void)arg, (void)subsystem;
    if (level > PL_LOG_WARN) return;
    n_warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", line);
}

static void check_warned(const char *text)
{
    if (n_warnings < 1 || !strstr(last_warning, text))
        fail_msg("%d warnings, the last \"%s\"; wanted \"%s\"", n_warnings, last_warning, text);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void first_and_later_loads_are_alike(void **state)
{
    (void)state;
    struct loaded first, second;
    struct stat info;

    load(&first, folder, 1, "scalar", N_MATRICES);
    assert_int_equal(n_warnings, 0);
    assert_int_equal(stat(pack_path(1), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(backend_cpu.shared_bytes(first.b), weight_bytes(N_MATRICES));
    check_panels(&first, N_MATRICES);

    load(&second, folder, 1, "scalar", N_MATRICES);
    assert_int_equal(n_warnings, 0);
    assert_int_equal(backend_cpu.shared_bytes(second.b), weight_bytes(N_MATRICES));
    check_panels(&second, N_MATRICES);
    assert_int_equal(inode_of(pack_path(1)), info.st_ino);      /* not written again */
    backend_cpu.close(first.b);
    check_panels(&second, N_MATRICES);
    backend_cpu.close(second.b);
}

/* What was mapped is what the file says, not what the model file says: it is not read. */
static void a_later_load_does_not_read_the_weights(void **state)
{
    (void)state;
    uint8_t *kept[N_MATRICES];
    struct loaded l;

    assert_true(load_once(folder, 2, "scalar", N_MATRICES));
    for (int i = 0; i < N_MATRICES; i++) {
        kept[i] = rows[i];
        rows[i] = NULL;
    }
    load(&l, folder, 2, "scalar", N_MATRICES);
    memcpy(rows, kept, sizeof rows);
    check_panels(&l, N_MATRICES);
    backend_cpu.close(l.b);
}

static void damage_is_noticed_and_mended(void **state)
{
    (void)state;
    struct stat info;

    assert_true(load_once(folder, 3, "scalar", N_MATRICES));
    assert_int_equal(stat(pack_path(3), &info), 0);
    const off_t places[] = { 0, 9, 30, 100, 130, 200, PACK_ALIGN, PACK_ALIGN + 1000000,
                             info.st_size - 1 };
    for (size_t i = 0; i < COUNT(places); i++) {
        flip(pack_path(3), places[i]);
        assert_true(load_once(folder, 3, "scalar", N_MATRICES));
        check_warned("it is written anew");
        assert_true(load_once(folder, 3, "scalar", N_MATRICES));
        assert_int_equal(n_warnings, 0);
    }
    const off_t lengths[] = { 0, 50, PACK_ALIGN, info.st_size - 1, info.st_size + 1 };
    for (size_t i = 0; i < COUNT(lengths); i++) {
        assert_int_equal(truncate(pack_path(3), lengths[i]), 0);
        assert_true(load_once(folder, 3, "scalar", N_MATRICES));
        check_warned("it is written anew");
        assert_int_equal(stat(pack_path(3), &info), 0);
    }
    assert_int_equal(chmod(pack_path(3), 0666), 0);
    assert_true(load_once(folder, 3, "scalar", N_MATRICES));
    check_warned("others may write");
    assert_true(load_once(folder, 3, "scalar", N_MATRICES));
    assert_int_equal(n_warnings, 0);
}

/* Other contents and other instruction sets have files of their own; a file that was put under a
 * wrong name is not believed. */
static void other_models_and_instruction_sets_keep_apart(void **state)
{
    (void)state;
    char other[256];

    make_rows(11);
    assert_true(load_once(folder, 4, "scalar", N_MATRICES));
    make_rows(12);
    assert_true(load_once(folder, 5, "scalar", N_MATRICES));
    assert_int_equal(n_warnings, 0);
    snprintf(other, sizeof other, "%s", pack_path(4));
    assert_int_equal(rename(other, pack_path(5)), 0);
    assert_true(load_once(folder, 5, "scalar", N_MATRICES));
    check_warned("of another model");

    load_once(folder, 5, NULL, N_MATRICES);     /* the best of this machine */
    assert_int_equal(n_warnings, 0);
    assert_true(load_once(folder, 5, "scalar", N_MATRICES));
    assert_int_equal(n_warnings, 0);
}

/* A newer program may ask for other matrices of the same model. */
static void a_file_of_other_matrices_is_written_anew(void **state)
{
    (void)state;
    assert_true(load_once(folder, 6, "scalar", N_MATRICES - 1));
    const ino_t small = inode_of(pack_path(6));
    assert_true(load_once(folder, 6, "scalar", N_MATRICES));
    assert_true(inode_of(pack_path(6)) != small);
    const ino_t large = inode_of(pack_path(6));
    assert_true(load_once(folder, 6, "scalar", N_MATRICES - 1));
    assert_true(inode_of(pack_path(6)) != large);
}

static void old_versions_go(void **state)
{
    (void)state;
    char old[3][256];
    static const char *const ends[] = { "0000000000000007-cpu-scalar-v0.9.pack",
                                        "0000000000000007-cpu-other-v0.9.pack",
                                        "0000000000000008-cpu-scalar-v0.9.pack" };
    for (int i = 0; i < 3; i++) {
        char name[128];
        snprintf(name, sizeof name, "000000000000004d%s", ends[i]);
        snprintf(old[i], sizeof old[i], "%s", path_in_folder(name));
        close(open(old[i], O_CREAT | O_WRONLY, 0600));
    }
    assert_true(load_once(folder, 7, "scalar", N_MATRICES));
    assert_int_equal(inode_of(old[0]), 0);
    assert_true(inode_of(old[1]) != 0);
    assert_true(inode_of(old[2]) != 0);
}

/* ---- trouble -------------------------------------------------------------------------------- */

static void a_folder_that_cannot_be_used_is_a_warning(void **state)
{
    (void)state;
    char file[256];
    snprintf(file, sizeof file, "%s", path_in_folder("file"));
    close(open(file, O_CREAT | O_WRONLY, 0600));
    const char *bad[] = { file, "/nowhere/at/all", "/proc/paceline", "" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(load_once(bad[i], 9, "scalar", N_MATRICES));
        check_warned("packed in memory");
    }
    if (geteuid() == 0) return;     /* the superuser writes anywhere */
    snprintf(file, sizeof file, "%s", path_in_folder("locked"));
    assert_int_equal(mkdir(file, 0500), 0);
    assert_false(load_once(file, 9, "scalar", N_MATRICES));
    check_warned("keeps its own copy");
}

static void a_full_disk_is_a_warning(void **state)
{
    (void)state;
    struct rlimit before;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = { 3 << 20, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const bool is_shared = load_once(folder, 10, "scalar", N_MATRICES);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(is_shared);
    check_warned("keeps its own copy");
    assert_int_equal(inode_of(pack_path(10)), 0);
    assert_true(load_once(folder, 10, "scalar", N_MATRICES));
}

/* A disk that fills up while the file is written: the error comes in the middle of it. */
static void a_disk_that_fills_up_is_a_warning(void **state)
{
    (void)state;
    const int full = open("/dev/full", O_WRONLY);
    if (full < 0) skip();
    struct loaded l;
    struct thread_pool *pool;
    struct cache_dir dir;
    struct cache_writer w;
    struct pack_entry entry[N_MATRICES];
    uint8_t *const *at[N_MATRICES];
    pl_err err;

    load(&l, NULL, 0, "scalar", N_MATRICES);
    for (int i = 0; i < N_MATRICES; i++) {
        entry[i] = (struct pack_entry){ .n_bytes = l.m[i]->n_panels * l.m[i]->panel_bytes };
        at[i] = &l.m[i]->panel;
    }
    const struct pack_key key =
        pack_key_of((struct hash128){ 11, 77 }, "cpu-scalar", PANEL_LAYOUT_VERSION);
    assert_int_equal(thread_pool_open(&pool, 2, &err), PL_OK);
    assert_int_equal(cache_dir_open(&dir, folder, &err), PL_OK);
    assert_int_equal(cache_write_begin(&w, &dir, "half", 1, &err), PL_OK);
    assert_int_equal(dup2(full, w.fd), w.fd);
    assert_int_equal(pack_write(&w, &key, entry, at, N_MATRICES, pool, &err), PL_E_IO);
    assert_non_null(strstr(err.text, "No space"));
    assert_int_equal(inode_of(path_in_folder("half")), 0);
    assert_int_equal(inode_of(path_in_folder("half.tmp")), 0);
    close(full);
    cache_dir_close(&dir);
    thread_pool_close(pool);
    backend_cpu.close(l.b);
}

static void a_file_that_another_writes_is_left_to_it(void **state)
{
    (void)state;
    struct cache_dir dir;
    struct cache_writer w;
    pl_err err;

    assert_int_equal(cache_dir_open(&dir, folder, &err), PL_OK);
    assert_int_equal(cache_write_begin(&w, &dir, strrchr(pack_path(12), '/') + 1, 1, &err), PL_OK);
    assert_false(load_once(folder, 12, "scalar", N_MATRICES));
    check_warned("another process is writing it");
    cache_write_abandon(&w);
    cache_dir_close(&dir);
    assert_true(load_once(folder, 12, "scalar", N_MATRICES));
}

static void *load_in_thread(void *model)
{
    struct loaded l;
    load(&l, folder, *(uint64_t *)model, "scalar", N_MATRICES);
    check_panels(&l, N_MATRICES);
    backend_cpu.close(l.b);
    return NULL;
}

/* Both load well, whoever writes; afterwards there is one good file. */
static void two_at_once(void **state)
{
    (void)state;
    for (uint64_t model = 100; model < 110; model++) {
        pthread_t other;
        assert_int_equal(pthread_create(&other, NULL, load_in_thread, &model), 0);
        load_in_thread(&model);
        pthread_join(other, NULL);
        assert_true(load_once(folder, model, "scalar", N_MATRICES));
        assert_int_equal(n_warnings, 0);
        unlink(pack_path(model));
    }
}

static void mapped_weights_can_be_locked(void **state)
{
    (void)state;
    struct loaded l;
    pl_err err;

    load(&l, folder, 13, "scalar", N_MATRICES);
    struct cpu_backend *b = (struct cpu_backend *)l.b;
    b->params.lock_memory = true;
    const pl_status st = backend_cpu.load_done(l.b, &err);
    if (st) assert_non_null(strstr(err.text, "ulimit -l"));
    check_panels(&l, N_MATRICES);
    backend_cpu.close(l.b);
}

static void clean_up(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command)) puts("the test's folder stays");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_and_later_loads_are_alike),
        cmocka_unit_test(a_later_load_does_not_read_the_weights),
        cmocka_unit_test(damage_is_noticed_and_mended),
        cmocka_unit_test(other_models_and_instruction_sets_keep_apart),
        cmocka_unit_test(a_file_of_other_matrices_is_written_anew),
        cmocka_unit_test(old_versions_go),
        cmocka_unit_test(a_folder_that_cannot_be_used_is_a_warning),
        cmocka_unit_test(a_full_disk_is_a_warning),
        cmocka_unit_test(a_disk_that_fills_up_is_a_warning),
        cmocka_unit_test(a_file_that_another_writes_is_left_to_it),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(mapped_weights_can_be_locked),
    };
    strcpy(folder, "/tmp/paceline-pack-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    atexit(clean_up);
    pl_set_log(on_log, NULL, PL_LOG_DEBUG);
    make_rows(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

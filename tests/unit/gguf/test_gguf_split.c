/* Model files in parts: the first opens all, every other arrangement is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "unit/gguf/gguf_build.h"

struct part { /* what part `number`'s file holds */
    uint64_t no, count;
    int64_t n_tensors;          /* split.tensors.count; -1: not said */
    const char *tensor;
    uint32_t version;           /* 0: 3 */
};

struct folder { /* of one test */
    char path[64], file[128];
};

static int make_folder(void **state)
{
    struct folder *f = calloc(1, sizeof *f);
    if (!f) return -1;
    strcpy(f->path, "/tmp/paceline-split-XXXXXX");
    *state = f;
    return mkdtemp(f->path) ? 0 : -1;
}

static const char *path_of(struct folder *f, unsigned number, unsigned count)
{
    snprintf(f->file, sizeof f->file, "%s/m-%05u-of-%05u.gguf", f->path, number, count);
    return f->file;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;
    for (unsigned i = 1; i <= 4; i++) unlink(path_of(f, i, 3));
    snprintf(f->file, sizeof f->file, "%s/other.gguf", f->path);
    unlink(f->file);
    const int failed = rmdir(f->path);
    free(f);
    return failed;
}

static void write_part(const char *path, struct part part)
{
    struct gguf_build b = { .version = part.version };
    build_number(&b, "split.no", GGUF_U16, &(uint16_t){ (uint16_t)part.no }, 2);
    build_number(&b, "split.count", GGUF_U16, &(uint16_t){ (uint16_t)part.count }, 2);
    if (part.n_tensors >= 0)
        build_number(&b, "split.tensors.count", GGUF_I32, &(int32_t){ (int32_t)part.n_tensors }, 4);
    if (part.no == 0) build_string(&b, "general.name", "in parts");
    build_tensor(&b, part.tensor, QUANT_F32, 1, (uint64_t[]){ 4 }, (uint8_t)part.no);
    struct strbuf file = build_file(&b);
    assert_true(build_write(path, file.bytes, file.n));
    strbuf_free(&file);
    build_free(&b);
}

/* Three parts that belong together; a test then spoils one. */
static void write_three(struct folder *f)
{
    static const char *const names[] = { "c", "a", "b" };
    for (unsigned i = 0; i < 3; i++)
        write_part(path_of(f, i + 1, 3), (struct part){ i, 3, 3, names[i], 0 });
}

static void assert_refused(struct folder *f, const char *path, pl_status status, const char *text)
{
    struct gguf g;
    pl_err err = { 0 };
    const pl_status st = gguf_open(&g, path, &err);
    if (st != status || !strstr(err.text, text))
        fail_msg("%s \"%s\"; \"%s\" is wanted", pl_status_name(st), err.text, text);
    assert_non_null(strstr(err.text, f->path));
    assert_null(g.part);
}

static void test_the_first_part_opens_all(void **state)
{
    struct gguf g;
    pl_err err = { 0 };
    write_three(*state);
    if (gguf_open(&g, path_of(*state, 1, 3), &err)) fail_msg("%s", err.text);
    assert_int_equal(g.n_parts, 3);
    assert_int_equal(g.n_tensors, 3);
    assert_int_equal(g.file_bytes, g.part[0].n_bytes + g.part[1].n_bytes + g.part[2].n_bytes);
    assert_true(gguf_has(&g, "general.name"));
    static const struct { const char *name; uint8_t part; } wanted[] = {
        { "a", 1 }, { "b", 2 }, { "c", 0 },
    };
    for (size_t i = 0; i < 3; i++) {
        const struct gguf_tensor *t = gguf_find(&g, wanted[i].name);
        assert_non_null(t);
        assert_int_equal(t->data[0], wanted[i].part);
        const struct file_map *map = &g.part[wanted[i].part];
        assert_true(t->data > map->data && t->data + 16 <= map->data + map->n_bytes);
    }
    gguf_drop_pages(&g);
    gguf_close(&g);
}

static void test_another_part_says_which_to_open(void **state)
{
    write_three(*state);
    assert_refused(*state, path_of(*state, 2, 3), PL_E_FORMAT,
                   "part 2 of 3; open m-00001-of-00003.gguf");
    assert_refused(*state, path_of(*state, 3, 3), PL_E_FORMAT,
                   "part 3 of 3; open m-00001-of-00003.gguf");
}

static void test_a_missing_part(void **state)
{
    write_three(*state);
    unlink(path_of(*state, 3, 3));
    assert_refused(*state, path_of(*state, 1, 3), PL_E_IO, "part 3 of 3: ");
    assert_refused(*state, path_of(*state, 1, 3), PL_E_IO, "m-00003-of-00003.gguf: No such file");
}

static void test_a_damaged_part(void **state)
{
    struct folder *f = *state;
    write_three(f);
    assert_true(build_write(path_of(f, 2, 3), "PK", 2));
    assert_refused(f, path_of(f, 1, 3), PL_E_FORMAT, "m-00002-of-00003.gguf: a zip archive");
    write_part(path_of(f, 2, 3), (struct part){ 1, 3, 3, "a", 9 });
    assert_refused(f, path_of(f, 1, 3), PL_E_UNSUPPORTED, "m-00002-of-00003.gguf: GGUF version 9");
}

static void test_parts_that_do_not_belong(void **state)
{
    struct folder *f = *state;
    write_three(f);
    write_part(path_of(f, 2, 3), (struct part){ 2, 3, 3, "a", 0 });
    assert_refused(f, path_of(f, 1, 3), PL_E_FORMAT,
                   "m-00002-of-00003.gguf: says it is part 3 of 3; part 2 of 3 is wanted");
    write_part(path_of(f, 2, 3), (struct part){ 1, 4, 3, "a", 0 });
    assert_refused(f, path_of(f, 1, 3), PL_E_FORMAT, "says it is part 2 of 4; part 2 of 3");
    write_part(path_of(f, 2, 3), (struct part){ 0, 1, -1, "a", 0 });
    assert_refused(f, path_of(f, 1, 3), PL_E_FORMAT, "says it is part 1 of 1; part 2 of 3");
}

static void test_a_count_unlike_the_name(void **state)
{
    struct folder *f = *state;
    write_three(f);
    write_part(path_of(f, 1, 3), (struct part){ 0, 4, 3, "c", 0 });
    assert_refused(f, path_of(f, 1, 3), PL_E_FORMAT, "ends in -00001-of-00004.gguf is wanted");
    char other[128];
    snprintf(other, sizeof other, "%s/other.gguf", f->path);
    write_part(other, (struct part){ 0, 3, 3, "c", 0 });
    assert_refused(f, other, PL_E_FORMAT, "ends in -00001-of-00003.gguf is wanted");
    write_part(other, (struct part){ 1, 3, 3, "c", 0 });
    assert_refused(f, other, PL_E_FORMAT, "part 2 of 3; open the first part");
}

static void test_tensors_over_all_parts(void **state)
{
    struct folder *f = *state;
    write_three(f);
    write_part(path_of(f, 3, 3), (struct part){ 2, 3, 3, "c", 0 });
    assert_refused(f, path_of(f, 1, 3), PL_E_FORMAT, "tensor c stands in the file twice");
    write_three(f);
    write_part(path_of(f, 1, 3), (struct part){ 0, 3, 4, "c", 0 });
    assert_refused(f, path_of(f, 1, 3), PL_E_FORMAT,
                   "3 parts hold 3 tensors; 4 are wanted (split.tensors.count)");
}

/* What tools that merge parts into one file leave: a count of 0 and the number of tensors. */
static void test_a_merged_file(void **state)
{
    struct gguf g;
    pl_err err = { 0 };
    struct folder *f = *state;
    snprintf(f->file, sizeof f->file, "%s/other.gguf", f->path);
    write_part(f->file, (struct part){ 0, 0, 1, "c", 0 });
    if (gguf_open(&g, f->file, &err)) fail_msg("%s", err.text);
    assert_int_equal(g.n_parts, 1);
    gguf_close(&g);
}

int main(void)
{
#define SPLIT_TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        SPLIT_TEST(test_the_first_part_opens_all), SPLIT_TEST(test_another_part_says_which_to_open),
        SPLIT_TEST(test_a_missing_part),           SPLIT_TEST(test_a_damaged_part),
        SPLIT_TEST(test_parts_that_do_not_belong), SPLIT_TEST(test_a_count_unlike_the_name),
        SPLIT_TEST(test_tensors_over_all_parts),   SPLIT_TEST(test_a_merged_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

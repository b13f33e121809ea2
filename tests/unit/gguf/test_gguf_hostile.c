/* Files that lie: each is refused with the status and words it deserves, wherever it was cut short,
 * and whatever single byte was changed. Files lie in allocations of just their size (parse_bytes.h)
 * so that the address sanitizer sees a read beyond the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "unit/gguf/gguf_build.h"
#include "unit/gguf/parse_bytes.h"

#define DIMS(...) (uint64_t[]){ __VA_ARGS__ }

/* ---- what stands where a model file should -------------------------------------------------- */

static void test_other_formats(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        pl_status status;
        const char *text;
    } cases[] = {
        { "", 0, PL_E_FORMAT, "an empty file" },
        { "G", 1, PL_E_FORMAT, "not a GGUF file" },
        { "GGU", 3, PL_E_FORMAT, "not a GGUF file" },
        { "GGUF", 4, PL_E_FORMAT, "ends inside the header (4 bytes)" },
        { "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 23, PL_E_FORMAT, "inside the header (23" },
        { "GGUF\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, PL_E_UNSUPPORTED, "version 1; 2" },
        { "GGUF\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, PL_E_UNSUPPORTED, "version 4; 2" },
        { "GGUF\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, PL_E_UNSUPPORTED, "version 0; 2" },
        { "GGUF\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, PL_E_UNSUPPORTED, "big-endian" },
        { "FUGG\0\0\0\3", 8, PL_E_FORMAT, "big-endian" },
        { "lmgg\1\0\0\0", 8, PL_E_FORMAT, "before GGUF (GGML); convert it" },
        { "fmgg\1\0\0\0", 8, PL_E_FORMAT, "before GGUF (GGMF); convert it" },
        { "tjgg\3\0\0\0", 8, PL_E_FORMAT, "before GGUF (GGJT); convert it" },
        { "PK\3\4\0\0\0\0", 8, PL_E_FORMAT, "a zip archive" },
        { "\x10\1\0\0\0\0\0\0{\"__metadata__\"", 23, PL_E_FORMAT, "a safetensors file" },
        { "{\"weight_map\": {}}", 18, PL_E_FORMAT, "JSON text" },
        { "version https://git-lfs.github.com/spec/v1\n", 43, PL_E_FORMAT, "a Git LFS pointer" },
        { "<!doctype html>", 15, PL_E_FORMAT, "an HTML page" },
        { "\x7f" "ELF\2\1\1\0\0", 9, PL_E_FORMAT, "not a GGUF file" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct parsed p;
        pl_err err = { 0 };
        const pl_status st = parse_bytes(&p, cases[i].bytes, cases[i].n, &err);
        if (st != cases[i].status || err.status != st || !strstr(err.text, cases[i].text) ||
            !strstr(err.text, "memory.gguf: "))
            fail_msg("case %zu: %s \"%s\"; \"%s\" is wanted", i, pl_status_name(st), err.text,
                     cases[i].text);
        parsed_free(&p);
    }
}

/* ---- one lie each --------------------------------------------------------------------------- */

static void keys_beyond_the_file(struct gguf_build *b) { b->n_keys = 1000; }
static void keys_beyond_numbers(struct gguf_build *b) { b->n_keys = UINT64_MAX; }
static void tensors_beyond_the_file(struct gguf_build *b) { b->n_tensors = 1000; }
static void tensors_beyond_numbers(struct gguf_build *b) { b->n_tensors = (uint64_t)1 << 62; }

static void key_twice(struct gguf_build *b)
{
    build_u32(b, "a.key", 1);
    build_u32(b, "b", 1);
    build_string(b, "a.key", "other");
}

static void key_without_name(struct gguf_build *b) { build_u32(b, "", 1); }

static void key_with_zero_byte(struct gguf_build *b)
{
    build_put_string(&b->keys, "a\0b", 3);
    build_put_u32(&b->keys, GGUF_U8);
    build_put(&b->keys, "x", 1);
    b->n_keys++;
}

static void key_with_long_name(struct gguf_build *b)
{
    char name[65536 + 1];
    memset(name, 'n', 65536);
    name[65536] = 0;
    build_u32(b, name, 1);
}

static void key_name_beyond_the_file(struct gguf_build *b)
{
    build_put_u64(&b->keys, UINT64_MAX - 3);
    build_put(&b->keys, "abcdefghijklmnop", 16);
    b->n_keys++;
}

static void key_of_unknown_kind(struct gguf_build *b)
{
    build_key(b, "odd", 13);
    build_put_u64(&b->keys, 0);
}

static void key_of_negative_kind(struct gguf_build *b)
{
    build_key(b, "odd", UINT32_MAX);
    build_put_u64(&b->keys, 0);
}

static void string_beyond_the_file(struct gguf_build *b)
{
    build_key(b, "long", GGUF_STRING);
    build_put_u64(&b->keys, 100000);
}

static void bool_of_two(struct gguf_build *b) { build_number(b, "flag", GGUF_BOOL, "\2", 1); }

static void bool_element_of_255(struct gguf_build *b)
{
    build_array(b, "flags", GGUF_BOOL, 3);
    build_put(&b->keys, "\0\1\xff", 3);
}

static void array_of_arrays(struct gguf_build *b)
{
    build_array(b, "nested", GGUF_ARRAY, 1);
    build_put_u32(&b->keys, GGUF_U8);
    build_put_u64(&b->keys, 0);
}

static void array_of_unknown_kind(struct gguf_build *b) { build_array(b, "what", 77, 0); }
static void array_beyond_the_file(struct gguf_build *b) { build_array(b, "big", GGUF_U8, 4096); }

static void array_whose_bytes_wrap(struct gguf_build *b)
{
    build_array(b, "wraps", GGUF_F64, ((uint64_t)1 << 61) + 1);     /* times 8: 8 */
    build_put_u64(&b->keys, 0);
}

static void strings_beyond_numbers(struct gguf_build *b)
{
    build_array(b, "strings", GGUF_STRING, UINT64_MAX);
    build_put_string(&b->keys, "one", 3);
}

static void alignment_of(struct gguf_build *b, uint32_t v) { build_u32(b, "general.alignment", v); }
static void alignment_zero(struct gguf_build *b) { alignment_of(b, 0); }
static void alignment_odd(struct gguf_build *b) { alignment_of(b, 48); }
static void alignment_small(struct gguf_build *b) { alignment_of(b, 4); }
static void alignment_large(struct gguf_build *b) { alignment_of(b, 1 << 17); }
static void alignment_of_text(struct gguf_build *b) { build_string(b, "general.alignment", "32"); }

static void alignment_negative(struct gguf_build *b)
{
    build_number(b, "general.alignment", GGUF_I32, &(int32_t){ -32 }, 4);
}

static void tensor_without_name(struct gguf_build *b)
{
    build_tensor(b, "", QUANT_F32, 1, DIMS(4), 0);
}

static void tensor_of_no_dimension(struct gguf_build *b)
{
    build_tensor_head(b, "flat", QUANT_F32, 0, NULL, 0);
    build_put_u64(&b->tensors, 0);      /* long enough for the count to be believed */
}

static void tensor_of_five_dimensions(struct gguf_build *b)
{
    build_tensor_head(b, "deep", QUANT_F32, 5, DIMS(1, 1, 1, 1, 1), 0);
}

static void tensor_of_all_dimensions(struct gguf_build *b)
{
    build_put_string(&b->tensors, "deep", 4);
    build_put_u32(&b->tensors, UINT32_MAX);
    for (int i = 0; i < 8; i++) build_put_u64(&b->tensors, 1);
    b->n_tensors++;
}

static void tensor_of_no_rows(struct gguf_build *b)
{
    build_tensor_head(b, "none", QUANT_F32, 2, DIMS(32, 0), 0);
}

static void tensor_that_wraps(struct gguf_build *b)
{
    build_tensor_head(b, "wraps", QUANT_F32, 2, DIMS((uint64_t)1 << 33, (uint64_t)1 << 33), 0);
}

static void tensor_of_negative_size(struct gguf_build *b)
{
    build_tensor_head(b, "minus", QUANT_F32, 1, DIMS(UINT64_MAX - 31), 0);
}

static void tensor_whose_bytes_wrap(struct gguf_build *b)
{
    build_tensor_head(b, "heavy", QUANT_F32, 1, DIMS((uint64_t)1 << 62), 0);
}

static void tensor_of_part_blocks(struct gguf_build *b)
{
    build_tensor_head(b, "partial", QUANT_Q4_K, 2, DIMS(128, 2), 0);
}

static void tensor_of_removed_type(struct gguf_build *b)
{
    build_tensor_head(b, "old", 4, 1, DIMS(32), 0);
}

static void tensor_of_unknown_type(struct gguf_build *b)
{
    build_tensor_head(b, "odd", 0x80000000u, 1, DIMS(32), 0);
}

static void tensor_off_alignment(struct gguf_build *b)
{
    build_tensor(b, "x", QUANT_F32, 1, DIMS(32), 0);
    build_tensor_head(b, "y", QUANT_F32, 1, DIMS(1), 40);
}

static void tensor_beyond_the_file(struct gguf_build *b)
{
    build_tensor(b, "x", QUANT_F32, 1, DIMS(8), 0);
    build_tensor_head(b, "y", QUANT_F32, 1, DIMS(8), 32);
}

static void offset_beyond_numbers(struct gguf_build *b)
{
    build_tensor(b, "x", QUANT_F32, 1, DIMS(8), 0);
    build_tensor_head(b, "y", QUANT_F32, 1, DIMS(8), UINT64_MAX - 31);
}

static void tensor_without_data(struct gguf_build *b)
{
    build_tensor_head(b, "cut", QUANT_F32, 1, DIMS(1), 0);
}

static void tensors_that_overlap(struct gguf_build *b)
{
    build_tensor(b, "x", QUANT_F32, 1, DIMS(32), 0);
    build_tensor_head(b, "y", QUANT_F32, 1, DIMS(8), 96);
}

static void tensors_in_one_place(struct gguf_build *b)
{
    build_tensor(b, "x", QUANT_F32, 1, DIMS(32), 0);
    build_tensor_head(b, "y", QUANT_F32, 1, DIMS(32), 0);
}

static void tensor_twice(struct gguf_build *b)
{
    build_tensor(b, "x", QUANT_F32, 1, DIMS(32), 0);
    build_tensor(b, "x", QUANT_F32, 1, DIMS(32), 0);
}

static void hostile_name(struct gguf_build *b)
{
    char name[1000];
    memset(name, '\n', sizeof name);
    memcpy(name, "\x1b[2J%s%n\xff", 8);
    name[sizeof name - 1] = 0;
    build_tensor_head(b, name, 5, 1, DIMS(32), 0);
}

static void split_of_text(struct gguf_build *b) { build_string(b, "split.count", "2"); }
static void split_of_too_many(struct gguf_build *b) { build_u32(b, "split.count", 1001); }

static void split_beyond_its_count(struct gguf_build *b)
{
    build_u32(b, "split.count", 2);
    build_u32(b, "split.no", 2);
}

static const struct lie {
    void (*build)(struct gguf_build *b);
    pl_status status;
    const char *text;
} lies[] = {
    { keys_beyond_the_file, PL_E_FORMAT, "1000 keys and 0 tensors do not fit 8 bytes" },
    { keys_beyond_numbers, PL_E_FORMAT, "18446744073709551615 keys" },
    { tensors_beyond_the_file, PL_E_FORMAT, "1000 tensors do not fit" },
    { tensors_beyond_numbers, PL_E_FORMAT, "4611686018427387904 tensors do not fit" },
    { key_twice, PL_E_FORMAT, "key a.key stands in the file twice" },
    { key_without_name, PL_E_FORMAT, "key 0 has a name of 0 bytes" },
    { key_with_zero_byte, PL_E_FORMAT, "key 0 has a name of 3 bytes; 1..65535 without zero bytes" },
    { key_with_long_name, PL_E_FORMAT, "key 0 has a name of 65536 bytes" },
    { key_name_beyond_the_file, PL_E_FORMAT, "ends inside key 0" },
    { key_of_unknown_kind, PL_E_FORMAT, "key odd: kind 13; 0..12 are known" },
    { key_of_negative_kind, PL_E_FORMAT, "key odd: kind 4294967295" },
    { string_beyond_the_file, PL_E_FORMAT, "ends inside key 0 (long)" },
    { bool_of_two, PL_E_FORMAT, "key flag is 2; a boolean is 0 or 1" },
    { bool_element_of_255, PL_E_FORMAT, "key flags: element 2 is 255; 0 or 1" },
    { array_of_arrays, PL_E_UNSUPPORTED, "key nested: an array of arrays" },
    { array_of_unknown_kind, PL_E_FORMAT, "key what: an array of something unknown (kind 77)" },
    { array_beyond_the_file, PL_E_FORMAT, "ends inside key 0 (big)" },
    { array_whose_bytes_wrap, PL_E_FORMAT, "ends inside key 0 (wraps)" },
    { strings_beyond_numbers, PL_E_FORMAT, "ends inside key 0 (strings)" },
    { alignment_zero, PL_E_FORMAT, "general.alignment is 0; a power of two from 8 to 65536" },
    { alignment_odd, PL_E_FORMAT, "general.alignment is 48" },
    { alignment_small, PL_E_FORMAT, "general.alignment is 4;" },
    { alignment_large, PL_E_FORMAT, "general.alignment is 131072" },
    { alignment_of_text, PL_E_FORMAT, "general.alignment is a string; an integer" },
    { alignment_negative, PL_E_FORMAT, "general.alignment is -32; at least 0" },
    { tensor_without_name, PL_E_FORMAT, "tensor 0 has a name of 0 bytes" },
    { tensor_of_no_dimension, PL_E_FORMAT, "tensor flat has 0 dimensions; 1..4 are wanted" },
    { tensor_of_five_dimensions, PL_E_FORMAT, "tensor deep has 5 dimensions" },
    { tensor_of_all_dimensions, PL_E_FORMAT, "tensor deep has 4294967295 dimensions" },
    { tensor_of_no_rows, PL_E_FORMAT, "tensor none: dimension 1 is 0; at least 1" },
    { tensor_that_wraps, PL_E_FORMAT, "tensor wraps: dimension 1 is 8589934592" },
    { tensor_of_negative_size, PL_E_FORMAT, "tensor minus: dimension 0 is 18446744073709551584" },
    { tensor_whose_bytes_wrap, PL_E_FORMAT, "heavy: 4611686018427387904 weights do not fit" },
    { tensor_of_part_blocks, PL_E_FORMAT, "rows of 128 weights of type Q4_K; a multiple of 256" },
    { tensor_of_removed_type, PL_E_UNSUPPORTED,
      "is of type 4, Q4_2, which this version does not run; use a Q4_K_M or Q8_0" },
    { tensor_of_unknown_type, PL_E_UNSUPPORTED, "tensor odd is of type 2147483648" },
    { tensor_off_alignment, PL_E_FORMAT, "tensor y lies at 40; a multiple of 32" },
    { tensor_beyond_the_file, PL_E_FORMAT, "y needs 32 bytes from 32 of the data; there are 32" },
    { offset_beyond_numbers, PL_E_FORMAT, "tensor y needs 32 bytes from 18446744073709551584" },
    { tensor_without_data, PL_E_FORMAT, "cut needs 4 bytes from 0 of the data; there are 0" },
    { tensors_that_overlap, PL_E_FORMAT, "tensors x and y overlap" },
    { tensors_in_one_place, PL_E_FORMAT, "overlap" },
    { tensor_twice, PL_E_FORMAT, "tensor x stands in the file twice" },
    { hostile_name, PL_E_UNSUPPORTED, "tensor ?[2J%s%n??????" },
    { split_of_text, PL_E_FORMAT, "split.count is a string; an integer" },
    { split_of_too_many, PL_E_FORMAT, "split.count is 1001; at most 1000" },
    { split_beyond_its_count, PL_E_FORMAT, "split.no is 2 of 2 parts" },
};

static void test_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct gguf_build b = { 0 };
        struct parsed p;
        pl_err err = { 0 };
        lies[i].build(&b);
        struct strbuf file = build_file(&b);
        const pl_status st = parse_bytes(&p, file.bytes, file.n, &err);
        if (st != lies[i].status || !strstr(err.text, lies[i].text))
            fail_msg("lie %zu: %s \"%s\"; \"%s\" is wanted", i, pl_status_name(st), err.text,
                     lies[i].text);
        for (const char *c = err.text; *c; c++) assert_true(*c >= 32 && *c < 127);
        parsed_free(&p);
        strbuf_free(&file);
        build_free(&b);
    }
}

/* ---- damage --------------------------------------------------------------------------------- */

/* A sound file with something of everything. */
static struct strbuf sound_file(void)
{
    struct gguf_build b = { 0 };
    build_string(&b, "general.architecture", "llama");
    build_u32(&b, "general.alignment", 32);
    build_number(&b, "flag", GGUF_BOOL, "\1", 1);
    build_number(&b, "f64", GGUF_F64, &(double){ 0.5 }, 8);
    build_array(&b, "tokens", GGUF_STRING, 3);
    for (int i = 0; i < 3; i++) build_put_string(&b.keys, "token", (size_t)i);
    build_array(&b, "scores", GGUF_F32, 2);
    build_put(&b.keys, (float[]){ 1, 2 }, 8);
    build_tensor(&b, "blk.0.x", QUANT_Q8_0, 2, DIMS(32, 2), 1);
    build_tensor(&b, "blk.0.norm", QUANT_F32, 1, DIMS(16), 2);
    struct strbuf file = build_file(&b);
    build_free(&b);
    return file;
}

/* Opens it and, where that succeeds, reads all of it; a failure needs its message. */
static pl_status open_and_read(const void *bytes, size_t n)
{
    struct parsed p;
    pl_err err = { 0 };
    const pl_status st = parse_bytes(&p, bytes, n, &err);
    if (!st) read_everything(&p.g);
    assert_true(!st == !err.text[0]);
    parsed_free(&p);
    return st;
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    struct strbuf file = sound_file();
    assert_int_equal(open_and_read(file.bytes, file.n), PL_OK);
    for (size_t n = 0; n < file.n; n++)
        if (open_and_read(file.bytes, n) != PL_E_FORMAT)
            fail_msg("the first %zu of %zu bytes are no file", n, file.n);
    strbuf_free(&file);
}

static void test_every_byte_changed(void **state)
{
    (void)state;
    struct strbuf file = sound_file();
    int n_refused = 0;
    for (size_t i = 0; i < file.n; i++)
        for (int bit = 0; bit < 9; bit++) {     /* the ninth change: all bits */
            const char flip = (char)(bit < 8 ? 1 << bit : 0xff);
            file.bytes[i] ^= flip;
            n_refused += open_and_read(file.bytes, file.n) != PL_OK;
            file.bytes[i] ^= flip;
        }
    assert_true(n_refused > 1000);
    strbuf_free(&file);
}

static void test_random_damage(void **state)
{
    (void)state;
    struct strbuf file = sound_file();
    char *copy = malloc(file.n);
    struct rng r;
    rng_seed(&r, 5);
    assert_non_null(copy);
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, file.bytes, file.n);
        for (uint64_t change = 0; change < 1 + rng_below(&r, 4); change++) {
            const uint64_t v = rng_u64(&r) >> rng_below(&r, 64);
            const size_t n = 1u << rng_below(&r, 4);
            memcpy(copy + rng_below(&r, file.n - n), &v, n);
        }
        open_and_read(copy, file.n - rng_below(&r, 2) * rng_below(&r, file.n));
    }
    free(copy);
    strbuf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_formats),    cmocka_unit_test(test_lies),
        cmocka_unit_test(test_cut_at_every_byte), cmocka_unit_test(test_every_byte_changed),
        cmocka_unit_test(test_random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Sound model files: every getter, both versions, every alignment and tensor type. Hostile files
 * are in test_gguf_hostile.c, split ones in test_gguf_split.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/gguf/gguf_build.h"
#include "unit/gguf/parse_bytes.h"

static void open_built(struct parsed *p, struct gguf_build *b)
{
    struct strbuf file = build_file(b);
    pl_err err = { 0 };
    if (parse_bytes(p, file.bytes, file.n, &err)) fail_msg("%s", err.text);
    strbuf_free(&file);
    build_free(b);
}

static void assert_refused(pl_status st, const pl_err *err, const char *text)
{
    assert_int_equal(st, PL_E_FORMAT);
    if (!strstr(err->text, text)) fail_msg("\"%s\" does not say \"%s\"", err->text, text);
}

static bool is_string(struct gguf_string s, const char *wanted)
{
    return s.n == strlen(wanted) && memcmp(s.bytes, wanted, s.n) == 0;
}

static void test_a_file_without_anything(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct parsed p;
        struct gguf_build b = { .version = version };
        open_built(&p, &b);
        assert_int_equal(p.g.n_keys, 0);
        assert_int_equal(p.g.n_tensors, 0);
        assert_false(gguf_has(&p.g, "general.name"));
        assert_null(gguf_find(&p.g, "output.weight"));
        parsed_free(&p);
    }
}

/* Every integer kind holding `v`, named after its number. */
static void build_integers(struct gguf_build *b, int64_t v)
{
    static const struct { uint32_t kind; size_t n; } kinds[] = {
        { GGUF_U8, 1 },  { GGUF_I8, 1 },  { GGUF_U16, 2 }, { GGUF_I16, 2 },
        { GGUF_U32, 4 }, { GGUF_I32, 4 }, { GGUF_U64, 8 }, { GGUF_I64, 8 },
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char name[] = { 'k', (char)('a' + kinds[i].kind), 0 };
        build_number(b, name, kinds[i].kind, &v, kinds[i].n);
    }
}

static void test_integers_of_every_kind(void **state)
{
    (void)state;
    static const char *const names[] = { "ka", "kb", "kc", "kd", "ke", "kf", "kk", "kl" };
    struct parsed p;
    struct gguf_build b = { 0 };
    build_integers(&b, 100);
    open_built(&p, &b);
    for (size_t i = 0; i < 8; i++) {
        uint32_t u32 = 0, with_default = 0;
        uint64_t u64 = 0;
        assert_int_equal(gguf_u32(&p.g, names[i], &u32, NULL), PL_OK);
        assert_int_equal(gguf_u64(&p.g, names[i], &u64, NULL), PL_OK);
        assert_int_equal(gguf_u32_or(&p.g, names[i], 5, &with_default, NULL), PL_OK);
        assert_true(u32 == 100 && u64 == 100 && with_default == 100);
    }
    parsed_free(&p);
}

static void test_integers_that_do_not_fit(void **state)
{
    (void)state;
    static const char *const is_signed[] = { "kb", "kd", "kf", "kl" };
    static const char *const is_unsigned[] = { "ka", "kc", "ke", "kk" };
    static const uint64_t most[] = { UINT8_MAX, UINT16_MAX, UINT32_MAX, UINT64_MAX };
    struct parsed p;
    struct gguf_build b = { 0 };
    build_integers(&b, -1);
    build_number(&b, "least", GGUF_I64, &(int64_t){ INT64_MIN }, 8);
    open_built(&p, &b);

    for (size_t i = 0; i < 4; i++) {
        pl_err err = { 0 };
        uint32_t u32;
        uint64_t u64 = 0;
        assert_refused(gguf_u64(&p.g, is_signed[i], &u64, &err), &err, "is -1; at least 0");
        assert_refused(gguf_u32_or(&p.g, is_signed[i], 3, &u32, &err), &err, is_signed[i]);
        assert_int_equal(gguf_u64(&p.g, is_unsigned[i], &u64, &err), PL_OK);
        assert_true(u64 == most[i]);
    }
    pl_err err = { 0 };
    uint32_t u32;
    uint64_t u64;
    assert_refused(gguf_u32(&p.g, "kk", &u32, &err), &err, "at most 4294967295 is wanted");
    assert_refused(gguf_u64(&p.g, "least", &u64, &err), &err, "is -9223372036854775808;");
    parsed_free(&p);
}

static void build_all_kinds(struct gguf_build *b)
{
    build_number(b, "f32", GGUF_F32, &(float){ 1.5f }, 4);
    build_number(b, "f64", GGUF_F64, &(double){ -0.25 }, 8);
    build_number(b, "inf", GGUF_F64, &(double){ 1e300 }, 8);
    build_number(b, "yes", GGUF_BOOL, &(uint8_t){ 1 }, 1);
    build_number(b, "no", GGUF_BOOL, &(uint8_t){ 0 }, 1);
    build_string(b, "string", "text");
    build_string(b, "string.empty", "");
    build_u32(b, "u32", 7);
    build_array(b, "i32s", GGUF_I32, 3);
    build_put(&b->keys, (int32_t[]){ -1, 0, INT32_MAX }, 12);
    build_array(b, "f32s", GGUF_F32, 2);
    build_put(&b->keys, (float[]){ 0.5f, -2 }, 8);
    build_array(b, "strings", GGUF_STRING, 3);
    build_put_string(&b->keys, "one", 3);
    build_put_string(&b->keys, "", 0);
    build_put_string(&b->keys, "t\0o", 3);  /* a value, unlike a name, may be any bytes */
    build_array(b, "nothing", GGUF_STRING, 0);
}

static void test_values(void **state)
{
    (void)state;
    struct parsed p;
    struct gguf_build b = { 0 };
    float f;
    bool yes;
    struct gguf_string s;
    build_all_kinds(&b);
    open_built(&p, &b);
    const struct gguf *g = &p.g;

    assert_true(!gguf_f32(g, "f32", &f, NULL) && f == 1.5f);
    assert_true(!gguf_f32(g, "f64", &f, NULL) && f == -0.25f);
    assert_true(!gguf_f32_or(g, "f32", 9, &f, NULL) && f == 1.5f);
    assert_true(!gguf_f32_or(g, "missing", 9, &f, NULL) && f == 9);
    assert_true(!gguf_bool(g, "yes", &yes, NULL) && yes);
    assert_true(!gguf_bool_or(g, "no", true, &yes, NULL) && !yes);
    assert_true(!gguf_bool_or(g, "missing", true, &yes, NULL) && yes);
    assert_true(!gguf_string(g, "string", &s, NULL) && is_string(s, "text"));
    assert_true(!gguf_string(g, "string.empty", &s, NULL) && s.n == 0);
    uint32_t u32;
    assert_true(!gguf_u32_or(g, "missing", 11, &u32, NULL) && u32 == 11);
    assert_true(gguf_has(g, "u32") && !gguf_has(g, "u3") && !gguf_has(g, "u322"));
    parsed_free(&p);
}

static void test_arrays(void **state)
{
    (void)state;
    struct parsed p;
    struct gguf_build b = { 0 };
    struct gguf_array a;
    build_all_kinds(&b);
    open_built(&p, &b);

    assert_true(!gguf_array(&p.g, "i32s", GGUF_I32, &a, NULL) && a.n == 3);
    assert_int_equal(gguf_array_integer(&a, 0), -1);
    assert_int_equal(gguf_array_integer(&a, 2), INT32_MAX);
    assert_true(!gguf_array(&p.g, "f32s", GGUF_F32, &a, NULL) && a.n == 2);
    assert_true(gguf_array_float(&a, 0) == 0.5f && gguf_array_float(&a, 1) == -2);
    assert_true(!gguf_array(&p.g, "nothing", GGUF_STRING, &a, NULL) && a.n == 0);

    assert_true(!gguf_array(&p.g, "strings", GGUF_STRING, &a, NULL) && a.n == 3);
    const uint8_t *at = a.data;
    assert_true(is_string(gguf_next_string(&at), "one"));
    assert_int_equal(gguf_next_string(&at).n, 0);
    const struct gguf_string last = gguf_next_string(&at);
    assert_true(last.n == 3 && !memcmp(last.bytes, "t\0o", 3));
    parsed_free(&p);
}

static void test_missing_and_wrong_kinds(void **state)
{
    (void)state;
    struct parsed p;
    struct gguf_build b = { 0 };
    pl_err err = { 0 };
    uint32_t u32;
    uint64_t u64;
    float f;
    bool yes;
    struct gguf_string s;
    struct gguf_array a;
    build_all_kinds(&b);
    open_built(&p, &b);
    const struct gguf *g = &p.g;

    assert_refused(gguf_u32(g, "none", &u32, &err), &err, "memory.gguf: key none is missing");
    assert_refused(gguf_u64(g, "none", &u64, &err), &err, "is missing");
    assert_refused(gguf_f32(g, "none", &f, &err), &err, "is missing");
    assert_refused(gguf_bool(g, "none", &yes, &err), &err, "is missing");
    assert_refused(gguf_string(g, "none", &s, &err), &err, "is missing");
    assert_refused(gguf_array(g, "none", GGUF_I32, &a, &err), &err, "is missing");

    assert_refused(gguf_u32(g, "f32", &u32, &err), &err, "key f32 is f32; an integer is wanted");
    assert_refused(gguf_u32_or(g, "string", 1, &u32, &err), &err, "is a string; an integer");
    assert_refused(gguf_u64(g, "yes", &u64, &err), &err, "is a boolean; an integer");
    assert_refused(gguf_f32(g, "string", &f, &err), &err, "is a string; a float");
    assert_refused(gguf_f32_or(g, "inf", 1, &f, &err), &err, "not a finite number");
    assert_refused(gguf_bool_or(g, "u32", true, &yes, &err), &err, "is u32; a boolean");
    assert_refused(gguf_string(g, "i32s", &s, &err), &err, "is an array; a string");
    assert_refused(gguf_array(g, "u32", GGUF_U32, &a, &err), &err, "is u32; an array");
    assert_refused(gguf_array(g, "i32s", GGUF_F32, &a, &err), &err, "array of i32; of f32");
    assert_refused(gguf_floats(g, "i32s", &a, &err), &err, "array of i32; of floats");
    assert_refused(gguf_integers(g, "f32s", &a, &err), &err, "array of f32; of integers");
    assert_refused(gguf_integers(g, "strings", &a, &err), &err, "array of a string; of integers");
    parsed_free(&p);
}

static void test_tensors_of_every_type(void **state)
{
    (void)state;
    static const struct { const char *name; uint32_t type, n_weights, n_bytes; } types[] = {
#define X(name, number, n, bytes) { #name, number, n, bytes },
        QUANT_TYPE_LIST(X)
#undef X
    };
    for (uint32_t alignment = 8; alignment <= 65536; alignment *= 2) {
        struct parsed p;
        struct gguf_build b = { .alignment = alignment };
        build_u32(&b, "general.alignment", alignment);
        for (size_t i = 0; i < 15; i++)     /* the file's order is not that of the names */
            build_tensor(&b, types[14 - i].name, types[14 - i].type, 2,
                         (uint64_t[]){ types[14 - i].n_weights, 3 }, (uint8_t)i);
        open_built(&p, &b);
        assert_int_equal(p.g.n_tensors, 15);
        for (size_t i = 0; i < 15; i++) {
            const struct gguf_tensor *t = gguf_find(&p.g, types[i].name);
            assert_non_null(t);
            assert_int_equal(t->type, types[i].type);
            assert_true(t->n_dims == 2 && t->dim[0] == types[i].n_weights && t->dim[1] == 3);
            assert_int_equal(t->n_bytes, 3 * types[i].n_bytes);
            assert_int_equal((size_t)(t->data - p.map.data) % alignment, 0);
            for (size_t k = 0; k < t->n_bytes; k++)
                assert_int_equal(t->data[k], (uint8_t)(k * 7 + (14 - i)));
        }
        read_everything(&p.g);
        parsed_free(&p);
    }
}

static void test_dimensions(void **state)
{
    (void)state;
    struct parsed p;
    struct gguf_build b = { 0 };
    build_tensor(&b, "one", QUANT_F32, 1, (uint64_t[]){ 5 }, 0);
    build_tensor(&b, "four", QUANT_F16, 4, (uint64_t[]){ 2, 3, 4, 5 }, 0);
    open_built(&p, &b);
    assert_int_equal(gguf_find(&p.g, "one")->n_bytes, 20);
    assert_int_equal(gguf_find(&p.g, "four")->n_bytes, 240);
    assert_null(gguf_find(&p.g, "on"));
    assert_null(gguf_find(&p.g, ""));
    parsed_free(&p);
}

static void test_opening_a_path(void **state)
{
    (void)state;
    char path[] = "/tmp/paceline-gguf-XXXXXX";
    struct gguf_build b = { 0 };
    build_string(&b, "general.name", "small");
    build_tensor(&b, "x", QUANT_Q8_0, 2, (uint64_t[]){ 64, 2 }, 1);
    struct strbuf file = build_file(&b);
    close(mkstemp(path));
    assert_true(build_write(path, file.bytes, file.n));

    struct gguf g;
    pl_err err = { 0 };
    struct gguf_string name;
    if (gguf_open(&g, path, &err)) fail_msg("%s", err.text);
    assert_int_equal(g.file_bytes, file.n);
    assert_int_equal(g.n_parts, 1);
    assert_true(!gguf_string(&g, "general.name", &name, NULL) && is_string(name, "small"));
    const struct gguf_tensor *x = gguf_find(&g, "x");
    gguf_drop_pages(&g);                    /* read again when touched */
    assert_memory_equal(x->data, b.data.bytes, x->n_bytes);
    gguf_close(&g);
    gguf_close(&g);                         /* closed is closed */

    unlink(path);
    assert_int_equal(gguf_open(&g, path, &err), PL_E_IO);
    assert_non_null(strstr(err.text, path));
    assert_null(g.part);
    assert_int_equal(gguf_open(&g, "/tmp", &err), PL_E_IO);
    assert_non_null(strstr(err.text, "a folder"));
    strbuf_free(&file);
    build_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_without_anything),
        cmocka_unit_test(test_integers_of_every_kind),
        cmocka_unit_test(test_integers_that_do_not_fit),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_missing_and_wrong_kinds),
        cmocka_unit_test(test_tensors_of_every_type),
        cmocka_unit_test(test_dimensions),
        cmocka_unit_test(test_opening_a_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

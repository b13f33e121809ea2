/* Values in other forms than the plainest: arrays of equal numbers, integers for floats, and keys
 * that are set instead of the file's. */
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

static void build_i16s(struct gguf_build *b, const char *name, const int16_t *v, uint64_t n)
{
    build_array(b, name, GGUF_I16, n);
    strbuf_add(&b->keys, v, n * sizeof *v);
}

static void assert_says(const pl_err *err, const char *words)
{
    if (!strstr(err->text, words)) fail_msg("\"%s\" does not say \"%s\"", err->text, words);
}

static void equal_numbers_of_layers_are_one(void **state)
{
    (void)state;
    struct parsed p;
    struct gguf_build b = { 0 };
    pl_err err;
    uint32_t v = 0;
    build_u32(&b, "one", 7);
    build_i16s(&b, "equal", (int16_t[]){ 300, 300, 300 }, 3);
    build_i16s(&b, "differ", (int16_t[]){ 8, 8, 4 }, 3);
    build_i16s(&b, "below", (int16_t[]){ -1, -1, -1 }, 3);
    build_i16s(&b, "none", NULL, 0);
    build_array(&b, "floats", GGUF_F32, 3);
    strbuf_add(&b.keys, (float[3]){ 1, 1, 1 }, 12);
    open_built(&p, &b);
    const struct gguf *g = &p.g;

    assert_true(!gguf_u32_of_layers(g, "one", 3, &v, &err) && v == 7);
    assert_true(!gguf_u32_of_layers(g, "equal", 3, &v, &err) && v == 300);
    assert_int_equal(gguf_u32_of_layers(g, "differ", 3, &v, &err), PL_E_UNSUPPORTED);
    assert_says(&err, "key differ is 8 in layer 0 and 4 in layer 2; numbers that differ");
    assert_int_equal(gguf_u32_of_layers(g, "equal", 4, &v, &err), PL_E_FORMAT);
    assert_says(&err, "array of 3 numbers; one or 4, one a layer");
    assert_int_equal(gguf_u32_of_layers(g, "below", 3, &v, &err), PL_E_FORMAT);
    assert_says(&err, "is -1");
    assert_int_equal(gguf_u32_of_layers(g, "none", 3, &v, &err), PL_E_FORMAT);
    assert_int_equal(gguf_u32_of_layers(g, "floats", 3, &v, &err), PL_E_FORMAT);
    assert_says(&err, "array of f32; of integers");
    assert_int_equal(gguf_u32_of_layers(g, "missing", 3, &v, &err), PL_E_FORMAT);
    parsed_free(&p);
}

static void numbers_of_another_kind_are_taken_where_they_fit(void **state)
{
    (void)state;
    struct parsed p;
    struct gguf_build b = { 0 };
    float f;
    bool yes;
    int64_t i;
    build_number(&b, "i8", GGUF_I8, &(int8_t){ -3 }, 1);
    build_number(&b, "u64", GGUF_U64, &(uint64_t){ UINT64_MAX }, 8);
    build_number(&b, "one", GGUF_U32, &(uint32_t){ 1 }, 4);
    build_number(&b, "yes", GGUF_BOOL, &(uint8_t){ 1 }, 1);
    open_built(&p, &b);
    assert_true(!gguf_f32(&p.g, "i8", &f, NULL) && f == -3);
    assert_true(!gguf_f32(&p.g, "yes", &f, NULL) && f == 1);
    assert_true(!gguf_i64(&p.g, "i8", &i, NULL) && i == -3);
    assert_true(!gguf_i64(&p.g, "u64", &i, NULL) && i == INT64_MAX);
    assert_true(!gguf_bool(&p.g, "one", &yes, NULL) && yes);
    assert_int_equal(gguf_bool(&p.g, "i8", &yes, NULL), PL_E_FORMAT);
    assert_int_equal(gguf_bool(&p.g, "u64", &yes, NULL), PL_E_FORMAT);
    parsed_free(&p);
}

static void trailing_dimensions_are_ones(void **state)
{
    (void)state;
    struct parsed p;
    struct gguf_build b = { 0 };
    build_tensor(&b, "short", QUANT_F32, 1, (uint64_t[]){ 4 }, 0);
    build_tensor(&b, "long", QUANT_F32, 4, (uint64_t[]){ 4, 1, 1, 1 }, 0);
    open_built(&p, &b);
    assert_memory_equal(gguf_find(&p.g, "short")->dim, gguf_find(&p.g, "long")->dim,
                        GGUF_MAX_DIMS * sizeof(uint64_t));
    parsed_free(&p);
}

static void keys_are_set_instead_of_the_files(void **state)
{
    (void)state;
    struct parsed p;
    struct gguf_build b = { 0 };
    pl_err err = { 0 };
    uint32_t u = 0;
    int64_t i = 0;
    float f = 0;
    bool yes = true;
    struct gguf_string s;
    build_u32(&b, "b.count", 4);
    build_string(&b, "d.name", "old");
    build_i16s(&b, "c.array", (int16_t[]){ 1, 2 }, 2);
    open_built(&p, &b);
    struct gguf *g = &p.g;

    if (gguf_override(g, "b.count=int:9,z.new=int:-5,a.new=float:2.5e3,d.name=str:a,b:c=d,"
                         "c.array=int:3,m.flag=bool:false,n.empty=str:", &err))
        fail_msg("%s", err.text);
    assert_true(!gguf_u32(g, "b.count", &u, &err) && u == 9);
    assert_true(!gguf_i64(g, "z.new", &i, &err) && i == -5);
    assert_true(!gguf_f32(g, "a.new", &f, &err) && f == 2500);
    assert_true(!gguf_string(g, "d.name", &s, &err) && s.n == 7 && !memcmp(s.bytes, "a,b:c=d", 7));
    assert_true(!gguf_u32_of_layers(g, "c.array", 2, &u, &err) && u == 3);
    assert_true(!gguf_bool(g, "m.flag", &yes, &err) && !yes);
    assert_true(!gguf_string(g, "n.empty", &s, &err) && s.n == 0);
    assert_int_equal(g->n_keys, 7);
    assert_true(!gguf_override(g, "b.count=int:10", &err) && !gguf_u32(g, "b.count", &u, &err));
    assert_int_equal(u, 10);

    static const struct { const char *text, *words; } wrong[] = {
        { "", "found \"\"; KEY=TYPE:VALUE" }, { "a", "found \"a\"" }, { "a=b", "KEY=TYPE:VALUE" },
        { "a=double:1", "int, float, bool, str" }, { "=int:1", "a key of 0 bytes" },
        { "a=int:", "\"\" is no integer" }, { "a=int:1.5", "\"1.5\" is no integer" },
        { "a=int:99999999999999999999", "is no integer" }, { "a=float:x", "is no number" },
        { "a=float:inf", "is no number" }, { "a=bool:yes", "is no true or false" },
        { "a=int:1,", "\"1,\" is no integer" }, { "a=int: 1", "is no integer" },
    };
    for (size_t n = 0; n < sizeof wrong / sizeof *wrong; n++) {
        assert_int_equal(gguf_override(g, wrong[n].text, &err), PL_E_PARAM);
        assert_says(&err, wrong[n].words);
    }
    parsed_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_numbers_of_layers_are_one),
        cmocka_unit_test(numbers_of_another_kind_are_taken_where_they_fit),
        cmocka_unit_test(trailing_dimensions_are_ones),
        cmocka_unit_test(keys_are_set_instead_of_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "gguf/value.h"

#include "base/status.h"

size_t gguf_kind_bytes(uint32_t kind)
{
    static const uint8_t sizes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return kind < sizeof sizes ? sizes[kind] : 0;
}

const char *gguf_kind_name(enum gguf_kind kind)
{
    static const char *const names[] = { "u8", "i8", "u16", "i16", "u32", "i32", "f32", "a boolean",
                                         "a string", "an array", "u64", "i64", "f64" };
    return names[kind];
}

bool gguf_integer_at(enum gguf_kind kind, const uint8_t *at, bool *is_negative,
                     uint64_t *magnitude)
{
    int64_t v;
    switch (kind) {
    case GGUF_U8: *magnitude = *at; *is_negative = false; return true;
    case GGUF_U16: *magnitude = LOAD(uint16_t, at); *is_negative = false; return true;
    case GGUF_U32: *magnitude = LOAD(uint32_t, at); *is_negative = false; return true;
    case GGUF_U64: *magnitude = LOAD(uint64_t, at); *is_negative = false; return true;
    case GGUF_I8: v = LOAD(int8_t, at); break;
    case GGUF_I16: v = LOAD(int16_t, at); break;
    case GGUF_I32: v = LOAD(int32_t, at); break;
    case GGUF_I64: v = LOAD(int64_t, at); break;
    default: return false;
    }
    *is_negative = v < 0;
    *magnitude = v < 0 ? -(uint64_t)v : (uint64_t)v;
    return true;
}

struct gguf_string gguf_next_string(const uint8_t **at)
{
    const uint64_t n = LOAD(uint64_t, *at);
    const struct gguf_string s = { (const char *)*at + sizeof n, (size_t)n };
    *at += sizeof n + n;
    return s;
}

struct printable gguf_printable(struct gguf_string s)
{
    struct printable p;
    size_t n = s.n < sizeof p.text - 4 ? s.n : sizeof p.text - 4;
    for (size_t i = 0; i < n; i++)
        p.text[i] = s.bytes[i] >= 32 && s.bytes[i] < 127 ? s.bytes[i] : '?';
    strcpy(p.text + n, n < s.n ? "..." : "");
    return p;
}

pl_status gguf_wrong_kind(const char *path, const struct gguf_key *k, const char *wanted,
                          pl_err *err)
{
    return pl_fail(err, PL_E_FORMAT, "%s: key %s is %s; %s is wanted", path,
                   gguf_printable(k->name).text, gguf_kind_name(k->kind), wanted);
}

/* What clang's thread sanitizer calls before each access, answered by the engine's checker instead
 * of the sanitizer's own library. In one object file of a checked library. */
#define EMU_ANSWER __attribute__((no_sanitize("thread"), disable_sanitizer_instrumentation,        \
                                  visibility("hidden"), noinline))
#define EMU_CHECK(at, n, kind)                                                                     \
    if (emu_now) emu_do->access(emu_now, at, n, kind, __builtin_return_address(0))

extern "C" {

EMU_ANSWER void __tsan_init() {}
#define EMU_ANSWERS(n)                                                                             \
    EMU_ANSWER void __tsan_read##n(void *at) { EMU_CHECK(at, n, EMU_READ); }                       \
    EMU_ANSWER void __tsan_write##n(void *at) { EMU_CHECK(at, n, EMU_WRITE); }                     \
    EMU_ANSWER void __tsan_unaligned_read##n(void *at) { EMU_CHECK(at, n, EMU_READ); }             \
    EMU_ANSWER void __tsan_unaligned_write##n(void *at) { EMU_CHECK(at, n, EMU_WRITE); }           \
    EMU_ANSWER void __tsan_volatile_read##n(void *at) { EMU_CHECK(at, n, EMU_READ); }              \
    EMU_ANSWER void __tsan_volatile_write##n(void *at) { EMU_CHECK(at, n, EMU_WRITE); }            \
    EMU_ANSWER void __tsan_unaligned_volatile_read##n(void *at) { EMU_CHECK(at, n, EMU_READ); }    \
    EMU_ANSWER void __tsan_unaligned_volatile_write##n(void *at) { EMU_CHECK(at, n, EMU_WRITE); }
EMU_ANSWERS(1)
EMU_ANSWERS(2)
EMU_ANSWERS(4)
EMU_ANSWERS(8)
EMU_ANSWERS(16)

EMU_ANSWER void *__tsan_memcpy(void *to, const void *from, unsigned long n)
{
    EMU_CHECK(from, n, EMU_READ);
    EMU_CHECK(to, n, EMU_WRITE);
    return __builtin_memcpy(to, from, n);
}
EMU_ANSWER void *__tsan_memmove(void *to, const void *from, unsigned long n)
{
    EMU_CHECK(from, n, EMU_READ);
    EMU_CHECK(to, n, EMU_WRITE);
    return __builtin_memmove(to, from, n);
}
EMU_ANSWER void *__tsan_memset(void *to, int value, unsigned long n)
{
    EMU_CHECK(to, n, EMU_WRITE);
    return __builtin_memset(to, value, n);
}

}

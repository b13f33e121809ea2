/* Atomics, relaxed: the only order that Metal 3.1 has. They are real ones, as threadgroups may run
 * on several host threads. */
namespace emu {

EMU_OWN static void *atomic_at(ulong address, ulong n_bytes, const void *pc)
{
#ifdef MSL_FLAT
    emu_do->access(emu_now, (const void *)address, n_bytes, EMU_ATOMIC, pc);
#endif
    (void)n_bytes;
    (void)pc;
    return (void *)address;
}

template <typename T, bool is_max> EMU_OWN static T exchange_extreme(T *at, T value)
{
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while ((is_max ? old < value : value < old) &&
           !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {}
    return old;
}

}

namespace metal {

enum memory_order { memory_order_relaxed };

template <typename T> struct atomic {
    T value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<bool> atomic_bool;

#define EMU_AT (T *)emu::atomic_at((ulong)object, sizeof(T), __builtin_return_address(0))
#define EMU_FETCH(space, name)                                                                     \
    template <typename T, typename U>                                                              \
    EMU_OWN static T atomic_fetch_##name##_explicit(volatile space atomic<T> *object, U operand,   \
                                                   memory_order)                                   \
    {                                                                                              \
        return __atomic_fetch_##name(EMU_AT, (T)operand, __ATOMIC_RELAXED);                        \
    }
#define EMU_ATOMICS(space)                                                                         \
    EMU_FETCH(space, add) EMU_FETCH(space, sub) EMU_FETCH(space, and) EMU_FETCH(space, or)         \
    EMU_FETCH(space, xor)                                                                          \
    template <typename T, typename U>                                                              \
    EMU_OWN static T atomic_fetch_max_explicit(volatile space atomic<T> *object, U x,              \
                                               memory_order)                                       \
    {                                                                                              \
        return emu::exchange_extreme<T, true>(EMU_AT, (T)x);                                       \
    }                                                                                              \
    template <typename T, typename U>                                                              \
    EMU_OWN static T atomic_fetch_min_explicit(volatile space atomic<T> *object, U x,              \
                                               memory_order)                                       \
    {                                                                                              \
        return emu::exchange_extreme<T, false>(EMU_AT, (T)x);                                      \
    }                                                                                              \
    template <typename T>                                                                          \
    EMU_OWN static T atomic_load_explicit(const volatile space atomic<T> *object, memory_order)    \
    {                                                                                              \
        return __atomic_load_n(EMU_AT, __ATOMIC_RELAXED);                                          \
    }                                                                                              \
    template <typename T, typename U>                                                              \
    EMU_OWN static void atomic_store_explicit(volatile space atomic<T> *object, U x, memory_order) \
    {                                                                                              \
        __atomic_store_n(EMU_AT, (T)x, __ATOMIC_RELAXED);                                          \
    }                                                                                              \
    template <typename T, typename U>                                                              \
    EMU_OWN static T atomic_exchange_explicit(volatile space atomic<T> *object, U x, memory_order) \
    {                                                                                              \
        return __atomic_exchange_n(EMU_AT, (T)x, __ATOMIC_RELAXED);                                \
    }                                                                                              \
    template <typename T, typename U>                                                              \
    EMU_OWN static bool atomic_compare_exchange_weak_explicit(volatile space atomic<T> *object,    \
                                                             T *expected, U x, memory_order,       \
                                                             memory_order)                         \
    {                                                                                              \
        return __atomic_compare_exchange_n(EMU_AT, expected, (T)x, false, __ATOMIC_RELAXED,        \
                                           __ATOMIC_RELAXED);                                      \
    }
#ifdef MSL_FLAT
EMU_ATOMICS()
#else
EMU_ATOMICS(device)
EMU_ATOMICS(threadgroup)
#endif
#undef EMU_AT
#undef EMU_FETCH
#undef EMU_ATOMICS

}

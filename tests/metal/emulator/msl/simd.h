/* What the lanes of a simdgroup do together, and barriers. All lanes that exist must come: Metal
 * lets some functions run with fewer, the emulator calls that an error.
 *
 * Sums and the like are a tree: lane l takes lane l + 16, then l + 8, + 4, + 2, + 1. Prefix sums
 * run by rising lane. Metal does not say how the GPU does it. */
#define EMU_HIDDEN __attribute__((visibility("hidden")))
extern EMU_HIDDEN __thread struct emu_group *emu_now __attribute__((tls_model("initial-exec")));
extern EMU_HIDDEN const struct emu_engine *emu_do;

namespace emu {

template <typename T> EMU_OWN static T of(const unsigned char *bytes)
{
    T value;
    __builtin_memcpy(&value, bytes, sizeof value);
    return value;
}

/* Brings x, and arg for the lane; combine<T>, once, makes out of in. */
template <typename T>
EMU_OWN static T meet(T x, uint arg, const char *what, void (*combine)(emu_simd *))
{
    static_assert(sizeof(T) <= EMU_VALUE_BYTES, "a type too large for a simd function");
    emu_group *g = emu_now;
    emu_fiber *self = g->now;
    emu_simd *s = self->simd;
    __builtin_memcpy(s->in[self->lane], &x, sizeof x);
    s->arg[self->lane] = arg;
    emu_do->meet(g, (const void *)combine, what, combine);
    return of<T>(s->out[self->lane]);
}

EMU_OWN static uint lane()
{
    return emu_now->now->lane;
}

template <typename T> EMU_OWN static void shuffle(emu_simd *s)
{
    for (uint l = 0; l < s->n_lanes; l++) {
        const uint from = s->arg[l] < s->n_lanes ? s->arg[l] : l;
        __builtin_memcpy(s->out[l], s->in[from], sizeof(T));
    }
}

/* combine functions for groups of n lanes, and their inclusive prefixes */
#define EMU_REDUCTION(name, of_a_and_b)                                                            \
    template <typename T, int n> EMU_OWN static void name(emu_simd *s)                             \
    {                                                                                              \
        T v[EMU_LANES];                                                                            \
        for (uint l = 0; l < s->n_lanes; l++) v[l] = of<T>(s->in[l]);                              \
        for (uint first = 0; first < s->n_lanes; first += n) {                                     \
            const uint end = first + n < s->n_lanes ? first + n : s->n_lanes;                      \
            for (uint d = n / 2; d; d /= 2)                                                        \
                for (uint l = first; l < first + d && l + d < end; l++) {                          \
                    const T a = v[l], b = v[l + d];                                                \
                    v[l] = of_a_and_b;                                                             \
                }                                                                                  \
            for (uint l = first; l < end; l++) __builtin_memcpy(s->out[l], &v[first], sizeof(T));  \
        }                                                                                          \
    }                                                                                              \
    template <typename T> EMU_OWN static void prefix_##name(emu_simd *s)                           \
    {                                                                                              \
        T a = of<T>(s->in[0]);                                                                     \
        for (uint l = 0; l < s->n_lanes; l++) {                                                    \
            const T b = of<T>(s->in[l]);                                                           \
            if (l) a = of_a_and_b;                                                                 \
            __builtin_memcpy(s->out[l], &a, sizeof(T));                                            \
        }                                                                                          \
    }
EMU_REDUCTION(sum, a + b)
EMU_REDUCTION(product, a * b)
EMU_REDUCTION(max, metal::max(a, b))
EMU_REDUCTION(min, metal::min(a, b))
EMU_REDUCTION(bits_and, (T)(a & b))
EMU_REDUCTION(bits_or, (T)(a | b))
EMU_REDUCTION(bits_xor, (T)(a ^ b))
#undef EMU_REDUCTION

EMU_OWN static void ballot(emu_simd *s)
{
    uint votes = 0;
    for (uint l = 0; l < s->n_lanes; l++) votes |= (uint)(s->in[l][0] != 0) << l;
    for (uint l = 0; l < s->n_lanes; l++) __builtin_memcpy(s->out[l], &votes, sizeof votes);
}

EMU_OWN static void barrier(uint flags)
{
    emu_do->barrier(emu_now, flags);
}

EMU_OWN static void simd_barrier(uint flags)
{
    emu_do->simd_barrier(emu_now, flags);
}

}

namespace metal {

enum class mem_flags : uint { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
static constexpr mem_flags operator|(mem_flags a, mem_flags b)
{
    return (mem_flags)((uint)a | (uint)b);
}

static inline void threadgroup_barrier(mem_flags flags) { emu::barrier((uint)flags & 3); }
static inline void simdgroup_barrier(mem_flags flags) { emu::simd_barrier((uint)flags & 3); }

#define EMU_FUNCTION(name)                                                                         \
    template <typename T> static inline T simd_##name(T x)                                         \
    {                                                                                              \
        return emu::meet(x, 0, "simd_" #name, emu::name<T, 32>);                                   \
    }                                                                                              \
    template <typename T> static inline T quad_##name(T x)                                         \
    {                                                                                              \
        return emu::meet(x, 0, "quad_" #name, emu::name<T, 4>);                                    \
    }
EMU_FUNCTION(sum)
EMU_FUNCTION(product)
EMU_FUNCTION(max)
EMU_FUNCTION(min)
#undef EMU_FUNCTION
template <typename T>
static inline T simd_and(T x) { return emu::meet(x, 0, "simd_and", emu::bits_and<T, 32>); }
template <typename T>
static inline T simd_or(T x) { return emu::meet(x, 0, "simd_or", emu::bits_or<T, 32>); }
template <typename T>
static inline T simd_xor(T x) { return emu::meet(x, 0, "simd_xor", emu::bits_xor<T, 32>); }

template <typename T> static inline T simd_prefix_inclusive_sum(T x)
{
    return emu::meet(x, 0, "simd_prefix_inclusive_sum", emu::prefix_sum<T>);
}
template <typename T> static inline T simd_prefix_inclusive_product(T x)
{
    return emu::meet(x, 0, "simd_prefix_inclusive_product", emu::prefix_product<T>);
}
template <typename T> static inline T simd_shuffle(T x, ushort lane)
{
    return emu::meet(x, lane, "simd_shuffle", emu::shuffle<T>);
}
template <typename T> static inline T simd_prefix_exclusive_sum(T x)
{
    const T upto = simd_prefix_inclusive_sum(x);
    const T before = simd_shuffle(upto, (ushort)(emu::lane() - 1));
    return emu::lane() ? before : (T)0;
}
template <typename T> static inline T simd_prefix_exclusive_product(T x)
{
    const T upto = simd_prefix_inclusive_product(x);
    const T before = simd_shuffle(upto, (ushort)(emu::lane() - 1));
    return emu::lane() ? before : (T)1;
}

template <typename T> static inline T simd_shuffle_xor(T x, ushort mask)
{
    return emu::meet(x, emu::lane() ^ mask, "simd_shuffle_xor", emu::shuffle<T>);
}
template <typename T> static inline T simd_shuffle_up(T x, ushort delta)
{
    return emu::meet(x, emu::lane() - delta, "simd_shuffle_up", emu::shuffle<T>);
}
template <typename T> static inline T simd_shuffle_down(T x, ushort delta)
{
    return emu::meet(x, emu::lane() + delta, "simd_shuffle_down", emu::shuffle<T>);
}
template <typename T> static inline T simd_shuffle_rotate_up(T x, ushort delta)
{
    return emu::meet(x, (emu::lane() - delta) % 32, "simd_shuffle_rotate_up", emu::shuffle<T>);
}
template <typename T> static inline T simd_shuffle_rotate_down(T x, ushort delta)
{
    return emu::meet(x, (emu::lane() + delta) % 32, "simd_shuffle_rotate_down", emu::shuffle<T>);
}
template <typename T> static inline T simd_broadcast(T x, ushort lane)
{
    return emu::meet(x, lane, "simd_broadcast", emu::shuffle<T>);
}
template <typename T> static inline T simd_broadcast_first(T x)
{
    return emu::meet(x, 0, "simd_broadcast_first", emu::shuffle<T>);
}
template <typename T> static inline T quad_shuffle(T x, ushort lane)
{
    return emu::meet(x, (emu::lane() & ~3u) + lane % 4, "quad_shuffle", emu::shuffle<T>);
}
template <typename T>
static inline T quad_broadcast(T x, ushort lane) { return quad_shuffle(x, lane); }
template <typename T> static inline T quad_shuffle_xor(T x, ushort mask)
{
    return emu::meet(x, emu::lane() ^ mask % 4, "quad_shuffle_xor", emu::shuffle<T>);
}

struct simd_vote {
    typedef ulong vote_t;
    ulong votes, lanes;
    explicit operator ulong() const { return votes; }
    bool all() const { return votes == lanes; }
    bool any() const { return votes != 0; }
};

static inline simd_vote simd_ballot(bool is_true)
{
    const uint votes = emu::meet((uint)is_true, 0, "simd_ballot", emu::ballot);
    return { votes, emu_now->now->simd->present };
}
static inline bool simd_any(bool is_true) { return simd_ballot(is_true).any(); }
static inline bool simd_all(bool is_true) { return simd_ballot(is_true).all(); }
static inline simd_vote simd_active_threads_mask() { return simd_ballot(true); }
static inline bool simd_is_first() { return emu::lane() == 0; }

}

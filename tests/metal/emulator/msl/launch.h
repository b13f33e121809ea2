/* Calls a kernel with what its parameters' attributes ask for. gen.py includes it after the shim
 * and names the attributes; the types come from the kernel itself, so templates need no help. */
namespace emu {

enum attribute {
    at_buffer, at_threadgroup, at_thread_position_in_grid, at_threadgroup_position_in_grid,
    at_thread_position_in_threadgroup, at_thread_index_in_threadgroup, at_thread_index_in_simdgroup,
    at_simdgroup_index_in_threadgroup, at_threads_per_threadgroup, at_threadgroups_per_grid,
    at_threads_per_grid, at_simdgroups_per_threadgroup, at_threads_per_simdgroup,
    at_thread_index_in_quadgroup, at_quadgroup_index_in_threadgroup,
};

template <attribute what> EMU_OWN static uint number(const emu_group *g, int i)
{
    const emu_fiber *f = g->now;
    switch (what) {
    case at_thread_position_in_grid: return g->at[i] * g->n_threads[i] + f->at[i];
    case at_threadgroup_position_in_grid: return g->at[i];
    case at_thread_position_in_threadgroup: return f->at[i];
    case at_thread_index_in_threadgroup: return f->index;
    case at_thread_index_in_simdgroup: return f->lane;
    case at_simdgroup_index_in_threadgroup: return f->simd_index;
    case at_threads_per_threadgroup: return g->n_threads[i];
    case at_threadgroups_per_grid: return g->n_groups[i];
    case at_threads_per_grid: return g->n_groups[i] * g->n_threads[i];
    case at_simdgroups_per_threadgroup: return g->n_simds;
    case at_threads_per_simdgroup: return EMU_LANES;
    case at_thread_index_in_quadgroup: return f->lane % 4;
    case at_quadgroup_index_in_threadgroup: return f->index / 4;
    default: return 0;
    }
}

EMU_OWN static ulong address(const emu_group *g, attribute what, int index)
{
    return (ulong)(what == at_buffer ? g->buffer[index] : g->shared[index]);
}

template <typename P, attribute what, int index> struct argument {
    static P get(const emu_group *g)
    {
        static_assert(what != at_buffer && what != at_threadgroup,
                      "a buffer's parameter is a pointer or a reference");
        P p = {};
        if constexpr (is_vector<P>)
            for (int i = 0; i < shape<P>::n; i++) p[i] = number<what>(g, i);
        else
            p = (P)number<what>(g, 0);
        return p;
    }
};

template <typename T, attribute what, int index> struct argument<T *, what, index> {
    static T *get(const emu_group *g) { return (T *)address(g, what, index); }
};

template <typename T, attribute what, int index> struct argument<T &, what, index> {
    static T &get(const emu_group *g) { return *(T *)address(g, what, index); }
};

template <attribute what, int index = 0> struct parameter {};

template <typename... P, attribute... what, int... index>
static void call(emu_group *g, void (*f)(P...), parameter<what, index>...)
{
    f(argument<P, what, index>::get(g)...);
}

EMU_OWN static void enter(emu_group *g)
{
    emu_now = g;
}

/* A threadgroup array that a kernel declares. */
EMU_OWN static ulong shared_at(ulong n_bytes, ulong align)
{
    return (ulong)emu_do->shared(emu_now, n_bytes, align);
}

template <typename T> static threadgroup T &shared()
{
    return *(threadgroup T *)shared_at(sizeof(T), alignof(T));
}

}

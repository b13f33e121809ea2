/* The PTX instructions that kernels use: barriers in shared memory, bulk copies, matrix products of
 * a warp and of a warp group, the order of launches. */
#ifndef BACKEND_CUDA_PTX_CUH
#define BACKEND_CUDA_PTX_CUH

#include <stdint.h>

#define DEV __device__ __forceinline__

DEV uint32_t smem_addr(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

DEV void bar_init(uint32_t bar, int n)
{
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(bar), "r"(n));
}
DEV void bar_arrive(uint32_t bar)
{
    asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(bar) : "memory");
}
DEV void bar_expect(uint32_t bar, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes)
                 : "memory");
}
DEV void bar_wait(uint32_t bar, uint32_t parity)
{
    asm volatile("{\n.reg .pred p;\n"
                 "again: mbarrier.try_wait.parity.shared.b64 p, [%0], %1;\n"
                 "@!p bra again;\n}" ::"r"(bar), "r"(parity)
                 : "memory");
}
DEV uint64_t policy_evict_first(void)
{
    uint64_t p;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(p));
    return p;
}
DEV uint64_t policy_evict_last(void)
{
    uint64_t p;
    asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(p));
    return p;
}
DEV void bulk_load(uint32_t dst, const void *src, int bytes, uint32_t bar, uint64_t policy)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
                 " [%0], [%1], %2, [%3], %4;"
                 ::"r"(dst), "l"(src), "r"(bytes), "r"(bar), "l"(policy) : "memory");
}
/* 16 bytes, or zeros. */
DEV void async_load(uint32_t dst, const void *src, bool is_there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 ::"r"(dst), "l"(src), "r"(is_there ? 16 : 0) : "memory");
}
DEV void async_commit(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* Until at most N of the groups committed are on their way. */
template <int N> DEV void async_wait(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
DEV uint4 lds128(uint32_t a)
{
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(a));
    return v;
}
DEV uint2 lds64(uint32_t a)
{
    uint2 v;
    asm volatile("ld.shared.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(a));
    return v;
}
DEV uint32_t lds32(uint32_t a)
{
    uint32_t v;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(a));
    return v;
}
DEV void ldmatrix4(uint32_t r[4], uint32_t a)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(a) : "memory");
}
DEV void ldmatrix4_turned(uint32_t r[4], uint32_t a)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(a) : "memory");
}
DEV void mma16816(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEV void wgmma_fence(void) { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEV void wgmma_commit(void) { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> DEV void wgmma_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/* Operand in shared memory without swizzle, K-major: 128-byte matrices of 8 x 8, neighbours in k
 * 128 bytes apart, neighbours in n 256. */
DEV uint32_t wgmma_desc_low(uint32_t addr) { return addr >> 4 | (128 >> 4) << 16; }
DEV uint64_t wgmma_desc(uint32_t low)
{
    return (uint64_t)(256 >> 4) << 32 | low;
}

#define D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define A4 "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b)
#define WG(n, regs, ab) \
    "{\n.reg .pred p;\nsetp.eq.u32 p, 1, 1;\nwgmma.mma_async.sync.aligned.m64n" #n \
    "k16.f32.f16.f16 {" regs "}, " ab ", p, 1, 1, 0;\n}"

/* d += a b for a group's 64 rows and 8 NT columns. */
template <int NT> DEV void wgmma(float *d, const uint32_t a[4], uint64_t b);
template <> DEV void wgmma<1>(float *d, const uint32_t a[4], uint64_t b)
{
    asm volatile(WG(8, "%0,%1,%2,%3", "{%4,%5,%6,%7}, %8") : D4(0) : A4);
}
template <> DEV void wgmma<2>(float *d, const uint32_t a[4], uint64_t b)
{
    asm volatile(WG(16, "%0,%1,%2,%3,%4,%5,%6,%7", "{%8,%9,%10,%11}, %12") : D4(0), D4(4) : A4);
}
template <> DEV void wgmma<3>(float *d, const uint32_t a[4], uint64_t b)
{
    asm volatile(WG(24, "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11", "{%12,%13,%14,%15}, %16")
                 : D4(0), D4(4), D4(8) : A4);
}
template <> DEV void wgmma<4>(float *d, const uint32_t a[4], uint64_t b)
{
    asm volatile(WG(32, "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15",
                    "{%16,%17,%18,%19}, %20")
                 : D4(0), D4(4), D4(8), D4(12) : A4);
}
template <> DEV void wgmma<8>(float *d, const uint32_t a[4], uint64_t b)
{
    asm volatile(WG(64,
                    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,"
                    "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31",
                    "{%32,%33,%34,%35}, %36")
                 : D4(0), D4(4), D4(8), D4(12), D4(16), D4(20), D4(24), D4(28) : A4);
}
#undef D4
#undef A4
#undef WG

/* Programmatic dependent launch: wait until the kernel before is done, let the kernel after start.
 * Every kernel waits before it touches what others write, so that done means all before, too. */
DEV void pdl_wait(void) { asm volatile("griddepcontrol.wait;" ::: "memory"); }
DEV void pdl_release(void) { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

DEV void flag_set(uint32_t *f)
{
    asm volatile("st.release.gpu.global.u32 [%0], 1;" ::"l"(f) : "memory");
}
DEV void flag_wait(const uint32_t *f)
{
    uint32_t v;
    do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(f) : "memory");
    while (!v);
}

#endif
